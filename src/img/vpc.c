/*
 * img/vpc.c - Microsoft Virtual PC and Hyper-V disks (VHD): fixed, dynamic, differencing
 *
 * A footer of 512 bytes ends every image; the growing kinds have a copy at the
 * start, with a second header behind it, so the footer may be overwritten by a
 * new block before the next one is behind that.
 */
#include "img/vpc.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/utf16.h"

enum { PER_PART = 1 << 14 };

typedef struct Vpc {
        uint64_t table_at, table_entries;
        bool differencing;
        uint8_t *whole; /* differencing, writable: a bit a block, all its sectors are there; owned */
        pthread_mutex_t filling;
        uint8_t footer[FOOTER_SIZE];
        uint8_t bitmap[]; /* what stands before a new block: all its sectors are there */
} Vpc;

static bool vpc_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && memcmp(head, "conectix", 8) == 0;
}

/* Programs that store the size itself; the others count in cylinders, heads and sectors. */
static bool creator_stores_size(const uint8_t *footer)
{
        static const char creators[][4] = { "win ", "qem2", "d2v ", "tap", "CTXS" };

        for (size_t i = 0; i < ARRAY_LEN(creators); i++)
                if (memcmp(footer + AT_CREATOR, creators[i], 4) == 0)
                        return true;
        return false;
}

uint64_t vpc_size_of(const uint8_t *footer)
{
        uint64_t geometry = (uint64_t)load_be16(footer + AT_CYLINDERS) * footer[AT_HEADS] * footer[AT_SECTORS];

        if (creator_stores_size(footer) || geometry >= LARGEST_GEOMETRY || geometry == 0)
                return load_be64(footer + AT_CURRENT_SIZE);
        return geometry * 512;
}

static uint64_t bitmap_size(uint64_t block)
{
        return round_up(div_up(block / 512, 8), 512);
}

/* The name relative to the image, where there is one, in the host's spelling. NULL without an error: there is none. */
static char *relative_parent(ImageFile *file, const uint8_t *head, Error *err)
{
        uint8_t units[LOCATOR_NAME_MAX];
        char *name;

        for (unsigned i = 0; i < LOCATORS; i++) {
                const uint8_t *locator = head + AT_LOCATORS + (size_t)i * LOCATOR_SIZE;
                uint32_t n = load_be32(locator + 8);
                uint64_t at = load_be64(locator + 16);

                if (memcmp(locator, "W2ru", 4) != 0 || n == 0)
                        continue;
                if (n > sizeof(units) || at > INT64_MAX / 2) {
                        image_bad_field(err, file, at, "parent locator", "is %u bytes long, at most %zu are allowed",
                                        n, sizeof(units));
                        return NULL;
                }
                if (image_file_read(file, at, units, n, err) < 0)
                        return NULL;
                name = utf16_to_text(units, n / 2, false, file, at, "parent locator", err);
                for (char *c = name; c && *c; c++)
                        if (*c == '\\')
                                *c = '/';
                return name;
        }
        return NULL;
}

static int describe_parent(ImageFile *file, const uint8_t *head, uint64_t at, ImageDescription *ret, Error *err)
{
        AUTO(Error) why = { 0 };

        memcpy(ret->vpc->parent_id, head + AT_PARENT_ID, sizeof(ret->vpc->parent_id));
        ret->backing_format = str_dup("vpc");
        ret->backing_file = relative_parent(file, head, &why);
        if (err_is_set(&why))
                return err_move(err, &why);
        if (!ret->backing_file)
                ret->backing_file = utf16_to_text(head + AT_PARENT_NAME, PARENT_NAME_UNITS, true, file,
                                                  at + AT_PARENT_NAME, "parent name", err);
        return ret->backing_file ? 0 : -1;
}

static int describe_growing(ImageFile *file, const uint8_t *footer, ImageDescription *ret, Error *err)
{
        uint8_t head[DYNAMIC_SIZE];
        uint64_t at = load_be64(footer + AT_DATA_OFFSET);
        uint32_t block;

        if (at > INT64_MAX - DYNAMIC_SIZE)
                return image_bad_field(err, file, AT_DATA_OFFSET, "data_offset", "is too large");
        if (image_file_read(file, at, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "cxsparse", 8) != 0)
                return image_bad_field(err, file, at, "dynamic header", "is not there");
        block = load_be32(head + AT_BLOCK_SIZE);
        if (block < 512 || block > LARGEST_BLOCK || (block & (block - 1)))
                return image_bad_field(err, file, at + AT_BLOCK_SIZE, "block_size", "is %u", block);
        if (div_up(ret->virtual_size, block) > load_be32(head + AT_TABLE_ENTRIES))
                return image_bad_field(err, file, at + AT_TABLE_ENTRIES, "max_table_entries",
                                       "is %u: too few for %llu bytes", load_be32(head + AT_TABLE_ENTRIES),
                                       (unsigned long long)ret->virtual_size);
        ret->cluster_size = block;
        if (load_be32(footer + AT_TYPE) != TYPE_DIFFERENCING)
                return 0;
        return describe_parent(file, head, at, ret, err);
}

