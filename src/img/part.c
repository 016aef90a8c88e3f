/*
 * img/part.c - a part of a file, as a file
 */
#include "img/part.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

#include <errno.h>

enum { SECTOR = 512 };

typedef struct PartFile {
        ImageFile file;
        ImagePart part;
} PartFile;

static PartFile *part_file(const ImageFile *file)
{
        return container_of(file, PartFile, file);
}

static int whole_size(ImageFile *file, uint64_t *ret, Error *err)
{
        if (image_file_size(file, ret, err) < 0)
                return -1;
        *ret = round_up(*ret, SECTOR);
        return 0;
}

static int part_size(ImageFile *file, uint64_t *ret, Error *err)
{
        const ImagePart *part = &part_file(file)->part;
        uint64_t whole;

        if (part->has_size) {
                *ret = part->size;
                return 0;
        }
        if (whole_size(file->part_of, &whole, err) < 0)
                return -1;
        *ret = whole - MIN(whole, part->offset);
        return 0;
}

/* [offset, offset + length) is inside, as far as that is limited. */
static int check_room(const ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        const ImagePart *part = &part_file(file)->part;

        if (!part->has_size || (offset <= part->size && length <= part->size - offset))
                return 0;
        return err_errno(err, ENOSPC, "%llu bytes at offset %llu reach over the end of '%s'",
                         (unsigned long long)length, (unsigned long long)offset, file->name);
}

static int part_read(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        ImageFile *of = file->part_of;
        uint64_t size;

        if (part_size(file, &size, err) < 0)
                return -1;
        n = offset < size ? (size_t)MIN((uint64_t)n, size - offset) : 0;
        if (image_file_read_padded(of, file->part_at + offset, data, n, err) < 0)
                return -1;
        *done = n;
        return 0;
}

static int part_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        if (check_room(file, offset, n, err) < 0)
                return -1;
        return image_file_write(file->part_of, file->part_at + offset, data, n, err);
}

/* Whether flushes reach the disk is said of the part. */
static int part_flush(ImageFile *file, Error *err)
{
        return file->part_of->ops->flush(file->part_of, err);
}

static int part_truncate(ImageFile *file, uint64_t size, Error *err)
{
        if (part_file(file)->part.has_size)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Cannot resize fixed-size raw disks");
        if (size > INT64_MAX - file->part_at)
                return err_set(err, ERR_OVERFLOW, "Disk size too large for the chosen offset");
        return image_file_truncate(file->part_of, file->part_at + size, err);
}

static int part_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        if (check_room(file, offset, length, err) < 0)
                return -1;
        return image_file_zero(file->part_of, file->part_at + offset, length, keep, err);
}

static int part_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        if (check_room(file, offset, length, err) < 0)
                return -1;
        return image_file_reserve(file->part_of, file->part_at + offset, length, err);
}

static int part_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        uint64_t size, inside, at = file->part_at + offset;

        if (part_size(file, &size, err) < 0 || image_file_size(file->part_of, &inside, err) < 0)
                return -1;
        if (offset >= size)
                return err_set(err, ERR_INTERNAL, "offset %llu is behind the end of '%s'", (unsigned long long)offset,
                               file->name);
        /* The rest of the last sector. */
        *kind = FILE_EXTENT_HOLE;
        *length = size - offset;
        if (at < inside && image_file_extent(file->part_of, at, kind, length, err) < 0)
                return -1;
        *length = MIN(*length, size - offset);
        return 0;
}

static void part_close(ImageFile *file)
{
        image_file_close(file->part_of);
        free(part_file(file));
}

static const ImageFileOps part_ops = {
        .read = part_read,
        .write = part_write,
        .flush = part_flush,
        .truncate = part_truncate,
        .zero = part_zero,
        .reserve = part_reserve,
        .extent = part_extent,
        .size = part_size,
        .close = part_close,
};

ImageFile *image_part_open(ImageFile *file, const ImagePart *part, Error *err)
{
        uint64_t whole;
        PartFile *ret;

        if (whole_size(file, &whole, err) < 0)
                return NULL;
        if (part->offset > whole) {
                err_set(err, ERR_INVALID_ARG,
                        "Offset (%llu) cannot be greater than size of the containing file (%llu)",
                        (unsigned long long)part->offset, (unsigned long long)whole);
                return NULL;
        }
        if (part->has_size && part->size > whole - part->offset) {
                err_set(err, ERR_INVALID_ARG,
                        "The sum of offset (%llu) and size (%llu) has to be smaller or equal to the actual size of "
                        "the containing file (%llu)",
                        (unsigned long long)part->offset, (unsigned long long)part->size, (unsigned long long)whole);
                return NULL;
        }
        if (part->has_size && part->size % SECTOR) {
                err_set(err, ERR_INVALID_ARG, "Specified size is not multiple of %d", SECTOR);
                return NULL;
        }
        ret = mem_new(PartFile);
        *ret = (PartFile){ .part = *part };
        ret->file = (ImageFile){ .ops = &part_ops,
                                 .name = str_dup(file->name),
                                 .align = file->align,
                                 .writable = file->writable,
                                 .skip_flush = file->skip_flush,
                                 .part_of = file,
                                 .part_at = part->offset };
        return &ret->file;
}
