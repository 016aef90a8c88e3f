/*
 * host/storage/look.c - what a file or device is, as a volume
 *
 * The format is guessed from the first bytes. That is for people to read: how a
 * guest's disk is opened is said by the guest's definition.
 */
#include "host/storage/backend.h"
#include "host/storage/undo.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/permission.h"
#include "base/str.h"
#include "img/format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define UNFINISHED_PREFIX ".drover-part-"

enum { MOST_WORDS = 2 * PATH_MAX };

/* What NFS calls a file that was removed while somebody had it open. */
static bool is_removed_file(const char *name)
{
        enum { DIGITS = 24 };

        return str_starts(name, ".nfs") && strlen(name + 4) == DIGITS &&
               strspn(name + 4, "0123456789abcdef") == DIGITS;
}

bool storage_is_unfinished(const char *name)
{
        return str_starts(name, UNFINISHED_PREFIX) || undo_is_file(name) || is_removed_file(name);
}

/* What this process wanted is not known: to read it, to write it, or to make it. */
static bool explain(const char *path, char *why, size_t room)
{
        AUTOFREE char *dir = str_dup_n(path, (size_t)(strrchr(path, '/') - path));

        return permission_explain(path, R_OK, NULL, why, room) || permission_explain(path, W_OK, NULL, why, room) ||
               (*dir && permission_explain(dir, W_OK, NULL, why, room)) ||
               permission_suspect(access(path, F_OK) == 0 ? path : dir, why, room);
}

int storage_fail(Error *err, int errnum, const char *path, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        char why[MOST_WORDS];
        va_list ap;

        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        if (errnum == EACCES && path[0] == '/' && explain(path, why, sizeof(why)))
                return err_set(err, ERR_SYSTEM, "%s: user %u %s", text, geteuid(), why);
        return err_errno(err, errnum, "%s", text);
}

/* Without SELinux in the kernel there are no labels to tell. */
static bool has_labels(void)
{
        static int known = -1;

        if (known < 0)
                known = access("/sys/fs/selinux/enforce", F_OK) == 0;
        return known;
}

