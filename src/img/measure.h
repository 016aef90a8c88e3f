#pragma once
/*
 * img/measure.h - how much room an image will take
 */
#include "img/image.h"

typedef struct Measurement {
        uint64_t required;        /* with the data there is */
        uint64_t fully_allocated; /* with every cluster in use */
        bool has_bitmaps;         /* the source can hold some */
        uint64_t bitmaps;         /* room for those it has */
} Measurement;

/* from: the image to be converted; NULL: an empty one of how->size. */
int image_measure(Image *from, ImageFormat format, const ImageCreate *how, Measurement *ret, Error *err);
