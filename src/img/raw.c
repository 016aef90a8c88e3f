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
        ret->file = image_file_place(image->file, &ret->offset);
        if (ret->file == image->file)
                ret->file = NULL;
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

/* Take room for what lies between two sizes, as asked for. */
static int raw_reserve(ImageFile *file, uint64_t from, uint64_t to, ImagePreallocation room, Error *err)
{
        if (room == PREALLOCATE_METADATA)
                return err_set(err, ERR_INVALID_ARG, "Unsupported preallocation mode 'metadata'");
        if (room == PREALLOCATE_FALLOC)
                return image_file_reserve(file, from, to - from, err);
        return room == PREALLOCATE_FULL ? image_file_write_zeros(file, from, to - from, err) : 0;
}

static int raw_resize(Image *image, uint64_t size, ImagePreallocation room, Error *err)
{
        uint64_t old = image->size;

        if (image_file_resize(image->file, size, err) < 0)
                return -1;
        return size > old ? raw_reserve(image->file, old, size, room, err) : 0;
}

static int raw_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        if (how->backing_file)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Backing file not supported for file format 'raw'");
        if (image_file_truncate(file, round_up(how->size, 512), err) < 0)
                return -1;
        return raw_reserve(file, 0, how->size, how->preallocation, err);
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
        .create = raw_create,
};
