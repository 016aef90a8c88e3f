/*
 * img/vmdk-sparse.c - a sparse extent of a VMware disk: a directory of tables of grains
 *
 * The directory and its tables stand in the file twice; both are kept the
 * same, the copy is not read. A compressed extent is written once: each grain
 * stands behind a marker that says what it is and how long.
 */
#include "img/vmdk.h"

#include "base/mem.h"
#include "img/bytes.h"

#include <zlib.h>

enum {
        V3_HEADER = 28,
        V4_HEADER = 79,
        AT_V3_SECTORS = 12,
        AT_V3_GRANULARITY = 16,
        AT_V3_DIRECTORY = 20,
        V3_PER_TABLE = 4096,
        AT_FLAGS = 8,
        AT_CAPACITY = 12,
        AT_GRAIN = 20,
        AT_DESCRIPTOR = 28,
        AT_DESCRIPTOR_SIZE = 36,
        AT_TABLE_ENTRIES = 44,
        AT_COPY = 48,
        AT_DIRECTORY = 56,
        AT_DATA = 64,
        AT_LINE_ENDS = 73,
        AT_COMPRESSION = 77,
        FLAG_LINE_ENDS = 1 << 0,
        FLAG_COPY = 1 << 1,
        FLAG_ZERO_GRAINS = 1 << 2,
        FLAG_COMPRESSED = 1 << 16,
        FLAG_MARKERS = 1 << 17,
        USUAL_GRAIN = 64 << 10,
        USUAL_PER_TABLE = 512,
        DESCRIPTOR_SECTORS = 20,
        ZLIB_HEADER = 2,
        ZLIB_CHECK = 4,
        GRAIN_OF_ZEROS = 1,
        MOST_TABLES = 1 << 22,
};
#define DIRECTORY_AT_END UINT64_MAX
#define LARGEST_OFFSET   ((uint64_t)UINT32_MAX * 512)

typedef struct Sparse {
        VmdkSparse h;
        uint64_t n_tables;
        uint32_t *tables, *copies; /* sectors of the tables, and of their copies; 0: none */
        bool *is_new;              /* the table's place is not in the directory yet */
} Sparse;

static Sparse *sparse_of(const Image *image)
{
        return block_map_of(image)->more;
}

bool vmdk_sparse_probe(const uint8_t *head, size_t n)
{
        return n >= 4 && (memcmp(head, "KDMV", 4) == 0 || memcmp(head, "COWD", 4) == 0);
}

static int read_v3(ImageFile *file, const uint8_t *head, VmdkSparse *ret, Error *err)
{
        *ret = (VmdkSparse){ .version = 3, .per_table = V3_PER_TABLE };
        ret->capacity = 512ULL * load_le32(head + AT_V3_SECTORS);
        ret->grain = 512ULL * load_le32(head + AT_V3_GRANULARITY);
        ret->directory = 512ULL * load_le32(head + AT_V3_DIRECTORY);
        if (ret->grain == 0 || ret->grain > 1 << 30 || (ret->grain & (ret->grain - 1)))
                return image_bad_field(err, file, AT_V3_GRANULARITY, "granularity", "is %u sectors",
                                       load_le32(head + AT_V3_GRANULARITY));
        return 0;
}

/* A sector in the header, as an offset. */
static int take_sector(ImageFile *file, const uint8_t *head, size_t at, const char *field, uint64_t *ret, Error *err)
{
        uint64_t sector = load_le64(head + at);

        if (sector > INT64_MAX / 1024)
                return image_bad_field(err, file, at, field, "is %llu: too large", (unsigned long long)sector);
        *ret = sector * 512;
        return 0;
}

