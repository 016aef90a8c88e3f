/*
 * img/vdi.c - VirtualBox disk images
 *
 * The header counts the blocks in the file, and programs put a new block where
 * that count says. So the count is made right before an entry that goes with
 * it: after a crash it may be too large, which costs a block, never too small.
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "base/uuid.h"
#include "img/bytes.h"

enum {
        HEADER_SIZE = 512,
        AT_SIGNATURE = 0x40,
        AT_VERSION = 0x44,
        AT_HEADER_SIZE = 0x48,
        AT_TYPE = 0x4c,
        AT_TABLE = 0x154,
        AT_DATA = 0x158,
        AT_SECTOR_SIZE = 0x168,
        AT_DISK_SIZE = 0x170,
        AT_BLOCK_SIZE = 0x178,
        AT_BLOCKS = 0x180,
        AT_ALLOCATED = 0x184,
        AT_UUID = 0x188,
        AT_UUID_SNAPSHOT = 0x198,
        AT_UUID_LINK = 0x1a8,
        AT_UUID_PARENT = 0x1b8,
        TYPE_DYNAMIC = 1,
        TYPE_STATIC = 2,
        BLOCK_SIZE = 1 << 20,
        PER_PART = 1 << 14,
};
#define BLOCK_FREE      0xffffffffU
#define BLOCK_DISCARDED 0xfffffffeU
#define NO_BLOCK        UINT32_MAX
#define VDI_SIGNATURE   0xbeda107fU
#define LARGEST         (0x3fffffffULL * BLOCK_SIZE)

typedef struct Vdi {
        uint32_t table_at, data_at;
        uint32_t allocated;  /* what the header says */
        uint8_t *used;       /* when writing: a bit for each place in the file, 1: taken; owned */
        uint32_t n_used;     /* places up to the last one taken */
        uint32_t first_free; /* no place before it is free */
        uint32_t in_image;   /* places there may be */
        bool is_static;
} Vdi;

static bool vdi_probe(const uint8_t *head, size_t n)
{
        return n >= AT_SIGNATURE + 4 && load_le32(head + AT_SIGNATURE) == VDI_SIGNATURE;
}

static int vdi_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint32_t type;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!vdi_probe(head, sizeof(head)))
                return image_bad_field(err, file, AT_SIGNATURE, "signature", "is not that of a vdi image");
        if (load_le32(head + AT_VERSION) != 0x00010001)
                return image_bad_field(err, file, AT_VERSION, "version", "is %u.%u: 1.1 is known",
                                       load_le32(head + AT_VERSION) >> 16, load_le32(head + AT_VERSION) & 0xffff);
        type = load_le32(head + AT_TYPE);
        if (type != TYPE_DYNAMIC && type != TYPE_STATIC)
                return image_bad_field(err, file, AT_TYPE, "image_type",
                                       "is %u: 1 (dynamic) and 2 (static) are known", type);
        if (load_le32(head + AT_BLOCK_SIZE) != BLOCK_SIZE)
                return image_bad_field(err, file, AT_BLOCK_SIZE, "block_size", "is %u: 1048576 is known",
                                       load_le32(head + AT_BLOCK_SIZE));
        if (load_le32(head + AT_TABLE) < HEADER_SIZE || load_le32(head + AT_TABLE) % 512)
                return image_bad_field(err, file, AT_TABLE, "offset_bmap", "is %u", load_le32(head + AT_TABLE));
        if (load_le32(head + AT_DATA) < load_le32(head + AT_TABLE) || load_le32(head + AT_DATA) % 512)
                return image_bad_field(err, file, AT_DATA, "offset_data", "is %u", load_le32(head + AT_DATA));
        if (load_le64(head + AT_DISK_SIZE) > LARGEST)
                return image_bad_field(err, file, AT_DISK_SIZE, "disk_size", "is %llu: too large",
                                       (unsigned long long)load_le64(head + AT_DISK_SIZE));
        if (!uuid_is_null((const Uuid *)(head + AT_UUID_LINK)) ||
            !uuid_is_null((const Uuid *)(head + AT_UUID_PARENT)))
                return image_bad_field(err, file, AT_UUID_LINK, "uuid_link",
                                       "names another image: not supported here");
        ret->version = 1;
        ret->virtual_size = round_up(load_le64(head + AT_DISK_SIZE), 512);
        ret->cluster_size = BLOCK_SIZE;
        if (div_up(ret->virtual_size, BLOCK_SIZE) > load_le32(head + AT_BLOCKS))
                return image_bad_field(err, file, AT_BLOCKS, "blocks_in_image", "is %u: too few for %llu bytes",
                                       load_le32(head + AT_BLOCKS), (unsigned long long)ret->virtual_size);
        return 0;
}

