#pragma once
/*
 * nbd/export.h - an image as clients see it
 *
 * Requests of all connections end here, from any thread. The answer of each is
 * a number of protocol.h, 0 when it was done: clients get no more than that,
 * the sentence goes to `failed`.
 */
#include "img/image.h"
#include "nbd/protocol.h"
#include "nbd/ranges.h"

typedef struct NbdBitmap {
        char *context; /* "qemu:dirty-bitmap:NAME"; owned */
        ImageBitmapContent content;
} NbdBitmap;

/* Metadata contexts have these ids; those of bitmaps follow. */
enum { NBD_CONTEXT_ALLOCATION, NBD_CONTEXT_DEPTH, NBD_CONTEXT_BITMAPS, NBD_MOST_BITMAPS = 32 };

typedef struct NbdExport {
        Image *image;                   /* the caller's */
        const char *name, *description; /* the caller's; description may be NULL */
        uint64_t offset, size;          /* the part of the image that is exported */
        bool read_only, multi_conn;
        bool ignore_trim;                 /* holes are not made */
        bool detect_zeroes, unmap_zeroes; /* zeros that are written as data become zeros; and holes */
        bool show_depth;                  /* qemu:allocation-depth */
        void (*failed)(const Error *why); /* the image could not do it; NULL: nobody wants to know */

        /* from nbd_export_start() on */
        bool fast_zero;
        uint16_t flags;
        uint32_t preferred_block;
        VEC(NbdBitmap) bitmaps; /* owned */
        Ranges ranges;
} NbdExport;

/* What it can do is found out; size 0: to the end of the image. */
int nbd_export_start(NbdExport *export, Error *err);
/* Show a dirty bitmap of the image, as it is now. */
int nbd_export_add_bitmap(NbdExport *export, const char *name, Error *err);
void nbd_export_done(NbdExport *export);

/* The range is inside the export. */
int nbd_export_read(NbdExport *export, uint64_t offset, void *data, size_t n);
int nbd_export_write(NbdExport *export, uint64_t offset, const void *data, size_t n, bool fua);
int nbd_export_zero(NbdExport *export, uint64_t offset, uint64_t length, unsigned flags);
int nbd_export_trim(NbdExport *export, uint64_t offset, uint64_t length, bool fua);
int nbd_export_cache(NbdExport *export, uint64_t offset, uint64_t length);
int nbd_export_flush(NbdExport *export);
/* How far the bytes from offset on, at most n, are zeros that nobody needs to read, or are not. */
int nbd_export_run(NbdExport *export, uint64_t offset, size_t n, bool *zero, size_t *run);

/* status.c */
typedef struct NbdExtent {
        uint32_t length, flags;
} NbdExtent;
typedef VEC(NbdExtent) NbdExtents;
/* The name of a context, NULL: there is none of this number. */
const char *nbd_context_name(const NbdExport *export, unsigned id);
/* At most `most` extents from offset on, together at most length. */
int nbd_export_status(NbdExport *export, unsigned context, uint64_t offset, uint64_t length, size_t most,
                      NbdExtents *ret);
/* The answer to a request that failed so. */
int nbd_export_failed(const NbdExport *export, const Error *why);
