/*
 * host/storage/make.c - new volumes
 */
#include "host/storage/part-file.h"
#include "host/storage/volume.h"

#include "base/file.h"
#include "base/str.h"
#include "img/chain.h"
#include "img/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPARSE_STEP = 4096 };

/* A file that comes to be in a directory. */
typedef struct NewFile {
        const char *path;
        char *temporary; /* NULL: it has no name at all yet */
        Fd fd;
} NewFile;

static void new_file_done(NewFile *file)
{
        /* closed first: NFS keeps what is open under another name */
        fd_close(&file->fd);
        if (file->temporary)
                unlink(file->temporary);
        free(file->temporary);
}
DEFINE_AUTO_VALUE(NewFile, new_file_done)

static int new_file_open(NewFile *file, const char *dir, const char *name, Error *err)
{
        struct stat st;

        if (lstat(file->path, &st) == 0)
                return err_set(err, ERR_STORAGE_VOL_EXIST, "'%s'", file->path);
        file->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (file->fd >= 0)
                return 0;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
                return storage_fail(err, errno, file->path, "cannot create '%s'", file->path);
        file->temporary = str_format("%s/.drover-part-%s", dir_stem(dir), name);
        file->fd = open(file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file->fd < 0) {
                storage_fail(err, errno, file->path, "cannot create '%s'", file->temporary);
                free(TAKE(file->temporary));
                return -1;
        }
        flock(file->fd, LOCK_EX | LOCK_NB);
        return 0;
}

/* The owner first: that takes some bits of the mode away. */
static int set_permissions(int fd, const char *path, const VolumeDef *wanted, mode_t usual, Error *err)
{
        const StoragePermissionsDef *p = wanted->target.permissions;
        mode_t mode = p && p->mode ? (mode_t)strtoul(p->mode, NULL, 8) : usual;

        if (p && ((p->has_owner && p->owner >= 0) || (p->has_group && p->group >= 0)) &&
            fchown(fd, p->has_owner ? (uid_t)p->owner : (uid_t)-1, p->has_group ? (gid_t)p->group : (gid_t)-1) < 0)
                return storage_fail(err, errno, path, "cannot set the owner of '%s'", path);
        return fchmod(fd, mode) < 0 ? storage_fail(err, errno, path, "cannot set the mode of '%s'", path) : 0;
}

/* It is whole: give it owner, mode and its name. Nothing that has the name meanwhile is overwritten. */
static int new_file_keep(NewFile *file, const VolumeDef *wanted, Error *err)
{
        char self[64];

        if (set_permissions(file->fd, file->path, wanted, 0600, err) < 0)
                return -1;
        if (fsync(file->fd) < 0)
                return storage_fail(err, errno, file->path, "cannot write '%s'", file->path);
        snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
        if (linkat(AT_FDCWD, file->temporary ?: self, AT_FDCWD, file->path, AT_SYMLINK_FOLLOW) < 0) {
                if (errno == EEXIST)
                        return err_set(err, ERR_STORAGE_VOL_EXIST, "'%s'", file->path);
                return storage_fail(err, errno, file->path, "cannot name '%s'", file->path);
        }
        return 0;
}

static int sync_directory(const char *dir, Error *err)
{
        AUTO(Fd) fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? storage_fail(err, errno, dir, "cannot sync '%s'", dir) : 0;
}

static int format_of(const char *name, ImageFormat *ret, Error *err)
{
        if (!name || str_eq(name, "iso") || str_eq(name, "dir"))
                name = "raw";
        if (image_format_from_name(name, ret, NULL) < 0)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "unknown volume format '%s'", name);
        return 0;
}

/* Of the image behind a definition: what is encrypted and calls itself raw is a LUKS container. */
static int format_of_target(const VolumeTargetDef *target, ImageFormat *ret, Error *err)
{
        if (format_of(target->format, ret, err) < 0)
                return -1;
        if (target->encryption && *ret == IMAGE_FORMAT_RAW)
                *ret = IMAGE_FORMAT_LUKS;
        return 0;
}

