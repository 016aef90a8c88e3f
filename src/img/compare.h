#pragma once
/*
 * img/compare.h - do two images show the same
 */
#include "img/image.h"

typedef struct Comparison {
        bool same;
        uint64_t differs_at; /* the first byte that differs */
} Comparison;

typedef int (*ImageProgress)(void *arg, uint64_t done, uint64_t total, Error *err);

/* Compares [0, length); behind the end of an image stand zeros. Reads with several threads. */
int image_compare(Image *a, Image *b, uint64_t length, ImageProgress progress, void *arg, Comparison *ret,
                  Error *err);
