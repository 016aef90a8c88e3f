/*
 * host/storage/known.c - files of a directory that are as they were told last
 */
#include "host/storage/known.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>

/* Not in every linux/magic.h. */
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42
#define FUSE_MAGIC 0x65735546
#define CEPH_MAGIC 0x00c36400

enum { SETTLED_SECONDS = 2 };

typedef struct KnownFile {
        dev_t dev;
        ino_t inode;
        off_t size;
        blkcnt_t blocks;
        struct timespec changed, written;
        unsigned seen;
        char name[];
} KnownFile;

struct StorageKnown {
        Map *files;
        unsigned round;
};

StorageKnown *storage_known_new(void)
{
        StorageKnown *known = mem_new(StorageKnown);

        known->files = map_new();
        return known;
}

/* Those that were not seen in this round; all of them when it is 0. */
static void drop_others(StorageKnown *known, unsigned round)
{
        VEC(KnownFile *) gone = { 0 };
        size_t at = 0;

        for (KnownFile *file; (file = map_next(known->files, &at));) {
                if (!round || file->seen != round)
                        vec_push(&gone, file);
        }
        for (size_t i = 0; i < gone.len; i++) {
                map_remove_text(known->files, gone.items[i]->name);
                free(gone.items[i]);
        }
        vec_done(&gone);
}

StorageKnown *storage_known_free(StorageKnown *known)
{
        if (!known)
                return NULL;
        drop_others(known, 0);
        map_free(known->files);
        free(known);
        return NULL;
}

bool storage_known_begin(StorageKnown *known, const char *dir)
{
        struct statfs fs;

        known->round++;
        if (statfs(dir, &fs) < 0)
                return false;
        switch ((unsigned)fs.f_type) {
        case NFS_SUPER_MAGIC:
        case CIFS_MAGIC:
        case SMB2_MAGIC:
        case SMB_SUPER_MAGIC:
        case FUSE_MAGIC:
        case CEPH_MAGIC:
        case V9FS_MAGIC:
        case AFS_FS_MAGIC:
                return false;
        }
        return true;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
        return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool storage_known_same(StorageKnown *known, const char *name, const struct stat *st)
{
        KnownFile *file = map_find_text(known->files, name);

        if (!file || file->dev != st->st_dev || file->inode != st->st_ino || file->size != st->st_size ||
            file->blocks != st->st_blocks || !same_time(&file->changed, &st->st_ctim) ||
            !same_time(&file->written, &st->st_mtim))
                return false;
        file->seen = known->round;
        return true;
}

void storage_known_note(StorageKnown *known, const char *name, const struct stat *st)
{
        size_t n = strlen(name) + 1;
        KnownFile *file;
        struct timespec now;

        if (!S_ISREG(st->st_mode) || clock_gettime(CLOCK_REALTIME, &now) < 0 ||
            st->st_ctim.tv_sec > now.tv_sec - SETTLED_SECONDS)
                return;
        file = mem_alloc(sizeof(*file) + n);
        *file = (KnownFile){ .dev = st->st_dev,
                             .inode = st->st_ino,
                             .size = st->st_size,
                             .blocks = st->st_blocks,
                             .changed = st->st_ctim,
                             .written = st->st_mtim,
                             .seen = known->round };
        memcpy(file->name, name, n);
        free(map_put_text(known->files, name, file));
}

void storage_known_end(StorageKnown *known)
{
        drop_others(known, known->round);
}
