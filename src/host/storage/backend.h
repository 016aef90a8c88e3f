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
#include "host/storage/known.h"
#include "model/storage.h"

typedef struct StorageFigures {
        uint64_t capacity, allocation, available; /* bytes */
} StorageFigures;

/* Where a scan puts what it finds; def stays the scan's. */
typedef void StorageFound(void *arg, const VolumeDef *def);
/* ... and the names of those that are as they were told before. */
typedef void StorageSame(void *arg, const char *name);

enum {
        BUILD_OVERWRITE = 1 << 0,    /* whatever is on the device */
        BUILD_NO_OVERWRITE = 1 << 1, /* only when nothing is on it */
};

/* Where the content of a new volume goes before it is one. */
typedef struct StorageRoom {
        Fd lock;         /* held until it is a volume; -1: none */
        char *path;      /* of the device; owned. NULL: content cannot be put in from here */
        uint64_t offset; /* bytes on it */
        uint64_t bytes;
        void *kept; /* the backend's; owned, a block of its own */
} StorageRoom;

typedef struct StorageBackend {
        /* Each may be NULL: there is nothing to do. */
        int (*build)(const PoolDef *pool, unsigned flags, Error *err);
        int (*unbuild)(const PoolDef *pool, Error *err); /* what pool-delete asks for */
        int (*is_started)(const PoolDef *pool, bool *ret, Error *err);
        int (*start)(const PoolDef *pool, Error *err);
        int (*stop)(const PoolDef *pool, Error *err);
        /* Remove what never became a volume: called when nobody makes one, as the pool starts or is taken up. */
        int (*tidy)(const PoolDef *pool, Error *err);

        int (*scan)(const PoolDef *pool, StorageFound *found, void *arg, Error *err);
        /* The same, with what is known already passed over; NULL: that cannot be told here. */
        int (*rescan)(const PoolDef *pool, StorageKnown *known, StorageFound *found, StorageSame *same, void *arg,
                      Error *err);
        int (*figures)(const PoolDef *pool, StorageFigures *ret, Error *err);
        /* One volume again; NULL: the pool is scanned. *ret NULL: there is none of that name. */
        int (*look)(const PoolDef *pool, const char *name, VolumeDef **ret, Error *err);

        /*
         * Room for a volume whose content comes later; NULL: volumes are not made here. Until finish() it is no
         * volume; remove_room() takes the room back, NULL: nothing has to be. finish NULL: create did all.
         */
        bool any_format; /* what the format of a volume means here is for create to say */
        int (*create)(const PoolDef *pool, const VolumeDef *wanted, StorageRoom *room, Error *err);
        int (*finish)(const PoolDef *pool, const VolumeDef *wanted, const StorageRoom *room, Error *err);
        int (*remove_room)(const PoolDef *pool, const char *name, Error *err);
        int (*remove)(const PoolDef *pool, const char *name, Error *err);
        /* Snapshots that keep it from being removed; NULL: they go with it. */
        int (*remove_snapshots)(const PoolDef *pool, const char *name, Error *err);
        /* NULL: volumes of directories know how, others stay as large as they are. */
        int (*resize)(const PoolDef *pool, const VolumeDef *volume, uint64_t bytes, Error *err);
        /* Sources that could be pools, for those that can be told; spec: where to look, may be NULL. */
        int (*find_sources)(const PoolSourceDef *spec, PoolSourcesDef *ret, Error *err);
} StorageBackend;

extern const StorageBackend storage_dir, storage_fs, storage_netfs, storage_vstorage, storage_logical, storage_disk,
        storage_iscsi, storage_iscsi_direct, storage_scsi, storage_mpath, storage_rbd, storage_gluster, storage_zfs;

/* NULL with the error set: this build has none for it. */
const StorageBackend *storage_backend_of(PoolType type, Error *err);
void storage_room_done(StorageRoom *room);
DEFINE_AUTO_VALUE(StorageRoom, storage_room_done)

/*
 * Run a program of the host and wait for it; out (may be NULL) gets what it says, at most 16 MiB: more is an error. A
 * failure is an error that holds what it complained of on standard error.
 */
