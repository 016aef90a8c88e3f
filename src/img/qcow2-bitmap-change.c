/*
 * img/qcow2-bitmap-change.c - list, add, remove, clear, enable, disable and merge dirty bitmaps
 *
 * Changes are made in memory and written when the image is closed.
 */
#include "img/qcow2-bitmap.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

enum { SMALLEST_USUAL = 4096, LARGEST_USUAL = 65536 };

int qcow2_bitmaps_list(Image *image, ImageBitmaps *ret, Error *err)
{
        Qcow2Bitmaps list;

        if (qcow2_bitmaps_read(qcow2_of(image), &list, err) < 0)
                return -1;
        for (size_t i = 0; i < list.len; i++) {
                Qcow2Bitmap *bitmap = &list.items[i];

                vec_push(ret, ((ImageBitmap){ .name = TAKE(bitmap->name),
                                              .granularity = 1ULL << bitmap->granularity_bits,
                                              .enabled = bitmap->flags & QCOW2_BITMAP_AUTO,
                                              .broken = bitmap->flags & QCOW2_BITMAP_IN_USE }));
        }
        qcow2_bitmaps_done(&list);
        return 0;
}

static int refuse_broken(const Qcow2Bitmap *bitmap, Error *err)
{
        if (!(bitmap->flags & QCOW2_BITMAP_IN_USE))
                return 0;
        return err_set(
                err, ERR_OPERATION_INVALID,
                "Bitmap '%s' is inconsistent and cannot be used: a writer died. Try 'bitmap --remove' to delete "
                "it from disk",
                bitmap->name);
}

static Qcow2Bitmap *find(Qcow2Bitmaps *list, const char *name, Error *err)
{
        Qcow2Bitmap *bitmap = qcow2_bitmap_find(list, name);

        if (!bitmap)
                err_set(err, ERR_INVALID_ARG, "Dirty bitmap '%s' not found", name);
        return bitmap;
}

int qcow2_bitmap_content(Image *image, const char *name, ImageBitmapContent *ret, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        Qcow2Bitmaps read = { 0 }, *list = q->bitmaps ?: &read;
        uint64_t bytes;
        Qcow2Bitmap *bitmap;
        int r = 0;

        if (!q->bitmaps && qcow2_bitmaps_read(q, &read, err) < 0)
                return -1;
        bitmap = find(list, name, err);
        if (!bitmap || refuse_broken(bitmap, err) < 0 || qcow2_bitmap_load(q, bitmap, image->size, err) < 0)
                r = -1;
        if (r == 0) {
                bytes = qcow2_bitmap_bytes(image->size, bitmap->granularity_bits);
                ret->disk_size = image->size;
                ret->granularity_bits = bitmap->granularity_bits;
                ret->bits = mem_try(MAX(bytes, 1ULL));
                if (ret->bits)
                        memcpy(ret->bits, bitmap->bits, bytes);
                else
                        r = err_set(err, ERR_NO_MEMORY, "'%s': no memory for the bitmap '%s'", image_name(image),
                                    name);
        }
        qcow2_bitmaps_done(&read);
        return r;
}

