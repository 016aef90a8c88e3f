#pragma once
/*
 * img/qcow2-bitmap.h - the directory of dirty bitmaps
 */
#include "img/qcow2.h"

enum {
        QCOW2_BITMAP_IN_USE = 1 << 0, /* not to be trusted */
        QCOW2_BITMAP_AUTO = 1 << 1,   /* follows what is written */
        QCOW2_MAX_BITMAP_TABLE = 0x8000000,
        QCOW2_MAX_BITMAP_BYTES = 0x20000000,
        QCOW2_BITMAP_ENTRY_SIZE = 24, /* without the name */
};

typedef struct Qcow2Bitmap {
        char *name; /* owned */
        uint64_t table_offset;
        uint32_t table_size; /* entries */
        uint32_t flags;
        uint8_t granularity_bits;
        uint64_t entry_offset; /* of the directory entry in the file */
        uint8_t *bits;         /* owned; NULL: as the table on disk says */
        uint8_t *resized;      /* owned; what takes the place of bits when the disk has its new size */
        bool changed;          /* the table on disk is out of date */
        uint64_t *old_table;   /* owned; the entries of the table on disk when that was read */
} Qcow2Bitmap;

typedef struct Qcow2Bitmaps {
        Qcow2Bitmap *items;
        size_t len, room;
} Qcow2Bitmaps;

int qcow2_bitmaps_read(Qcow2 *q, Qcow2Bitmaps *ret, Error *err);
void qcow2_bitmaps_done(Qcow2Bitmaps *bitmaps);
void qcow2_bitmap_done(Qcow2Bitmap *bitmap);
Qcow2Bitmap *qcow2_bitmap_find(Qcow2Bitmaps *bitmaps, const char *name);

/* Bytes of bits for a disk of this size. */
static inline uint64_t qcow2_bitmap_bytes(uint64_t disk_size, unsigned granularity_bits)
{
        uint64_t bits = (disk_size + (1ULL << granularity_bits) - 1) >> granularity_bits;

        return (bits + 7) / 8;
}
/* Read the bits into memory, for a disk of this size. */
int qcow2_bitmap_load(Qcow2 *q, Qcow2Bitmap *bitmap, uint64_t disk_size, Error *err);
void qcow2_bits_set(uint8_t *bits, uint64_t from, uint64_t to);
