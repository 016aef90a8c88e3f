/*
 * img/qcow2-amend.c - change what the header says of an image that is there
 */
#include "img/qcow2.h"

#include "base/str.h"

/* Version 2 has no words for these. */
static int check_downgrade(const Qcow2 *q, Error *err)
{
        if (q->h.refcount_order != 4)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "compat=0.10 requires refcount_bits=16");
        if (q->h.incompatible & ~(uint64_t)QCOW2_DIRTY || q->h.bitmaps.n)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s' uses features that compat=0.10 does not have",
                               q->file->name);
        return 0;
}

/* An entry that says "zeros" would mean something else in version 2. */
static int check_no_zero_entries(Image *image, Error *err)
{
        for (uint64_t at = 0; at < image->size;) {
                ImageExtent extent;

                if (qcow2_map(image, at, image->size - at, &extent, err) < 0)
                        return -1;
                if (extent.present && extent.zero)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "'%s' has zero clusters, which compat=0.10 does not have: convert it instead",
                                       image_name(image));
                at += extent.length;
        }
        return 0;
}

int qcow2_amend(Image *image, const ImageCreate *how, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        unsigned version = how->version ? how->version : q->h.version;
        ImageSnapshots list = { 0 };

        if (how->lazy_refcounts && version < 3)
                return err_set(err, ERR_INVALID_ARG,
                               "Lazy refcounts only supported with compatibility level 1.1 and above");
        if (version == 2 && q->h.version == 3) {
                if (check_downgrade(q, err) < 0 || check_no_zero_entries(image, err) < 0 ||
                    qcow2_snapshots_read(q, &list, err) < 0)
                        return -1;
                image_snapshots_done(&list);
                if (q->h.n_snapshots)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "'%s' has snapshots: its version cannot be lowered", image_name(image));
        }
        if (qcow2_begin_writing(q, err) < 0 || qcow2_flush_all(q, err) < 0)
                return -1;
        q->h.version = version;
        if (version == 2)
                q->h.compatible = q->h.autoclear = 0;
        else if (how->change_lazy)
                q->h.compatible = how->lazy_refcounts ? q->h.compatible | QCOW2_LAZY_REFCOUNTS
                                                      : q->h.compatible & ~(uint64_t)QCOW2_LAZY_REFCOUNTS;
        if (how->backing_file) {
                str_replace(&q->h.backing_file, *how->backing_file ? how->backing_file : NULL);
                str_replace(&q->h.backing_format, *how->backing_file ? how->backing_format : NULL);
        }
        if (qcow2_header_store(q, err) < 0 || image_file_flush(q->file, err) < 0)
                return -1;
        return how->size && how->size != image->size ? image_resize(image, how->size, PREALLOCATE_OFF, err) : 0;
}
