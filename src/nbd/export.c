/*
 * nbd/export.c - an image as clients see it
 */
#include "nbd/export.h"

#include "base/str.h"
#include "img/bytes.h"
#include "img/zero.h"

#include <errno.h>

enum { CACHE_STEP = 1 << 20, SMALLEST_BLOCK = 4096, LARGEST_BLOCK = 2 << 20 };

static void choose_flags(NbdExport *export)
{
        export->flags = NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_CACHE;
        export->flags |= export->multi_conn ? NBD_CAN_MULTI_CONN : 0;
        if (export->read_only)
                export->flags |= NBD_READ_ONLY;
        else
                export->flags |= NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES | NBD_SEND_FAST_ZERO;
}

int nbd_export_start(NbdExport *export, Error *err)
{
        uint64_t whole = image_size(export->image), cluster = image_cluster_size(export->image);

        if (export->offset > whole || export->size > whole - export->offset)
                return err_set(err, ERR_INVALID_ARG,
                               "offset and size reach over the end of '%s', which has %llu bytes",
                               image_name(export->image), (unsigned long long)whole);
        if (!export->size)
                export->size = whole - export->offset;
        if (!export->read_only && !image_is_writable(export->image))
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'%s' can only be read in the format %s: export it read-only",
                               image_name(export->image), image_format_name(image_format(export->image)));
        export->fast_zero = !export->read_only && image_zeroes_fast(export->image);
        export->preferred_block = (uint32_t)MIN(MAX(cluster, (uint64_t)SMALLEST_BLOCK), (uint64_t)LARGEST_BLOCK);
        /* What is not a power of two is no block size. */
        if (export->preferred_block & (export->preferred_block - 1))
                export->preferred_block = SMALLEST_BLOCK;
        ranges_init(&export->ranges);
        choose_flags(export);
        return 0;
}

int nbd_export_add_bitmap(NbdExport *export, const char *name, Error *err)
{
        NbdBitmap bitmap = { 0 };
        ImageBitmaps list;
        bool found = false, follows = false;

        if (export->bitmaps.len >= NBD_MOST_BITMAPS)
                return err_set(err, ERR_INVALID_ARG, "more than %d bitmaps cannot be exported", NBD_MOST_BITMAPS);
        if (image_bitmaps(export->image, &list, err) < 0)
                return -1;
        for (size_t i = 0; i < list.len; i++) {
                if (str_eq(list.items[i].name, name)) {
                        found = true;
                        follows = list.items[i].enabled;
                }
        }
        image_bitmaps_done(&list);
        if (!found)
                return err_set(err, ERR_INVALID_ARG, "Bitmap '%s' is not found", name);
        if (follows && !export->read_only)
                return err_set(
                        err, ERR_INVALID_ARG,
                        "the bitmap '%s' would change with what clients write: disable it, or export read-only",
                        name);
        if (image_bitmap_load(export->image, name, &bitmap.content, err) < 0)
                return -1;
        bitmap.context = str_format("qemu:dirty-bitmap:%s", name);
        vec_push(&export->bitmaps, bitmap);
        return 0;
}

void nbd_export_done(NbdExport *export)
{
        for (size_t i = 0; i < export->bitmaps.len; i++) {
                free(export->bitmaps.items[i].context);
                free(export->bitmaps.items[i].content.bits);
        }
        vec_done(&export->bitmaps);
        if (export->flags)
                ranges_done(&export->ranges);
}

int nbd_export_failed(const NbdExport *export, const Error *why)
{
        if (export->failed)
                export->failed(why);
        switch (why->number) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
                return NBD_ENOSPC;
        case ENOMEM:
                return NBD_ENOMEM;
        case EPERM:
        case EROFS:
                return NBD_EPERM;
        default:
                return why->code == ERR_NO_MEMORY ? NBD_ENOMEM : NBD_EIO;
        }
}

/* Nobody changes a read-only export: nobody waits there either. */
static void take(NbdExport *export, uint64_t offset, uint64_t length, bool write)
{
        if (!export->read_only)
                ranges_take(&export->ranges, offset, length, write);
}

static int give_back(NbdExport *export, uint64_t offset, uint64_t length, bool write, int r, const Error *why)
{
        if (!export->read_only)
                ranges_give_back(&export->ranges, offset, length, write);
        return r < 0 ? nbd_export_failed(export, why) : 0;
}

int nbd_export_read(NbdExport *export, uint64_t offset, void *data, size_t n)
{
        AUTO(Error) why = { 0 };
        int r;

        take(export, offset, n, false);
        r = image_read(export->image, export->offset + offset, data, n, &why);
        return give_back(export, offset, n, false, r, &why);
}

int nbd_export_flush(NbdExport *export)
{
        AUTO(Error) why = { 0 };

        return image_flush(export->image, &why) < 0 ? nbd_export_failed(export, &why) : 0;
}

int nbd_export_write(NbdExport *export, uint64_t offset, const void *data, size_t n, bool fua)
{
        bool zero = export->detect_zeroes && bytes_are_zero(data, n);
        unsigned how = export->unmap_zeroes ? IMAGE_ZERO_UNMAP : 0;
        AUTO(Error) why = { 0 };
        int r;

        take(export, offset, n, true);
        r = zero ? image_zero(export->image, export->offset + offset, n, how, &why)
                 : image_write(export->image, export->offset + offset, data, n, &why);
        r = give_back(export, offset, n, true, r, &why);
        return r == 0 && fua ? nbd_export_flush(export) : r;
}

static int zero(NbdExport *export, uint64_t offset, uint64_t length, unsigned how, bool fua)
{
        AUTO(Error) why = { 0 };
        int r;

        take(export, offset, length, true);
        r = image_zero(export->image, export->offset + offset, length, how, &why);
        r = give_back(export, offset, length, true, r, &why);
        return r == 0 && fua ? nbd_export_flush(export) : r;
}

int nbd_export_zero(NbdExport *export, uint64_t offset, uint64_t length, unsigned flags)
{
        bool unmap = !(flags & NBD_FLAG_NO_HOLE) && !export->ignore_trim;

        /* Room that must stay may have to be written. */
        if (flags & NBD_FLAG_FAST_ZERO && (!export->fast_zero || !unmap))
                return NBD_ENOTSUP;
        return zero(export, offset, length, unmap ? IMAGE_ZERO_UNMAP : 0, flags & NBD_FLAG_FUA);
}

int nbd_export_trim(NbdExport *export, uint64_t offset, uint64_t length, bool fua)
{
        uint64_t unit = MAX(image_cluster_size(export->image), (uint64_t)SMALLEST_BLOCK);
        uint64_t at = export->offset + offset, end = at + length;
        uint64_t from = (at + unit - 1) / unit * unit,
                 to = end == image_size(export->image) ? end : end / unit * unit;

        /* It is a hint: parts of clusters would only cost writes. */
        if (export->ignore_trim || from >= to)
                return fua ? nbd_export_flush(export) : 0;
        return zero(export, from - export->offset, to - from, IMAGE_ZERO_UNMAP | IMAGE_ZERO_DROP, fua);
}

int nbd_export_cache(NbdExport *export, uint64_t offset, uint64_t length)
{
        AUTOFREE void *scratch = image_buffer_try((size_t)MIN(length, (uint64_t)CACHE_STEP));

        if (!scratch)
                return NBD_ENOMEM;
        while (length) {
                size_t n = (size_t)MIN(length, (uint64_t)CACHE_STEP);
                int r = nbd_export_read(export, offset, scratch, n);

                if (r)
                        return r;
                offset += n;
                length -= n;
        }
        return 0;
}