static int unlock(Image *image, const ImageSecret *key, Error *err)
{
        if (!image_is_locked(image))
                return 0;
        if (!key->data)
                return err_set(err, ERR_NO_SECRET, "'%s' is encrypted, and no secret opens it", image_name(image));
        return image_unlock(image, key, err);
}

static int open_source(const VolumeMake *make, Image **ret, Error *err)
{
        static const ChainPolicy policy = { .probe_unnamed = true };
        ImageFormat format = IMAGE_FORMAT_RAW;

        *ret = NULL;
        if (!make->from)
                return 0;
        if (!make->as_is && format_of_target(&make->from->target, &format, err) < 0)
                return -1;
        *ret = image_chain_open(make->from->target.path, format, 0, &policy, err);
        return *ret ? unlock(*ret, &make->from_key, err) : -1;
}

/* Words and numbers of the definition, as the image engine takes them; cipher gets the first of them. */
static void set_encryption(const VolumeMake *make, ImageFormat format, ImageCreate *how, char cipher[64])
{
        const EncryptionDef *encryption = make->wanted->target.encryption;

        if (!encryption)
                return;
        how->encrypt = format == IMAGE_FORMAT_QCOW2;
        how->luks.secret = &make->key;
        if (encryption->cipher) {
                snprintf(cipher, 64, "%s-%u", encryption->cipher->name, encryption->cipher->bits);
                how->luks.cipher = cipher;
                how->luks.mode = encryption->cipher->mode;
                how->luks.digest = encryption->cipher->hash;
        }
        if (encryption->ivgen) {
                how->luks.iv = encryption->ivgen->name;
                how->luks.iv_digest = encryption->ivgen->hash;
        }
}

static int lay_out(const VolumeMake *make, ImageFile *file, ImageFormat format, uint64_t size, Error *err)
{
        const VolumeDef *want = make->wanted;
        const VolumeTargetDef *target = &want->target;
        ImageCreate how = { .size = size,
                            .cluster_size = (unsigned)target->cluster_size,
                            .version = str_eq(target->compat, "0.10") ? 2 : 0,
                            .lazy_refcounts = target->features && target->features->lazy_refcounts,
                            .extended_l2 = target->features && target->features->extended_l2,
                            .preallocation = make->metadata ? PREALLOCATE_METADATA : PREALLOCATE_OFF };
        AUTO(ImageDescription) parent = { 0 };
        char cipher[64];

        set_encryption(make, format, &how, cipher);
        if (format == IMAGE_FORMAT_LUKS && want->allocation_bytes >= size)
                how.preallocation = PREALLOCATE_FALLOC;
        if (target->cluster_size > UINT32_MAX)
                return err_set(err, ERR_INVALID_ARG, "clusters of %llu bytes are too large",
                               (unsigned long long)target->cluster_size);
        if (want->backing && want->backing->path) {
                if (format == IMAGE_FORMAT_RAW || format == IMAGE_FORMAT_LUKS)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED, "a raw volume cannot have a backing store");
                how.backing_file = want->backing->path;
                how.backing_format = want->backing->format ?: "raw";
                if (image_look_at_parent(&parent, format, target->path, &how, err) < 0)
                        return -1;
        }
        if (image_create(file, format, &how, err) < 0)
                return -1;
        if (format == IMAGE_FORMAT_RAW && want->allocation_bytes && !make->from)
                return image_file_reserve(file, 0, MIN(want->allocation_bytes, size), err);
        return 0;
}

