/*
 * tests/img/sparse-bytes.c - bytes of which only those take room that were written
 */
#include "sparse-bytes.h"

#include "base/auto.h"
#include "base/mem.h"
#include "img/bytes.h"

#include <stdlib.h>

enum { CHUNK = 16 << 10 };

void sparse_bytes_done(SparseBytes *bytes)
{
        for (size_t i = 0; i < bytes->n_chunks; i++)
                free(bytes->chunks[i]);
        free(bytes->chunks);
        *bytes = (SparseBytes){ 0 };
}

static void make_room(SparseBytes *bytes, uint64_t len)
{
        size_t n = (size_t)div_up(len, CHUNK);

        if (n <= bytes->n_chunks)
                return;
        n = MAX(n, 2 * bytes->n_chunks);
        bytes->chunks = mem_resize(bytes->chunks, n * sizeof(*bytes->chunks));
        memset(bytes->chunks + bytes->n_chunks, 0, (n - bytes->n_chunks) * sizeof(*bytes->chunks));
        bytes->n_chunks = n;
}

/* What there is of a chunk becomes zeros; what is not there, is. */
static void clear(const SparseBytes *bytes, uint64_t at, uint64_t n)
{
        while (n) {
                uint8_t *chunk = bytes->chunks[at / CHUNK];
                size_t step = (size_t)MIN(n, CHUNK - at % CHUNK);

                if (chunk && step == CHUNK)
                        free(TAKE(bytes->chunks[at / CHUNK]));
                else if (chunk)
                        memset(chunk + at % CHUNK, 0, step);
                at += step;
                n -= step;
        }
}

void sparse_bytes_set_length(SparseBytes *bytes, uint64_t len)
{
        if (len < bytes->len)
                clear(bytes, len, bytes->len - len);
        make_room(bytes, len);
        bytes->len = len;
}

void sparse_bytes_put(SparseBytes *bytes, uint64_t at, const void *data, uint64_t n)
{
        if (at + n > bytes->len)
                sparse_bytes_set_length(bytes, at + n);
        if (!data) {
                clear(bytes, at, n);
                return;
        }
        while (n) {
                uint8_t **chunk = &bytes->chunks[at / CHUNK];
                size_t step = (size_t)MIN(n, CHUNK - at % CHUNK);

                if (!*chunk)
                        *chunk = mem_alloc(CHUNK);
                memcpy(*chunk + at % CHUNK, data, step);
                data = (const uint8_t *)data + step;
                at += step;
                n -= step;
        }
}

size_t sparse_bytes_get(const SparseBytes *bytes, uint64_t at, void *data, size_t n)
{
        size_t left = at >= bytes->len ? 0 : (size_t)MIN((uint64_t)n, bytes->len - at), done = left;

        while (left) {
                const uint8_t *chunk = bytes->chunks[at / CHUNK];
                size_t step = MIN(left, (size_t)(CHUNK - at % CHUNK));

                if (chunk)
                        memcpy(data, chunk + at % CHUNK, step);
                else
                        memset(data, 0, step);
                data = (uint8_t *)data + step;
                at += step;
                left -= step;
        }
        return done;
}

void sparse_bytes_copy(SparseBytes *to, const SparseBytes *from)
{
        sparse_bytes_done(to);
        sparse_bytes_set_length(to, from->len);
        /* There may be more, of zeros, behind the end of one that was longer. */
        for (size_t i = 0; i < MIN(from->n_chunks, to->n_chunks); i++)
                if (from->chunks[i])
                        to->chunks[i] = mem_dup(from->chunks[i], CHUNK);
}
