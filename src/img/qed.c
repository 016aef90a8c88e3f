/*
 * img/qed.c - qed, a format between qcow2 version 2 and 3
 */
#include "img/driver.h"

#include "base/str.h"
#include "img/bytes.h"

enum {
        HEADER_SIZE = 64,
        AT_CLUSTER_SIZE = 4,
        AT_TABLE_SIZE = 8,
        AT_FEATURES = 16,
        AT_IMAGE_SIZE = 48,
        AT_BACKING_OFFSET = 56,
        AT_BACKING_SIZE = 60,
        FEATURE_BACKING = 1 << 0,
        FEATURE_NEED_CHECK = 1 << 1,
        FEATURE_BACKING_IS_RAW = 1 << 2,
        KNOWN_FEATURES = 7,
};

static bool qed_probe(const uint8_t *head, size_t n)
{
        return n >= HEADER_SIZE && memcmp(head, "QED", 4) == 0;
}

static int qed_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint64_t features;
        uint32_t cluster;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!qed_probe(head, sizeof(head)))
                return image_bad_field(err, file, 0, "magic", "is not that of a qed image");
        cluster = load_le32(head + AT_CLUSTER_SIZE);
        if (cluster < 4096 || cluster > 64 << 20 || (cluster & (cluster - 1)))
                return image_bad_field(err, file, AT_CLUSTER_SIZE, "cluster_size", "is %u", cluster);
        features = load_le64(head + AT_FEATURES);
        if (features & ~(uint64_t)KNOWN_FEATURES)
                return image_bad_field(err, file, AT_FEATURES, "features", "is 0x%llx: holds what is not known here",
                                       (unsigned long long)features);
        ret->cluster_size = cluster;
        ret->virtual_size = load_le64(head + AT_IMAGE_SIZE);
        ret->dirty = features & FEATURE_NEED_CHECK;
        if (!(features & FEATURE_BACKING))
                return 0;
        ret->backing_file = image_read_name(file, load_le32(head + AT_BACKING_OFFSET),
                                            load_le32(head + AT_BACKING_SIZE), "backing file name", err);
        if (features & FEATURE_BACKING_IS_RAW)
                ret->backing_format = str_dup("raw");
        return ret->backing_file ? 0 : -1;
}

const ImageDriver image_driver_qed = {
        .name = "qed",
        .probe = qed_probe,
        .describe = qed_describe,
};
