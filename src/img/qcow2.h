#pragma once
/*
 * img/qcow2.h - an open qcow2 image, as the files of the driver share it
 *
 * What crashes must not break, and how: clusters are counted (refcounts) on
 * disk before anything on disk points at them, and counted down only after
 * nothing on disk points at them any more. qcow2_commit() is the one place
 * that writes changed tables, in that order, with flushes between. At worst a
 * crash leaks clusters. Changes of many tables at once (snapshots, repair) are
 * built beside the old ones and switched with one write of the header's first
 * sector: qcow2-rewrite.c.
 *
 * Locks: `in_use` is held for reading over every request and for writing by
 * whoever lets clusters be used again; `lock` guards tables and counts and is
 * never held over data. Order: in_use, then lock.
 */
#include "base/vec.h"
#include "img/codec.h"
#include "img/driver.h"
#include "img/qcow2-header.h"

#include <pthread.h>

#define QCOW2_COPIED     (1ULL << 63)
#define QCOW2_COMPRESSED (1ULL << 62)
#define QCOW2_ZERO       1ULL
#define QCOW2_OFFSET     0x00fffffffffffe00ULL /* in L1 and L2 entries */

typedef struct Qcow2Table {
        uint64_t *entries; /* as on disk, big-endian; one cluster */
        bool is_new;       /* the L1 table on disk does not point here yet */
        bool dirty, used;
        uint32_t dirty_from, dirty_to; /* entries, in units of 8 bytes */
} Qcow2Table;

typedef struct Qcow2Block {
        uint8_t *counts; /* as on disk; one cluster; NULL: not read yet */
        bool dirty;
} Qcow2Block;

typedef struct Qcow2Run {
        uint64_t first, n; /* clusters of the file */
} Qcow2Run;

typedef struct Qcow2 {
        Image *image;
        ImageFile *file;
        Qcow2Header h;
        uint64_t cluster;
        unsigned cluster_bits;
        unsigned entry_words; /* 8-byte words in an L2 entry: 1, or 2 with subclusters */
        uint64_t per_table;   /* L2 entries in a table */
        uint64_t granule;     /* what one allocation bit stands for: cluster or subcluster */
        unsigned compressed_shift;

        pthread_rwlock_t in_use;
        pthread_mutex_t lock;
        pthread_cond_t landed; /* a write that allocates has linked its clusters */
        VEC(Qcow2Run) landing; /* guest clusters being written to new places */

        uint64_t *l1;        /* host order; l1_room entries */
        Qcow2Table **tables; /* one per L1 entry, NULL: not read */
        size_t tables_held, clock;
        bool l1_dirty, l1_torn; /* torn: writing it failed, so perhaps a part of it is on disk */
        uint32_t l1_dirty_from, l1_dirty_to;

        uint64_t *reftable; /* host order */
        uint32_t reftable_entries;
        uint32_t bad_entries;  /* of that table, when checking: not at the start of a cluster, passed over */
        uint64_t bad_entry_at; /* where the first of them stands */
        Qcow2Block *blocks;    /* one per reftable entry */
        uint64_t blocks_held;
        bool reftable_dirty;
        unsigned block_bits; /* counts in a refcount block, as a power of two */
        uint64_t free_hint;  /* no cluster before this one is free */
        uint64_t file_end;   /* clusters from here on were never written: they read as zeros */
        uint64_t pack_at;    /* where the next compressed cluster may go; 0: in a new cluster */

        VEC(Codec *) idle_codecs; /* owned */
        VEC(Qcow2Run) unlinked;   /* to be counted down once the tables on disk are written */
        bool unsynced;            /* counts or new tables were written and not flushed since */
        bool begun;               /* what a first write must settle in the header is settled */
        bool broken;              /* nobody knows what of the tables is on disk: nothing more is written */
        bool header_unsure;       /* it may name a refcount table that we gave up: written again before any count */
        bool filling;             /* tables are made one after the other, and not come back to */

        struct Qcow2Bitmaps *bitmaps; /* owned; NULL: not asked for yet. Written when the image is closed */
        bool following;               /* those that follow what is written are loaded, and marked on disk */
        pthread_mutex_t dirtying;     /* guards the bits of those that follow what is written */
} Qcow2;

