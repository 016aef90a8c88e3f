/*
 * img/vpc.c - Microsoft Virtual PC and Hyper-V disks (VHD): fixed, dynamic, differencing
 *
 * A footer of 512 bytes ends every image; the growing kinds have a copy at the
 * start, with a second header behind it, so the footer may be overwritten by a
 * new block before the next one is behind that.
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"
#include "img/bytes.h"
#include "img/utf16.h"

#include <time.h>

enum {
        FOOTER_SIZE = 512,
        AT_FEATURES = 8,
        AT_VERSION = 12,
        AT_DATA_OFFSET = 16,
        AT_TIME = 24,
        AT_CREATOR = 28,
        AT_CREATOR_OS = 36,
        AT_ORIGINAL_SIZE = 40,
        AT_CURRENT_SIZE = 48,
        AT_CYLINDERS = 56,
        AT_HEADS = 58,
        AT_SECTORS = 59,
        AT_TYPE = 60,
        AT_CHECKSUM = 64,
        AT_UUID = 68,
        TYPE_FIXED = 2,
        TYPE_DYNAMIC = 3,
        TYPE_DIFFERENCING = 4,
        DYNAMIC_SIZE = 1024,
        AT_NEXT = 8,
        AT_TABLE = 16,
        AT_HEADER_VERSION = 24,
        AT_TABLE_ENTRIES = 28,
        AT_BLOCK_SIZE = 32,
        AT_HEADER_CHECKSUM = 36,
        AT_PARENT_NAME = 64,
        PARENT_NAME_UNITS = 256,
        AT_LOCATORS = 576,
        LOCATORS = 8,
        LOCATOR_SIZE = 24,
        LOCATOR_NAME_MAX = 2048,
        PER_PART = 1 << 14,
        USUAL_BLOCK = 2 << 20,
        USUAL_TABLE = 3 * 512,
        LARGEST_BLOCK = 1 << 30,
};
#define LARGEST_GEOMETRY (65535ULL * 16 * 255)
#define LARGEST_DISK     (0xff000000ULL * 512)
#define SECONDS_TO_2000  946684800

typedef struct Vpc {
        uint64_t table_at, table_entries;
        bool differencing;
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

static uint64_t size_of(const uint8_t *footer)
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
        ret->virtual_size = size_of(footer);
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
        if (v->differencing && image->writable) {
                free(v);
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'%s': differencing vpc images are read here, not written", image_name(image));
        }
        map = block_map_new(image, &vpc_ops, image->about.cluster_size, PER_PART, v, err);
        if (!map)
                return -1;
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

static int vpc_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        return image->state ? block_map_write(image, offset, data, n, err)
                            : image_driver_raw.write(image, offset, data, n, err);
}

static int vpc_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        return image->state ? block_map_zero(image, offset, length, flags, err)
                            : image_driver_raw.zero(image, offset, length, flags, err);
}

static int vpc_flush(Image *image, Error *err)
{
        return image->state ? block_map_flush(image, err) : image_driver_raw.flush(image, err);
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

/* The disk's size in cylinders, heads and sectors, as the format's description computes it. */
static uint64_t geometry_of(uint64_t sectors, uint8_t footer[FOOTER_SIZE])
{
        uint64_t tracks, heads, per_track;

        sectors = MIN(sectors, LARGEST_GEOMETRY);
        if (sectors > 65535ULL * 16 * 63) {
                per_track = 255;
                heads = 16;
                tracks = sectors / per_track;
        } else {
                per_track = 17;
                tracks = sectors / per_track;
                heads = MAX(4ULL, div_up(tracks, 1024));
                if (tracks >= heads * 1024 || heads > 16) {
                        per_track = 31;
                        heads = 16;
                        tracks = sectors / per_track;
                }
                if (tracks >= heads * 1024) {
                        per_track = 63;
                        heads = 16;
                        tracks = sectors / per_track;
                }
        }
        store_be16(footer + AT_CYLINDERS, (uint16_t)(tracks / heads));
        footer[AT_HEADS] = (uint8_t)heads;
        footer[AT_SECTORS] = (uint8_t)per_track;
        return tracks / heads * heads * per_track;
}

