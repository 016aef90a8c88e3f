#pragma once
/*
 * img/view.h - a part of an image as it stands in the page cache, without copying it
 */
#include "img/image.h"

typedef struct ImageView {
        const uint8_t *data; /* NULL: there is none */
        void *base;
        size_t length;
} ImageView;

/*
 * Where nothing but bytes of a file of this host stand there, unencrypted, in an image that is open for reading only.
 * False: read it. The pages are there when this returns; should the file be cut short by somebody else after that,
 * looking at them raises SIGBUS. Ends with image_view_done(), which takes an empty one too.
 */
bool image_view(Image *image, uint64_t offset, size_t n, ImageView *ret);
void image_view_done(ImageView *view);