static int read_v4(ImageFile *file, const uint8_t *head, VmdkSparse *ret, Error *err)
{
        uint64_t grain = load_le64(head + AT_GRAIN);
        uint32_t flags = load_le32(head + AT_FLAGS);

        *ret = (VmdkSparse){ .version = load_le32(head + 4), .per_table = load_le32(head + AT_TABLE_ENTRIES) };
        if (ret->version < 1 || ret->version > 3)
                return image_bad_field(err, file, 4, "version", "is %u: 1 to 3 are known", ret->version);
        if (grain < 1 || grain > 0x200000 || (grain & (grain - 1)))
                return image_bad_field(err, file, AT_GRAIN, "granularity", "is %llu sectors",
                                       (unsigned long long)grain);
        if (ret->per_table == 0 || ret->per_table > USUAL_PER_TABLE)
                return image_bad_field(err, file, AT_TABLE_ENTRIES, "num_gtes_per_gt", "is %u", ret->per_table);
        if (load_le16(head + AT_COMPRESSION) > 1)
                return image_bad_field(err, file, AT_COMPRESSION, "compressAlgorithm",
                                       "is %u: 0 and 1 (deflate) are known", load_le16(head + AT_COMPRESSION));
        ret->grain = grain * 512;
        ret->compressed = load_le16(head + AT_COMPRESSION) == 1;
        ret->markers = flags & FLAG_MARKERS;
        ret->zero_grains = flags & FLAG_ZERO_GRAINS;
        if (take_sector(file, head, AT_CAPACITY, "capacity", &ret->capacity, err) < 0 ||
            take_sector(file, head, AT_DESCRIPTOR, "descriptor offset", &ret->descriptor, err) < 0 ||
            take_sector(file, head, AT_DESCRIPTOR_SIZE, "descriptor size", &ret->descriptor_size, err) < 0 ||
            take_sector(file, head, AT_DATA, "grain offset", &ret->data, err) < 0)
                return -1;
        if (ret->descriptor_size > VMDK_DESCRIPTOR_MAX)
                return image_bad_field(err, file, AT_DESCRIPTOR_SIZE, "descriptor size",
                                       "is %llu bytes, at most %d are allowed",
                                       (unsigned long long)ret->descriptor_size, VMDK_DESCRIPTOR_MAX);
        if (flags & FLAG_COPY && take_sector(file, head, AT_COPY, "rgd_offset", &ret->copy, err) < 0)
                return -1;
        if (load_le64(head + AT_DIRECTORY) == DIRECTORY_AT_END) {
                ret->directory = DIRECTORY_AT_END;
                return 0;
        }
        return take_sector(file, head, AT_DIRECTORY, "gd_offset", &ret->directory, err);
}

int vmdk_sparse_read(ImageFile *file, VmdkSparse *ret, Error *err)
{
        uint8_t head[V4_HEADER] = { 0 };
        uint64_t size, at;
        VmdkSparse first;

        if (image_file_read(file, 0, head, V3_HEADER, err) < 0)
                return -1;
        if (memcmp(head, "COWD", 4) == 0)
                return read_v3(file, head, ret, err);
        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "KDMV", 4) != 0)
                return image_bad_field(err, file, 0, "magic", "is not that of a sparse vmdk extent");
        if (read_v4(file, head, ret, err) < 0)
                return -1;
        if (ret->directory != DIRECTORY_AT_END)
                return 0;
        /* Written in one go: a footer, second to last, knows where the directory came to stand. */
        if (image_file_size(file, &size, err) < 0)
                return -1;
        at = size < 1024 ? 0 : size - 1024;
        if (image_file_read(file, at, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "KDMV", 4) != 0 || load_le64(head + AT_DIRECTORY) == DIRECTORY_AT_END)
                return image_bad_field(err, file, at, "footer", "is not that of a vmdk image");
        first = *ret;
        if (read_v4(file, head, ret, err) < 0)
                return -1;
        ret->descriptor = first.descriptor;
        ret->descriptor_size = first.descriptor_size;
        return 0;
}

static int sparse_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const Sparse *s = sparse_of(image);
        uint64_t at = s->tables[part] * 512ULL;
        AUTOFREE uint8_t *table = NULL;

        if (!at)
                return 1;
        table = block_map_read_table(image, at, s->h.per_table, 4, err);
        for (uint64_t i = 0; table && i < s->h.per_table; i++) {
                uint64_t sector = load_le32(table + 4 * i);
                int r = 0;

                if (sector == GRAIN_OF_ZEROS && s->h.zero_grains)
                        entries[i] = BLOCK_ZERO;
                else if (sector && s->h.compressed)
                        r = block_map_packed(image, sector * 512, 0, at + 4 * i, &entries[i], err);
                else if (sector)
                        r = block_map_placed(image, sector * 512, at + 4 * i, &entries[i], err);
                if (r < 0)
                        return -1;
        }
        return table ? 0 : -1;
}

