#pragma once
/*
 * tests/img/sparse-bytes.h - bytes of which only those take room that were written
 *
 * Images are mostly holes, megabytes of them; tests and fuzz targets make and throw away thousands of them a second.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct SparseBytes {
        uint64_t len;
        uint8_t **chunks; /* owned, each too; NULL: zeros */
        size_t n_chunks;
} SparseBytes;

void sparse_bytes_done(SparseBytes *bytes);
/* What is cut off is zeros when it comes back. */
void sparse_bytes_set_length(SparseBytes *bytes, uint64_t len);
/* n bytes at `at`, of data or (NULL) zeros; it grows with them. */
void sparse_bytes_put(SparseBytes *bytes, uint64_t at, const void *data, uint64_t n);
/* Returns how many of the n there are. */
size_t sparse_bytes_get(const SparseBytes *bytes, uint64_t at, void *data, size_t n);
/* to: zeroed, or what is to be thrown away. */
void sparse_bytes_copy(SparseBytes *to, const SparseBytes *from);