typedef enum Qcow2Kind {
        QCOW2_UNALLOCATED,
        QCOW2_ZEROS,      /* no place */
        QCOW2_ZEROS_HELD, /* with a place */
        QCOW2_NORMAL,
        QCOW2_PACKED,
} Qcow2Kind;

/* A run of guest bytes that is stored in one way. */
typedef struct Qcow2Place {
        Qcow2Kind kind;
        uint64_t length;
        uint64_t host;   /* NORMAL, ZEROS_HELD: offset in the file of the first byte */
        uint64_t packed; /* PACKED: the entry */
        bool ours;       /* counted once: may be written in place */
} Qcow2Place;

static inline Qcow2 *qcow2_of(const Image *image)
{
        return image->state;
}
static inline ImageFile *qcow2_data_file(const Qcow2 *q)
{
        return q->image->data_file ?: q->file;
}

/* qcow2-refcount.c; all with lock held */
int qcow2_refcounts_load(Qcow2 *q, Error *err);
int qcow2_refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *ret, Error *err);
int qcow2_refcount_add(Qcow2 *q, uint64_t cluster, uint64_t n, int64_t delta, Error *err);
/* n clusters one after the other, counted once each. */
int qcow2_alloc(Qcow2 *q, uint64_t n, uint64_t *ret_offset, Error *err);
/* The same, but takes what is free in one piece: at least one. */
int qcow2_alloc_some(Qcow2 *q, uint64_t most, uint64_t *ret_offset, uint64_t *ret_n, Error *err);
/* Room for n bytes of compressed data; the clusters are counted. */
int qcow2_alloc_packed(Qcow2 *q, size_t n, uint64_t *ret_offset, Error *err);
/* Count down later, when nothing on disk points there any more. */
void qcow2_unlink(Qcow2 *q, uint64_t cluster, uint64_t n);
/* qcow2-write.c: the same for what an L2 entry points at. */
void qcow2_entry_unlink(Qcow2 *q, uint64_t entry);
int qcow2_refcounts_write(Qcow2 *q, bool *wrote, Error *err);
/* Count down what was unlinked; in_use is held for writing. */
int qcow2_reap(Qcow2 *q, Error *err);
void qcow2_refcounts_done(Qcow2 *q);
uint64_t qcow2_count_at(const uint8_t *counts, unsigned order, uint64_t i);
void qcow2_count_set(uint8_t *counts, unsigned order, uint64_t i, uint64_t value);

/* qcow2-table.c; all with lock held */
int qcow2_table_get(Qcow2 *q, uint32_t l1_index, Qcow2Table **ret, Error *err); /* *ret NULL: there is none */
/* A table that may be changed: made or copied when needed. */
int qcow2_table_own(Qcow2 *q, uint32_t l1_index, Qcow2Table **ret, Error *err);
/* The table goes; nothing in it points anywhere any more. */
void qcow2_table_forget(Qcow2 *q, uint32_t l1_index);
void qcow2_table_touch(Qcow2Table *table, uint64_t word);
/* Write what changed. When that fails for want of room the next one goes on with it. */
int qcow2_commit(Qcow2 *q, Error *err);
/* Flush what commit wrote; the image is broken when that fails. */
int qcow2_sync(Qcow2 *q, Error *err);
void qcow2_tables_drop(Qcow2 *q);
int qcow2_l1_load(Qcow2 *q, uint64_t offset, uint32_t n, uint64_t **ret, Error *err);
/* The whole L1 table as it is in memory. */
int qcow2_l1_store(Qcow2 *q, Error *err);
int qcow2_header_store(Qcow2 *q, Error *err);