/* The copy at the start, or the footer at the end. */
static int read_footer(ImageFile *file, uint8_t footer[FOOTER_SIZE], Error *err)
{
        uint64_t size;

        if (image_file_size(file, &size, err) < 0 || image_file_read(file, 0, footer, FOOTER_SIZE, err) < 0)
                return -1;
        if (vpc_probe(footer, FOOTER_SIZE) && load_be32(footer + AT_TYPE) != TYPE_FIXED)
                return 0;
        if (image_file_read(file, size - FOOTER_SIZE, footer, FOOTER_SIZE, err) < 0)
                return -1;
        return vpc_probe(footer, FOOTER_SIZE)
                       ? 0
                       : image_bad_field(err, file, size - FOOTER_SIZE, "footer", "is not that of a vpc image");
}

static int vpc_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t footer[FOOTER_SIZE];
        uint64_t size;

        if (image_file_size(file, &size, err) < 0 || read_footer(file, footer, err) < 0)
                return -1;
        ret->vpc = mem_new(VpcDescription);
        memcpy(ret->vpc->footer, footer, sizeof(ret->vpc->footer));
        ret->virtual_size = vpc_size_of(footer);
        if (ret->virtual_size > LARGEST_DISK)
                return image_bad_field(err, file, AT_CURRENT_SIZE, "current_size", "is %llu: too large",
                                       (unsigned long long)ret->virtual_size);
        switch (load_be32(footer + AT_TYPE)) {
        case TYPE_FIXED:
                if (ret->virtual_size > size - FOOTER_SIZE)
                        return image_bad_field(err, file, size - FOOTER_SIZE + AT_CURRENT_SIZE, "current_size",
                                               "is %llu in a file of %llu bytes",
                                               (unsigned long long)ret->virtual_size, (unsigned long long)size);
                return 0;
        case TYPE_DYNAMIC:
        case TYPE_DIFFERENCING:
                return describe_growing(file, footer, ret, err);
        default:
                return image_bad_field(err, file, AT_TYPE, "disk_type", "is %u: 2, 3 and 4 are known",
                                       load_be32(footer + AT_TYPE));
        }
}

static Vpc *vpc_of(const Image *image)
{
        return block_map_of(image)->more;
}

static int vpc_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t n = block_map_part_length(map, part), at = vpc_of(image)->table_at + 4 * part * PER_PART;
        AUTOFREE uint8_t *table = block_map_read_table(image, at, n, 4, err);

        /* A bitmap of sectors stands before the data of each block. */
        for (uint64_t i = 0; table && i < n; i++)
                if (load_be32(table + 4 * i) != UINT32_MAX &&
                    block_map_placed(image, load_be32(table + 4 * i) * 512ULL + map->before_length, at + 4 * i,
                                     &entries[i], err) < 0)
                        return -1;
        return table ? 0 : -1;
}

/* The footer is behind the new blocks before the table knows them. */
static int vpc_prepare(Image *image, const uint64_t *blocks, size_t n, Error *err)
{
        (void)blocks, (void)n;
        return image_file_write(image->file, block_map_of(image)->end, vpc_of(image)->footer, FOOTER_SIZE, err);
}

static int vpc_store(Image *image, uint64_t first, uint64_t n, const uint64_t *entries, Error *err)
{
        const BlockMap *map = block_map_of(image);
        AUTOFREE uint8_t *table = mem_alloc(4 * n);

        for (uint64_t i = 0; i < n; i++) {
                uint64_t at = block_is_placed(entries[i]) ? (entries[i] - map->before_length) / 512 : UINT32_MAX;

                if (block_is_placed(entries[i]) && at >= UINT32_MAX)
                        return err_set(err, ERR_OVERFLOW, "'%s': offset %llu is too large for the format",
                                       image_name(image), (unsigned long long)entries[i]);
                store_be32(table + 4 * i, (uint32_t)at);
        }
        return image_file_write(image->file, vpc_of(image)->table_at + 4 * first, table, 4 * n, err);
}