static Vdi *vdi_of(const Image *image)
{
        return block_map_of(image)->more;
}

static int vdi_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const BlockMap *map = block_map_of(image);
        const Vdi *v = map->more;
        uint64_t n = block_map_part_length(map, part), at = v->table_at + 4ULL * part * PER_PART;
        AUTOFREE uint8_t *table = block_map_read_table(image, at, n, 4, err);

        for (uint64_t i = 0; table && i < n; i++) {
                uint32_t entry = load_le32(table + 4 * i);

                if (entry == BLOCK_DISCARDED)
                        entries[i] = BLOCK_ZERO;
                else if (entry != BLOCK_FREE && block_map_placed(image, v->data_at + (uint64_t)entry * BLOCK_SIZE,
                                                                 at + 4 * i, &entries[i], err) < 0)
                        return -1;
        }
        return table ? 0 : -1;
}

static bool is_used(const Vdi *v, uint64_t place)
{
        return v->used[place / 8] >> place % 8 & 1;
}

static void take_place(Vdi *v, uint64_t place)
{
        if (place >= v->in_image)
                return;
        v->used[place / 8] |= (uint8_t)(1 << place % 8);
        v->n_used = MAX(v->n_used, (uint32_t)place + 1);
}

static void give_place_back(Vdi *v, uint32_t place)
{
        v->used[place / 8] &= (uint8_t) ~(1 << place % 8);
        while (v->n_used && !is_used(v, v->n_used - 1))
                v->n_used--;
}

static void find_first_free(Vdi *v, uint32_t end)
{
        while (v->first_free < end && is_used(v, v->first_free))
                v->first_free++;
}

/* Which places are taken: asked of the whole table, because the header may lie. */
static int find_used(Image *image, Error *err)
{
        BlockMap *map = block_map_of(image);
        Vdi *v = map->more;

        free(v->used);
        v->n_used = v->first_free = 0;
        v->used = mem_try(div_up(v->in_image, 8));
        if (!v->used)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory to look at its blocks", image_name(image));
        for (uint64_t block = 0; block < map->n; block++) {
                uint64_t entry;

                if (block_map_entry(image, block, &entry, err) < 0) {
                        free(TAKE(v->used));
                        return -1;
                }
                if (block_is_placed(entry))
                        take_place(v, (entry - v->data_at) / BLOCK_SIZE);
        }
        return 0;
}

static int vdi_begin(Image *image, Error *err)
{
        return vdi_of(image)->used ? 0 : find_used(image, err);
}

static int vdi_place(Image *image, uint64_t *ret, Error *err)
{
        Vdi *v = vdi_of(image);

        find_first_free(v, v->in_image);
        if (v->first_free >= v->in_image)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': no block is free: check -r all may help",
                               image_name(image));
        take_place(v, v->first_free);
        *ret = v->data_at + (uint64_t)v->first_free * BLOCK_SIZE;
        return 0;
}

static void vdi_unplace(Image *image, uint64_t at)
{
        Vdi *v = vdi_of(image);
        uint32_t place = (uint32_t)((at - v->data_at) / BLOCK_SIZE);

        give_place_back(v, place);
        v->first_free = MIN(v->first_free, place);
}

static int store_allocated(Image *image, uint32_t n, Error *err)
{
        Vdi *v = vdi_of(image);
        uint8_t count[4];

        if (n == v->allocated)
                return 0;
        store_le32(count, n);
        if (image_file_write(image->file, AT_ALLOCATED, count, sizeof(count), err) < 0)
                return -1;
        v->allocated = n;
        return 0;
}

static int vdi_prepare(Image *image, const uint64_t *blocks, size_t n, Error *err)
{
        (void)blocks, (void)n;
        return vdi_of(image)->used ? store_allocated(image, vdi_of(image)->n_used, err) : 0;
}

static int vdi_store(Image *image, uint64_t first, uint64_t n, const uint64_t *entries, Error *err)
{
        const Vdi *v = vdi_of(image);
        AUTOFREE uint8_t *table = mem_alloc(4 * n);

        for (uint64_t i = 0; i < n; i++)
                store_le32(table + 4 * i, block_is_placed(entries[i])
                                                  ? (uint32_t)((entries[i] - v->data_at) / BLOCK_SIZE)
                                          : entries[i] == BLOCK_ZERO ? BLOCK_DISCARDED
                                                                     : BLOCK_FREE);
        return image_file_write(image->file, v->table_at + 4 * first, table, 4 * n, err);
}

