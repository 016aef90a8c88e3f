/*
 * img/raw.c - the disk's bytes, one after the other
 *
 * Holes of the file are zeros nobody needs to read. A raw image is as long as
 * the disk; nothing in it means anything to us.
 */
#include "img/driver.h"

#include "img/bytes.h"

static int raw_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        return image_file_size(file, &ret->virtual_size, err);
}

static int raw_open(Image *image, Error *err)
{
        (void)image, (void)err;
        return 0;
}

static int raw_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        FileExtentKind kind;
        uint64_t run;

        if (image_file_extent(image->file, offset, &kind, &run, err) < 0)
                return -1;
        *ret = (ImageExtent){ .start = offset, .length = MIN(run, length), .present = true, .has_offset = true };
        ret->offset = offset;
        ret->data = kind == FILE_EXTENT_DATA;
        ret->zero = !ret->data;
        return 0;
}

static int raw_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        return image_file_read_padded(image->file, offset, data, n, err);
}

static int raw_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        return image_file_write(image->file, offset, data, n, err);
}

static int raw_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        return image_file_zero(image->file, offset, length, !(flags & (IMAGE_ZERO_UNMAP | IMAGE_ZERO_DROP)), err);
}

static int raw_flush(Image *image, Error *err)
{
        return image_file_flush(image->file, err);
}

static int raw_resize(Image *image, uint64_t size, bool reserve, Error *err)
{
        if (image_file_truncate(image->file, size, err) < 0)
                return -1;
        if (reserve && size > image->size)
                return image_file_reserve(image->file, image->size, size - image->size, err);
        return 0;
}

const ImageDriver image_driver_raw = {
        .name = "raw",
        .describe = raw_describe,
        .open = raw_open,
        .map = raw_map,
        .read = raw_read,
        .write = raw_write,
        .zero = raw_zero,
        .flush = raw_flush,
        .resize = raw_resize,
};
