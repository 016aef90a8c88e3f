/*
 * img/qcow2.c - the qcow2 format's place in the table of formats
 */
#include "img/driver.h"

#include "base/str.h"
#include "img/bytes.h"
#include "img/qcow2-header.h"

static bool qcow2_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && load_be32(head) == QCOW2_MAGIC && load_be32(head + 4) >= 2;
}

static int qcow2_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        AUTO(Qcow2Header) h = { 0 };

        if (qcow2_header_read(file, &h, err) < 0)
                return -1;
        ret->version = h.version;
        ret->virtual_size = h.size;
        ret->cluster_size = qcow2_cluster_size(&h);
        ret->encrypted = h.crypt != 0;
        ret->dirty = h.incompatible & QCOW2_DIRTY;
        ret->corrupt = h.incompatible & QCOW2_CORRUPT;
        ret->backing_file = TAKE(h.backing_file);
        ret->backing_format = TAKE(h.backing_format);
        if (h.data_file)
                vec_push(&ret->data_files, TAKE(h.data_file));
        return 0;
}

const ImageDriver image_driver_qcow2 = {
        .name = "qcow2",
        .probe = qcow2_probe,
        .describe = qcow2_describe,
};
