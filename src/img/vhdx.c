/*
 * img/vhdx.c - Hyper-V disks (VHDX)
 *
 * Two region tables (the second a copy) say where the table of blocks and the
 * metadata are; the metadata's own table says where each item is. A log that
 * was left behind is put over what is read, and into the file before it is
 * written. Our own writing needs no log: an entry of the table lies within one
 * sector and is stored when its block is there. An image with a parent is only
 * read.
 */
#include "img/vhdx.h"

#include "base/mem.h"
#include "img/block-map.h"
#include "img/bytes.h"

enum {
        MAX_ROWS = 2047,
        MIB = 1 << 20,
        FLAG_HAS_PARENT = 2,
        STATE_MASK = 7,
        STATE_NOT_PRESENT = 0,
        STATE_UNDEFINED = 1,
        STATE_ZERO = 2,
        STATE_UNMAPPED = 3,
        STATE_UNMAPPED_OLD = 5,
        STATE_FULLY_PRESENT = 6,
        STATE_PARTIALLY_PRESENT = 7,
};
#define OFFSET_MASK  (~((1ULL << 20) - 1))
#define LARGEST_DISK (64ULL << 40)

const uint8_t vhdx_bat_region[16] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                      0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
const uint8_t vhdx_metadata_region[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                           0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
const uint8_t vhdx_file_parameters[16] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                           0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
const uint8_t vhdx_disk_size[16] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                     0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 };
const uint8_t vhdx_page_83[16] = { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                   0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 };
const uint8_t vhdx_logical_sector[16] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                          0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f };
const uint8_t vhdx_physical_sector[16] = { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                           0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 };

typedef struct Region {
        uint64_t at;
        uint32_t length;
} Region;

typedef struct Vhdx {
        uint8_t head[VHDX_HEADER_SIZE];
        uint64_t head_at;
        Region bat, metadata;
        VhdxLog log;
        uint32_t sector;
        uint8_t *partial; /* with a parent: a bit a block, some of its sectors are the parent's; owned */
} Vhdx;

static bool vhdx_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && memcmp(head, "vhdxfile", 8) == 0;
}

/* Rows of 32 bytes that begin with an id, behind a head: the row with this id, or an error. */
static int find_row(ImageFile *file, uint64_t table, size_t head, uint32_t n, const uint8_t id[16], const char *what,
                    uint8_t row[VHDX_ROW_SIZE], Error *err)
{
        if (n > MAX_ROWS)
                return image_bad_field(err, file, table, what, "has %u rows, at most %d are allowed", n, MAX_ROWS);
        for (uint32_t i = 0; i < n; i++) {
                if (image_file_read(file, table + head + (uint64_t)i * VHDX_ROW_SIZE, row, VHDX_ROW_SIZE, err) < 0)
                        return -1;
                if (memcmp(row, id, 16) == 0)
                        return 0;
        }
        return image_bad_field(err, file, table, what, "lacks a row that is needed");
}

static int find_region(ImageFile *file, const uint8_t id[16], Region *ret, Error *err)
{
        uint8_t head[16], row[VHDX_ROW_SIZE];
        uint64_t table = VHDX_REGIONS_1;

        if (image_file_read(file, table, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "regi", 4) != 0) {
                table = VHDX_REGIONS_2;
                if (image_file_read(file, table, head, sizeof(head), err) < 0)
                        return -1;
        }
        if (memcmp(head, "regi", 4) != 0)
                return image_bad_field(err, file, table, "region table", "is not there");
        if (find_row(file, table, sizeof(head), load_le32(head + 8), id, "region table", row, err) < 0)
                return -1;
        *ret = (Region){ .at = load_le64(row + 16), .length = load_le32(row + 24) };
        if (ret->at > INT64_MAX / 2 || ret->at < MIB)
                return image_bad_field(err, file, table, "region offset", "is %llu", (unsigned long long)ret->at);
        return 0;
}

int vhdx_item_find(ImageFile *file, uint64_t metadata, const uint8_t id[16], uint64_t *ret, uint32_t *length,
                   Error *err)
{
        uint8_t head[32], row[VHDX_ROW_SIZE];

        if (image_file_read(file, metadata, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "metadata", 8) != 0)
                return image_bad_field(err, file, metadata, "metadata signature", "is wrong");
        if (find_row(file, metadata, sizeof(head), load_le16(head + 10), id, "metadata table", row, err) < 0)
                return -1;
        if (load_le32(row + 16) < VHDX_METADATA_TABLE)
                return image_bad_field(err, file, metadata, "metadata item", "is misplaced");
        *ret = metadata + load_le32(row + 16);
        *length = load_le32(row + 20);
        return 0;
}

