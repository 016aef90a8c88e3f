#pragma once
/*
 * daemon/pool.h - storage pools and their volumes, as droverd knows them
 *
 * What is answered about names, paths and keys comes from memory, which each
 * running pool's drover-storage process keeps current (pool-serve.h). A server
 * that hangs holds up that process, and only calls that must ask it.
 */
#include "base/fd.h"
#include "base/map.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "daemon/driver.h"
#include "model/storage.h"

typedef struct DefStore DefStore;
typedef struct FileQueue FileQueue;
typedef struct Pool Pool;
typedef struct PoolServe PoolServe;
typedef struct Registry Registry;
typedef struct Storage Storage;
typedef struct StorageTask StorageTask;

/* What several volumes of a pool may have in common. */
typedef enum VolumeAlias { ALIAS_KEY, ALIAS_PATH, N_ALIASES } VolumeAlias;

typedef struct Volume {
        VolumeDef *def;
        size_t place;                   /* in the pool's vector */
        unsigned seen;                  /* in which scan it was found last */
        struct Volume *next[N_ALIASES]; /* another one with its key, its path; NULL: none more */
} Volume;

struct Pool {
        unsigned refs;
        Storage *storage;
        Uuid uuid;
        char *name;
        PoolDef *config;                          /* what the next start uses; NULL while transient */
        PoolDef *live;                            /* what runs; NULL while inactive */
        bool autostart, listed;                   /* listed: in the registry */
        bool is_first;                            /* this daemon made it, for a host that had none */
        bool changing;                            /* it starts or stops */
        bool going;                               /* it is being undefined */
        unsigned tasks;                           /* that change volumes; it stays as it is meanwhile */
        uint64_t capacity, allocation, available; /* bytes */
        uint64_t device, inode;                   /* of its directory, when it was started last; 0: not known */
        VEC(Volume *) volumes;
        Map *by_name, *by_key, *by_path; /* of its volumes */
        Map *busy;                       /* names of volumes that are being made, changed or copied */
        unsigned scans;
        bool scanning;
        PoolServe *serve;      /* while it is active */
        uint64_t unwatched_ms; /* when its process ended by itself last, by the loop's clock; 0: never */
};

struct Storage {
        Driver *driver;
        Registry *pools;
        FileQueue *files; /* the driver's; NULL: nothing is kept on disk */
        DefStore *store;
        char *status_dir; /* definitions of those that run */
        char *program;    /* drover-storage; NULL: pools are made up */
        VEC(StorageTask *) tasks;
        bool ending; /* the daemon ends: pools stay as they are, and nothing is written */
};

/* --- storage.c --- */

/* Of the driver that runs guests on this machine: definitions are loaded, and what ran is taken up. */
int storage_load(Driver *driver, FileQueue *files, Error *err);
/* Pools without anything behind them, with one called default-pool. */
int storage_load_imaginary(Driver *driver, Error *err);
/* Pools stay as they are. Returns NULL. */
Storage *storage_free(Storage *storage);
/*
 * Those marked so, once after boot, or else the one that this daemon made, which no boot could start yet. done(arg) comes
 * when all of them run, or failed to.
 */
void storage_autostart(Storage *storage, bool after_boot, void (*done)(void *arg), void *arg);

/* --- pool.c --- */

Pool *pool_new(Storage *storage, const char *name, const Uuid *uuid); /* in the registry */
Pool *pool_ref(Pool *pool);
Pool *pool_unref(Pool *pool); /* returns NULL */
static inline bool pool_is_active(const Pool *pool)
{
        return pool->live && !pool->changing;
}
/* The definition in force: the live one, else the configured one. Borrowed. */
const PoolDef *pool_def(const Pool *pool);
int pool_must_be_active(const Pool *pool, Error *err);
int pool_must_be_inactive(const Pool *pool, Error *err);
/* Nothing is under way that changes its volumes. */
int pool_must_be_idle(const Pool *pool, Error *err);
/* It leaves the registry; references stay good. */
void pool_drop(Pool *pool);
/* Its XML, as clients see it: the configured one or the live one with its figures. */
void pool_format(const Pool *pool, bool inactive, Buf *ret);

