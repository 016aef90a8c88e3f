/*
 * img/qcow.c - qcow, the first version of QEMU's own format
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "img/bytes.h"

enum {
        QCOW_MAGIC = 0x514649fb,
        HEADER_SIZE = 48,
        AT_BACKING_OFFSET = 8,
        AT_BACKING_SIZE = 16,
        AT_SIZE = 24,
        AT_CLUSTER_BITS = 32,
        AT_L2_BITS = 33,
        AT_CRYPT = 36,
        AT_L1_OFFSET = 40,
};

#define ENTRY_PACKED (1ULL << 63)

typedef struct Qcow {
        unsigned cluster_bits;
        uint64_t per_table; /* entries of an L2 table */
        uint64_t l1_at, n_l1;
        uint64_t *l1; /* offsets of the L2 tables; 0: none */
        bool *is_new; /* not in the file yet */
} Qcow;

static bool qcow_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && load_be32(head) == QCOW_MAGIC && load_be32(head + 4) == 1;
}

static int qcow_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!qcow_probe(head, sizeof(head)))
                return image_bad_field(err, file, 0, "magic", "is not that of a qcow image");
        ret->version = 1;
        ret->virtual_size = load_be64(head + AT_SIZE);
        if (head[AT_CLUSTER_BITS] < 9 || head[AT_CLUSTER_BITS] > 16)
                return image_bad_field(err, file, AT_CLUSTER_BITS, "cluster_bits", "is %u: must be 9 to 16",
                                       head[AT_CLUSTER_BITS]);
        if (head[AT_L2_BITS] < 6 || head[AT_L2_BITS] > 13)
                return image_bad_field(err, file, AT_L2_BITS, "l2_bits", "is %u: must be 6 to 13", head[AT_L2_BITS]);
        if (load_be32(head + AT_CRYPT) > 1)
                return image_bad_field(err, file, AT_CRYPT, "crypt_method", "is %u: 0 and 1 are known",
                                       load_be32(head + AT_CRYPT));
        ret->encrypted = load_be32(head + AT_CRYPT) != 0;
        ret->cluster_size = 1ULL << head[AT_CLUSTER_BITS];
        if (load_be64(head + AT_BACKING_OFFSET) && load_be32(head + AT_BACKING_SIZE)) {
                ret->backing_file = image_read_name(file, load_be64(head + AT_BACKING_OFFSET),
                                                    load_be32(head + AT_BACKING_SIZE), "backing file name", err);
                if (!ret->backing_file)
                        return -1;
        }
        return 0;
}

static Qcow *qcow_of(const Image *image)
{
        return block_map_of(image)->more;
}

static int qcow_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const Qcow *q = qcow_of(image);
        unsigned shift = 63 - q->cluster_bits;
        AUTOFREE uint8_t *table = NULL;

        if (!q->l1[part])
                return 1;
        table = block_map_read_table(image, q->l1[part], q->per_table, 8, err);
        for (uint64_t i = 0; table && i < q->per_table; i++) {
                uint64_t entry = load_be64(table + 8 * i), at = q->l1[part] + 8 * i, packed = entry & ~ENTRY_PACKED;
                int r = 0;

                if (entry & ENTRY_PACKED)
                        r = block_map_packed(image, packed & ((1ULL << shift) - 1), packed >> shift, at, &entries[i],
                                             err);
                else if (entry)
                        r = block_map_placed(image, entry, at, &entries[i], err);
                if (r < 0)
                        return -1;
        }
        return table ? 0 : -1;
}

/* The tables that the new entries need: empty ones, behind everything else. */
static int qcow_prepare(Image *image, const uint64_t *blocks, size_t n, Error *err)
{
        BlockMap *map = block_map_of(image);
        Qcow *q = map->more;

        for (size_t i = 0; i < n; i++) {
                uint64_t part = blocks[i] / q->per_table, at;

                if (q->l1[part])
                        continue;
                at = div_up(map->end, map->align) * map->align;
                if (image_file_zero(image->file, at, 8 * q->per_table, false, err) < 0)
                        return -1;
                map->end = at + 8 * q->per_table;
                q->l1[part] = at;
                q->is_new[part] = true;
        }
        return 0;
}

static int qcow_store(Image *image, uint64_t first, uint64_t n, const uint64_t *entries, Error *err)
{
        Qcow *q = qcow_of(image);
        uint64_t part = first / q->per_table;
        AUTOFREE uint8_t *table = mem_alloc(8 * n);
        uint8_t l1[8];

        for (uint64_t i = 0; i < n; i++)
                store_be64(table + 8 * i,
                           block_is_packed(entries[i])
                                   ? ENTRY_PACKED | block_packed_length(entries[i]) << (63 - q->cluster_bits) |
                                             block_packed_offset(entries[i])
                                   : entries[i]);
        if (image_file_write(image->file, q->l1[part] + first % q->per_table * 8, table, 8 * n, err) < 0)
                return -1;
        if (!q->is_new[part])
                return 0;
        store_be64(l1, q->l1[part]);
        if (image_file_write(image->file, q->l1_at + 8 * part, l1, sizeof(l1), err) < 0)
                return -1;
        q->is_new[part] = false;
        return 0;
}

