/*
 * base/hash.c - FNV-1a, 64 bits
 */
#include "base/hash.h"

uint64_t hash_fnv1a(uint64_t so_far, const void *data, size_t n)
{
        const uint8_t *bytes = data;

        for (size_t i = 0; i < n; i++)
                so_far = (so_far ^ bytes[i]) * UINT64_C(0x100000001b3);
        return so_far;
}