static int vdi_tables(Image *image, BlockRanges *ret, Error *err)
{
        BlockRange head = { .start = 0, .end = vdi_of(image)->data_at, .block = UINT64_MAX };

        (void)err;
        vec_push(ret, head);
        return 0;
}

static const BlockMapOps vdi_ops = {
        .load = vdi_load,
        .begin = vdi_begin,
        .place = vdi_place,
        .unplace = vdi_unplace,
        .prepare = vdi_prepare,
        .store = vdi_store,
        .tables = vdi_tables,
};

static int vdi_open(Image *image, Error *err)
{
        uint8_t head[HEADER_SIZE];
        BlockMap *map;
        Vdi *v;

        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0)
                return -1;
        v = mem_new(Vdi);
        *v = (Vdi){ .table_at = load_le32(head + AT_TABLE), .data_at = load_le32(head + AT_DATA) };
        v->allocated = load_le32(head + AT_ALLOCATED);
        v->in_image = load_le32(head + AT_BLOCKS);
        v->is_static = load_le32(head + AT_TYPE) == TYPE_STATIC;
        if (v->in_image > LARGEST / BLOCK_SIZE) {
                free(v);
                return image_bad_field(err, image->file, AT_BLOCKS, "blocks_in_image", "is %u: too many",
                                       load_le32(head + AT_BLOCKS));
        }
        map = block_map_new(image, &vdi_ops, BLOCK_SIZE, PER_PART, v, err);
        if (!map)
                return -1;
        map->no_backing = true;
        return 0;
}

/* Every block of a static image has its place: what was never written is a hole of the file. */
static int vdi_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        FileExtentKind kind;
        uint64_t run;

        if (block_map_map(image, offset, length, ret, err) < 0)
                return -1;
        if (!vdi_of(image)->is_static || !ret->has_offset ||
            image_file_extent(image->file, ret->offset, &kind, &run, NULL) < 0 || run == 0)
                return 0; /* run 0: the block lies behind the end of the file */
        ret->length = MIN(ret->length, run);
        ret->zero = kind == FILE_EXTENT_HOLE;
        return 0;
}

static int vdi_close(Image *image, Error *err)
{
        uint8_t *used = vdi_of(image)->used;
        int r = block_map_close(image, err);

        free(used);
        return r;
}

/* The number of the block that stands at each place, or NO_BLOCK; owned. */
static uint32_t *blocks_by_place(Image *image, Error *err)
{
        const BlockMap *map = block_map_of(image);
        const Vdi *v = map->more;
        AUTOFREE uint32_t *ret = mem_try(v->n_used * sizeof(*ret));

        if (!ret) {
                err_set(err, ERR_NO_MEMORY, "'%s': no memory to move its blocks", image_name(image));
                return NULL;
        }
        memset(ret, 0xff, v->n_used * sizeof(*ret));
        for (uint64_t block = 0; block < map->n; block++) {
                uint64_t entry, place;

                if (block_map_entry(image, block, &entry, err) < 0)
                        return NULL;
                place = block_is_placed(entry) ? (entry - v->data_at) / BLOCK_SIZE : UINT64_MAX;
                if (place < v->n_used)
                        ret[place] = (uint32_t)block;
        }
        return TAKE(ret);
}

/* The block that stands last in the file goes to a place that is free before it. */
static int move_last(Image *image, uint32_t block, uint8_t *data, Error *err)
{
        Vdi *v = vdi_of(image);
        uint64_t last = v->data_at + (uint64_t)(v->n_used - 1) * BLOCK_SIZE, to;

        if (block == NO_BLOCK)
                return err_set(err, ERR_INTERNAL, "'%s': place %u is taken by no block", image_name(image),
                               v->n_used - 1);
        if (image_file_read_padded(image->file, last, data, BLOCK_SIZE, err) < 0 || vdi_place(image, &to, err) < 0 ||
            image_file_write(image->file, to, data, BLOCK_SIZE, err) < 0)
                return -1;
        give_place_back(v, v->n_used - 1);
        return block_map_set(image, block, to, err);
}

/* With find_used(). */
static int fill_gaps(Image *image, Error *err)
{
        AUTOFREE uint32_t *blocks = blocks_by_place(image, err);
        AUTOFREE uint8_t *data = mem_try(BLOCK_SIZE);
        Vdi *v = vdi_of(image);

        if (!blocks || !data)
                return blocks ? err_set(err, ERR_NO_MEMORY, "'%s': no memory for a block", image_name(image)) : -1;
        for (;;) {
                find_first_free(v, v->n_used);
                if (v->first_free >= v->n_used)
                        return 0;
                if (move_last(image, blocks[v->n_used - 1], data, err) < 0)
                        return -1;
        }
}