/* The size that the new image has: as asked for, but never smaller than what is copied; else that of the one below. */
static int find_size(const VolumeMake *make, Image *source, uint64_t *ret, Error *err)
{
        static const ChainPolicy policy = { .no_locks = true, .skip_backing = true };
        const VolumeBackingDef *backing = make->wanted->backing;
        AUTO(Image) *below = NULL;
        ImageFormat format;

        *ret = make->wanted->capacity_bytes;
        if (source)
                *ret = MAX(*ret, image_size(source));
        if (*ret || !backing || !backing->path)
                return 0;
        if (format_of(backing->format, &format, err) < 0)
                return -1;
        below = image_chain_open(backing->path, format, 0, &policy, err);
        if (!below)
                return -1;
        *ret = image_size(below);
        return 0;
}

/* A copy keeps the backing store of what it is a copy of, or has none. */
static int check_backing(const VolumeMake *make, Error *err)
{
        const VolumeBackingDef *want = make->wanted->backing, *has = make->from ? make->from->backing : NULL;

        if (!make->from || !want || !want->path)
                return 0;
        return has && str_eq(has->path, want->path)
                       ? 0
                       : err_set(err, ERR_INVALID_ARG,
                                 "a copy cannot have another backing store, '%s', than '%s' has", want->path,
                                 make->from->name);
}

static int copy_content(const VolumeMake *make, Image *source, Image *to, bool to_is_zero, Error *err)
{
        const VolumeBackingDef *backing = make->wanted->backing;
        bool has_backing = backing && backing->path && !make->as_is;
        CopyOptions options = { .length = image_size(source),
                                .until = has_backing ? image_backing(source) : NULL,
                                .sparse = SPARSE_STEP,
                                .target_is_zero = to_is_zero && !has_backing && image_is_zero_when_new(to),
                                .progress = make->progress,
                                .progress_arg = make->progress_arg };

        return image_copy(source, to, &options, err);
}

static int share_blocks(const VolumeMake *make, int fd, Error *err)
{
        const char *path = make->from->target.path;
        AUTO(Fd) from = open(path, O_RDONLY | O_CLOEXEC);

        if (from < 0)
                return storage_fail(err, errno, path, "cannot open '%s'", path);
        if (ioctl(fd, FICLONE, from) < 0)
                return err_errno(err, errno, "'%s' cannot share its blocks with a copy on this file system", path);
        return 0;
}

/* Empty, as large as it is to be, in its format. */
static int prepare_file(const VolumeMake *make, ImageFile *file, Image *source, bool is_file, ImageFormat *format,
                        Error *err)
{
        VolumeTargetDef target = make->wanted->target;
        uint64_t size;

        if (!is_file)
                target.format = NULL;
        if (is_file && check_backing(make, err) < 0)
                return -1;
        if (make->as_is) {
                *format = IMAGE_FORMAT_RAW;
                return is_file ? image_file_truncate(file, image_size(source), err) : 0;
        }
        if (format_of_target(&target, format, err) < 0 || find_size(make, source, &size, err) < 0)
                return -1;
        return is_file || *format != IMAGE_FORMAT_RAW ? lay_out(make, file, *format, size, err) : 0;
}

/* Put the content into file, which is taken. */
static int fill_file(const VolumeMake *make, ImageFile *file, Image *source, bool is_file, Error *err)
{
        AUTO(Image) *image = NULL;
        ImageFormat format;

        if (prepare_file(make, file, source, is_file, &format, err) < 0) {
                image_file_close(file);
                return -1;
        }
        if (!source) {
                image_file_close(file);
                return 0;
        }
        image = image_open(file, format, IMAGE_WRITE, err);
        if (!image) {
                image_file_close(file);
                return -1;
        }
        if (unlock(image, &make->key, err) < 0 || copy_content(make, source, image, is_file, err) < 0 ||
            image_flush(image, err) < 0)
                return -1;
        /* room that was asked for beyond what the copy took */
        if (format == IMAGE_FORMAT_RAW && is_file && make->wanted->allocation_bytes && !make->as_is &&
            image_file_reserve(image_file(image), 0, MIN(make->wanted->allocation_bytes, image_size(image)), err) < 0)
                return -1;
        return image_close(TAKE(image), err);
}

