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

/* How far, in steps, data begins with zeros. */
static size_t zeros_until(const uint8_t *data, size_t n, size_t step)
{
        size_t at = 0;

        while (at < n && bytes_are_zero(data + at, step < n - at ? step : n - at))
                at += step < n - at ? step : n - at;
        return at;
}

/* From where on it is zeros to its end, not before `least`. */
static size_t zeros_from(const uint8_t *data, size_t n, size_t step, size_t least)
{
        size_t at = n;

        while (at > least) {
                size_t start = (at - 1) / step * step;

                if (!bytes_are_zero(data + start, at - start))
                        break;
                at = start;
        }
        return at;
}

void zero_runs(const void *data, size_t n, size_t step, size_t least, uint32_t *runs)
{
        size_t at = zeros_until(data, n, step), end = zeros_from(data, n, step, at), i = 0;

        if (at)
                runs[i++] = (uint32_t)at | RUN_OF_ZEROS;
        while (at < end) {
                bool zero;
                size_t run = zero_run((const uint8_t *)data + at, end - at, step, least, &zero);

                runs[i++] = (uint32_t)run | (zero ? RUN_OF_ZEROS : 0);
                at += run;
        }
        if (at < n)
                runs[i] = (uint32_t)(n - at) | RUN_OF_ZEROS;
}
