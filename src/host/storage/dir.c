/*
 * host/storage/dir.c - pools whose volumes are files in a directory: dir, fs, netfs
 *
 * A dir pool is there when its directory is. The others mount something on it
 * first, with the host's mount, which knows every file system and its helpers.
 */
#include "host/storage/backend.h"
#include "host/storage/undo.h"

#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* XML would tell of another name: it knows no control characters, and a text in it does not begin or end with a blank. */
static bool cannot_be_told(const char *name)
{
        size_t n = strlen(name);

        for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
                if (*p < ' ' || *p == 0x7f)
                        return true;
        }
        return name[0] == ' ' || (n && name[n - 1] == ' ');
}

typedef struct DirectoryScan {
        const char *path;
        StorageKnown *known; /* NULL: nothing is passed over */
        StorageFound *found;
        StorageSame *same;
        void *arg;
} DirectoryScan;

static void scan_file(const DirectoryScan *scan, int dir, const char *name)
{
        AUTO(VolumeDef) *def = NULL;
        struct stat st;
        bool told = scan->known && fstatat(dir, name, &st, 0) == 0;

        if (told && storage_known_same(scan->known, name, &st)) {
                scan->same(scan->arg, name);
                return;
        }
        def = told ? storage_look_at_stat(scan->path, name, &st) : NULL;
        /* one file that cannot be read hides no others */
        if (!def && (storage_look_at_file(scan->path, name, &def, NULL) < 0 || !def))
                return;
        scan->found(scan->arg, def);
        if (told)
                storage_known_note(scan->known, name, &st);
}

static int scan_files(const DirectoryScan *scan, Error *err)
{
        DIR *dir = opendir(scan->path);

        if (!dir)
                return storage_fail(err, errno, scan->path, "cannot open directory '%s'", scan->path);
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, "..") && !cannot_be_told(entry->d_name))
                        scan_file(scan, dirfd(dir), entry->d_name);
        }
        closedir(dir);
        return 0;
}

int storage_scan_directory(const char *path, StorageFound *found, void *arg, Error *err)
{
        return scan_files(&(DirectoryScan){ .path = path, .found = found, .arg = arg }, err);
}

int storage_rescan_directory(const char *path, StorageKnown *known, StorageFound *found, StorageSame *same, void *arg,
                             Error *err)
{
        bool can_tell = storage_known_begin(known, path);

        if (scan_files(&(DirectoryScan){ path, can_tell ? known : NULL, found, same, arg }, err) < 0)
                return -1;
        storage_known_end(known);
        return 0;
}

static int scan_directory(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        return storage_scan_directory(pool->target_path, found, arg, err);
}

static int rescan_directory(const PoolDef *pool, StorageKnown *known, StorageFound *found, StorageSame *same,
                            void *arg, Error *err)
{
        return storage_rescan_directory(pool->target_path, known, found, same, arg, err);
}

int storage_directory_figures(const char *path, StorageFigures *ret, Error *err)
{
        struct statvfs st;

        if (statvfs(path, &st) < 0)
                return storage_fail(err, errno, path, "cannot look at '%s'", path);
        ret->capacity = (uint64_t)st.f_blocks * st.f_frsize;
        ret->available = (uint64_t)st.f_bfree * st.f_frsize;
        ret->allocation = ret->capacity - ret->available;
        return 0;
}

static int directory_figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        return storage_directory_figures(pool->target_path, ret, err);
}

/* What a scan passes over is nothing when it is looked at alone either. */
static int look_at_file(const PoolDef *pool, const char *name, VolumeDef **ret, Error *err)
{
        *ret = NULL;
        return cannot_be_told(name) ? 0 : storage_look_at_file(pool->target_path, name, ret, err);
}

/* The directory with the owner and mode that the definition asks for; those of one that is there stay otherwise. */
static int build_directory(const PoolDef *pool, unsigned flags UNUSED, Error *err)
{
        const StoragePermissionsDef *want = pool->permissions;
        const char *path = pool->target_path;
        bool there = access(path, F_OK) == 0;
        mode_t mode = want && want->mode ? (mode_t)strtoul(want->mode, NULL, 8) : 0711;

        if (dir_make(path, mode, err) < 0)
                return -1;
        if ((!there || (want && want->mode)) && chmod(path, mode) < 0)
                return storage_fail(err, errno, path, "cannot set the mode of '%s'", path);
        if (want && ((want->has_owner && want->owner >= 0) || (want->has_group && want->group >= 0)) &&
            chown(path, want->has_owner ? (uid_t)want->owner : (uid_t)-1,
                  want->has_group ? (gid_t)want->group : (gid_t)-1) < 0)
                return storage_fail(err, errno, path, "cannot set the owner of '%s'", path);
        return 0;
}

static int remove_directory(const PoolDef *pool, Error *err)
{
        if (rmdir(pool->target_path) < 0)
                return storage_fail(err, errno, pool->target_path, "failed to remove pool '%s'", pool->target_path);
        return 0;
}