/* n bytes of one metadata item. */
static int read_item(ImageFile *file, uint64_t metadata, const uint8_t id[16], void *data, size_t n, Error *err)
{
        uint32_t length;
        uint64_t at;

        if (vhdx_item_find(file, metadata, id, &at, &length, err) < 0)
                return -1;
        if (length < n)
                return image_bad_field(err, file, at, "metadata item", "is %u bytes long, too short", length);
        return image_file_read(file, at, data, n, err);
}

/* What an image on top of this one notes of it, and what this one noted of its parent. */
static int describe_links(ImageFile *file, uint64_t metadata, bool has_parent, ImageDescription *ret, Error *err)
{
        uint8_t head[VHDX_HEADER_SIZE];
        uint64_t at;

        ret->vhdx = mem_new(VhdxDescription);
        if (vhdx_header_read(file, head, &at, NULL) == 0) /* who opens it hears of a header that is broken */
                memcpy(ret->vhdx->data_id, head + VHDX_AT_DATA_WRITE, sizeof(ret->vhdx->data_id));
        return has_parent ? vhdx_parent_describe(file, metadata, ret, err) : 0;
}

static int vhdx_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t magic[8], parameters[8], size[8], sector[4];
        Region metadata;
        uint32_t block;

        if (image_file_read(file, 0, magic, sizeof(magic), err) < 0)
                return -1;
        if (!vhdx_probe(magic, sizeof(magic)))
                return image_bad_field(err, file, 0, "magic", "is not that of a vhdx image");
        if (find_region(file, vhdx_metadata_region, &metadata, err) < 0 ||
            read_item(file, metadata.at, vhdx_file_parameters, parameters, sizeof(parameters), err) < 0 ||
            read_item(file, metadata.at, vhdx_disk_size, size, sizeof(size), err) < 0 ||
            read_item(file, metadata.at, vhdx_logical_sector, sector, sizeof(sector), err) < 0)
                return -1;
        block = load_le32(parameters);
        if (block < 1 << 20 || block > 256 << 20 || (block & (block - 1)))
                return image_bad_field(err, file, metadata.at, "block size", "is %u", block);
        if (load_le32(sector) != 512 && load_le32(sector) != 4096)
                return image_bad_field(err, file, metadata.at, "logical sector size", "is %u: 512 and 4096 are known",
                                       load_le32(sector));
        ret->cluster_size = block;
        ret->virtual_size = load_le64(size);
        if (ret->virtual_size > LARGEST_DISK || ret->virtual_size % load_le32(sector))
                return image_bad_field(err, file, metadata.at, "virtual disk size", "is %llu",
                                       (unsigned long long)ret->virtual_size);
        return describe_links(file, metadata.at, load_le32(parameters + 4) & FLAG_HAS_PARENT, ret, err);
}

static Vhdx *vhdx_of(const Image *image)
{
        return block_map_of(image)->more;
}

/* Where the entry of a block stands: a part is followed by the entry of its sectors' bitmap. */
static uint64_t entry_at(const Image *image, uint64_t block)
{
        return vhdx_of(image)->bat.at + 8 * (block + block / block_map_of(image)->per_part);
}

static int vhdx_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t n = block_map_part_length(map, part), at = entry_at(image, part * map->per_part);
        uint64_t first = part * map->per_part;
        AUTOFREE uint8_t *table = block_map_read_table(image, at, n, 8, err);
        uint8_t *partial = vhdx_of(image)->partial;

        if (!table)
                return -1;
        vhdx_log_apply(&vhdx_of(image)->log, at, table, 8 * n);
        for (uint64_t i = 0; i < n; i++) {
                uint64_t entry = load_le64(table + 8 * i);

                switch (entry & STATE_MASK) {
                case STATE_NOT_PRESENT:
                        break;
                case STATE_UNDEFINED:
                case STATE_UNMAPPED:
                case STATE_UNMAPPED_OLD: /* not the parent's any more */
                        entries[i] = partial ? BLOCK_ZERO : BLOCK_ABSENT;
                        break;
                case STATE_ZERO:
                        entries[i] = BLOCK_ZERO;
                        break;
                case STATE_PARTIALLY_PRESENT:
                case STATE_FULLY_PRESENT:
                        if ((entry & STATE_MASK) == STATE_PARTIALLY_PRESENT && !partial)
                                return image_bad_field(err, image->file, at + 8 * i, "block entry",
                                                       "is of a part of a block in an image without a parent");
                        if ((entry & STATE_MASK) == STATE_PARTIALLY_PRESENT)
                                partial[(first + i) / 8] |= (uint8_t)(1 << (first + i) % 8);
                        if (block_map_placed(image, entry & OFFSET_MASK, at + 8 * i, &entries[i], err) < 0)
                                return -1;
                        break;
                default:
                        return image_bad_field(err, image->file, at + 8 * i, "block entry", "has the state %u",
                                               (unsigned)(entry & STATE_MASK));
                }
        }
        return 0;
}