/* Behind a marker; without one nobody knows, but deflate ends by itself. */
static int sparse_packed_length(Image *image, uint64_t *offset, uint64_t *length, Error *err)
{
        uint8_t marker[VMDK_MARKER];

        if (!sparse_of(image)->h.markers) {
                *length = 2 * block_map_of(image)->block_size;
                return 0;
        }
        if (image_file_read(image->file, *offset, marker, sizeof(marker), err) < 0)
                return -1;
        *length = load_le32(marker + 8);
        if (*length > 2 * block_map_of(image)->block_size + VMDK_SECTOR)
                return image_bad_field(err, image->file, *offset + 8, "grain marker", "says %llu bytes",
                                       (unsigned long long)*length);
        *offset += VMDK_MARKER;
        return 0;
}

static int new_table(Image *image, uint32_t *ret, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t at = round_up(map->end, VMDK_SECTOR),
                 n = round_up(4ULL * sparse_of(image)->h.per_table, VMDK_SECTOR);

        if (at > LARGEST_OFFSET)
                return err_set(err, ERR_OVERFLOW, "'%s': the file is too long for the format", image_name(image));
        if (image_file_zero(image->file, at, n, false, err) < 0)
                return -1;
        map->end = at + n;
        *ret = (uint32_t)(at / 512);
        return 0;
}

static int sparse_prepare(Image *image, const uint64_t *blocks, size_t n, Error *err)
{
        Sparse *s = sparse_of(image);

        for (size_t i = 0; i < n; i++) {
                uint64_t part = blocks[i] / s->h.per_table;
                uint32_t table, copy;

                if (s->tables[part])
                        continue;
                if (new_table(image, &table, err) < 0 || (s->h.copy && new_table(image, &copy, err) < 0))
                        return -1;
                s->tables[part] = table;
                if (s->h.copy)
                        s->copies[part] = copy;
                s->is_new[part] = true;
        }
        return 0;
}

static int store_twice(Image *image, uint64_t at, uint64_t copy, const void *data, size_t n, Error *err)
{
        if (copy && image_file_write(image->file, copy, data, n, err) < 0)
                return -1;
        return image_file_write(image->file, at, data, n, err);
}

static int sparse_store(Image *image, uint64_t first, uint64_t n, const uint64_t *entries, Error *err)
{
        Sparse *s = sparse_of(image);
        uint64_t part = first / s->h.per_table, inside = 4 * (first % s->h.per_table);
        uint64_t copy = s->h.copy && s->copies[part] ? s->copies[part] * 512ULL + inside : 0;
        AUTOFREE uint8_t *table = mem_alloc(4 * n);
        uint8_t place[4], place_of_copy[4];

        for (uint64_t i = 0; i < n; i++) {
                uint64_t at = block_is_packed(entries[i]) ? block_packed_offset(entries[i]) : entries[i];

                if (at > LARGEST_OFFSET)
                        return err_set(err, ERR_OVERFLOW, "'%s': offset %llu is too large for the format",
                                       image_name(image), (unsigned long long)at);
                store_le32(table + 4 * i, entries[i] == BLOCK_ZERO ? GRAIN_OF_ZEROS : (uint32_t)(at / 512));
        }
        if (store_twice(image, s->tables[part] * 512ULL + inside, copy, table, 4 * n, err) < 0)
                return -1;
        if (!s->is_new[part])
                return 0;
        store_le32(place, s->tables[part]);
        if (s->h.copy) {
                store_le32(place_of_copy, s->copies[part]);
                if (image_file_write(image->file, s->h.copy + 4 * part, place_of_copy, sizeof(place_of_copy), err) <
                    0)
                        return -1;
        }
        if (image_file_write(image->file, s->h.directory + 4 * part, place, sizeof(place), err) < 0)
                return -1;
        s->is_new[part] = false;
        return 0;
}