/* Blocks without a gap between them or room behind them, as other programs count them. */
static int close_gaps(Image *image, ImageCheck *found, Error *err)
{
        Vdi *v = vdi_of(image);

        if (find_used(image, err) < 0 || fill_gaps(image, err) < 0 || block_map_flush(image, err) < 0)
                return -1;
        found->leaks_fixed += found->leaks;
        found->leaks = 0;
        found->image_end_offset = v->data_at + (uint64_t)v->n_used * BLOCK_SIZE;
        return image_file_truncate(image->file, found->image_end_offset, err);
}

/* The count in the header: too small, and the next block goes over one that is there. */
static int check_count(Image *image, ImageRepair repair, ImageCheck *ret, Error *err)
{
        const Vdi *v = vdi_of(image);
        uint64_t count = ret->allocated_clusters;

        if (v->allocated == count && v->n_used == count)
                return 0;
        if (v->allocated > count ? repair != REPAIR_NONE : repair == REPAIR_ALL) {
                *(v->allocated > count ? &ret->leaks_fixed : &ret->corruptions_fixed) += 1;
                return store_allocated(image, v->n_used, err) < 0 ? -1 : image_file_flush(image->file, err);
        }
        *(v->allocated >= count && v->allocated >= v->n_used ? &ret->leaks : &ret->corruptions) += 1;
        return 0;
}

static int vdi_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err)
{
        if (vdi_begin(image, err) < 0 || block_map_check(image, repair, ret, err) < 0)
                return -1;
        if (repair != REPAIR_NONE && !ret->corruptions && close_gaps(image, ret, err) < 0)
                return -1;
        return check_count(image, repair, ret, err);
}

static void put_header(uint8_t *head, uint64_t size, uint32_t blocks, uint64_t data_at, bool is_static)
{
        static const char text[] = "<<< drover VDI disk image >>>\n";
        Uuid image, snapshot;

        memcpy(head, text, sizeof(text));
        store_le32(head + AT_SIGNATURE, VDI_SIGNATURE);
        store_le32(head + AT_VERSION, 0x00010001);
        store_le32(head + AT_HEADER_SIZE, 0x180);
        store_le32(head + AT_TYPE, is_static ? TYPE_STATIC : TYPE_DYNAMIC);
        store_le32(head + AT_TABLE, HEADER_SIZE);
        store_le32(head + AT_DATA, (uint32_t)data_at);
        store_le32(head + AT_SECTOR_SIZE, 512);
        store_le64(head + AT_DISK_SIZE, size);
        store_le32(head + AT_BLOCK_SIZE, BLOCK_SIZE);
        store_le32(head + AT_BLOCKS, blocks);
        store_le32(head + AT_ALLOCATED, is_static ? blocks : 0);
        uuid_new_random(&image);
        uuid_new_random(&snapshot);
        memcpy(head + AT_UUID, image.bytes, sizeof(image.bytes));
        memcpy(head + AT_UUID_SNAPSHOT, snapshot.bytes, sizeof(snapshot.bytes));
}

static int vdi_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        uint64_t size = round_up(how->size, 512), blocks = div_up(size, BLOCK_SIZE),
                 table = round_up(4 * blocks, 512);
        bool is_static = how->is_static || how->preallocation != PREALLOCATE_OFF;
        AUTOFREE uint8_t *head = NULL;

        if (how->size > LARGEST)
                return err_set(err, ERR_INVALID_ARG,
                               "Unsupported VDI image size (size is 0x%llx, max supported is 0x%llx)",
                               (unsigned long long)how->size, (unsigned long long)LARGEST);
        head = mem_try(HEADER_SIZE + table);
        if (!head)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", file->name);
        put_header(head, size, (uint32_t)blocks, HEADER_SIZE + table, is_static);
        for (uint64_t i = 0; i < table / 4; i++)
                store_le32(head + HEADER_SIZE + 4 * i, i >= blocks ? 0 : is_static ? (uint32_t)i : BLOCK_FREE);
        if (image_file_write(file, 0, head, HEADER_SIZE + table, err) < 0)
                return -1;
        return is_static ? image_file_truncate(file, HEADER_SIZE + table + blocks * BLOCK_SIZE, err) : 0;
}

const ImageDriver image_driver_vdi = {
        .name = "vdi",
        .probe = vdi_probe,
        .describe = vdi_describe,
        .open = vdi_open,
        .close = vdi_close,
        .map = vdi_map,
        .read = block_map_read,
        .write = block_map_write,
        .zero = block_map_zero,
        .flush = block_map_flush,
        .create = vdi_create,
        .check = vdi_check,
};