/* qcow2-map.c; lock held */
int qcow2_place(Qcow2 *q, uint64_t offset, uint64_t length, Qcow2Place *ret, Error *err);
/* A cluster's compressed bytes, or 0 when they would not be smaller. room: one cluster. */
size_t qcow2_pack(Qcow2 *q, const void *data, void *packed);
void qcow2_packed_extent(const Qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length);

/* in_use held, without lock */
int qcow2_read_held(Qcow2 *q, uint64_t offset, void *data, size_t n, Error *err);

/* without any */
int qcow2_flush_all(Qcow2 *q, Error *err);
int qcow2_read(Image *image, uint64_t offset, void *data, size_t n, Error *err);
int qcow2_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err);
int qcow2_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err);
int qcow2_write_packed_run(Image *image, uint64_t offset, const void *packed, const uint32_t *lengths, size_t count,
                           Error *err);
int qcow2_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err);
int qcow2_resize(Image *image, uint64_t size, ImagePreallocation room, Error *err);
/* Settle in the header what a first change of the content makes untrue. */
int qcow2_begin_writing(Qcow2 *q, Error *err);
/* The same when only bitmaps are going to change. */
int qcow2_begin_bitmaps(Qcow2 *q, Error *err);
int qcow2_amend(Image *image, const ImageCreate *how, Error *err);
int qcow2_create(ImageFile *file, const ImageCreate *how, Error *err);
/* qcow2-crypt.c */
int qcow2_crypt_open(Qcow2 *q, Error *err);
int qcow2_unlock(Image *image, const ImageSecret *secret, Error *err);
/* A new image, nothing in it yet, becomes encrypted; its header is written. */
int qcow2_crypt_create(Image *image, const LuksOptions *options, Error *err);
/* Guest data at its place in the file. */
int qcow2_data_read(Qcow2 *q, uint64_t host, uint64_t guest, void *data, size_t n, Error *err);
int qcow2_data_write(Qcow2 *q, uint64_t host, uint64_t guest, const void *data, size_t n, Error *err);
/* qcow2-check.c */
int qcow2_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err);
int qcow2_repair_after_crash(Image *image, Error *err);
/* qcow2-snapshot.c */
int qcow2_snapshots_read(Qcow2 *q, ImageSnapshots *ret, Error *err);
/* The bytes the snapshot table takes. */
int qcow2_snapshots_length(Qcow2 *q, uint64_t *ret, Error *err);
int qcow2_snapshot_create(Image *image, const ImageSnapshot *what, Error *err);
int qcow2_snapshot_apply(Image *image, const char *name, Error *err);
int qcow2_snapshot_delete(Image *image, const char *name, Error *err);
int qcow2_snapshot_show(Image *image, const char *name, Error *err);
int qcow2_make_empty(Image *image, Error *err);
/* qcow2-bitmap-keep.c; lock held: which there are; then those that follow what is written are loaded, and marked as in use. */
int qcow2_bitmaps_begin(Qcow2 *q, Error *err);
int qcow2_bitmaps_follow(Qcow2 *q, Error *err);
void qcow2_bitmaps_touch(Qcow2 *q, uint64_t offset, uint64_t length);
/* Before the size changes: what they need is taken; after it: they have the new size, or the old one. */
int qcow2_bitmaps_resize(Qcow2 *q, uint64_t old, uint64_t size, Error *err);
void qcow2_bitmaps_resized(Qcow2 *q, bool done);
/* Without locks, at the end: write them where they changed. */
int qcow2_bitmaps_store(Qcow2 *q, Error *err);
void qcow2_bitmaps_drop(Qcow2 *q);
/* qcow2-bitmap-change.c */
int qcow2_bitmaps_list(Image *image, ImageBitmaps *ret, Error *err);
int qcow2_bitmap_content(Image *image, const char *name, ImageBitmapContent *ret, Error *err);
int qcow2_bitmap_change(Image *image, const ImageBitmapChange *change, Error *err);
