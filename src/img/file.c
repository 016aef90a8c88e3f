/*
 * img/file.c - storage in a file or block device of this host
 *
 * Requests that O_DIRECT does not take as they are go through an aligned
 * buffer; everything else is one system call. Holes are asked from the file
 * system (SEEK_DATA) and made with fallocate(); where it cannot, zeros are
 * written.
 */
#include "img/file.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        SECTOR = 512,
        DIRECT_ALIGN = 4096,
        BOUNCE_SIZE = 1 << 20,
};

typedef struct DiskFile {
        ImageFile file;
        Fd fd;
        bool is_block;
        atomic_bool no_holes; /* fallocate() said it cannot punch */
        /* Past the page cache: alone goes who reads, changes and writes whole sectors, and may cut the file after that. */
        pthread_rwlock_t changing;
} DiskFile;

static DiskFile *disk_file(const ImageFile *file)
{
        return container_of(file, DiskFile, file);
}

void *image_buffer_try(size_t n)
{
        void *p = NULL;

        if (posix_memalign(&p, DIRECT_ALIGN, n ? n : 1) != 0)
                return NULL;
        memset(p, 0, n);
        return p;
}

static int read_plain(DiskFile *disk, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        size_t at = 0;

        while (at < n) {
                ssize_t got = pread(disk->fd, (char *)data + at, n - at, (off_t)(offset + at));

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_errno(err, errno, "cannot read %zu bytes at offset %llu of '%s'", n - at,
                                         (unsigned long long)(offset + at), disk->file.name);
                at += (size_t)got;
                /* Past the page cache only the end of the file is between two sectors, and nothing can be asked there. */
                if (got == 0 || (disk->file.align > 1 && at % SECTOR))
                        break;
        }
        *done = at;
        return 0;
}

static int write_plain(DiskFile *disk, uint64_t offset, const void *data, size_t n, Error *err)
{
        size_t at = 0;

        while (at < n) {
                ssize_t put = pwrite(disk->fd, (const char *)data + at, n - at, (off_t)(offset + at));

                if (put < 0 && errno == EINTR)
                        continue;
                if (put <= 0)
                        return err_errno(err, put < 0 ? errno : ENOSPC,
                                         "cannot write %zu bytes at offset %llu of '%s'", n - at,
                                         (unsigned long long)(offset + at), disk->file.name);
                at += (size_t)put;
        }
        return 0;
}

static bool is_aligned(const DiskFile *disk, uint64_t offset, const void *data, size_t n)
{
        return ((offset | (uintptr_t)data | n) & (disk->file.align - 1)) == 0;
}

/* One aligned window around [offset, offset + n), at most BOUNCE_SIZE long. */
static void window_around(const DiskFile *disk, uint64_t offset, size_t n, uint64_t *start, size_t *size)
{
        *start = round_down(offset, disk->file.align);
        *size = (size_t)MIN(round_up(offset + n, disk->file.align) - *start, (uint64_t)BOUNCE_SIZE);
}

static int disk_read(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        DiskFile *disk = disk_file(file);
        AUTOFREE char *bounce = NULL;
        size_t at = 0;

        if (is_aligned(disk, offset, data, n))
                return read_plain(disk, offset, data, n, done, err);
        bounce = image_buffer_try(BOUNCE_SIZE);
        if (!bounce)
                return err_set(err, ERR_NO_MEMORY, "no memory for a read of '%s'", file->name);
        while (at < n) {
                uint64_t start;
                size_t size, got, skip, take;

                window_around(disk, offset + at, n - at, &start, &size);
                if (read_plain(disk, start, bounce, size, &got, err) < 0)
                        return -1;
                skip = (size_t)(offset + at - start);
                take = got > skip ? MIN(got - skip, n - at) : 0;
                memcpy((char *)data + at, bounce + skip, take);
                at += take;
                if (got < size)
                        break;
        }
        *done = at;
        return 0;
}

/* A signal may come in between. */
static int cut_or_grow(int fd, uint64_t size)
{
        int r;

        do
                r = ftruncate(fd, (off_t)size);
        while (r < 0 && errno == EINTR);
        return r;
}

