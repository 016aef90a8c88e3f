#pragma once
/*
 * base/bitmap.h - a set of small numbers: processors, NUMA cells
 *
 * A plain value; zeroed is empty. Its words have the layout the kernel uses for affinity masks.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { BITMAP_BITS = 4096, BITMAP_WORD = 64 };

typedef struct Bitmap {
        uint64_t words[BITMAP_BITS / BITMAP_WORD];
} Bitmap;

/* "0-3,^2,8": ranges and numbers joined by commas, ^ takes out what came before. Empty text is an error. */
int bitmap_parse(const char *text, Bitmap *ret, Error *err);
char *bitmap_format(const Bitmap *map); /* "0-1,3,8"; "" when empty; owned */
void bitmap_set(Bitmap *map, unsigned bit);
void bitmap_clear(Bitmap *map, unsigned bit);
bool bitmap_has(const Bitmap *map, unsigned bit); /* false beyond the last bit */
unsigned bitmap_count(const Bitmap *map);
int bitmap_next(const Bitmap *map, int after); /* the first one above `after` (-1: the first of all), or -1 */
bool bitmap_is_empty(const Bitmap *map);
bool bitmap_is_subset(const Bitmap *map, const Bitmap *of);
void bitmap_set_first(Bitmap *map, unsigned n); /* exactly 0 .. n-1 */
