/*
 * img/qcow2-amend.c - change what the header says of an image that is there
 */
#include "img/qcow2.h"

#include "base/str.h"
#include "img/qcow2-rewrite.h"

/* Version 2 has no words for these. */
static int check_downgrade(const Qcow2 *q, Error *err)
{
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

/* Which width the counts shall have, and that the version knows it. */
static int plan_width(const Qcow2 *q, const ImageCreate *how, unsigned version, unsigned *order, Error *err)
{
        unsigned bits = how->refcount_bits;

        *order = q->h.refcount_order;
        if (bits & (bits - 1) || bits > 64)
                return err_set(err, ERR_INVALID_ARG,
                               "Refcount width must be a power of two and may not exceed 64 bits");
        if (bits)
                *order = (unsigned)__builtin_ctz(bits);
        if (version >= 3 || *order == 4)
                return 0;
        return bits ? err_set(err, ERR_INVALID_ARG,
                              "Refcount widths other than 16 bits require compatibility level 1.1 or above (use "
                              "compat=1.1 or greater)")
                    : err_set(err, ERR_OPERATION_UNSUPPORTED, "compat=0.10 requires refcount_bits=16");
}

static int check_counts(const Rewrite *rw, unsigned order, Error *err)
{
        uint64_t most = order < 4 ? (1ULL << (1u << order)) - 1 : UINT16_MAX;

        for (uint64_t c = 0; c < rw->n; c++)
                if (rw->counts[c] > most)
                        return err_set(err, ERR_OVERFLOW,
                                       "Cannot decrease refcount entry width to %u bits: Cluster at offset %#llx has "
                                       "a refcount of %u",
                                       1u << order, (unsigned long long)(c << rw->q->cluster_bits), rw->counts[c]);
        return 0;
}

/* All counts anew, beside the old ones, and with them the version that knows their width. */
static int change_width(Image *image, unsigned order, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        AUTO(Rewrite) rw = { 0 };
        Qcow2Header header;

        if (rewrite_begin(&rw, q, err) < 0 || check_counts(&rw, order, err) < 0)
                return -1;
        header = q->h;
        header.refcount_order = order;
        header.version = 3;
        if (rewrite_finish(&rw, &header, true, err) < 0)
                return -1;
        image->about.refcount_bits = 1u << order;
        return 0;
}

/* As it is already it may be told. */
static int check_backing(const Qcow2 *q, const ImageCreate *how, Error *err)
{
        const char *file = q->h.backing_file ?: "", *format = q->h.backing_format ?: "";

        if ((!how->backing_file && !how->backing_format) ||
            (str_eq(file, how->backing_file ?: "") && str_eq(format, how->backing_format ?: "")))
                return 0;
        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                       "Cannot amend the backing file\nYou can use 'drover-img rebase' instead.");
}

/* Version 2 has room for all that is in the image, whose counts have the width that it knows. */
static int check_lowered(Image *image, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        ImageSnapshots list = { 0 };

        if (check_downgrade(q, err) < 0 || check_no_zero_entries(image, err) < 0 ||
            qcow2_snapshots_read(q, &list, err) < 0)
                return -1;
        image_snapshots_done(&list);
        return q->h.n_snapshots ? err_set(err, ERR_OPERATION_UNSUPPORTED,
                                          "'%s' has snapshots: its version cannot be lowered", image_name(image))
                                : 0;
}

/* Only the name is changed, in the one write of the header's first sector, which has to have room for it. */
static int check_data_file(const Qcow2 *q, const ImageCreate *how, Error *err)
{
        Qcow2Header header = q->h;
        Qcow2HeaderBytes head;
        bool fits;

        if (how->change_data_raw && how->data_file_raw && !(q->h.autoclear & QCOW2_RAW_EXTERNAL_DATA))
                return err_set(err, ERR_INVALID_ARG, "data-file-raw cannot be set on existing images");
        if (!how->data_file_name)
                return 0;
        if (!(q->h.incompatible & QCOW2_EXTERNAL_DATA))
                return err_set(err, ERR_INVALID_ARG,
                               "data-file can only be set for images that use an external data file");
        if (!*how->data_file_name)
                return err_set(err, ERR_INVALID_ARG, "'%s' has an external data file, which needs a name",
                               q->file->name);
        header.data_file = (char *)(uintptr_t)how->data_file_name;
        if (qcow2_header_format(&header, q->file->name, &head, err) < 0)
                return -1;
        fits = head.end <= QCOW2_SECTOR;
        free(head.bytes);
        return fits ? 0
                    : err_set(err, ERR_INVALID_ARG,
                              "'%s': the name of the data file is too long to be changed in place", q->file->name);
}

static void change_data_file(Image *image, const ImageCreate *how)
{
        Qcow2 *q = qcow2_of(image);

        if (how->change_data_raw && !how->data_file_raw) {
                q->h.autoclear &= ~(uint64_t)QCOW2_RAW_EXTERNAL_DATA;
                image->about.data_file_raw = false;
        }
        if (how->data_file_name) {
                str_replace(&q->h.data_file, how->data_file_name);
                if (image->about.data_files.len)
                        str_replace(&image->about.data_files.items[0], how->data_file_name);
        }
}

int qcow2_amend(Image *image, const ImageCreate *how, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        unsigned version = how->version ? how->version : q->h.version, order;

        if (how->lazy_refcounts && version < 3)
                return err_set(err, ERR_INVALID_ARG,
                               "Lazy refcounts only supported with compatibility level 1.1 and above");
        if (plan_width(q, how, version, &order, err) < 0 || check_backing(q, how, err) < 0 ||
            check_data_file(q, how, err) < 0 || (version < q->h.version && check_lowered(image, err) < 0))
                return -1;
        if (qcow2_begin_writing(q, err) < 0 || qcow2_flush_all(q, err) < 0 ||
            (order != q->h.refcount_order && change_width(image, order, err) < 0))
                return -1;
        q->h.version = version;
        change_data_file(image, how);
        if (version == 2)
                q->h.compatible = q->h.autoclear = 0;
        else if (how->change_lazy)
                q->h.compatible = how->lazy_refcounts ? q->h.compatible | QCOW2_LAZY_REFCOUNTS
                                                      : q->h.compatible & ~(uint64_t)QCOW2_LAZY_REFCOUNTS;
        if (qcow2_header_store(q, err) < 0 || image_file_flush(q->file, err) < 0)
                return -1;
        return how->size && how->size != image->size ? image_resize(image, how->size, PREALLOCATE_OFF, err) : 0;
}