int storage_run(const char *const *argv, Buf *out, Error *err);
/* The same for programs whose status is an answer: only one that cannot be run, or ends otherwise, is an error. */
int storage_ask(const char *const *argv, Buf *out, int *status, Error *err);
/* For tests: answers in place of the programs. NULL: the programs again. */
typedef int StorageRunner(void *arg, const char *const *argv, Buf *out, int *status, Error *err);
void storage_set_runner(StorageRunner *runner, void *arg);

#define STORAGE_RUN(out, err, ...) storage_run((const char *const[]){ __VA_ARGS__, NULL }, (out), (err))
#define STORAGE_ASK(out, status, err, ...)                                                                           \
        storage_ask((const char *const[]){ __VA_ARGS__, NULL }, (out), (status), (err))

/*
 * A program that changes a table is not killed with the daemon, as the table might be half written; nor is one that mounts.
 * It goes on alone. With a file that belongs to the pool marked, a lock on that is held until it ends, and who looks at the
 * pool next waits for it (STO-19). A descriptor that is not open: nothing is marked, nobody is waited for. What is run after
 * the mark is gone, with its descriptor, holds up nobody.
 */
void storage_mark_tools(int fd);
void storage_await_tools(void);
/*
 * The same, but not for ever: those who mount are killed then, which is done or not whoever kills it. An error: something
 * is left that does not end.
 */
int storage_end_tools(const PoolDef *pool, unsigned patience_s, Error *err);
void storage_unmark_tools(void);

/*
 * What the pool's <auth> logs in with; one process has one pool, and is told before anything is done with it. Copied. A
 * program whose words name STORAGE_KEY_FILE reads it there, in base64.
 */
#define STORAGE_KEY_FILE "/dev/stdin"
int storage_set_password(const void *data, size_t n, Error *err);
/* As text. NULL with the error set: there is none. */
const char *storage_password(Error *err);

/*
 * A table that a program wrote. The next line of *text is cut in place at the separator into at most `most` fields,
 * without the blanks around them; what is left over stays in the last. Lines that hold nothing are passed over. 0: no
 * more lines.
 */
size_t storage_next_row(char **text, char separator, char **fields, size_t most);

/* --- devices --- */

/* An error when blkid finds something on it, or cannot tell: it says to overwrite. */
int storage_check_blank(const char *device, Error *err);
/* The kind of file system, table or member that blkid sees; *ret NULL: none. Owned. */
int storage_find_content(const char *device, char **ret, Error *err);
/*
 * The name below the pool's target that leads to this node and will do so after the next boot; a target of /dev is
 * content with the node itself. Owned; NULL: there is none.
 */
char *storage_stable_path(const PoolDef *pool, const char *node);
/* Wait until udev has made the names of what the kernel has told so far. */
void storage_settle(void);
/* A device as a volume, without a byte of it read but what tells an encrypted one. key NULL: its path. */
int storage_look_at_device(const char *path, const char *name, const char *key, VolumeDef **ret, Error *err);
/* An empty definition of a volume with its name, path and key (NULL: the path). */
VolumeDef *storage_new_volume(const char *path, const char *name, const char *key);
/* Owner, mode and times of what stands at its path, when something does; and whether it is encrypted. */
void storage_describe_node(VolumeDef *def);

/* --- files of a directory --- */

/* Files that cannot be read are passed over. */
int storage_scan_directory(const char *dir, StorageFound *found, void *arg, Error *err);
int storage_rescan_directory(const char *dir, StorageKnown *known, StorageFound *found, StorageSame *same, void *arg,
                             Error *err);
int storage_directory_figures(const char *dir, StorageFigures *ret, Error *err);
int storage_remove_file(const char *dir, const char *name, Error *err); /* one that is gone is fine */

/* A file to which nothing was ever written, from what is known of it already; NULL: it must be opened. */
VolumeDef *storage_look_at_stat(const char *dir, const char *name, const struct stat *st);
/* What stands under this name of the directory; *ret NULL: no volume. Format and size are told by its header. */
int storage_look_at_file(const char *dir, const char *name, VolumeDef **ret, Error *err);
/* Names of what volumes are while they are made, what an upload overwrites, what NFS still holds: none is a volume. */
bool storage_is_unfinished(const char *name);
/* The former; left over ones are removed when a pool starts. */
int storage_remove_unfinished(const char *dir, Error *err);
/* An error that says what of the path keeps the user out, and by which rule, when that is why. Always -1. */
int storage_fail(Error *err, int errnum, const char *path, const char *fmt, ...) PRINTF(4, 5) COLD;
