#pragma once
/*
 * base/hash.h - FNV-1a, 64 bits: finds accidents, and keeps no secret
 *
 * The figures are of the algorithm's own description.
 */
#include <stddef.h>
#include <stdint.h>

#define HASH_FNV1A_EMPTY UINT64_C(0xcbf29ce484222325)

/* The hash of what has that hash so far, HASH_FNV1A_EMPTY at the beginning, with n bytes more. */
uint64_t hash_fnv1a(uint64_t so_far, const void *data, size_t n);
