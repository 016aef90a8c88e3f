#pragma once
/*
 * img/block-map.h - images that are a table of blocks
 *
 * Most formats are one: a table says where each block of the disk stands in
 * the file. The driver fills the table when it opens, from bounded and checked
 * entries; mapping and reading are the same for all.
 */
#include "img/codec.h"
#include "img/driver.h"

#include <pthread.h>

enum {
        BLOCK_ABSENT = 0,     /* the backing image shows, or zeros */
        BLOCK_ZERO = 1,       /* zeros */
        BLOCK_MOST = 8 << 20, /* blocks in a table */
};
#define BLOCK_PACKED (1ULL << 63) /* compressed: length << 40 | offset, found with block_map_pack() */

typedef struct BlockMap {
        uint64_t block_size;
        uint64_t n;
        uint64_t *at;   /* offset in the file, or one of the above */
        size_t skip;    /* bytes of a wrapper before the deflate data of a packed block */
        Codec **codecs; /* idle ones */
        size_t n_codecs;
        pthread_mutex_t lock;
} BlockMap;

/* A table with every block absent becomes the image's state. */
BlockMap *block_map_new(Image *image, uint64_t block_size, Error *err);
/* Read n table entries of `width` bytes. Owned. */
uint8_t *block_map_read_table(Image *image, uint64_t offset, uint64_t n, unsigned width, Error *err);
/* Entry i stands at offset; an error when it cannot. */
int block_map_set(Image *image, uint64_t i, uint64_t offset, uint64_t entry_at, Error *err);
int block_map_set_packed(Image *image, uint64_t i, uint64_t offset, uint64_t length, Error *err);

int block_map_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err);
int block_map_read(Image *image, uint64_t offset, void *data, size_t n, Error *err);
int block_map_close(Image *image, Error *err);
