/*
 * img/bitmap.c - dirty bitmaps, as far as they are the same for every format
 */
#include "img/bytes.h"
#include "img/driver.h"

bool image_has_bitmaps(const Image *image)
{
        return image->driver->bitmaps && image->about.version >= 3;
}

int image_bitmaps(Image *image, ImageBitmaps *ret, Error *err)
{
        *ret = (ImageBitmaps){ 0 };
        return image->driver->bitmaps ? image->driver->bitmaps(image, ret, err) : 0;
}

void image_bitmaps_done(ImageBitmaps *bitmaps)
{
        for (size_t i = 0; i < bitmaps->len; i++)
                free(bitmaps->items[i].name);
        vec_done(bitmaps);
}

static int check_has_bitmaps(const Image *image, Error *err)
{
        if (image_has_bitmaps(image))
                return 0;
        return image->driver->bitmaps
                       ? err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': Cannot store dirty bitmaps in qcow2 v2 files",
                                 image_name(image))
                       : err_set(err, ERR_OPERATION_UNSUPPORTED,
                                 "'%s': the format %s does not support persistent bitmaps", image_name(image),
                                 image->driver->name);
}

int image_bitmap_load(Image *image, const char *name, ImageBitmapContent *ret, Error *err)
{
        return check_has_bitmaps(image, err) < 0 ? -1 : image->driver->bitmap_load(image, name, ret, err);
}

int image_bitmap_change(Image *image, const ImageBitmapChange *change, Error *err)
{
        if (!image->writable)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' is open for reading only", image_name(image));
        return check_has_bitmaps(image, err) < 0 ? -1 : image->driver->bitmap_change(image, change, err);
}

static int copy_one(Image *from, Image *to, const ImageBitmap *bitmap, Error *err)
{
        ImageBitmapChange change = { .act = BITMAP_ADD, .name = bitmap->name, .granularity = bitmap->granularity };
        ImageBitmapContent content = { 0 };
        int r;

        if (image_bitmap_load(from, bitmap->name, &content, err) < 0)
                return -1;
        r = image_bitmap_change(to, &change, err);
        change.act = BITMAP_MERGE;
        change.from = &content;
        if (r == 0)
                r = image_bitmap_change(to, &change, err);
        change.act = BITMAP_DISABLE;
        if (r == 0 && !bitmap->enabled)
                r = image_bitmap_change(to, &change, err);
        free(content.bits);
        return r;
}

int image_bitmaps_copy(Image *from, Image *to, void (*skipped)(const char *name), Error *err)
{
        ImageBitmaps list;
        int r;

        if (image_bitmaps(from, &list, err) < 0)
                return -1;
        r = list.len ? check_has_bitmaps(to, err) : 0;
        for (size_t i = 0; i < list.len && r == 0; i++) {
                const ImageBitmap *bitmap = &list.items[i];

                if (!bitmap->broken)
                        r = copy_one(from, to, bitmap, err);
                else if (skipped)
                        skipped(bitmap->name);
                else
                        r = err_set(err, ERR_OPERATION_FAILED,
                                    "Cannot copy inconsistent bitmap '%s': use --skip-broken-bitmaps, or remove it "
                                    "with 'bitmap --remove'",
                                    bitmap->name);
        }
        image_bitmaps_done(&list);
        return r;
}