static int sparse_tables(Image *image, BlockRanges *ret, Error *err)
{
        const Sparse *s = sparse_of(image);
        uint64_t n = round_up(4ULL * s->h.per_table, VMDK_SECTOR);
        BlockRange range = { .start = 0,
                             .end = s->h.version == 3 && !s->h.data ? s->h.directory : VMDK_SECTOR,
                             .block = UINT64_MAX };

        (void)err;
        if (s->h.data && s->h.directory < s->h.data)
                range.end = s->h.data; /* header, descriptor, directories and the tables made with it */
        vec_push(ret, range);
        for (uint64_t i = 0; i < s->n_tables; i++) {
                uint64_t at[] = { s->tables[i] * 512ULL, s->h.copy ? s->copies[i] * 512ULL : 0 };

                for (size_t j = 0; j < ARRAY_LEN(at); j++) {
                        BlockRange table = { .start = at[j], .end = at[j] + n, .block = UINT64_MAX };

                        if (at[j] >= range.end)
                                vec_push(ret, table);
                }
        }
        return 0;
}

static const BlockMapOps sparse_ops = {
        .load = sparse_load,
        .prepare = sparse_prepare,
        .store = sparse_store,
        .packed_length = sparse_packed_length,
        .tables = sparse_tables,
};

static int read_directory(Image *image, uint64_t at, uint64_t n, uint32_t *ret, Error *err)
{
        AUTOFREE uint8_t *table = block_map_read_table(image, at, n, 4, err);

        for (uint64_t i = 0; table && i < n; i++)
                ret[i] = load_le32(table + 4 * i);
        return table ? 0 : -1;
}

/* The state of an extent, with its directories, in one piece of memory. */
static Sparse *sparse_new(Image *image, const VmdkSparse *h, Error *err)
{
        uint64_t n = div_up(div_up(h->capacity, h->grain), h->per_table);
        AUTOFREE Sparse *s = NULL;

        if (n > MOST_TABLES) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': an extent with %llu tables is too large here",
                        image->file->name, (unsigned long long)n);
                return NULL;
        }
        s = mem_try(sizeof(*s) + 9 * n);
        if (!s) {
                err_set(err, ERR_NO_MEMORY, "'%s': no memory for its %llu tables", image->file->name,
                        (unsigned long long)n);
                return NULL;
        }
        *s = (Sparse){ .h = *h, .n_tables = n };
        s->tables = (uint32_t *)(s + 1);
        s->copies = s->tables + n;
        s->is_new = (bool *)(s->copies + n);
        if (read_directory(image, h->directory, n, s->tables, err) < 0 ||
            (h->copy && (image->writable || image->checking) &&
             read_directory(image, h->copy, n, s->copies, err) < 0))
                return NULL;
        return TAKE(s);
}

static const ImageDriver sparse_driver = {
        .name = "vmdk",
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
        .write = block_map_write,
        .write_packed = block_map_write_packed,
        .zero = block_map_zero,
        .flush = block_map_flush,
        .check = block_map_check,
};

Image *vmdk_sparse_open(ImageFile *file, bool writable, bool checking, Error *err)
{
        Image *image;
        BlockMap *map = NULL;
        VmdkSparse h;
        uint64_t end;
        Sparse *s;

        if (vmdk_sparse_read(file, &h, err) < 0 || image_file_size(file, &end, err) < 0)
                return NULL;
        image = mem_new(Image);
        *image = (Image){ .driver = &sparse_driver, .file = file, .size = h.capacity, .writable = writable };
        image->checking = checking;
        image->about.cluster_size = h.grain;
        s = sparse_new(image, &h, err);
        if (s)
                map = block_map_new(image, &sparse_ops, h.grain, h.per_table, s, err);
        if (!map) {
                free(image);
                return NULL;
        }
        map->skip = ZLIB_HEADER;
        map->stores_zeros = h.zero_grains;
        block_map_writable(map, h.compressed ? round_up(end, VMDK_SECTOR) : MAX(end, h.data),
                           h.compressed ? VMDK_SECTOR : h.grain);
        return image;
}

bool vmdk_sparse_is_compressed(const Image *extent)
{
        return sparse_of(extent)->h.compressed;
}