/* Where the footer at the end begins; the end of the file when there is none. */
static int find_end(Image *image, uint64_t *ret, Error *err)
{
        uint8_t magic[8];
        uint64_t size;

        if (image_file_size(image->file, &size, err) < 0)
                return -1;
        *ret = size;
        if (size < 2 * FOOTER_SIZE + DYNAMIC_SIZE)
                return 0;
        if (image_file_read(image->file, size - FOOTER_SIZE, magic, sizeof(magic), err) < 0)
                return -1;
        if (vpc_probe(magic, sizeof(magic)))
                *ret = size - FOOTER_SIZE;
        return 0;
}

static int vpc_tables(Image *image, BlockRanges *ret, Error *err)
{
        const Vpc *v = vpc_of(image);
        uint64_t head = load_be64(v->footer + AT_DATA_OFFSET);
        BlockRange ranges[] = {
                { .start = 0, .end = FOOTER_SIZE, .block = UINT64_MAX },
                { .start = head, .end = head + DYNAMIC_SIZE, .block = UINT64_MAX },
                { .start = v->table_at, .end = v->table_at + 4 * v->table_entries, .block = UINT64_MAX },
        };

        (void)err;
        for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
                vec_push(ret, ranges[i]);
        return 0;
}

static const BlockMapOps vpc_ops = {
        .load = vpc_load,
        .prepare = vpc_prepare,
        .store = vpc_store,
        .tables = vpc_tables,
};

static int vpc_open(Image *image, Error *err)
{
        uint8_t footer[FOOTER_SIZE], head[DYNAMIC_SIZE];
        uint64_t bitmap = bitmap_size(image->about.cluster_size), end;
        uint8_t *whole;
        BlockMap *map;
        Vpc *v;

        if (!image->about.cluster_size)
                return 0; /* fixed: the disk's bytes begin the file */
        if (read_footer(image->file, footer, err) < 0 ||
            image_file_read(image->file, load_be64(footer + AT_DATA_OFFSET), head, sizeof(head), err) < 0 ||
            find_end(image, &end, err) < 0)
                return -1;
        if (load_be64(head + AT_TABLE) > INT64_MAX / 2)
                return image_bad_field(err, image->file, load_be64(footer + AT_DATA_OFFSET) + AT_TABLE,
                                       "table_offset", "is too large");
        v = mem_alloc(sizeof(*v) + bitmap);
        v->table_at = load_be64(head + AT_TABLE);
        v->table_entries = load_be32(head + AT_TABLE_ENTRIES);
        v->differencing = load_be32(footer + AT_TYPE) == TYPE_DIFFERENCING;
        memcpy(v->footer, footer, sizeof(footer));
        memset(v->bitmap, 0xff, bitmap);
        pthread_mutex_init(&v->filling, NULL);
        if (v->differencing && image->writable) {
                v->whole = mem_try(div_up(div_up(image->size, image->about.cluster_size), 8));
                if (!v->whole) {
                        free(v);
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory to note its blocks", image_name(image));
                }
        }
        whole = v->whole;
        map = block_map_new(image, &vpc_ops, image->about.cluster_size, PER_PART, v, err);
        if (!map) {
                free(whole);
                return -1;
        }
        map->no_backing = !v->differencing;
        map->before = v->bitmap;
        map->before_length = bitmap;
        block_map_writable(map, MAX(end, v->table_at + 4 * v->table_entries), 512);
        return 0;
}

/* In a differencing image a block's bitmap says which sectors are its own. */
static int narrow_to_bitmap(Image *image, ImageExtent *extent, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t inside = extent->start % map->block_size, sector = inside / 512, n, at = extent->offset - inside;
        AUTOFREE uint8_t *bitmap = mem_alloc(map->before_length);
        bool own;

        if (image_file_read(image->file, at - map->before_length, bitmap, map->before_length, err) < 0)
                return -1;
        n = MIN(extent->length, map->block_size - inside);
        own = bitmap[sector / 8] >> (7 - sector % 8) & 1;
        for (uint64_t i = sector + 1; i * 512 < inside + n; i++)
                if ((bitmap[i / 8] >> (7 - i % 8) & 1) != own)
                        n = i * 512 - inside;
        extent->length = n;
        extent->present = extent->data = extent->has_offset = own;
        return 0;
}

static int vpc_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        if (!image->state) {
                if (image_driver_raw.map(image, offset, length, ret, err) < 0)
                        return -1;
                ret->data = true; /* fixed: room was taken, whatever the file system made of it */
                return 0;
        }
        if (block_map_map(image, offset, length, ret, err) < 0)
                return -1;
        return vpc_of(image)->differencing && ret->has_offset ? narrow_to_bitmap(image, ret, err) : 0;
}

