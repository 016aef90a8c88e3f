#pragma once
/*
 * base/units.h - sizes with a unit, as domain XML and command lines write them (DOM-01)
 */
#include "base/err.h"

#include <stdint.h>

/*
 * value with unit in bytes. unit NULL or "" means default_factor bytes. Units: b, bytes, KB, k, KiB,
 * MB, M, MiB, ... EB, E, EiB, any case (CON-65). Fails on an unknown unit and on overflow of limit.
 */
int units_to_bytes(uint64_t value, const char *unit, uint64_t default_factor, uint64_t limit, uint64_t *ret,
                   Error *err);
/* Bytes in KiB, rounded up (DOM-02). */
uint64_t units_bytes_to_kib(uint64_t bytes);