static int add(Qcow2 *q, const ImageBitmapChange *change, Error *err)
{
        uint64_t usual = MIN(MAX(q->cluster, (uint64_t)SMALLEST_USUAL), (uint64_t)LARGEST_USUAL);
        uint64_t granularity = change->granularity ? change->granularity : usual;
        Qcow2Bitmap made = { .flags = QCOW2_BITMAP_AUTO, .changed = true };
        uint64_t bytes;

        if (granularity & (granularity - 1) || granularity < 512 || granularity > 1U << 31)
                return err_set(err, ERR_INVALID_ARG, "Granularity must be a power of two, from 512 to 2G");
        if (!*change->name || strlen(change->name) > IMAGE_NAME_MAX)
                return err_set(err, ERR_INVALID_ARG, "Bitmap name must have 1 to %d bytes", IMAGE_NAME_MAX);
        if (qcow2_bitmap_find(q->bitmaps, change->name))
                return err_set(err, ERR_INVALID_ARG, "Bitmap already exists: %s", change->name);
        if (q->bitmaps->len >= QCOW2_MAX_BITMAPS)
                return err_set(err, ERR_OVERFLOW, "Maximum number of persistent bitmaps is already reached");
        made.granularity_bits = (uint8_t)__builtin_ctzll(granularity);
        bytes = qcow2_bitmap_bytes(q->h.size, made.granularity_bits);
        if (bytes > QCOW2_MAX_BITMAP_BYTES)
                return err_set(err, ERR_OVERFLOW,
                               "Too much space will be occupied by the bitmap. Use larger granularity");
        made.bits = mem_try(MAX(bytes, 1ULL));
        if (!made.bits)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the bitmap '%s'", q->file->name,
                               change->name);
        made.name = str_dup(change->name);
        vec_push(q->bitmaps, made);
        return 0;
}

static int merge(Qcow2 *q, Qcow2Bitmap *into, const ImageBitmapContent *from, Error *err)
{
        uint64_t bytes = qcow2_bitmap_bytes(q->h.size, into->granularity_bits);
        uint64_t n = div_up(q->h.size, 1ULL << from->granularity_bits);

        if (from->disk_size != q->h.size)
                return err_set(err, ERR_INVALID_ARG,
                               "Bitmaps are of different sizes (destination %llu bytes, source %llu bytes) and can't "
                               "be merged",
                               (unsigned long long)q->h.size, (unsigned long long)from->disk_size);
        if (from->granularity_bits == into->granularity_bits) {
                for (uint64_t i = 0; i < bytes; i++)
                        into->bits[i] |= from->bits[i];
                return 0;
        }
        for (uint64_t i = 0; i < n; i++) {
                uint64_t start = i << from->granularity_bits;
                uint64_t end = MIN(start + (1ULL << from->granularity_bits), q->h.size);

                if (from->bits[i / 8] == 0)
                        i |= 7; /* none of these eight */
                else if (from->bits[i / 8] >> i % 8 & 1)
                        qcow2_bits_set(into->bits, start >> into->granularity_bits,
                                       ((end - 1) >> into->granularity_bits) + 1);
        }
        return 0;
}

static int change_one(Qcow2 *q, const ImageBitmapChange *change, Error *err)
{
        Qcow2Bitmap *bitmap;

        if (change->act == BITMAP_ADD)
                return add(q, change, err);
        bitmap = find(q->bitmaps, change->name, err);
        if (!bitmap)
                return -1;
        if (change->act == BITMAP_REMOVE) {
                qcow2_bitmap_done(bitmap);
                vec_remove(q->bitmaps, (size_t)(bitmap - q->bitmaps->items));
                return 0;
        }
        if (refuse_broken(bitmap, err) < 0 || qcow2_bitmap_load(q, bitmap, q->h.size, err) < 0)
                return -1;
        bitmap->changed = true;
        switch (change->act) {
        case BITMAP_CLEAR:
                memset(bitmap->bits, 0, qcow2_bitmap_bytes(q->h.size, bitmap->granularity_bits));
                return 0;
        case BITMAP_ENABLE:
                bitmap->flags |= QCOW2_BITMAP_AUTO;
                return 0;
        case BITMAP_DISABLE:
                bitmap->flags &= ~(uint32_t)QCOW2_BITMAP_AUTO;
                return 0;
        default:
                return merge(q, bitmap, change->from, err);
        }
}

int qcow2_bitmap_change(Image *image, const ImageBitmapChange *change, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        int r = qcow2_begin_bitmaps(q, err);

        if (r < 0)
                return -1;
        pthread_mutex_lock(&q->dirtying);
        r = change_one(q, change, err);
        pthread_mutex_unlock(&q->dirtying);
        return r;
}