size_t vmdk_sparse_pack(Image *extent, uint64_t offset, const void *data, void *packed)
{
        BlockMap *map = block_map_of(extent);
        Codec *codec = block_map_borrow_codec(map);
        uint8_t *at = packed;
        size_t room = VMDK_PACKED_MAX - VMDK_MARKER - ZLIB_HEADER - ZLIB_CHECK - VMDK_SECTOR, n, whole;

        memset(packed, 0, VMDK_PACKED_MAX);
        n = codec_pack(codec, extent->best_compression ? CODEC_BEST : CODEC_FAST, data, map->block_size,
                       at + VMDK_MARKER + ZLIB_HEADER, room);
        block_map_return_codec(map, codec);
        if (!n)
                return 0;
        store_le64(at, offset / 512);
        store_le32(at + 8, (uint32_t)(ZLIB_HEADER + n + ZLIB_CHECK));
        at[VMDK_MARKER] = 0x78; /* deflate, and a check that fits */
        at[VMDK_MARKER + 1] = 0x01;
        whole = VMDK_MARKER + ZLIB_HEADER + n;
        store_be32(at + whole, (uint32_t)adler32(adler32(0, NULL, 0), data, (uInt)map->block_size));
        return round_up(whole + ZLIB_CHECK, VMDK_SECTOR);
}

static void put_header(uint8_t *head, const VmdkSparse *h)
{
        memcpy(head, "KDMV", 4);
        store_le32(head + 4, h->version);
        store_le32(head + AT_FLAGS, FLAG_LINE_ENDS | FLAG_COPY | (h->zero_grains ? FLAG_ZERO_GRAINS : 0) |
                                            (h->compressed ? FLAG_COMPRESSED | FLAG_MARKERS : 0));
        store_le64(head + AT_CAPACITY, h->capacity / 512);
        store_le64(head + AT_GRAIN, h->grain / 512);
        store_le64(head + AT_DESCRIPTOR, h->descriptor / 512);
        store_le64(head + AT_DESCRIPTOR_SIZE, h->descriptor_size / 512);
        store_le32(head + AT_TABLE_ENTRIES, h->per_table);
        store_le64(head + AT_COPY, h->copy / 512);
        store_le64(head + AT_DIRECTORY, h->directory / 512);
        store_le64(head + AT_DATA, h->data / 512);
        memcpy(head + AT_LINE_ENDS, "\n \r\n", 4);
        store_le16(head + AT_COMPRESSION, h->compressed);
}

/* A directory at `at`, its n tables right behind it. */
static int write_directory(ImageFile *file, uint64_t at, uint64_t n, uint64_t bytes, Error *err)
{
        AUTOFREE uint8_t *directory = mem_try(bytes);

        if (!directory)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its directory", file->name);
        for (uint64_t i = 0; i < n; i++)
                store_le32(directory + 4 * i, (uint32_t)((at + bytes) / 512 + i * (4 * USUAL_PER_TABLE / 512)));
        return image_file_write(file, at, directory, bytes, err);
}

int vmdk_sparse_create(ImageFile *file, uint64_t size, bool compressed, bool zero_grains, const char *descriptor,
                       Error *err)
{
        uint64_t tables = div_up(div_up(size, USUAL_GRAIN), USUAL_PER_TABLE),
                 bytes = round_up(4 * tables, VMDK_SECTOR);
        uint8_t head[VMDK_SECTOR] = { 0 };
        VmdkSparse h = { .version = compressed ? 3 : zero_grains ? 2 : 1, .capacity = size, .grain = USUAL_GRAIN };

        h.per_table = USUAL_PER_TABLE;
        h.compressed = compressed;
        h.zero_grains = zero_grains;
        h.descriptor = VMDK_SECTOR;
        h.descriptor_size = DESCRIPTOR_SECTORS * VMDK_SECTOR;
        h.copy = h.descriptor + h.descriptor_size;
        h.directory = h.copy + bytes + tables * 4 * USUAL_PER_TABLE;
        h.data = round_up(h.directory + bytes + tables * 4 * USUAL_PER_TABLE, USUAL_GRAIN);
        if (!descriptor)
                h.descriptor = h.descriptor_size = 0;
        if (h.data + size > LARGEST_OFFSET)
                return err_set(err, ERR_INVALID_ARG, "Image size is too large for one vmdk extent");
        if (descriptor && strlen(descriptor) > h.descriptor_size)
                return err_set(err, ERR_INVALID_ARG, "the descriptor of '%s' is too long", file->name);
        put_header(head, &h);
        if (image_file_truncate(file, h.data, err) < 0 || write_directory(file, h.copy, tables, bytes, err) < 0 ||
            write_directory(file, h.directory, tables, bytes, err) < 0 ||
            (descriptor && image_file_write(file, h.descriptor, descriptor, strlen(descriptor), err) < 0))
                return -1;
        return image_file_write(file, 0, head, sizeof(head), err);
}
