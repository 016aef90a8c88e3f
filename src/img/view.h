#pragma once
/*
 * img/view.h - a part of an image as it stands in the page cache, without copying it
 */
#include "img/image.h"

enum { SYSCALL_CACHESTAT = 451 }; /* on every architecture; the C library has no name for it yet */

/* Bytes of a file of this host. */
typedef struct ImagePlace {
        int fd;              /* the file's, not owned */
        uint64_t at, length; /* 0: nowhere */
} ImagePlace;

typedef struct ImageView {
        const uint8_t *data; /* NULL: there is none */
        void *base;
        size_t length;
} ImageView;

/*
 * Whether looking costs less than reading: that is another matter with each kernel, file system and machine, by a factor of two
 * either way. So both are tried, and the cheaper one is gone on with. Begins as zeros but for `warm_up`.
 */
typedef struct ViewTrial {
        unsigned warm_up; /* what is read first and does not count, as its buffers are new */
        unsigned taken;
        uint64_t cost[2]; /* the least seen of reading and looking, ns a MiB; 0: none yet */
} ViewTrial;

/* Where n bytes of a chain stand, where nothing but a file of this host has them, unencrypted and together. */
bool image_place(Image *image, uint64_t offset, size_t n, ImagePlace *ret);

/*
 * Of what has an image_place(). False: read it. Nobody may write to the image
 * through this process until the view has ended. The pages are there when this returns; should the file be cut short by somebody else after that,
 * looking at them raises SIGBUS. Ends with image_view_done(), which takes an empty one too.
 */
bool image_view(Image *image, uint64_t offset, size_t n, ImageView *ret);
void image_view_done(ImageView *view);
/* Nobody will want these bytes again: what is on the disk of them leaves the memory, by a hint only. */
void image_place_forget(const ImagePlace *place);

/* Whether to look at the next piece, rather than to read it. Not thread-safe, nor is the other. */
bool view_trial_next(ViewTrial *trial);
/* A piece of n bytes cost so much processor time. */
void view_trial_tell(ViewTrial *trial, bool looked, uint64_t n, uint64_t cost_ns);
/* Processor time of this thread. */
uint64_t view_clock_ns(void);
