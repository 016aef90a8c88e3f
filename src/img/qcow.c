/*
 * img/qcow.c - qcow, the first version of QEMU's own format
 */
#include "img/driver.h"

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

const ImageDriver image_driver_qcow = {
        .name = "qcow",
        .probe = qcow_probe,
        .describe = qcow_describe,
};