static int vpc_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        if (!image->state)
                return image_driver_raw.read(image, offset, data, n, err);
        if (!vpc_of(image)->differencing)
                return block_map_read(image, offset, data, n, err);
        return image_read_by_map(image, offset, data, n, err);
}

/* The sectors of a block that are not its own yet, from below: [data, data + n), at `at` in the file. */
static int fill_sectors(Image *image, const uint8_t *bitmap, const uint8_t *data, uint64_t n, uint64_t at, Error *err)
{
        uint64_t sectors = div_up(n, 512);

        for (uint64_t i = 0, end; i < sectors; i = end) {
                bool own = bitmap[i / 8] >> (7 - i % 8) & 1;

                for (end = i + 1; end < sectors && (bitmap[end / 8] >> (7 - end % 8) & 1) == own; end++)
                        ;
                if (!own && image_file_write(image->file, at + i * 512, data + i * 512,
                                             (size_t)(MIN(end * 512, n) - i * 512), err) < 0)
                        return -1;
        }
        return 0;
}

/* A block with sectors of its own gets the others too. They are durable before the bitmap says so. */
static int make_whole(Image *image, uint64_t block, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t start = block * map->block_size, n = MIN(map->block_size, image->size - start), at;
        AUTOFREE uint8_t *bitmap = NULL, *data = NULL;
        ImageExtent extent;

        if (block_map_map(image, start, 1, &extent, err) < 0)
                return -1;
        if (!extent.has_offset)
                return 0; /* a new block is whole when it is made */
        at = extent.offset;
        bitmap = mem_try(map->before_length);
        data = mem_try(map->block_size);
        if (!bitmap || !data)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a block", image_name(image));
        if (image_file_read(image->file, at - map->before_length, bitmap, map->before_length, err) < 0)
                return -1;
        if (memcmp(bitmap, map->before, map->before_length) == 0)
                return 0;
        if (image_read_below(image, start, data, n, err) < 0 || fill_sectors(image, bitmap, data, n, at, err) < 0 ||
            image_file_flush(image->file, err) < 0)
                return -1;
        return image_file_write(image->file, at - map->before_length, map->before, map->before_length, err);
}

/* Before anything in this range is changed in place. */
static int make_all_whole(Image *image, uint64_t offset, uint64_t n, Error *err)
{
        Vpc *v = vpc_of(image);
        uint64_t size = block_map_of(image)->block_size;
        int r = 0;

        if (!v->differencing || n == 0)
                return 0;
        pthread_mutex_lock(&v->filling);
        for (uint64_t block = offset / size; block <= (offset + n - 1) / size && r == 0; block++) {
                if (v->whole[block / 8] >> block % 8 & 1)
                        continue;
                r = make_whole(image, block, err);
                if (r == 0)
                        v->whole[block / 8] |= (uint8_t)(1 << block % 8);
        }
        pthread_mutex_unlock(&v->filling);
        return r;
}

static int vpc_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        if (!image->state)
                return image_driver_raw.write(image, offset, data, n, err);
        return make_all_whole(image, offset, n, err) < 0 ? -1 : block_map_write(image, offset, data, n, err);
}

static int vpc_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        if (!image->state)
                return image_driver_raw.zero(image, offset, length, flags, err);
        return make_all_whole(image, offset, length, err) < 0 ? -1
                                                              : block_map_zero(image, offset, length, flags, err);
}

static int vpc_flush(Image *image, Error *err)
{
        return image->state ? block_map_flush(image, err) : image_driver_raw.flush(image, err);
}

static int vpc_close(Image *image, Error *err)
{
        if (image->state) {
                free(TAKE(vpc_of(image)->whole));
                pthread_mutex_destroy(&vpc_of(image)->filling);
        }
        return block_map_close(image, err);
}

static int vpc_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err)
{
        if (!image->state)
                return 0; /* fixed: the footer was looked at when it was opened */
        if (block_map_check(image, repair, ret, err) < 0)
                return -1;
        /* The end may have been cut or built upon: the footer is put behind it again. */
        return repair != REPAIR_NONE && vpc_prepare(image, NULL, 0, err) < 0 ? -1 : 0;
}

const ImageDriver image_driver_vpc = {
        .name = "vpc",
        .probe = vpc_probe,
        .describe = vpc_describe,
        .open = vpc_open,
        .close = vpc_close,
        .map = vpc_map,
        .read = vpc_read,
        .write = vpc_write,
        .zero = vpc_zero,
        .flush = vpc_flush,
        .create = vpc_create,
        .check = vpc_check,
};
