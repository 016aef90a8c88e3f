/*
 * img/qed.c - qed, a format between qcow2 version 2 and 3 (read and checked only)
 *
 * An L1 table of L2 tables of clusters, without counts. What an image that was
 * not closed cleanly may have wrong is its tables' entries behind the end of
 * the file; those are errors when they are read.
 */
#include "img/block-map.h"

#include "base/mem.h"
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
        MOST_TABLE = 16,
        CLUSTER_OF_ZEROS = 1,
        AT_L1_OFFSET = 40,
};

typedef struct Qed {
        uint64_t l1_at, per_table; /* entries, of either kind of table */
} Qed;

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
        if (load_le32(head + AT_TABLE_SIZE) < 1 || load_le32(head + AT_TABLE_SIZE) > MOST_TABLE ||
            (load_le32(head + AT_TABLE_SIZE) & (load_le32(head + AT_TABLE_SIZE) - 1)))
                return image_bad_field(err, file, AT_TABLE_SIZE, "table_size",
                                       "is %u clusters: must be 1, 2, 4, 8 or 16", load_le32(head + AT_TABLE_SIZE));
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

static int qed_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const Qed *q = block_map_of(image)->more;
        uint64_t at, limit;
        AUTOFREE uint8_t *table = NULL;
        uint8_t l1[8];

        if (image_file_read(image->file, q->l1_at + 8 * part, l1, sizeof(l1), err) < 0 ||
            image_file_size(image->file, &limit, err) < 0)
                return -1;
        at = load_le64(l1);
        if (!at)
                return 1;
        if (at % image->about.cluster_size || at >= limit)
                return image_bad_field(err, image->file, q->l1_at + 8 * part, "L1 entry", "points to offset %llu",
                                       (unsigned long long)at);
        table = block_map_read_table(image, at, q->per_table, 8, err);
        for (uint64_t i = 0; table && i < q->per_table; i++) {
                uint64_t entry = load_le64(table + 8 * i);

                if (entry == CLUSTER_OF_ZEROS)
                        entries[i] = BLOCK_ZERO;
                else if (entry % image->about.cluster_size || (entry && entry >= limit))
                        return image_bad_field(err, image->file, at + 8 * i, "L2 entry", "points to offset %llu",
                                               (unsigned long long)entry);
                else
                        entries[i] = entry;
        }
        return table ? 0 : -1;
}

static int qed_tables(Image *image, BlockRanges *ret, Error *err)
{
        const Qed *q = block_map_of(image)->more;
        uint64_t n = div_up(block_map_of(image)->n, q->per_table);
        AUTOFREE uint8_t *l1 = block_map_read_table(image, q->l1_at, n, 8, err);
        BlockRange header = { .start = 0, .end = image->about.cluster_size, .block = UINT64_MAX };

        if (!l1)
                return -1;
        vec_push(ret, header);
        for (uint64_t i = 0; i <= n; i++) {
                uint64_t at = i == n ? q->l1_at : load_le64(l1 + 8 * i);
                BlockRange range = { .start = at, .end = at + 8 * q->per_table, .block = UINT64_MAX };

                if (at)
                        vec_push(ret, range);
        }
        return 0;
}

static const BlockMapOps qed_ops = { .load = qed_load, .tables = qed_tables };

static int qed_open(Image *image, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint64_t table;
        Qed *q;

        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0)
                return -1;
        table = image->about.cluster_size * load_le32(head + AT_TABLE_SIZE) / 8;
        if (load_le64(head + AT_L1_OFFSET) > INT64_MAX / 2 ||
            div_up(div_up(image->size, image->about.cluster_size), table) > table)
                return image_bad_field(err, image->file, AT_L1_OFFSET, "l1_table_offset",
                                       "is %llu, with a table that is too small for the disk",
                                       (unsigned long long)load_le64(head + AT_L1_OFFSET));
        q = mem_new(Qed);
        *q = (Qed){ .l1_at = load_le64(head + AT_L1_OFFSET), .per_table = table };
        return block_map_new(image, &qed_ops, image->about.cluster_size, table, q, err) ? 0 : -1;
}

const ImageDriver image_driver_qed = {
        .name = "qed",
        .probe = qed_probe,
        .describe = qed_describe,
        .open = qed_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
        .check = block_map_check,
};
