#pragma once
/*
 * qemu/save-image.h - the head of a file that holds a saved guest
 *
 * A file is a head of whole 4 KiB blocks - magic, sizes, the definition as XML -
 * and then the state of the guest as QEMU wrote it. The head carries a check
 * sum and the length of the state, so that a file cut short or not finished is
 * known before anything is touched. All numbers are little-endian.
 *
 * Pure: nothing here does I/O.
 */
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum {
        SAVE_IMAGE_BLOCK = 4096,
        SAVE_IMAGE_FIXED = 64,                  /* bytes in front of the XML */
        SAVE_IMAGE_MOST_XML = 16 * 1024 * 1024, /* a definition is not larger */
};

typedef struct SaveImage {
        uint32_t head_bytes;  /* where the state begins */
        bool paused;          /* the guest is to stay paused when it is restored */
        uint64_t state_bytes; /* length of the state; 0: not finished */
        const char *xml;      /* not ended by a NUL */
        uint32_t xml_bytes;
} SaveImage;

/* Append a whole head; head_bytes is worked out. -1 when the XML is too large. */
int save_image_format(const SaveImage *image, Buf *ret, Error *err);
/* How many bytes the head has whose first SAVE_IMAGE_FIXED bytes are at data; 0 with err: it is none of ours. */
uint32_t save_image_head_bytes(const void *data, size_t n, Error *err);
/* Read a whole head; ret->xml points into data. */
int save_image_parse(const void *data, size_t n, SaveImage *ret, Error *err);
