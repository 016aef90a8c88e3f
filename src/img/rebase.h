#pragma once
/*
 * img/rebase.h - put an image on another backing file, or into the one it has
 */
#include "img/compare.h"

/*
 * Store in the image what its backing image (zeros when there is none) shows and `onto` (NULL: none) would not, so that
 * what the guest sees stays the same. The header is not changed.
 */
int image_rebase(Image *image, Image *onto, ImageProgress progress, void *arg, Error *err);
/* Store what stands in the image above `base` of its chain in `to`, the base opened for writing. rate: bytes/s; 0: any. */
int image_commit(Image *image, const Image *base, Image *to, uint64_t rate, ImageProgress progress, void *arg,
                 Error *err);
