#pragma once
/*
 * img/qcow2-bitmap.h - the directory of dirty bitmaps
 */
#include "img/qcow2.h"

enum {
        QCOW2_BITMAP_IN_USE = 1 << 0, /* not to be trusted */
        QCOW2_BITMAP_AUTO = 1 << 1,   /* follows what is written */
        QCOW2_MAX_BITMAP_TABLE = 0x8000000,
};

typedef struct Qcow2Bitmap {
        char *name; /* owned */
        uint64_t table_offset;
        uint32_t table_size; /* entries */
        uint32_t flags;
        uint8_t granularity_bits;
        uint64_t entry_offset; /* of the directory entry in the file */
} Qcow2Bitmap;

typedef struct Qcow2Bitmaps {
        Qcow2Bitmap *items;
        size_t len, room;
} Qcow2Bitmaps;

int qcow2_bitmaps_read(Qcow2 *q, Qcow2Bitmaps *ret, Error *err);
void qcow2_bitmaps_done(Qcow2Bitmaps *bitmaps);