static int fill(const VolumeMake *make, int fd, Error *err)
{
        AUTO(Image) *source = NULL;
        ImageFile *file;

        if (make->reflink && make->from)
                return share_blocks(make, fd, err);
        if (open_source(make, &source, err) < 0)
                return -1;
        file = image_file_from_fd(fcntl(fd, F_DUPFD_CLOEXEC, 3), make->wanted->target.path, true, err);
        if (!file)
                return -1;
        /* without a name it need not be durable before the end */
        file->skip_flush = true;
        return fill_file(make, file, source, true, err);
}

/* A device has its content as it is; what it holds is not zeros, and is on the disk before the volume is told of. */
static int fill_room(const VolumeMake *make, Error *err)
{
        const StorageRoom *room = make->room;
        AUTO(Image) *source = NULL;
        ImageFile *device, *file;

        if (open_source(make, &source, err) < 0)
                return -1;
        if (source && image_size(source) > room->bytes)
                return err_set(err, ERR_INVALID_ARG, "volume '%s' has %llu bytes, '%s' needs %llu",
                               make->wanted->name, (unsigned long long)room->bytes, make->from->name,
                               (unsigned long long)image_size(source));
        device = image_file_open(room->path, FILE_WRITE, err);
        if (!device)
                return -1;
        file = part_file_new(device, room->offset, room->bytes);
        return fill_file(make, file, source, false, err);
}

bool volume_has_content(const VolumeMake *make)
{
        return make->from || make->wanted->target.encryption;
}

/* One that does not get the owner it is to have goes again. */
static int make_directory(const VolumeMake *make, const char *path, Error *err)
{
        AUTO(Fd) fd = -1;

        if (mkdir(path, 0700) < 0) {
                if (errno == EEXIST)
                        return err_set(err, ERR_STORAGE_VOL_EXIST, "'%s'", path);
                return storage_fail(err, errno, path, "cannot create '%s'", path);
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                storage_fail(err, errno, path, "cannot open '%s'", path);
        else if (set_permissions(fd, path, make->wanted, 0711, err) == 0)
                return sync_directory(make->pool->target_path, err);
        rmdir(path);
        return -1;
}

int volume_make(const VolumeMake *make, Error *err)
{
        const char *dir = make->pool->target_path;
        AUTOFREE char *path = str_format("%s/%s", dir_stem(dir), make->wanted->name);
        AUTO(NewFile) file = { .path = path, .fd = -1 };

        if (make->room)
                return volume_has_content(make) ? fill_room(make, err) : 0;
        if (storage_is_unfinished(make->wanted->name))
                return err_set(err, ERR_INVALID_ARG,
                               "a volume cannot be called '%s': such files are taken for what a crash left behind",
                               make->wanted->name);
        if (str_eq(make->wanted->target.format, "dir"))
                return make_directory(make, path, err);
        if (new_file_open(&file, dir, make->wanted->name, err) < 0 || fill(make, file.fd, err) < 0 ||
            new_file_keep(&file, make->wanted, err) < 0)
                return -1;
        return sync_directory(dir, err);
}

int volume_resize(const VolumeDef *volume, uint64_t capacity, bool allocate, bool shrink, Error *err)
{
        static const ChainPolicy policy = { .probe_unnamed = true };
        AUTO(Image) *image = NULL;
        ImageFormat format;

        if (format_of_target(&volume->target, &format, err) < 0)
                return -1;
        image = image_chain_open(volume->target.path, format, IMAGE_WRITE, &policy, err);
        if (!image)
                return -1;
        if (capacity < image_size(image) && !shrink)
                return err_set(
                        err, ERR_INVALID_ARG,
                        "Can't shrink capacity below current capacity unless shrink flag explicitly specified");
        if (image_resize(image, capacity, allocate ? PREALLOCATE_FALLOC : PREALLOCATE_OFF, err) < 0 ||
            image_flush(image, err) < 0)
                return -1;
        return image_close(TAKE(image), err);
}