static int check_directory(const PoolDef *pool, Error *err)
{
        struct stat st;

        if (stat(pool->target_path, &st) < 0)
                return storage_fail(err, errno, pool->target_path, "cannot open directory '%s'", pool->target_path);
        if (!S_ISDIR(st.st_mode))
                return err_set(err, ERR_INTERNAL, "'%s' is not a directory", pool->target_path);
        return 0;
}

static int tidy_directory(const PoolDef *pool, Error *err)
{
        return storage_remove_unfinished(pool->target_path, err) < 0 ? -1 : undo_all(pool->target_path, err);
}

static int directory_is_started(const PoolDef *pool, bool *ret, Error *err)
{
        *ret = true;
        return check_directory(pool, err);
}

int storage_remove_file(const char *dir, const char *name, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", dir_stem(dir), name);
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : storage_fail(err, errno, path, "cannot delete '%s'", path);
        if ((S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) < 0)
                return storage_fail(err, errno, path, "cannot delete '%s'", path);
        return 0;
}

static int remove_file(const PoolDef *pool, const char *name, Error *err)
{
        return storage_remove_file(pool->target_path, name, err);
}

/* --- what is mounted --- */

static char *what_to_mount(const PoolDef *pool)
{
        const PoolSourceDef *source = pool->source;
        const char *host;

        if (pool->type == POOL_TYPE_FS)
                return str_dup(pool_def_device(pool));
        if (pool->type == POOL_TYPE_VSTORAGE)
                return str_format("vstorage://%s", source->name);
        host = source->hosts[0]->name;
        if (str_eq(source->format, "cifs"))
                return str_format("//%s/%s", host, source->dir + (source->dir[0] == '/'));
        if (strchr(host, ':'))
                return str_format("[%s]:%s", host, source->dir);
        return str_format("%s:%s", host, source->dir);
}

static int is_mounted(const PoolDef *pool, bool *ret, Error *err)
{
        AUTOFREE char *what = what_to_mount(pool);
        FILE *mounts = setmntent("/proc/self/mounts", "re");
        const char *on = NULL;
        AUTOFREE char *other = NULL;

        if (!mounts)
                return err_errno(err, errno, "cannot read the list of mounts");
        *ret = false;
        for (struct mntent *entry; (entry = getmntent(mounts));) {
                if (!str_eq(entry->mnt_dir, pool->target_path))
                        continue;
                /* the kernel names a device by its node; a link or a bound file looks different, and is ours anyway */
                *ret = true;
                if (pool->type != POOL_TYPE_FS && !str_eq(entry->mnt_fsname, what))
                        str_replace(&other, entry->mnt_fsname);
                else
                        on = pool->target_path;
        }
        endmntent(mounts);
        if (*ret && !on)
                return err_set(err, ERR_OPERATION_INVALID, "'%s' is mounted on '%s', where '%s' belongs", other,
                               pool->target_path, what);
        return 0;
}

static const char *mount_type(const PoolDef *pool)
{
        const char *format = pool->source->format;

        if (str_eq(format, "auto"))
                return pool->type == POOL_TYPE_NETFS ? "nfs" : NULL;
        return format;
}

static int mount_vstorage(const PoolDef *pool, Error *err)
{
        const StoragePermissionsDef *p = pool->permissions;

        return STORAGE_RUN(NULL, err, "vstorage-mount", "-c", pool->source->name, "-m",
                           p && p->mode ? p->mode : "0700", pool->target_path);
}

static int mount_pool(const PoolDef *pool, Error *err)
{
        AUTOFREE char *what = what_to_mount(pool), *version = NULL;
        const char *argv[12] = { "mount" };
        const char *type = pool->type == POOL_TYPE_VSTORAGE ? NULL : mount_type(pool);
        size_t n = 1;
        bool mounted;

        if (is_mounted(pool, &mounted, err) < 0)
                return -1;
        if (mounted)
                return 0;
        if (check_directory(pool, err) < 0)
                return -1;
        if (pool->type == POOL_TYPE_VSTORAGE)
                return mount_vstorage(pool, err);
        if (type) {
                argv[n++] = "-t";
                argv[n++] = type;
        }
        if (str_eq(type, "cifs")) {
                argv[n++] = "-o";
                argv[n++] = "guest";
        } else if (str_eq(type, "glusterfs")) {
                argv[n++] = "-o";
                argv[n++] = "direct-io-mode=1";
        } else if (pool->source->protocol_version) {
                version = str_format("nfsvers=%s", pool->source->protocol_version);
                argv[n++] = "-o";
                argv[n++] = version;
        }
        argv[n++] = what;
        argv[n++] = pool->target_path;
        return storage_run(argv, NULL, err);
}

static int unmount_pool(const PoolDef *pool, Error *err)
{
        bool mounted;

        if (is_mounted(pool, &mounted, err) < 0)
                return -1;
        return mounted ? STORAGE_RUN(NULL, err, "umount", pool->target_path) : 0;
}

