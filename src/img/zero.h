#pragma once
/*
 * img/zero.h - find runs of zeros in memory
 */
#include <stdbool.h>
#include <stddef.h>

bool bytes_are_zero(const void *data, size_t n);
/*
 * The run at the start of data, in steps of `step` bytes: whether it is zeros (a run shorter than `least` counts as
 * data), and its length.
 */
size_t zero_run(const void *data, size_t n, size_t step, size_t least, bool *is_zero);
