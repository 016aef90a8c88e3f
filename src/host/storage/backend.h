#pragma once
/*
 * host/storage/backend.h - a kind of pool, as what it does to this machine
 *
 * Everything here may block for as long as a device or a server likes, and
 * reads bytes from strangers: it runs in drover-storage, never in droverd.
 * A backend is one file that ends with its StorageBackend. What it starts are
 * the host's own programs, through storage_run(), so that tests can put a
 * transcript in their place.
 */
#include "base/buf.h"
#include "base/fd.h"
#include "model/storage.h"

typedef struct StorageFigures {
        uint64_t capacity, allocation, available; /* bytes */
} StorageFigures;

/* Where a scan puts what it finds; def stays the scan's. */
typedef void StorageFound(void *arg, const VolumeDef *def);

enum {
        BUILD_OVERWRITE = 1 << 0,    /* whatever is on the device */
        BUILD_NO_OVERWRITE = 1 << 1, /* only when nothing is on it */
};

typedef struct StorageBackend {
        /* Each may be NULL: there is nothing to do. */
        int (*build)(const PoolDef *pool, unsigned flags, Error *err);
        int (*unbuild)(const PoolDef *pool, Error *err); /* what pool-delete asks for */
        int (*is_started)(const PoolDef *pool, bool *ret, Error *err);
        int (*start)(const PoolDef *pool, Error *err);
        int (*stop)(const PoolDef *pool, Error *err);

        int (*scan)(const PoolDef *pool, StorageFound *found, void *arg, Error *err);
        int (*figures)(const PoolDef *pool, StorageFigures *ret, Error *err);
        /* One volume again; NULL: the pool is scanned. *ret NULL: there is none of that name. */
        int (*look)(const PoolDef *pool, const char *name, VolumeDef **ret, Error *err);

        /* Room for a volume whose content comes later; NULL: volumes are not made here. */
        int (*create)(const PoolDef *pool, const VolumeDef *wanted, Error *err);
        int (*remove)(const PoolDef *pool, const char *name, Error *err);
        int (*resize)(const PoolDef *pool, const char *name, uint64_t bytes, Error *err);
        /* Sources that could be pools: <sources> is written by the caller; NULL: it cannot be told. */
        int (*find_sources)(const PoolSourceDef *spec, Buf *ret, Error *err);
} StorageBackend;

extern const StorageBackend storage_dir, storage_fs, storage_netfs;

/* NULL with the error set: this build has none for it. */
const StorageBackend *storage_backend_of(PoolType type, Error *err);

/*
 * Run a program of the host and wait for it; out (may be NULL) gets what it says, at most 16 MiB. A failure is an
 * error that holds its first line on standard error.
 */
int storage_run(const char *const *argv, Buf *out, Error *err);
/* For tests: answers in place of the programs. NULL: the programs again. */
typedef int StorageRunner(void *arg, const char *const *argv, Buf *out, Error *err);
void storage_set_runner(StorageRunner *runner, void *arg);

#define STORAGE_RUN(out, err, ...) storage_run((const char *const[]){ __VA_ARGS__, NULL }, (out), (err))

/* --- files of a directory --- */

/* What stands under this name of the directory; *ret NULL: no volume. Format and size are told by its header. */
int storage_look_at_file(const char *dir, const char *name, VolumeDef **ret, Error *err);
/* The same for a device node or a link to one. key NULL: its path. */
int storage_look_at_device(const char *path, const char *name, const char *key, VolumeDef **ret, Error *err);
/* Names that volumes have while they are made; left over ones are removed when a pool starts. */
bool storage_is_unfinished(const char *name);
int storage_remove_unfinished(const char *dir, Error *err);
/* An error that says which directory of the path keeps the user out, when that is why. Always -1. */
int storage_fail(Error *err, int errnum, const char *path, const char *fmt, ...) PRINTF(4, 5) COLD;
