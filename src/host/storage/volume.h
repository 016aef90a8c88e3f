#pragma once
/*
 * host/storage/volume.h - making volumes, and changing what is in them
 *
 * Blocking, and for drover-storage only. A new file has no name before it is
 * whole: whatever happens before, nothing of it is left. Where the file system
 * cannot do that it has a name that the pool's next start cleans away.
 */
#include "host/storage/backend.h"
#include "img/luks.h"

typedef struct VolumeMake {
        const PoolDef *pool;
        const VolumeDef *wanted;
        const VolumeDef *from; /* copy what a guest sees of this one, or NULL */
        /* The device that a backend made room on; NULL: a file in the pool's directory. */
        const StorageRoom *room;
        bool metadata;             /* preallocate the tables of the image */
        bool reflink;              /* share the blocks with `from`, or fail */
        bool as_is;                /* an encrypted `from` is copied with its header: what opens it opens the copy */
        ImageSecret key, from_key; /* data NULL: none. They open the new one and `from` */
        /* So far, of so much; -1 with the error stops it. May be NULL. */
        int (*progress)(void *arg, uint64_t done, uint64_t total, Error *err);
        void *progress_arg;
} VolumeMake;

/* A file in a directory pool, or the content of the room that a backend made. */
int volume_make(const VolumeMake *make, Error *err);
/* Whether volume_make() has anything to put into a room: a copy, an encrypted volume. */
bool volume_has_content(const VolumeMake *make);
/* flags: VIR_STORAGE_VOL_RESIZE_ALLOCATE, _SHRINK. */
int volume_resize(const VolumeDef *volume, uint64_t capacity, bool allocate, bool shrink, Error *err);

typedef enum WipeAlgorithm { /* VIR_STORAGE_VOL_WIPE_ALG_* */
                             WIPE_ZERO,
                             WIPE_NNSA,
                             WIPE_DOD,
                             WIPE_BSI,
                             WIPE_GUTMANN,
                             WIPE_SCHNEIER,
                             WIPE_PFITZNER7,
                             WIPE_PFITZNER33,
                             WIPE_RANDOM,
                             WIPE_TRIM,
                             N_WIPES,
} WipeAlgorithm;
/* Overwrite all of it, each pass synced before the next. */
int volume_wipe(const char *path, WipeAlgorithm algorithm, Error *err);

/*
 * The content as a guest's file system or partition has it, in pieces: a head of 9 bytes (kind, big-endian length)
 * and, for data, as many bytes. A piece of length 0 ends the stream. length 0: to the end. sparse: holes are told.
 */
enum { VOLUME_PIECE_HEAD = 9, VOLUME_PIECE_MOST = 256 * 1024, VOLUME_PIECE_DATA = 'd', VOLUME_PIECE_HOLE = 'h' };
int volume_send(const char *path, uint64_t offset, uint64_t length, bool sparse, int to, Error *err);
/*
 * From pieces into the volume. The stream's end must come as a piece, else it fails. A file that was not written whole is
 * then to be given back (undo.h); a device, or what a link leads to, holds what came.
 */
int volume_receive(const char *path, uint64_t offset, uint64_t length, int from, Error *err);
