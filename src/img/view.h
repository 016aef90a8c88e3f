#pragma once
/*
 * img/view.h - a part of an image as it stands in the page cache, without copying it
 */
#include "img/image.h"

enum { SYSCALL_CACHESTAT = 451 }; /* on every architecture; the C library has no name for it yet */

typedef struct ImageView {
        const uint8_t *data; /* NULL: there is none */
        void *base;
        size_t length;
        int fd; /* the file's, not owned */
        uint64_t at;
} ImageView;

/*
 * Where nothing but bytes of a file of this host stand there, unencrypted. False: read it. Nobody may write to the image
 * through this process until the view has ended. The pages are there when this returns; should the file be cut short by somebody else after that,
 * looking at them raises SIGBUS. Ends with image_view_done(), which takes an empty one too.
 */
bool image_view(Image *image, uint64_t offset, size_t n, ImageView *ret);
void image_view_done(ImageView *view);
/* The same where nobody will want these bytes again: what is on the disk of them leaves the memory, by a hint only. */
void image_view_forget(ImageView *view);