/* A new session of writing: other programs see that the content changed. */
static int vhdx_begin(Image *image, Error *err)
{
        Vhdx *v = vhdx_of(image);
        Uuid file, data;

        uuid_new_random(&file);
        uuid_new_random(&data);
        memcpy(v->head + VHDX_AT_FILE_WRITE, file.bytes, sizeof(file.bytes));
        memcpy(v->head + VHDX_AT_DATA_WRITE, data.bytes, sizeof(data.bytes));
        return vhdx_header_write(image->file, v->head, &v->head_at, err);
}

static int vhdx_store(Image *image, uint64_t first, uint64_t n, const uint64_t *entries, Error *err)
{
        AUTOFREE uint8_t *table = mem_alloc(8 * n);

        for (uint64_t i = 0; i < n; i++)
                store_le64(table + 8 * i, block_is_placed(entries[i]) ? entries[i] | STATE_FULLY_PRESENT
                                          : entries[i] == BLOCK_ZERO  ? STATE_ZERO
                                                                      : STATE_NOT_PRESENT);
        return image_file_write(image->file, entry_at(image, first), table, 8 * n, err);
}

/* The bitmap of the chunk that a block belongs to, 0: none. Its entry follows those of the chunk's blocks. */
static int find_bitmap(Image *image, uint64_t block, uint64_t *ret, Error *err)
{
        const BlockMap *map = block_map_of(image);
        const Vhdx *v = vhdx_of(image);
        uint64_t at = entry_at(image, (block / map->per_part + 1) * map->per_part) - 8, entry;
        uint8_t bytes[8];

        if (at + 8 > v->bat.at + v->bat.length)
                return image_bad_field(err, image->file, v->bat.at, "table of blocks",
                                       "has %u bytes: no room for the entry of a bitmap of sectors", v->bat.length);
        if (image_file_read(image->file, at, bytes, sizeof(bytes), err) < 0)
                return -1;
        vhdx_log_apply(&v->log, at, bytes, sizeof(bytes));
        entry = load_le64(bytes);
        *ret = (entry & STATE_MASK) == STATE_FULLY_PRESENT ? entry & OFFSET_MASK : 0;
        if (*ret > INT64_MAX / 2)
                return image_bad_field(err, image->file, at, "entry of a bitmap of sectors", "is 0x%llx",
                                       (unsigned long long)entry);
        return 0;
}

static int vhdx_tables(Image *image, BlockRanges *ret, Error *err)
{
        const BlockMap *map = block_map_of(image);
        const Vhdx *v = vhdx_of(image);
        uint64_t log = load_le64(v->head + VHDX_AT_LOG_OFFSET);
        BlockRange ranges[] = {
                { .start = 0, .end = MIB, .block = UINT64_MAX },
                { .start = log, .end = log + load_le32(v->head + VHDX_AT_LOG_LENGTH), .block = UINT64_MAX },
                { .start = v->bat.at, .end = v->bat.at + v->bat.length, .block = UINT64_MAX },
                { .start = v->metadata.at, .end = v->metadata.at + v->metadata.length, .block = UINT64_MAX },
        };

        for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
                vec_push(ret, ranges[i]);
        for (uint64_t block = 0; v->partial && block < map->n; block += map->per_part) {
                uint64_t bitmap;

                if (find_bitmap(image, block, &bitmap, err) < 0)
                        return -1;
                if (bitmap)
                        vec_push(ret, ((BlockRange){ bitmap, bitmap + MIB, UINT64_MAX }));
        }
        return 0;
}

static const BlockMapOps vhdx_ops = {
        .load = vhdx_load,
        .begin = vhdx_begin,
        .store = vhdx_store,
        .tables = vhdx_tables,
};