static int qcow_tables(Image *image, BlockRanges *ret, Error *err)
{
        const Qcow *q = qcow_of(image);
        BlockRange range = { .start = 0, .end = q->l1_at + 8 * q->n_l1, .block = UINT64_MAX };

        (void)err;
        vec_push(ret, range);
        for (uint64_t i = 0; i < q->n_l1; i++) {
                range.start = q->l1[i];
                range.end = q->l1[i] + 8 * q->per_table;
                if (q->l1[i])
                        vec_push(ret, range);
        }
        return 0;
}

static const BlockMapOps qcow_ops = {
        .load = qcow_load,
        .prepare = qcow_prepare,
        .store = qcow_store,
        .tables = qcow_tables,
};

/* The header, the L1 table and what says which of its entries are not in the file yet, in one piece of memory. */
static Qcow *read_l1(Image *image, Error *err)
{
        uint8_t head[HEADER_SIZE];
        AUTOFREE uint8_t *table = NULL;
        uint64_t n;
        Qcow *q;

        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0)
                return NULL;
        n = div_up(div_up(image->size, image->about.cluster_size), 1ULL << head[AT_L2_BITS]);
        table = block_map_read_table(image, load_be64(head + AT_L1_OFFSET), n, 8, err);
        if (!table)
                return NULL;
        q = mem_try(sizeof(*q) + 9 * n);
        if (!q) {
                err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", image_name(image));
                return NULL;
        }
        *q = (Qcow){ .cluster_bits = head[AT_CLUSTER_BITS], .per_table = 1ULL << head[AT_L2_BITS] };
        q->n_l1 = n;
        q->l1_at = load_be64(head + AT_L1_OFFSET);
        q->l1 = (uint64_t *)(q + 1);
        q->is_new = (bool *)(q->l1 + n);
        for (uint64_t i = 0; i < n; i++) {
                q->l1[i] = load_be64(table + 8 * i);
                if (q->l1[i] > INT64_MAX / 2) {
                        image_bad_field(err, image->file, q->l1_at + 8 * i, "L1 entry", "points to offset %llu",
                                        (unsigned long long)q->l1[i]);
                        free(q);
                        return NULL;
                }
        }
        return q;
}

static int qcow_open(Image *image, Error *err)
{
        BlockMap *map;
        uint64_t end;
        Qcow *q;

        if (image->about.encrypted)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': encrypted qcow images are not supported",
                               image_name(image));
        if (image_file_size(image->file, &end, err) < 0)
                return -1;
        q = read_l1(image, err);
        if (!q)
                return -1;
        map = block_map_new(image, &qcow_ops, image->about.cluster_size, q->per_table, q, err);
        if (!map)
                return -1;
        block_map_writable(map, end, image->about.cluster_size);
        return 0;
}

static size_t qcow_pack(Image *image, const void *data, void *packed)
{
        BlockMap *map = block_map_of(image);
        Codec *codec = block_map_borrow_codec(map);
        size_t n = codec_pack(codec, image->best_compression ? CODEC_BEST : CODEC_FAST, data, map->block_size, packed,
                              map->block_size);

        block_map_return_codec(map, codec);
        return n;
}

static int qcow_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        /* As other programs choose: small clusters where data from below must be copied to fill them. */
        unsigned cluster_bits = how->backing_file ? 9 : 12, l2_bits = how->backing_file ? 12 : 9;
        uint64_t size = round_up(how->size, 512), l1_at, n_l1 = div_up(size, 1ULL << (cluster_bits + l2_bits));
        size_t name = how->backing_file ? strlen(how->backing_file) : 0;
        uint8_t head[HEADER_SIZE] = { 0 };

        if (size == 0)
                return err_set(err, ERR_INVALID_ARG, "Image size is too small, cannot be zero length");
        if (name > IMAGE_NAME_MAX)
                return err_set(err, ERR_INVALID_ARG, "Backing file name too long");
        if (n_l1 > INT32_MAX / 8)
                return err_set(err, ERR_INVALID_ARG, "Image size is too large for qcow");
        l1_at = round_up(HEADER_SIZE + name, 8);
        store_be32(head, QCOW_MAGIC);
        store_be32(head + 4, 1);
        store_be64(head + AT_BACKING_OFFSET, name ? HEADER_SIZE : 0);
        store_be32(head + AT_BACKING_SIZE, (uint32_t)name);
        store_be64(head + AT_SIZE, size);
        head[AT_CLUSTER_BITS] = (uint8_t)cluster_bits;
        head[AT_L2_BITS] = (uint8_t)l2_bits;
        store_be64(head + AT_L1_OFFSET, l1_at);
        if (image_file_truncate(file, round_up(l1_at + 8 * n_l1, 512), err) < 0 ||
            image_file_write(file, HEADER_SIZE, how->backing_file, name, err) < 0)
                return -1;
        return image_file_write(file, 0, head, sizeof(head), err);
}

const ImageDriver image_driver_qcow = {
        .name = "qcow",
        .probe = qcow_probe,
        .describe = qcow_describe,
        .open = qcow_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
        .write = block_map_write,
        .pack = qcow_pack,
        .write_packed = block_map_write_packed,
        .zero = block_map_zero,
        .flush = block_map_flush,
        .create = qcow_create,
        .check = block_map_check,
};