/* A write that O_DIRECT does not take: read what is around it, put it in, write it back. */
static int write_through_bounce(DiskFile *disk, uint64_t offset, const void *data, size_t n, Error *err)
{
        AUTOFREE char *bounce = image_buffer_try(BOUNCE_SIZE);
        struct stat st;
        uint64_t end;
        size_t at = 0;

        if (!bounce)
                return err_set(err, ERR_NO_MEMORY, "no memory for a write to '%s'", disk->file.name);
        if (fstat(disk->fd, &st) < 0)
                return err_errno(err, errno, "cannot look at '%s'", disk->file.name);
        while (at < n) {
                uint64_t start;
                size_t size, got, skip, put;

                window_around(disk, offset + at, n - at, &start, &size);
                memset(bounce, 0, size);
                if (read_plain(disk, start, bounce, size, &got, err) < 0)
                        return -1;
                skip = (size_t)(offset + at - start);
                put = MIN(size - skip, n - at);
                memcpy(bounce + skip, (const char *)data + at, put);
                if (write_plain(disk, start, bounce, size, err) < 0)
                        return -1;
                at += put;
        }
        /* The last window may reach over what was the end of the file and over what was asked for. */
        end = MAX((uint64_t)st.st_size, offset + n);
        if (!disk->is_block && round_up(offset + n, disk->file.align) > end && cut_or_grow(disk->fd, end) < 0)
                return err_errno(err, errno, "cannot set the size of '%s'", disk->file.name);
        return 0;
}

static void begin_change(DiskFile *disk, bool alone)
{
        if (disk->file.align == 1)
                return;
        if (alone)
                pthread_rwlock_wrlock(&disk->changing);
        else
                pthread_rwlock_rdlock(&disk->changing);
}

static void end_change(DiskFile *disk)
{
        if (disk->file.align > 1)
                pthread_rwlock_unlock(&disk->changing);
}

static int disk_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        DiskFile *disk = disk_file(file);
        bool whole = is_aligned(disk, offset, data, n);
        int r;

        begin_change(disk, !whole);
        r = whole ? write_plain(disk, offset, data, n, err) : write_through_bounce(disk, offset, data, n, err);
        end_change(disk);
        return r;
}

static int disk_flush(ImageFile *file, Error *err)
{
        if (fdatasync(disk_file(file)->fd) < 0)
                return err_errno(err, errno, "cannot flush '%s'", file->name);
        return 0;
}

static int disk_size(ImageFile *file, uint64_t *ret, Error *err)
{
        DiskFile *disk = disk_file(file);
        struct stat st;

        if (disk->is_block) {
                if (ioctl(disk->fd, BLKGETSIZE64, ret) < 0)
                        return err_errno(err, errno, "cannot get the size of '%s'", file->name);
                return 0;
        }
        if (fstat(disk->fd, &st) < 0)
                return err_errno(err, errno, "cannot look at '%s'", file->name);
        *ret = (uint64_t)st.st_size;
        return 0;
}

static int set_size(DiskFile *disk, uint64_t size, Error *err)
{
        ImageFile *file = &disk->file;
        uint64_t now;

        if (disk->is_block) {
                if (disk_size(file, &now, err) < 0)
                        return -1;
                if (size > now)
                        return err_set(err, ERR_OPERATION_INVALID, "the device '%s' has %llu bytes, %llu are needed",
                                       file->name, (unsigned long long)now, (unsigned long long)size);
                return 0;
        }
        /* Not where nothing changes: a file that was cut to nothing ext4 writes to the disk when it is closed. */
        if (disk_size(file, &now, err) < 0)
                return -1;
        if (size != now && cut_or_grow(disk->fd, size) < 0)
                return err_errno(err, errno, "cannot set the size of '%s' to %llu bytes", file->name,
                                 (unsigned long long)size);
        return 0;
}

static int disk_truncate(ImageFile *file, uint64_t size, Error *err)
{
        DiskFile *disk = disk_file(file);
        int r;

        begin_change(disk, false);
        r = set_size(disk, size, err);
        end_change(disk);
        return r;
}

/* The same for a range that is to be zeros. */
static int change_room(int fd, int mode, uint64_t offset, uint64_t length)
{
        int r;

        do
                r = fallocate(fd, mode, (off_t)offset, (off_t)length);
        while (r < 0 && errno == EINTR);
        return r;
}

/* 1: the file system cannot, and *length bytes are to be written. */
static int make_zeros(DiskFile *disk, uint64_t offset, uint64_t *length, bool keep, Error *err)
{
        int mode = keep ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        uint64_t size;

        if (disk_size(&disk->file, &size, err) < 0)
                return -1;
        /* Behind the end there is nothing to punch: growing the file makes zeros. */
        if (!disk->is_block && offset + *length > size && !keep) {
                if (set_size(disk, offset + *length, err) < 0)
                        return -1;
                if (offset >= size)
                        return 0;
                *length = size - offset;
        }
        if (atomic_load(&disk->no_holes))
                return 1;
        if (change_room(disk->fd, mode, offset, *length) == 0)
                return 0;
        if (errno != EOPNOTSUPP && errno != ENODEV && errno != EINVAL)
                return err_errno(err, errno, "cannot zero %llu bytes at offset %llu of '%s'",
                                 (unsigned long long)*length, (unsigned long long)offset, disk->file.name);
        atomic_store(&disk->no_holes, true);
        return 1;
}

