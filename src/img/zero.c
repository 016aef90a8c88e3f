/*
 * img/zero.c - find runs of zeros in memory
 */
#include "img/zero.h"

#include <stdint.h>
#include <string.h>

typedef uint64_t Lane __attribute__((vector_size(32), aligned(1), may_alias));

bool bytes_are_zero(const void *data, size_t n)
{
        const uint8_t *p = data;
        size_t at = 0;

        /* Data mostly shows itself in the first bytes. */
        if (n >= 16 && (p[0] | p[n / 2] | p[n - 1]))
                return false;
        for (; at + 128 <= n; at += 128) {
                const Lane *lane = (const Lane *)(p + at);
                Lane any = lane[0] | lane[1] | lane[2] | lane[3];

                if (any[0] | any[1] | any[2] | any[3])
                        return false;
        }
        for (; at < n; at++)
                if (p[at])
                        return false;
        return true;
}

size_t zero_run(const void *data, size_t n, size_t step, size_t least, bool *is_zero)
{
        const uint8_t *p = data;
        size_t at = 0, zeros = 0; /* zeros: length of the run of zeros that ends at `at` */

        while (at < n) {
                size_t piece = n - at < step ? n - at : step;
                bool zero = bytes_are_zero(p + at, piece);

                if (zero && zeros == at) { /* nothing but zeros so far */
                        zeros = at += piece;
                        continue;
                }
                if (!zero && at && zeros == at && zeros >= least)
                        break;
                zeros = zero ? zeros + piece : 0;
                at += piece;
                if (zeros >= least && zeros < at) { /* data, then enough zeros */
                        *is_zero = false;
                        return at - zeros;
                }
        }
        *is_zero = zeros == at && at && (zeros >= least || at == n);
        return at;
}
