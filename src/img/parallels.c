/*
 * img/parallels.c - Parallels disk images
 *
 * What is written here is in order at any time, so the mark "in use" is not
 * set while an image is open; one that other programs left there is taken away
 * by a repair.
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "img/bytes.h"

enum {
        HEADER_SIZE = 64,
        AT_VERSION = 16,
        AT_HEADS = 20,
        AT_CYLINDERS = 24,
        AT_TRACKS = 28,
        AT_BAT_ENTRIES = 32,
        AT_SECTORS = 36,
        AT_IN_USE = 44,
        AT_DATA = 48,
        PER_PART = 1 << 14,
        USUAL_CLUSTER = 1 << 20,
};
#define IN_USE_MAGIC 0x746f6e59U

typedef struct Parallels {
        uint64_t unit; /* what an entry counts in */
        uint64_t data_at;
} Parallels;

static bool is_old(const uint8_t *head)
{
        return memcmp(head, "WithoutFreeSpace", 16) == 0;
}

static bool parallels_probe(const uint8_t *head, size_t n)
{
        return n >= HEADER_SIZE && (is_old(head) || memcmp(head, "WithouFreSpacExt", 16) == 0) &&
               load_le32(head + AT_VERSION) == 2;
}

static int parallels_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint64_t sectors, clusters;
        uint32_t tracks;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!parallels_probe(head, sizeof(head)))
                return image_bad_field(err, file, 0, "magic", "is not that of a parallels image of version 2");
        tracks = load_le32(head + AT_TRACKS);
        sectors = load_le64(head + AT_SECTORS);
        if (is_old(head))
                sectors &= 0xffffffff; /* the upper half is not defined in this variant */
        if (tracks == 0 || tracks > INT32_MAX / 513)
                return image_bad_field(err, file, AT_TRACKS, "tracks", "is %u", tracks);
        if (mul_overflows(sectors, 512, &ret->virtual_size))
                return image_bad_field(err, file, AT_SECTORS, "nb_sectors", "is %llu: too large",
                                       (unsigned long long)sectors);
        clusters = div_up(sectors, tracks);
        if (load_le32(head + AT_BAT_ENTRIES) < clusters)
                return image_bad_field(err, file, AT_BAT_ENTRIES, "bat_entries", "is %u: %llu are needed",
                                       load_le32(head + AT_BAT_ENTRIES), (unsigned long long)clusters);
        ret->version = 2;
        ret->cluster_size = 512ULL * tracks;
        ret->dirty = load_le32(head + AT_IN_USE) == IN_USE_MAGIC;
        return 0;
}

static int parallels_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const BlockMap *map = block_map_of(image);
        const Parallels *p = map->more;
        uint64_t n = block_map_part_length(map, part), at = HEADER_SIZE + 4 * part * PER_PART;
        AUTOFREE uint8_t *table = block_map_read_table(image, at, n, 4, err);

        for (uint64_t i = 0; table && i < n; i++)
                if (load_le32(table + 4 * i) &&
                    block_map_placed(image, load_le32(table + 4 * i) * p->unit, at + 4 * i, &entries[i], err) < 0)
                        return -1;
        return table ? 0 : -1;
}

static int parallels_store(Image *image, uint64_t first, uint64_t n, const uint64_t *entries, Error *err)
{
        const Parallels *p = block_map_of(image)->more;
        AUTOFREE uint8_t *table = mem_alloc(4 * n);

        for (uint64_t i = 0; i < n; i++) {
                uint64_t value = block_is_placed(entries[i]) ? entries[i] / p->unit : 0;

                if (value > UINT32_MAX)
                        return err_set(err, ERR_OVERFLOW, "'%s': offset %llu is too large for the format",
                                       image_name(image), (unsigned long long)entries[i]);
                store_le32(table + 4 * i, (uint32_t)value);
        }
        return image_file_write(image->file, HEADER_SIZE + 4 * first, table, 4 * n, err);
}

static int parallels_tables(Image *image, BlockRanges *ret, Error *err)
{
        const Parallels *p = block_map_of(image)->more;
        BlockRange head = { .start = 0, .end = p->data_at, .block = UINT64_MAX };

        (void)err;
        vec_push(ret, head);
        return 0;
}

static const BlockMapOps parallels_ops = {
        .load = parallels_load,
        .store = parallels_store,
        .tables = parallels_tables,
};

static int parallels_open(Image *image, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint64_t end, table_end;
        Parallels *p;
        BlockMap *map;

        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0 ||
            image_file_size(image->file, &end, err) < 0)
                return -1;
        if (image->writable && !image->checking && image->about.dirty)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s' was not closed cleanly: check -r all must look at it before it is written",
                               image_name(image));
        table_end = HEADER_SIZE + 4ULL * load_le32(head + AT_BAT_ENTRIES);
        p = mem_new(Parallels);
        /* The newer variant counts in clusters, the older one in sectors. */
        *p = (Parallels){ .unit = is_old(head) ? 512 : image->about.cluster_size };
        p->data_at = MAX(512ULL * load_le32(head + AT_DATA), table_end);
        map = block_map_new(image, &parallels_ops, image->about.cluster_size, PER_PART, p, err);
        if (!map)
                return -1;
        block_map_writable(map, MAX(end, p->data_at), p->unit);
        return 0;
}

static int parallels_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err)
{
        static const uint8_t closed[4];

        if (block_map_check(image, repair, ret, err) < 0)
                return -1;
        if (!image->about.dirty)
                return 0;
        if (repair != REPAIR_ALL) {
                ret->corruptions++;
                if (ret->say)
                        ret->say(ret->say_arg, "ERROR image was not closed correctly");
                return 0;
        }
        if (image_file_write(image->file, AT_IN_USE, closed, sizeof(closed), err) < 0)
                return -1;
        image->about.dirty = false;
        ret->corruptions_fixed++;
        return image_file_flush(image->file, err);
}

static int parallels_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        uint64_t cluster = how->cluster_size ? round_up(how->cluster_size, 512) : USUAL_CLUSTER;
        uint64_t size = round_up(how->size, 512), blocks = div_up(size, cluster), data_at;
        uint8_t head[HEADER_SIZE] = { 0 };

        if (cluster < 512 || cluster > 512ULL * (INT32_MAX / 513) || blocks > UINT32_MAX ||
            div_up(HEADER_SIZE + 4 * blocks, cluster) + blocks > UINT32_MAX)
                return err_set(err, ERR_INVALID_ARG, "Image size is too large for this cluster size");
        data_at = div_up(HEADER_SIZE + 4 * blocks, cluster) * cluster;
        memcpy(head, "WithouFreSpacExt", 16);
        store_le32(head + AT_VERSION, 2);
        store_le32(head + AT_HEADS, 16);
        store_le32(head + AT_CYLINDERS, (uint32_t)(size / 512 / 16 / 32));
        store_le32(head + AT_TRACKS, (uint32_t)(cluster / 512));
        store_le32(head + AT_BAT_ENTRIES, (uint32_t)blocks);
        store_le64(head + AT_SECTORS, size / 512);
        store_le32(head + AT_DATA, (uint32_t)(data_at / 512));
        if (image_file_write(file, 0, head, sizeof(head), err) < 0)
                return -1;
        return image_file_truncate(file, data_at, err);
}

const ImageDriver image_driver_parallels = {
        .name = "parallels",
        .probe = parallels_probe,
        .describe = parallels_describe,
        .open = parallels_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
        .write = block_map_write,
        .zero = block_map_zero,
        .flush = block_map_flush,
        .create = parallels_create,
        .check = parallels_check,
};
