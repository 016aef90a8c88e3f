/*
 * host/storage/part-file.c - a part of a device, as a file of its own
 *
 * What goes into a partition that is not in the table yet is written through
 * this: to the place where the partition is going to be, and nowhere else.
 */
#include "host/storage/part-file.h"

#include "base/mem.h"
#include "base/str.h"

typedef struct PartFile {
        ImageFile file;
        ImageFile *below;
        uint64_t offset, bytes;
} PartFile;

static PartFile *part(ImageFile *file)
{
        return container_of(file, PartFile, file);
}

static int check(const PartFile *p, uint64_t offset, uint64_t n, Error *err)
{
        if (offset <= p->bytes && n <= p->bytes - offset)
                return 0;
        return err_set(err, ERR_OPERATION_FAILED, "%llu bytes at %llu are outside of the %llu bytes of '%s'",
                       (unsigned long long)n, (unsigned long long)offset, (unsigned long long)p->bytes, p->file.name);
}

static int read_part(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        const PartFile *p = part(file);

        *done = offset < p->bytes ? (size_t)MIN((uint64_t)n, p->bytes - offset) : 0;
        return *done ? image_file_read_padded(p->below, p->offset + offset, data, *done, err) : 0;
}

static int write_part(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        const PartFile *p = part(file);

        return check(p, offset, n, err) < 0 ? -1 : image_file_write(p->below, p->offset + offset, data, n, err);
}

static int flush_part(ImageFile *file, Error *err)
{
        return image_file_flush(part(file)->below, err);
}

/* It is as large as it is: what fits needs no change. */
static int truncate_part(ImageFile *file, uint64_t size, Error *err)
{
        return check(part(file), size, 0, err);
}

static int zero_part(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        const PartFile *p = part(file);

        return check(p, offset, length, err) < 0 ? -1
                                                 : image_file_zero(p->below, p->offset + offset, length, keep, err);
}

static int reserve_part(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        return check(part(file), offset, length, err);
}

static int extent_of_part(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        const PartFile *p = part(file);

        if (check(p, offset, 0, err) < 0 || image_file_extent(p->below, p->offset + offset, kind, length, err) < 0)
                return -1;
        *length = MIN(*length, p->bytes - offset);
        return 0;
}

static int size_of_part(ImageFile *file, uint64_t *ret, Error *err UNUSED)
{
        *ret = part(file)->bytes;
        return 0;
}

static void close_part(ImageFile *file)
{
        image_file_close(part(file)->below);
        free(part(file)); /* its name is gone already */
}

ImageFile *part_file_new(ImageFile *file, uint64_t offset, uint64_t bytes)
{
        static const ImageFileOps ops = { read_part,    write_part,     flush_part,   truncate_part, zero_part,
                                          reserve_part, extent_of_part, size_of_part, close_part };
        PartFile *p = mem_new(PartFile);

        *p = (PartFile){ .file = { .ops = &ops,
                                   .name = str_dup(file->name),
                                   .align = file->align,
                                   .writable = file->writable },
                         .below = file,
                         .offset = offset,
                         .bytes = bytes };
        return &p->file;
}
