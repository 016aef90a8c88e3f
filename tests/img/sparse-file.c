/*
 * tests/img/sparse-file.c - an ImageFile in memory that holds only what was written
 */
#include "sparse-file.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

#include <errno.h>

enum { CHUNK = 16 << 10 };

typedef struct SparseFile {
        ImageFile file;
        uint64_t size, largest;
        uint8_t **chunks; /* owned, each too; NULL: zeros. As many as the largest size needs */
        size_t n_chunks;
} SparseFile;

static SparseFile *sparse_file(ImageFile *file)
{
        return container_of(file, SparseFile, file);
}

static int check_room(const SparseFile *s, uint64_t offset, uint64_t length, Error *err)
{
        if (offset <= s->largest && length <= s->largest - offset)
                return 0;
        return err_errno(err, ENOSPC, "cannot change %llu bytes at offset %llu", (unsigned long long)length,
                         (unsigned long long)offset);
}

static int sparse_read(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        SparseFile *s = sparse_file(file);
        size_t left = offset >= s->size ? 0 : (size_t)MIN((uint64_t)n, s->size - offset);

        (void)err;
        *done = left;
        while (left) {
                const uint8_t *chunk = s->chunks[offset / CHUNK];
                size_t step = MIN(left, (size_t)(CHUNK - offset % CHUNK));

                if (chunk)
                        memcpy(data, chunk + offset % CHUNK, step);
                else
                        memset(data, 0, step);
                data = (uint8_t *)data + step;
                offset += step;
                left -= step;
        }
        return 0;
}

/* data NULL: zeros. */
static void put(SparseFile *s, uint64_t offset, const uint8_t *data, uint64_t n)
{
        while (n) {
                uint8_t **chunk = &s->chunks[offset / CHUNK];
                size_t step = (size_t)MIN(n, CHUNK - offset % CHUNK);

                if (!*chunk && data)
                        *chunk = mem_alloc(CHUNK);
                if (data)
                        memcpy(*chunk + offset % CHUNK, data, step);
                else if (*chunk)
                        memset(*chunk + offset % CHUNK, 0, step);
                data = data ? data + step : NULL;
                offset += step;
                n -= step;
        }
}

static int sparse_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        SparseFile *s = sparse_file(file);

        if (check_room(s, offset, n, err) < 0)
                return -1;
        put(s, offset, data, n);
        s->size = MAX(s->size, offset + n);
        return 0;
}

static int sparse_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        SparseFile *s = sparse_file(file);

        (void)keep;
        if (check_room(s, offset, length, err) < 0)
                return -1;
        put(s, offset, NULL, length);
        s->size = MAX(s->size, offset + length);
        return 0;
}

static int sparse_truncate(ImageFile *file, uint64_t size, Error *err)
{
        SparseFile *s = sparse_file(file);

        if (check_room(s, 0, size, err) < 0)
                return -1;
        if (size < s->size)
                put(s, size, NULL, s->size - size);
        s->size = size;
        return 0;
}

static int sparse_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        SparseFile *s = sparse_file(file);

        if (check_room(s, offset, length, err) < 0)
                return -1;
        s->size = MAX(s->size, offset + length);
        return 0;
}

static int sparse_flush(ImageFile *file, Error *err)
{
        (void)file;
        (void)err;
        return 0;
}

static int sparse_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        (void)err;
        *kind = FILE_EXTENT_DATA;
        *length = sparse_file(file)->size - offset;
        return 0;
}

static int sparse_size(ImageFile *file, uint64_t *ret, Error *err)
{
        (void)err;
        *ret = sparse_file(file)->size;
        return 0;
}

static void sparse_close(ImageFile *file)
{
        SparseFile *s = sparse_file(file);

        for (size_t i = 0; i < s->n_chunks; i++)
                free(s->chunks[i]);
        free(s->chunks);
        free(s);
}

static const ImageFileOps sparse_ops = {
        .read = sparse_read,
        .write = sparse_write,
        .flush = sparse_flush,
        .truncate = sparse_truncate,
        .zero = sparse_zero,
        .reserve = sparse_reserve,
        .extent = sparse_extent,
        .size = sparse_size,
        .close = sparse_close,
};

ImageFile *sparse_file_new(uint64_t size, uint64_t largest)
{
        SparseFile *s = mem_new(SparseFile);

        s->file = (ImageFile){ .ops = &sparse_ops, .name = str_dup("image"), .align = 1, .writable = true };
        s->size = size;
        s->largest = largest;
        s->n_chunks = (size_t)(largest / CHUNK + 1);
        s->chunks = mem_new_array(uint8_t *, s->n_chunks);
        return &s->file;
}
