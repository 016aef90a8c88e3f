#pragma once
/*
 * img/copy.h - copy what a guest sees from one image to another
 *
 * Extents are mapped first; only data is read, by several threads at once, who
 * also look for zeros and compress. The calling thread stores the pieces in
 * guest order, so that the same input always gives the same image.
 */
#include "img/image.h"

typedef struct CopyOptions {
        uint64_t length;  /* bytes to copy; what is over the end of the source is zeros */
        uint64_t from;    /* where in the source to begin */
        uint64_t at;      /* where in the target the source begins */
        unsigned threads; /* 0: as many as the machine has cores, at most 8 */
        size_t sparse;    /* zeros of this many bytes make a hole; 0: none, everything is written */
        bool compress;
        bool target_is_zero; /* zeros need not be written */
        const Image *until;  /* copy what stands above this image of the source's chain; NULL: everything */
        bool below_only;     /* leave out what the source itself holds: only what its backing images show */
        bool look;           /* nobody writes to the source meanwhile: where that costs less it is mapped, not read */
        bool forget;         /* its data goes after this: what was copied leaves the page cache */
        uint64_t rate;       /* bytes a second; 0: no limit */
        /* Called now and then from the calling thread; -1 with the error set stops the copy. */
        int (*progress)(void *arg, uint64_t done, uint64_t total, Error *err);
        void *progress_arg;
        /* What cannot be read is told, from any thread, and copied as zeros; NULL: it stops the copy. */
        void (*salvaged)(const char *name, uint64_t offset, const Error *why);
} CopyOptions;

int image_copy(Image *from, Image *to, const CopyOptions *options, Error *err);