static void describe_stat(VolumeDef *def, const struct stat *st, int fd)
{
        Arena *arena = def->head.arena;
        StoragePermissionsDef *permissions = arena_new_one(arena, StoragePermissionsDef);
        VolumeTimesDef *times = arena_new_one(arena, VolumeTimesDef);
        char label[256];
        ssize_t n = fd < 0 || !has_labels() ? -1 : fgetxattr(fd, "security.selinux", label, sizeof(label) - 1);

        permissions->mode = arena_format(arena, "%04o", st->st_mode & 07777);
        permissions->owner = (int32_t)st->st_uid;
        permissions->group = (int32_t)st->st_gid;
        permissions->has_owner = permissions->has_group = true;
        if (n > 0)
                permissions->label = arena_dup_n(arena, label, strnlen(label, (size_t)n));
        times->atime = arena_format(arena, "%lld.%09ld", (long long)st->st_atim.tv_sec, st->st_atim.tv_nsec);
        times->mtime = arena_format(arena, "%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
        times->ctime = arena_format(arena, "%lld.%09ld", (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
        def->target.permissions = permissions;
        def->target.timestamps = times;
}

static bool is_iso(ImageFile *file)
{
        enum { ISO_MAGIC_AT = 32769 };
        uint64_t size;
        char magic[5];

        return image_file_size(file, &size, NULL) == 0 && size >= ISO_MAGIC_AT + sizeof(magic) &&
               image_file_read(file, ISO_MAGIC_AT, magic, sizeof(magic), NULL) == 0 && memcmp(magic, "CD001", 5) == 0;
}

static void describe_backing(VolumeDef *def, const ImageDescription *about)
{
        Arena *arena = def->head.arena;
        const char *slash = strrchr(def->target.path, '/');

        def->backing = arena_new_one(arena, VolumeBackingDef);
        if (about->backing_file[0] == '/' || !slash || strstr(about->backing_file, "://"))
                def->backing->path = arena_dup(arena, about->backing_file);
        else
                def->backing->path = arena_format(arena, "%.*s/%s", (int)(slash - def->target.path), def->target.path,
                                                  about->backing_file);
        def->backing->format = arena_dup(arena, about->backing_format ?: "raw");
}

/* What opens it is not written in it. */
static void set_encryption(VolumeDef *def, EncryptionFormat format)
{
        def->target.encryption = arena_new_one(def->head.arena, EncryptionDef);
        def->target.encryption->format = format;
}

static void describe_image(VolumeDef *def, ImageFile *file)
{
        Arena *arena = def->head.arena;
        AUTO(ImageDescription) about = { 0 };
        ImageFormat format;

        def->target.format = "raw";
        if (image_probe(file, &format, NULL) < 0 || image_describe(file, format, &about, NULL) < 0)
                return;
        if (format == IMAGE_FORMAT_RAW) {
                def->target.format = is_iso(file) ? "iso" : "raw";
                return;
        }
        if (about.virtual_size)
                def->capacity_bytes = about.virtual_size;
        if (format == IMAGE_FORMAT_LUKS || about.encrypted)
                set_encryption(def, format == IMAGE_FORMAT_LUKS || about.luks ? ENCRYPTION_FORMAT_LUKS
                                                                              : ENCRYPTION_FORMAT_QCOW);
        if (format == IMAGE_FORMAT_LUKS)
                return;
        def->target.format = image_format_name(format);
        if (about.backing_file)
                describe_backing(def, &about);
        if (format != IMAGE_FORMAT_QCOW2)
                return;
        def->target.compat = about.version >= 3 ? "1.1" : "0.10";
        def->target.cluster_size = about.cluster_size;
        if (about.lazy_refcounts || about.extended_l2) {
                def->target.features = arena_new_one(arena, VolumeFeaturesDef);
                def->target.features->lazy_refcounts = about.lazy_refcounts;
                def->target.features->extended_l2 = about.extended_l2;
        }
}

VolumeDef *storage_new_volume(const char *path, const char *name, const char *key)
{
        VolumeDef *def = volume_def_new();
        Arena *arena = def->head.arena;

        def->name = arena_dup(arena, name);
        def->target.path = arena_dup(arena, path);
        def->key = key ? arena_dup(arena, key) : def->target.path;
        def->source = arena_new_one(arena, VolumeSourceDef);
        def->has_capacity_bytes = def->has_allocation_bytes = true;
        return def;
}

static int measure_device(VolumeDef *def, int fd, Error *err)
{
        uint64_t size = 0;

        if (ioctl(fd, BLKGETSIZE64, &size) < 0)
                return err_errno(err, errno, "cannot get the size of '%s'", def->target.path);
        def->capacity_bytes = def->allocation_bytes = def->physical_bytes = size;
        return 0;
}

/* What is no volume at all: it went away, cannot be read by anybody, or is a socket. */
static bool is_passed_over(int errnum)
{
        return errnum == ENOENT || errnum == ELOOP || errnum == ENXIO || errnum == ENODEV || errnum == ENOMEDIUM;
}

/* Nothing was ever written to it: there is no header to be found. A small one may stand in its inode. */
static bool is_all_hole(const struct stat *st)
{
        enum { LARGEST_IN_INODE = 65536 };

        return S_ISREG(st->st_mode) && !st->st_blocks && st->st_size > LARGEST_IN_INODE;
}

static VolumeDef *describe_file(const char *path, const char *name, const struct stat *st, int fd)
{
        VolumeDef *def = storage_new_volume(path, name, NULL);

        describe_stat(def, st, fd);
        def->type = S_ISREG(st->st_mode)   ? VOLUME_TYPE_FILE
                    : S_ISDIR(st->st_mode) ? VOLUME_TYPE_DIR
                                           : VOLUME_TYPE_BLOCK;
        if (S_ISDIR(st->st_mode)) {
                def->target.format = "dir";
                return def;
        }
        def->target.format = "raw";
        def->capacity_bytes = def->physical_bytes = (uint64_t)st->st_size;
        def->allocation_bytes = (uint64_t)st->st_blocks * 512;
        return def;
}

VolumeDef *storage_look_at_stat(const char *dir, const char *name, const struct stat *st)
{
        AUTOFREE char *path = NULL;

        if (!is_all_hole(st) || has_labels() || storage_is_unfinished(name))
                return NULL;
        path = str_format("%s/%s", dir_stem(dir), name);
        return describe_file(path, name, st, -1);
}

int storage_look_at_file(const char *dir, const char *name, VolumeDef **ret, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", dir_stem(dir), name);
        AUTO(ImageFile) *file = NULL;
        AUTO(VolumeDef) *def = NULL;
        AUTO(Fd) fd = -1;
        struct stat st;

        *ret = NULL;
        if (storage_is_unfinished(name))
                return 0;
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 && is_passed_over(errno))
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return storage_fail(err, errno, path, "cannot open volume '%s'", path);
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISDIR(st.st_mode))
                return 0;
        def = describe_file(path, name, &st, fd);
        if (S_ISBLK(st.st_mode) && measure_device(def, fd, err) < 0)
                return -1;
        if (!S_ISDIR(st.st_mode) && !is_all_hole(&st)) {
                file = image_file_from_fd(fd_take(&fd), path, false, err);
                if (!file)
                        return -1;
                describe_image(def, file);
        }
        *ret = TAKE(def);
        return 0;
}

/* --- devices --- */

/* An encrypted device says so in its first bytes. Whatever else a guest wrote on it is not looked at. */
static void describe_encryption(VolumeDef *def)
{
        static const char magic[6] = { 'L', 'U', 'K', 'S', '\xba', '\xbe' };
        AUTO(Fd) fd = open(def->target.path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        char first[sizeof(magic)];
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
                return;
        if (pread(fd, first, sizeof(first), 0) == sizeof(first) && memcmp(first, magic, sizeof(magic)) == 0)
                set_encryption(def, ENCRYPTION_FORMAT_LUKS);
}

void storage_describe_node(VolumeDef *def)
{
        struct stat st;

        def->type = VOLUME_TYPE_BLOCK;
        def->target.format = "raw";
        if (stat(def->target.path, &st) == 0)
                describe_stat(def, &st, -1);
        describe_encryption(def);
}

int storage_look_at_device(const char *path, const char *name, const char *key, VolumeDef **ret, Error *err)
{
        AUTO(Fd) fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        AUTO(VolumeDef) *def = NULL;
        struct stat st;

        *ret = NULL;
        if (fd < 0 && is_passed_over(errno))
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return storage_fail(err, errno, path, "cannot open volume '%s'", path);
        if (!S_ISBLK(st.st_mode))
                return 0;
        def = storage_new_volume(path, name, key);
        storage_describe_node(def);
        if (measure_device(def, fd, err) < 0)
                return -1;
        *ret = TAKE(def);
        return 0;
}

/* Whoever is making one holds a lock on it. */
int storage_remove_unfinished(const char *path, Error *err)
{
        DIR *dir = opendir(path);

        if (!dir)
                return storage_fail(err, errno, path, "cannot open directory '%s'", path);
        for (struct dirent *entry; (entry = readdir(dir));) {
                AUTO(Fd) fd = -1;

                if (!str_starts(entry->d_name, UNFINISHED_PREFIX))
                        continue;
                /* for writing, as NFS locks nothing else */
                fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
                        unlinkat(dirfd(dir), entry->d_name, 0);
        }
        closedir(dir);
        return 0;
}