/* A log belongs into the file before anything else is written to it. */
static int settle_log(Image *image, Vhdx *v, Error *err)
{
        if (!v->log.patches.len || !image->writable)
                return 0;
        if (vhdx_log_replay(&v->log, image->file, err) < 0)
                return -1;
        vhdx_log_done(&v->log);
        memset(v->head + VHDX_AT_LOG_GUID, 0, sizeof(Uuid));
        return vhdx_header_write(image->file, v->head, &v->head_at, err);
}

static int read_all(Image *image, Vhdx *v, uint64_t *per_part, Error *err)
{
        uint64_t blocks, block = image->about.cluster_size;
        uint8_t sector[4];

        if (image->about.backing_file && image->writable)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': a vhdx image with a parent is only read",
                               image_name(image));
        if (vhdx_header_read(image->file, v->head, &v->head_at, err) < 0 ||
            vhdx_log_read(image->file, v->head, &v->log, err) < 0 || settle_log(image, v, err) < 0 ||
            find_region(image->file, vhdx_bat_region, &v->bat, err) < 0 ||
            find_region(image->file, vhdx_metadata_region, &v->metadata, err) < 0 ||
            read_item(image->file, v->metadata.at, vhdx_logical_sector, sector, sizeof(sector), err) < 0)
                return -1;
        v->sector = load_le32(sector);
        *per_part = (1ULL << 23) * v->sector / block;
        blocks = div_up(image->size, block);
        if (8 * (blocks + (blocks ? (blocks - 1) / *per_part : 0)) > v->bat.length)
                return image_bad_field(err, image->file, v->bat.at, "table of blocks",
                                       "has %u bytes: too few for %llu blocks", v->bat.length,
                                       (unsigned long long)blocks);
        if (image->about.backing_file) {
                v->partial = mem_try(div_up(blocks, 8));
                if (!v->partial)
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory to note its blocks", image_name(image));
        }
        return 0;
}

static int vhdx_open(Image *image, Error *err)
{
        Vhdx *v = mem_new(Vhdx);
        uint64_t per_part, end;
        BlockMap *map = NULL;
        uint8_t *partial;
        VhdxLog log;

        if (read_all(image, v, &per_part, err) < 0 || image_file_size(image->file, &end, err) < 0) {
                vhdx_log_done(&v->log);
                free(v->partial);
                free(v);
                return -1;
        }
        log = v->log;
        partial = v->partial;
        map = block_map_new(image, &vhdx_ops, image->about.cluster_size, per_part, v, err);
        if (!map) {
                vhdx_log_done(&log);
                free(partial);
                return -1;
        }
        map->stores_zeros = map->loose_start = true;
        map->no_backing = !v->partial;
        block_map_writable(map, MAX(end, v->bat.at + v->bat.length), MIB);
        return 0;
}

static int vhdx_close(Image *image, Error *err)
{
        vhdx_log_done(&vhdx_of(image)->log);
        free(TAKE(vhdx_of(image)->partial));
        return block_map_close(image, err);
}

static int vhdx_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        const Vhdx *v = vhdx_of(image);
        uint64_t size = block_map_of(image)->block_size, block = offset / size;
        VhdxChunk chunk;

        if (!v->partial)
                return block_map_map(image, offset, length, ret, err);
        if (block_map_map(image, offset, MIN(length, size - offset % size), ret, err) < 0)
                return -1;
        if (!(v->partial[block / 8] >> block % 8 & 1))
                return 0;
        chunk = (VhdxChunk){ .size = block_map_of(image)->per_part * size, .sector = v->sector };
        if (find_bitmap(image, block, &chunk.bitmap_at, err) < 0)
                return -1;
        if (!chunk.bitmap_at)
                return image_bad_field(err, image->file, v->bat.at, "table of blocks",
                                       "says that block %llu is there in part, and has no bitmap of its sectors",
                                       (unsigned long long)block);
        return vhdx_parent_narrow(image->file, &v->log, &chunk, ret, err);
}

static int vhdx_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        if (vhdx_of(image)->partial)
                return image_read_by_map(image, offset, data, n, err);
        return block_map_read(image, offset, data, n, err);
}

const ImageDriver image_driver_vhdx = {
        .name = "vhdx",
        .probe = vhdx_probe,
        .describe = vhdx_describe,
        .open = vhdx_open,
        .close = vhdx_close,
        .map = vhdx_map,
        .read = vhdx_read,
        .write = block_map_write,
        .zero = block_map_zero,
        .flush = block_map_flush,
        .create = vhdx_create,
        .check = block_map_check,
};
