/*
 * img/qcow.c - qcow, the first version of QEMU's own format
 */
#include "img/block-map.h"

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

/* What an L2 table says of its clusters. */
static int take_table(Image *image, uint64_t table_at, uint64_t first, uint64_t per_table, unsigned cluster_bits,
                      Error *err)
{
        AUTOFREE uint8_t *table = block_map_read_table(image, table_at, per_table, 8, err);

        if (!table)
                return -1;
        for (uint64_t i = 0; i < per_table; i++) {
                uint64_t entry = load_be64(table + 8 * i), packed = entry & ~ENTRY_PACKED;
                int r = 0;

                if (entry & ENTRY_PACKED)
                        r = block_map_set_packed(image, first + i, packed & ((1ULL << (63 - cluster_bits)) - 1),
                                                 packed >> (63 - cluster_bits), err);
                else if (entry)
                        r = block_map_set(image, first + i, entry, table_at + 8 * i, err);
                if (r < 0)
                        return -1;
        }
        return 0;
}

static int take_tables(Image *image, const uint8_t *head, Error *err)
{
        uint64_t per_table = 1ULL << head[AT_L2_BITS],
                 n = div_up(div_up(image->size, image->about.cluster_size), per_table);
        AUTOFREE uint8_t *l1 = block_map_read_table(image, load_be64(head + AT_L1_OFFSET), n, 8, err);

        if (!l1)
                return -1;
        for (uint64_t i = 0; i < n; i++)
                if (load_be64(l1 + 8 * i) && take_table(image, load_be64(l1 + 8 * i), i * per_table, per_table,
                                                        head[AT_CLUSTER_BITS], err) < 0)
                        return -1;
        return 0;
}

static int qcow_open(Image *image, Error *err)
{
        uint8_t head[HEADER_SIZE];

        if (image->about.encrypted)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': encrypted qcow images are not supported",
                               image_name(image));
        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0 ||
            !block_map_new(image, image->about.cluster_size, err))
                return -1;
        if (take_tables(image, head, err) < 0) {
                block_map_close(image, NULL);
                return -1;
        }
        return 0;
}

const ImageDriver image_driver_qcow = {
        .name = "qcow",
        .probe = qcow_probe,
        .describe = qcow_describe,
        .open = qcow_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
};