static int build_fs(const PoolDef *pool, unsigned flags, Error *err)
{
        const char *device = pool_def_device(pool), *format = pool->source->format;
        AUTOFREE char *program = NULL;
        const char *overwrite;

        if (build_directory(pool, flags, err) < 0)
                return -1;
        if (!(flags & (BUILD_OVERWRITE | BUILD_NO_OVERWRITE)))
                return 0;
        if (flags & BUILD_NO_OVERWRITE && storage_check_blank(device, err) < 0)
                return -1;
        if (!format || str_eq(format, "auto"))
                return err_set(err, ERR_OPERATION_INVALID,
                               "a file system needs its kind: set <source><format type='...'/>");
        program = str_format("mkfs.%s", format);
        overwrite = str_starts(format, "ext") ? "-F" : str_eq(format, "xfs") ? "-f" : NULL; /* others do not ask */
        return overwrite ? STORAGE_RUN(NULL, err, program, overwrite, device)
                         : STORAGE_RUN(NULL, err, program, device);
}

/* --- what a server exports --- */

/* "/srv/images   192.0.2.0/24,host": the clients, who have no blanks in them, stand behind the last ones. */
static void add_export(char *line, const PoolHostDef *host, PoolSourcesDef *ret)
{
        char *clients = strrchr(line, ' ');
        PoolSourceDef *source;

        if (!clients || line[0] != '/')
                return;
        while (clients > line && *clients == ' ')
                *clients-- = '\0';
        source = pool_sources_add(ret);
        pool_source_add_host(ret, source, host->name, host->port);
        source->dir = arena_dup(ret->head.arena, line);
        source->format = "nfs";
}

static int find_exports(const PoolHostDef *host, PoolSourcesDef *ret, Error *err)
{
        AUTO(Buf) said = { 0 };
        char *text, *line;

        if (STORAGE_RUN(&said, err, "showmount", "--no-headers", "--exports", host->name) < 0)
                return -1;
        for (text = said.data; text && storage_next_row(&text, '\0', &line, 1);)
                add_export(line, host, ret);
        return 0;
}

static int find_gluster_volumes(const PoolHostDef *host, PoolSourcesDef *ret, Error *err)
{
        AUTOFREE char *remote = str_format("--remote-host=%s", host->name);
        AUTO(Buf) said = { 0 };
        char *text, *line;

        if (STORAGE_RUN(&said, err, "gluster", "--mode=script", remote, "volume", "list") < 0)
                return -1;
        for (text = said.data; text && storage_next_row(&text, '\0', &line, 1);) {
                PoolSourceDef *source = pool_sources_add(ret);

                pool_source_add_host(ret, source, host->name, host->port);
                source->dir = arena_format(ret->head.arena, "/%s", line);
                source->format = "glusterfs";
        }
        return 0;
}

/* A server may speak both, and mostly speaks one: what it does not is no error while the other is answered. */
static int find_netfs(const PoolSourceDef *spec, PoolSourcesDef *ret, Error *err)
{
        const char *format = spec ? spec->format : NULL;
        bool any = !format || str_eq(format, "auto");

        if (!spec || !spec->n_hosts)
                return err_set(err, ERR_INVALID_ARG,
                               "where to look is not said: <source><host name='...'/></source>");
        if (str_eq(format, "glusterfs"))
                return find_gluster_volumes(spec->hosts[0], ret, err);
        if (!any && !str_eq(format, "nfs"))
                return err_set(err, ERR_NO_SUPPORT, "what a server exports as '%s' cannot be told", format);
        if (any)
                find_gluster_volumes(spec->hosts[0], ret, NULL);
        return find_exports(spec->hosts[0], ret, any && ret->n_sources ? NULL : err) < 0 && !(any && ret->n_sources)
                       ? -1
                       : 0;
}

#define FILES_IN_A_DIRECTORY                                                                                         \
        .scan = scan_directory, .rescan = rescan_directory, .figures = directory_figures, .look = look_at_file,      \
        .remove = remove_file, .unbuild = remove_directory, .tidy = tidy_directory

const StorageBackend storage_dir = {
        FILES_IN_A_DIRECTORY,
        .build = build_directory,
        .is_started = directory_is_started,
        .start = check_directory,
};

const StorageBackend storage_fs = {
        FILES_IN_A_DIRECTORY, .build = build_fs, .is_started = is_mounted, .start = mount_pool, .stop = unmount_pool,
};

const StorageBackend storage_netfs = {
        FILES_IN_A_DIRECTORY, .build = build_directory, .is_started = is_mounted,
        .start = mount_pool,  .stop = unmount_pool,     .find_sources = find_netfs,
};

const StorageBackend storage_vstorage = {
        FILES_IN_A_DIRECTORY, .build = build_directory, .is_started = is_mounted,
        .start = mount_pool,  .stop = unmount_pool,
};