static uint64_t choose_size(uint64_t wanted, bool exact, uint8_t footer[FOOTER_SIZE])
{
        uint64_t sectors = div_up(wanted, 512), geometry = geometry_of(sectors, footer);

        if (exact) {
                geometry_of(LARGEST_GEOMETRY, footer);
                return sectors * 512;
        }
        for (uint64_t more = 1; geometry < sectors && geometry < LARGEST_GEOMETRY; more++)
                geometry = geometry_of(sectors + more, footer);
        return geometry >= LARGEST_GEOMETRY ? sectors * 512 : geometry * 512;
}

static void put_checksum(uint8_t *head, size_t n, size_t at)
{
        uint32_t sum = 0;

        for (size_t i = 0; i < n; i++)
                sum += head[i];
        store_be32(head + at, ~sum);
}

static void put_footer(uint8_t footer[FOOTER_SIZE], uint64_t size, bool fixed, bool exact)
{
        Uuid uuid;

        memcpy(footer, "conectix", 8);
        store_be32(footer + AT_FEATURES, 2);
        store_be32(footer + AT_VERSION, 0x00010000);
        store_be64(footer + AT_DATA_OFFSET, fixed ? UINT64_MAX : FOOTER_SIZE);
        store_be32(footer + AT_TIME, (uint32_t)(time(NULL) - SECONDS_TO_2000));
        memcpy(footer + AT_CREATOR, exact ? "qem2" : "drov", 4); /* readers know by it which size counts */
        memcpy(footer + AT_CREATOR_OS, "Wi2k", 4);
        store_be64(footer + AT_ORIGINAL_SIZE, size);
        store_be64(footer + AT_CURRENT_SIZE, size);
        store_be32(footer + AT_TYPE, fixed ? TYPE_FIXED : TYPE_DYNAMIC);
        uuid_new_random(&uuid);
        memcpy(footer + AT_UUID, uuid.bytes, sizeof(uuid.bytes));
        put_checksum(footer, FOOTER_SIZE, AT_CHECKSUM);
}

static int create_dynamic(ImageFile *file, const uint8_t *footer, uint64_t size, Error *err)
{
        uint64_t blocks = div_up(size, USUAL_BLOCK), table = round_up(4 * blocks, 512);
        uint8_t head[DYNAMIC_SIZE] = { 0 };
        AUTOFREE uint8_t *empty = mem_try(table);

        if (!empty)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", file->name);
        memset(empty, 0xff, table);
        memcpy(head, "cxsparse", 8);
        store_be64(head + AT_NEXT, UINT64_MAX);
        store_be64(head + AT_TABLE, USUAL_TABLE);
        store_be32(head + AT_HEADER_VERSION, 0x00010000);
        store_be32(head + AT_TABLE_ENTRIES, (uint32_t)blocks);
        store_be32(head + AT_BLOCK_SIZE, USUAL_BLOCK);
        put_checksum(head, sizeof(head), AT_HEADER_CHECKSUM);
        if (image_file_write(file, USUAL_TABLE, empty, table, err) < 0 ||
            image_file_write(file, FOOTER_SIZE, head, sizeof(head), err) < 0 ||
            image_file_write(file, USUAL_TABLE + table, footer, FOOTER_SIZE, err) < 0)
                return -1;
        return image_file_write(file, 0, footer, FOOTER_SIZE, err);
}

static int vpc_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        bool fixed = str_eq(how->subformat, "fixed");
        uint8_t footer[FOOTER_SIZE] = { 0 };
        uint64_t size;

        if (how->subformat && !fixed && !str_eq(how->subformat, "dynamic"))
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s'", how->subformat);
        size = choose_size(how->size, how->force_size, footer);
        if (size > LARGEST_DISK)
                return err_set(err, ERR_INVALID_ARG, "Image size too big for VHD: at most 2040 GiB");
        put_footer(footer, size, fixed, how->force_size);
        if (!fixed)
                return create_dynamic(file, footer, size, err);
        return image_file_truncate(file, size, err) < 0 ? -1 : image_file_write(file, size, footer, FOOTER_SIZE, err);
}

const ImageDriver image_driver_vpc = {
        .name = "vpc",
        .probe = vpc_probe,
        .describe = vpc_describe,
        .open = vpc_open,
        .close = block_map_close,
        .map = vpc_map,
        .read = vpc_read,
        .write = vpc_write,
        .zero = vpc_zero,
        .flush = vpc_flush,
        .create = vpc_create,
        .check = vpc_check,
};
