#pragma once
/*
 * img/block-map.h - images that are a table of blocks
 *
 * Most formats are one: a table says where each block of the disk stands in
 * the file. The driver says how a part of the table is read and written;
 * mapping, reading, writing, checking and the order in which things reach the
 * disk are the same for all.
 *
 * Parts of the table are read when they are first asked for, so that opening
 * costs nothing whatever the header claims. New blocks go behind the last one.
 * Their entries stay in memory until block_map_flush() has made the blocks
 * durable, so a crash loses entries, never shows a block that is not there.
 */
#include "base/vec.h"
#include "img/codec.h"
#include "img/driver.h"

#include <pthread.h>

enum {
        BLOCK_ABSENT = 0, /* the backing image shows, or zeros */
        BLOCK_ZERO = 1,   /* zeros */
};
#define BLOCK_PACKED (1ULL << 63) /* compressed: made by block_map_packed() */

typedef struct BlockRange {
        uint64_t start, end; /* bytes in the file */
        uint64_t block;      /* whose data it is; UINT64_MAX: a table's */
} BlockRange;
typedef VEC(BlockRange) BlockRanges;

typedef struct BlockMapOps {
        /* Fill the entries of one part of the table; all are BLOCK_ABSENT before. 1: they all still are. */
        int (*load)(Image *image, uint64_t part, uint64_t *entries, Error *err);
        /* The rest is for formats that are written; NULL where there is nothing to do. */
        /* Before the first change. */
        int (*begin)(Image *image, Error *err);
        /* Where the data of a new block shall stand. NULL: behind all others, aligned. */
        int (*place)(Image *image, uint64_t *ret, Error *err);
        /* That place was not needed after all; there when place is. */
        void (*unplace)(Image *image, uint64_t at);
        /* What must stand in the file before new entries do; it is flushed after this. */
        int (*prepare)(Image *image, const uint64_t *blocks, size_t n, Error *err);
        /* Write the entries of blocks [first, first + n), which are in one part. */
        int (*store)(Image *image, uint64_t first, uint64_t n, const uint64_t *entries, Error *err);
        /* For entries that do not say how long a packed block is: skip what stands before it. */
        int (*packed_length)(Image *image, uint64_t *offset, uint64_t *length, Error *err);
        /* What the file holds besides blocks. */
        int (*tables)(Image *image, BlockRanges *ret, Error *err);
} BlockMapOps;

typedef struct BlockMap {
        const BlockMapOps *ops;
        uint64_t block_size;
        uint64_t n;        /* blocks */
        uint64_t per_part; /* blocks whose entries are read at once */
        uint64_t **parts;  /* NULL: not read yet */
        uint64_t *nothing; /* stands for parts without any block */
        size_t skip;       /* bytes of a wrapper before the deflate data of a packed block */
        Codec **codecs;    /* idle ones */
        size_t n_codecs;
        pthread_mutex_t lock, codec_lock;
        void *more; /* the driver's own, freed with the map */
        /* writing */
        uint64_t end;          /* behind everything in the file */
        uint64_t align;        /* of new blocks */
        const uint8_t *before; /* what a new block's data is preceded by; stays the driver's */
        size_t before_length;
        bool begun, broken;
        bool stores_zeros;     /* an entry can say BLOCK_ZERO */
        bool no_backing;       /* the format knows no backing images: what has no block is zeros */
        bool loose_start;      /* room between the tables and the first block is nobody's loss */
        VEC(uint64_t) pending; /* blocks whose entries are not in the file yet */
} BlockMap;

/* A map with nothing read becomes the image's state. more: taken, also on failure. */
BlockMap *block_map_new(Image *image, const BlockMapOps *ops, uint64_t block_size, uint64_t per_part, void *more,
                        Error *err);
static inline BlockMap *block_map_of(const Image *image)
{
        return image->state;
}
/* A table in the file: n entries of `width` bytes. Owned. What is behind the end of the file reads as zeros. */
uint8_t *block_map_read_table(Image *image, uint64_t offset, uint64_t n, unsigned width, Error *err);
/* How many entries of part `part` the disk has. */
uint64_t block_map_part_length(const BlockMap *map, uint64_t part);
/* Entry value for a block at offset; entry_at: where it was read, for the error. */
int block_map_placed(Image *image, uint64_t offset, uint64_t entry_at, uint64_t *ret, Error *err);
/* length 0: ops->packed_length() says it. */
int block_map_packed(Image *image, uint64_t offset, uint64_t length, uint64_t entry_at, uint64_t *ret, Error *err);
bool block_is_placed(uint64_t entry);
bool block_is_packed(uint64_t entry);
uint64_t block_packed_offset(uint64_t entry);
uint64_t block_packed_length(uint64_t entry);

int block_map_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err);
int block_map_read(Image *image, uint64_t offset, void *data, size_t n, Error *err);
int block_map_close(Image *image, Error *err);

/* The map takes changes from now on: new blocks stand at multiples of align, behind `end`. */
void block_map_writable(BlockMap *map, uint64_t end, uint64_t align);
int block_map_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err);
int block_map_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err);
int block_map_write_packed(Image *image, uint64_t offset, const void *packed, size_t n, Error *err);
int block_map_flush(Image *image, Error *err);
int block_map_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err);

/* For the other files of block-map only. The lock is held. */
int block_map_part(Image *image, uint64_t part, uint64_t **ret, Error *err);
int block_map_entry(Image *image, uint64_t block, uint64_t *ret, Error *err);
int block_map_set(Image *image, uint64_t block, uint64_t entry, Error *err);
int block_map_commit(Image *image, Error *err);
int block_map_new_place(Image *image, uint64_t *ret, Error *err);
int block_map_unpack(Image *image, uint64_t entry, void *whole, Error *err);
Codec *block_map_borrow_codec(BlockMap *map);
void block_map_return_codec(BlockMap *map, Codec *codec);
