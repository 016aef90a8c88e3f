#pragma once
/*
 * img/zero.h - find runs of zeros in memory
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool bytes_are_zero(const void *data, size_t n);
/*
 * The run at the start of data, in steps of `step` bytes: whether it is zeros (a run shorter than `least` counts as
 * data), and its length.
 */
size_t zero_run(const void *data, size_t n, size_t step, size_t least, bool *is_zero);

#define RUN_OF_ZEROS (1U << 31)
/*
 * All of data, less than 2 GiB, as runs: bytes of data, or RUN_OF_ZEROS | bytes. Zeros at its beginning and its end are
 * told of however few they are, because with their neighbours they may be enough. runs: room for n / step + 2.
 */
void zero_runs(const void *data, size_t n, size_t step, size_t least, uint32_t *runs);