static int disk_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        DiskFile *disk = disk_file(file);
        int r;

        begin_change(disk, false);
        r = make_zeros(disk, offset, &length, keep, err);
        end_change(disk);
        return r == 1 ? image_file_write_zeros(file, offset, length, err) : r;
}

static int disk_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        DiskFile *disk = disk_file(file);
        int failure;

        if (disk->is_block || length == 0)
                return 0;
        begin_change(disk, false);
        do
                failure = posix_fallocate(disk->fd, (off_t)offset, (off_t)length);
        while (failure == EINTR);
        end_change(disk);
        if (failure)
                return err_errno(err, failure, "cannot take %llu bytes of room for '%s'", (unsigned long long)length,
                                 file->name);
        return 0;
}

/* Where data begins at or behind offset: `size` when there is none, offset where the file system cannot tell. */
static uint64_t seek_data(const DiskFile *disk, uint64_t offset, uint64_t size)
{
        off_t data = lseek(disk->fd, (off_t)offset, SEEK_DATA);

        if (data < 0)
                return errno == ENXIO ? size : offset;
        return (uint64_t)data;
}

/*
 * What is on its way to the disk is neither a hole nor data yet, and file systems have been known to call it a hole
 * for a moment. Data would be lost with it, so a hole counts only when it still is one after what may be dirty in it
 * was written, which costs nothing for a hole.
 */
static uint64_t data_from(const DiskFile *disk, uint64_t offset, uint64_t size)
{
        uint64_t data = seek_data(disk, offset, size);

        if (data == offset)
                return offset;
        sync_file_range(disk->fd, (off_t)offset, (off_t)(data - offset),
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
        return seek_data(disk, offset, size);
}

static int disk_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        DiskFile *disk = disk_file(file);
        uint64_t size, data;
        off_t hole;

        if (disk_size(file, &size, err) < 0)
                return -1;
        if (offset >= size)
                return err_set(err, ERR_INTERNAL, "offset %llu is behind the end of '%s'", (unsigned long long)offset,
                               file->name);
        *kind = FILE_EXTENT_DATA;
        *length = size - offset;
        if (disk->is_block)
                return 0;
        data = data_from(disk, offset, size);
        if (data != offset) {
                *kind = FILE_EXTENT_HOLE;
                *length = MIN(data, size) - offset;
                return 0;
        }
        hole = lseek(disk->fd, (off_t)offset, SEEK_HOLE);
        if (hole > 0 && (uint64_t)hole > offset)
                *length = MIN((uint64_t)hole, size) - offset;
        return 0;
}

static void disk_close(ImageFile *file)
{
        DiskFile *disk = disk_file(file);

        fd_close(&disk->fd);
        pthread_rwlock_destroy(&disk->changing);
        free(disk);
}

static const ImageFileOps disk_ops = {
        .read = disk_read,
        .write = disk_write,
        .flush = disk_flush,
        .truncate = disk_truncate,
        .zero = disk_zero,
        .reserve = disk_reserve,
        .extent = disk_extent,
        .size = disk_size,
        .close = disk_close,
};

ImageFile *image_file_from_fd(int fd, const char *name, bool writable, Error *err)
{
        AUTO(Fd) owned = fd;
        struct stat st;
        DiskFile *disk;

        if (fstat(owned, &st) < 0) {
                err_errno(err, errno, "cannot look at '%s'", name);
                return NULL;
        }
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
                err_set(err, ERR_INVALID_ARG, "'%s' is neither a file nor a block device", name);
                return NULL;
        }
        disk = mem_new(DiskFile);
        disk->file = (ImageFile){ .ops = &disk_ops, .name = str_dup(name), .writable = writable };
        disk->file.align = fcntl(owned, F_GETFL) & O_DIRECT ? DIRECT_ALIGN : 1;
        disk->is_block = S_ISBLK(st.st_mode);
        pthread_rwlock_init(&disk->changing, NULL);
        disk->fd = fd_take(&owned);
        return &disk->file;
}

