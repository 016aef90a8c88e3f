/*
 * host/storage/gluster.c - pools that are a directory of a GlusterFS volume
 *
 * Guests reach its images over the network. To see them, this process mounts the
 * volume where nobody else does: in a mount namespace of its own, which goes
 * with it.
 */
#include "host/storage/gluster.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *seen_at; /* where the volume is; NULL: not mounted yet */

void gluster_set_dir(const char *dir)
{
        seen_at = dir;
}

/* The directory in the volume, beginning and ending with a slash. */
static char *dir_of(const PoolDef *pool)
{
        const char *dir = pool->source->dir ?: "/";
        size_t n = strlen(dir);

        return str_format("%s%s%s", dir[0] == '/' ? "" : "/", dir, n && dir[n - 1] == '/' ? "" : "/");
}

#define ROOM "/tmp"

/*
 * The program that serves the mount lives in the same namespace, and each would keep the other for ever. Somebody who
 * waits for our end, whatever ends us, takes the mount away then; one that is only being made finds no place any more.
 */
static int leave_somebody_to_unmount(Error *err)
{
        int ends[2];
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        pid = fork();
        if (pid == 0) {
                dup2(ends[0], STDIN_FILENO);
                close_range(STDERR_FILENO + 1, ~0U, 0);
                close(STDOUT_FILENO);
                close(STDERR_FILENO);
                while (read(STDIN_FILENO, &(char){ 0 }, 1) < 0 && errno == EINTR)
                        ;
                umount2(ROOM "/volume", MNT_FORCE | MNT_DETACH);
                umount2(ROOM, MNT_DETACH);
                _exit(0);
        }
        close(ends[0]);
        return pid < 0 ? err_errno(err, errno, "cannot start a process")
                       : 0; /* the other end is closed when we end */
}

static int mount_volume(const PoolDef *pool, Error *err)
{
        static const char here[] = ROOM "/volume";
        const char *host = pool->source->hosts[0]->name;
        AUTOFREE char *what = str_format(strchr(host, ':') ? "[%s]:/%s" : "%s:/%s", host, pool->source->name);

        if (seen_at)
                return 0;
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", ROOM, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") < 0 || mkdir(here, 0700) < 0)
                return err_errno(err, errno, "cannot make a place to mount '%s'", what);
        if (leave_somebody_to_unmount(err) < 0 || STORAGE_RUN(NULL, err, "mount", "-t", "glusterfs", what, here) < 0)
                return -1;
        seen_at = here;
        return 0;
}

static char *real_dir(const PoolDef *pool)
{
        AUTOFREE char *dir = dir_of(pool);

        return str_format("%s%s", seen_at, dir);
}

/* The definition of a file that was looked at where it is mounted, as what it is. */
static void rename_volume(const PoolDef *pool, VolumeDef *def)
{
        const PoolHostDef *host = pool->source->hosts[0];
        AUTOFREE char *dir = dir_of(pool);
        Arena *arena = def->head.arena;

        def->target.path = arena_format(arena, "%s%s%s", pool->source->name, dir, def->name);
        def->key = arena_format(arena, "gluster://%s/%s", host->name, def->target.path);
        def->type = def->type == VOLUME_TYPE_DIR ? VOLUME_TYPE_NETDIR : VOLUME_TYPE_NETWORK;
}

static int look(const PoolDef *pool, const char *name, VolumeDef **ret, Error *err)
{
        AUTOFREE char *dir = NULL;

        if (mount_volume(pool, err) < 0)
                return -1;
        dir = real_dir(pool);
        if (storage_look_at_file(dir, name, ret, err) < 0)
                return -1;
        if (*ret)
                rename_volume(pool, *ret);
        return 0;
}

typedef struct Scan {
        const PoolDef *pool;
        StorageFound *found;
        void *arg;
} Scan;

static void add_file(void *arg, const VolumeDef *def)
{
        const Scan *scan = arg;
        AUTO(VolumeDef) *copy = volume_def_copy(def);

        rename_volume(scan->pool, copy);
        scan->found(scan->arg, copy);
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        Scan scan = { pool, found, arg };
        AUTOFREE char *dir = NULL;

        if (mount_volume(pool, err) < 0)
                return -1;
        dir = real_dir(pool);
        return storage_scan_directory(dir, add_file, &scan, err);
}

static int figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        return mount_volume(pool, err) < 0 ? -1 : storage_directory_figures(seen_at, ret, err);
}

static int is_there(const PoolDef *pool, bool *ret, Error *err)
{
        *ret = true;
        return mount_volume(pool, err);
}

static int remove_file(const PoolDef *pool, const char *name, Error *err)
{
        AUTOFREE char *dir = NULL;

        if (mount_volume(pool, err) < 0)
                return -1;
        dir = real_dir(pool);
        return storage_remove_file(dir, name, err);
}

/* A directory of the volume for each that the server has; the format is that of a netfs pool, for those. */
static int find_volumes(const PoolSourceDef *spec, PoolSourcesDef *ret, Error *err)
{
        AUTOFREE char *remote = NULL;
        AUTO(Buf) said = { 0 };
        char *text, *line;

        if (!spec || !spec->n_hosts)
                return err_set(err, ERR_INVALID_ARG,
                               "where to look is not said: <source><host name='...'/></source>");
        remote = str_format("--remote-host=%s", spec->hosts[0]->name);
        if (STORAGE_RUN(&said, err, "gluster", "--mode=script", remote, "volume", "list") < 0)
                return -1;
        for (text = said.data; text && storage_next_row(&text, '\0', &line, 1);) {
                PoolSourceDef *source = pool_sources_add(ret);

                pool_source_add_host(ret, source, spec->hosts[0]->name, spec->hosts[0]->port);
                source->name = arena_dup(ret->head.arena, line);
                source->dir = "/";
        }
        return 0;
}

const StorageBackend storage_gluster = {
        .is_started = is_there,
        .start = mount_volume,
        .scan = scan,
        .figures = figures,
        .look = look,
        .remove = remove_file,
        .find_sources = find_volumes,
};