/* What the definition means: a pool there is, or none (*ret NULL). Names, UUIDs and sources that clash are refused. */
int storage_find_defined(Storage *storage, const PoolDef *def, Pool **ret, Error *err);
/* Parse, check its name, give it a UUID. */
PoolDef *storage_parse_pool(Storage *storage, const char *xml, bool validate, Error *err);

/* Asynchronous: done(arg, failure) comes once. flags: of `pool build`. The caller emits no events: these do. */
void pool_start(Pool *pool, DriverDone *done, void *arg);
void pool_stop(Pool *pool, DriverDone *done, void *arg);
void pool_refresh(Pool *pool, DriverDone *done, void *arg);
/* Of one that runs already: a process watches it. When it turns out not to run, it is inactive, or gone if transient. */
void pool_watch(Pool *pool);
/* The process of an active pool ended by itself: another takes its place, or the pool is inactive. */
void pool_watch_again(Pool *pool, const Error *why);

/* A memory file with what its <auth> logs in with; *ret -1: it has none. Not found is an error. */
int pool_open_login(const Pool *pool, Fd *ret, Error *err);
/* A file of its own below the run directory, for drover-storage: the host's programs that it runs hold a lock on it. */
int pool_open_lock(const Pool *pool, Fd *ret, Error *err);

/* VIR_STORAGE_POOL_EVENT_*. */
void pool_tell(const Pool *pool, int event);
void pool_tell_refreshed(const Pool *pool);

/* --- pool-volumes.c: memory only --- */

Volume *pool_find_volume(const Pool *pool, const char *name); /* NULL: none */
/* Takes def. A volume of that name gets the new definition. */
Volume *pool_put_volume(Pool *pool, VolumeDef *def);
void pool_see_volume(Pool *pool, const char *name);  /* the scan found it as it is known; none is fine */
void pool_drop_volume(Pool *pool, const char *name); /* none is fine */
void pool_drop_volumes(Pool *pool);
void pool_begin_scan(Pool *pool);
void pool_end_scan(Pool *pool); /* volumes that it did not find are gone */
/* The running pool that holds it, by key or path. */
Volume *storage_find_volume(const Storage *storage, const char *key, const char *path, Pool **ret);

/* --- volume-disk.c --- */

/* Find the paths of a definition's disks that name volumes: source.path, which their XML does not show. */
int volume_disks_resolve(const Storage *storage, DomainDef *def, Error *err);
/* The same for a guest that runs already, whose pools may not be gone through yet, or may have stopped. */
void volume_disks_recall(const Storage *storage, DomainDef *def);

/* --- storage-task.c: one act of drover-storage --- */

typedef struct TaskSpec {
        const char *words[8];           /* the verb and its arguments; ends with NULL */
        const VolumeDef *volume, *from; /* NULL: none */
        int in, out;                    /* descriptors for standard input and output; 0: none */
        int key, from_key;              /* descriptors that hold what opens the volumes; 0: none */
        unsigned patience_ms; /* after which it is killed, and has failed with ERR_OPERATION_TIMEOUT; 0: never */
} TaskSpec;
/* done(arg, failure) once. The pool counts it as a task meanwhile. It frees itself. NULL: it did not begin. */
StorageTask *storage_task(Pool *pool, const TaskSpec *spec, DriverDone *done, void *arg, Error *err);
StorageTask *storage_task_free(StorageTask *task); /* kills it; done() does not come. Returns NULL */
void storage_task_abort(StorageTask *task);        /* kills it, and done() says so */
/* Of the copy that is to be the volume of this name: bytes, both 0 until the first are there. False: none is made. */
bool storage_copy_progress(const Pool *pool, const char *name, uint64_t *done, uint64_t *total);

DEFINE_AUTO(Pool, pool_unref)