ImageFile *image_file_open(const char *path, unsigned flags, Error *err)
{
        /* Non-blocking only for the open itself: a FIFO put in place of an image must not hang it. */
        int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (flags & FILE_WRITE ? O_RDWR : O_RDONLY);
        AUTO(Fd) fd = -1;

        if (nbd_is_name(path))
                return nbd_file_open(path, flags, err);
        if (flags & FILE_CREATE)
                how |= O_CREAT | (flags & FILE_EXCLUSIVE ? O_EXCL : 0);
        if (flags & FILE_DIRECT)
                how |= O_DIRECT;
        if (flags & FILE_SYNC)
                how |= O_DSYNC;
        fd = open(path, how, 0644);
        if (fd < 0) {
                err_errno(err, errno, "Could not open '%s'", path);
                return NULL;
        }
        if (fcntl(fd, F_SETFL, how & ~(O_NONBLOCK | O_CREAT | O_EXCL)) < 0) {
                err_errno(err, errno, "cannot set the mode of '%s'", path);
                return NULL;
        }
        return image_file_from_fd(fd_take(&fd), path, flags & FILE_WRITE, err);
}

const ImageFile *image_file_place(const ImageFile *file, uint64_t *offset)
{
        while (file->part_of) {
                *offset += file->part_at;
                file = file->part_of;
        }
        return file;
}

int image_file_fd(const ImageFile *file)
{
        return file->ops == &disk_ops ? disk_file(file)->fd : -1;
}

ImageFile *image_file_close(ImageFile *file)
{
        if (file) {
                free(file->name);
                file->ops->close(file);
        }
        return NULL;
}

int image_file_read(ImageFile *file, uint64_t offset, void *data, size_t n, Error *err)
{
        size_t done;

        if (file->ops->read(file, offset, data, n, &done, err) < 0)
                return -1;
        if (done < n)
                return err_set(err, ERR_OPERATION_FAILED, "'%s' ends at offset %llu, %zu more bytes were expected",
                               file->name, (unsigned long long)(offset + done), n - done);
        return 0;
}

int image_file_read_padded(ImageFile *file, uint64_t offset, void *data, size_t n, Error *err)
{
        size_t done;

        if (file->ops->read(file, offset, data, n, &done, err) < 0)
                return -1;
        memset((char *)data + done, 0, n - done);
        return 0;
}

int image_file_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        if (!file->writable)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' is open for reading only", file->name);
        if (offset > INT64_MAX - n)
                return err_set(err, ERR_OVERFLOW, "offset %llu is too large for a file", (unsigned long long)offset);
        return n ? file->ops->write(file, offset, data, n, err) : 0;
}

int image_file_flush(ImageFile *file, Error *err)
{
        return file->skip_flush || !file->writable ? 0 : file->ops->flush(file, err);
}

int image_file_truncate(ImageFile *file, uint64_t size, Error *err)
{
        return file->ops->truncate(file, size, err);
}

int image_file_resize(ImageFile *file, uint64_t size, Error *err)
{
        ImageFile *whole = file;
        uint64_t end = size, now;

        for (; whole->part_of; whole = whole->part_of)
                end += whole->part_at;
        if (image_file_truncate(file, size, err) < 0 || image_file_size(whole, &now, err) < 0)
                return -1;
        return now == end ? 0
                          : err_set(err, ERR_OPERATION_INVALID, "Cannot resize '%s', which has %llu bytes",
                                    whole->name, (unsigned long long)now);
}

int image_file_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        return length ? file->ops->zero(file, offset, length, keep, err) : 0;
}

bool image_file_zeroes_fast(const ImageFile *file)
{
        const DiskFile *disk = file->ops == &disk_ops ? container_of(file, const DiskFile, file) : NULL;
        struct stat st;

        /* Behind the end there is nothing to lose. A device may do it, and may write. */
        return disk && !disk->is_block && fstat(disk->fd, &st) == 0 &&
               fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)round_up((uint64_t)st.st_size, DIRECT_ALIGN), DIRECT_ALIGN) == 0;
}

int image_file_write_zeros(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        size_t size = (size_t)MIN(length, (uint64_t)BOUNCE_SIZE);
        AUTOFREE char *zeros = image_buffer_try(size);

        if (!zeros)
                return err_set(err, ERR_NO_MEMORY, "no memory to zero a part of '%s'", file->name);
        while (length) {
                size_t n = (size_t)MIN(length, (uint64_t)size);

                if (image_file_write(file, offset, zeros, n, err) < 0)
                        return -1;
                offset += n;
                length -= n;
        }
        return 0;
}

int image_file_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        return file->ops->reserve(file, offset, length, err);
}

int image_file_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        return file->ops->extent(file, offset, kind, length, err);
}

int image_file_size(ImageFile *file, uint64_t *ret, Error *err)
{
        return file->ops->size(file, ret, err);
}

uint64_t image_file_disk_usage(const ImageFile *file)
{
        struct stat st;
        int fd = image_file_fd(image_file_place(file, &(uint64_t){ 0 }));

        return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
