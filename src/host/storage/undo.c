/*
 * host/storage/undo.c - what an upload overwrites, until all of it came
 *
 * A head, then records: a range, and what stood in it. A range is overwritten
 * only when its record is on the disk.
 */
#include "host/storage/undo.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX ".drover-undo-"

enum { MOST_DATA = 1 << 20, BATCH = 8 << 20 };

static const char magic[8] = { 'd', 'r', 'o', 'v', 'u', 'n', 'd', '1' };

typedef struct Head {
        char magic[sizeof(magic)];
        uint64_t inode, size;
        uint64_t preallocated; /* not sparse: holes are room that nobody wrote to */
} Head;

typedef struct Record {
        uint64_t at, length;
        uint64_t is_data; /* `length` bytes follow; else it was a hole */
} Record;

struct Undo {
        char *path; /* of what is kept */
        Fd fd, dir;
        int file;
        uint64_t size, kept; /* of the file; everything before `kept` is safe */
        uint8_t *data;
};

bool undo_is_file(const char *name)
{
        return str_starts(name, PREFIX);
}

static char *kept_path(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? str_format("%.*s/" PREFIX "%s", (int)(slash - path), path, slash + 1)
                     : str_format(PREFIX "%s", path);
}

static int open_parent(const char *path, Fd *ret, Error *err)
{
        AUTOFREE char *dir = str_dup(path);

        *strrchr(dir, '/') = '\0';
        *ret = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret < 0 ? err_errno(err, errno, "cannot open '%s'", dir) : 0;
}

Undo *undo_free(Undo *undo)
{
        if (!undo)
                return NULL;
        fd_close(&undo->fd);
        fd_close(&undo->dir);
        free(undo->path);
        free(undo->data);
        free(undo);
        return NULL;
}

static int fail_to_keep(const Undo *undo, Error *err)
{
        return err_errno(err, errno, "cannot keep what the upload overwrites in '%s'", undo->path);
}

static int write_head(Undo *undo, Error *err)
{
        Head head = { .magic = "" };
        struct stat st;

        if (fstat(undo->file, &st) < 0)
                return fail_to_keep(undo, err);
        memcpy(head.magic, magic, sizeof(magic));
        head.inode = st.st_ino;
        head.size = undo->size = (uint64_t)st.st_size;
        head.preallocated = (uint64_t)st.st_blocks * 512 >= head.size;
        if (fd_write_all(undo->fd, &head, sizeof(head), err) < 0) {
                err_prefix(err, "cannot keep what the upload overwrites in '%s'", undo->path);
                return -1;
        }
        return fdatasync(undo->fd) < 0 || fsync(undo->dir) < 0 ? fail_to_keep(undo, err) : 0;
}

Undo *undo_begin(const char *path, int fd, uint64_t from, Error *err)
{
        AUTO(Undo) *undo = mem_new(Undo);

        *undo = (Undo){ .path = kept_path(path), .fd = -1, .dir = -1, .file = fd, .kept = from };
        undo->data = mem_alloc(MOST_DATA);
        if (undo_give_back(path, err) < 0 || open_parent(path, &undo->dir, err) < 0)
                return NULL;
        undo->fd = open(undo->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (undo->fd < 0 || flock(undo->fd, LOCK_EX | LOCK_NB) < 0) {
                fail_to_keep(undo, err);
                return NULL;
        }
        if (write_head(undo, err) == 0)
                return TAKE(undo);
        unlink(undo->path);
        return NULL;
}

/* --- keep --- */

/* What stands at `at`, and where it ends. Where that cannot be told, it is data. */
static bool is_hole(const Undo *undo, uint64_t at, uint64_t *end)
{
        off_t data = lseek(undo->file, (off_t)at, SEEK_DATA), next;

        *end = undo->size;
        if (data < 0)
                return errno == ENXIO;
        if ((uint64_t)data > at) {
                *end = MIN((uint64_t)data, undo->size);
                return true;
        }
        next = lseek(undo->file, (off_t)at, SEEK_HOLE);
        if (next > (off_t)at)
                *end = MIN((uint64_t)next, undo->size);
        return false;
}

static int put(const Undo *undo, const void *data, size_t n, Error *err)
{
        if (fd_write_all(undo->fd, data, n, err) == 0)
                return 0;
        err_prefix(err, "cannot keep what the upload overwrites in '%s'", undo->path);
        return -1;
}

static int keep_data(const Undo *undo, uint64_t at, uint64_t end, Error *err)
{
        while (at < end) {
                ssize_t n = pread(undo->file, undo->data, (size_t)MIN(end - at, (uint64_t)MOST_DATA), (off_t)at);
                Record record = { .at = at, .length = (uint64_t)MAX(n, 0), .is_data = 1 };

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? err_errno(err, errno, "cannot read what the upload overwrites") : 0;
                if (put(undo, &record, sizeof(record), err) < 0 || put(undo, undo->data, (size_t)n, err) < 0)
                        return -1;
                at += (uint64_t)n;
        }
        return 0;
}

static int keep_batch(Undo *undo, Error *err)
{
        uint64_t at = undo->kept, target = MIN(undo->size, undo->kept + BATCH), end;

        while (at < target) {
                if (is_hole(undo, at, &end)) {
                        Record record = { .at = at, .length = end - at };

                        if (put(undo, &record, sizeof(record), err) < 0)
                                return -1;
                } else {
                        end = MIN(end, target);
                        if (keep_data(undo, at, end, err) < 0)
                                return -1;
                }
                at = end;
        }
        if (fdatasync(undo->fd) < 0)
                return fail_to_keep(undo, err);
        undo->kept = at;
        return 0;
}

int undo_keep(Undo *undo, uint64_t until, Error *err)
{
        while (undo->kept < MIN(until, undo->size)) {
                if (keep_batch(undo, err) < 0)
                        return -1;
        }
        return 0;
}

int undo_forget(Undo *undo, Error *err)
{
        return unlink(undo->path) < 0 || fsync(undo->dir) < 0
                       ? err_errno(err, errno, "cannot remove '%s'", undo->path)
                       : 0;
}

/* --- give back --- */

/* 1: all of it, 0: it ends before, -1: error. */
static int read_part(int fd, void *data, size_t n, Error *err)
{
        for (size_t at = 0; at < n;) {
                ssize_t got = read(fd, (char *)data + at, n - at);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_errno(err, errno, "cannot read what an upload overwrote");
                if (got == 0)
                        return 0;
                at += (size_t)got;
        }
        return 1;
}

static int write_at(int file, const uint8_t *data, size_t n, uint64_t at, Error *err)
{
        while (n) {
                ssize_t done = pwrite(file, data, n, (off_t)at);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done <= 0)
                        return err_errno(err, done ? errno : ENOSPC, "cannot give back what an upload overwrote");
                data += done;
                n -= (size_t)done;
                at += (uint64_t)done;
        }
        return 0;
}

static int clear(int file, uint64_t at, uint64_t end, bool preallocated, Error *err)
{
        static const uint8_t zeros[65536];
        int mode = (preallocated ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | FALLOC_FL_KEEP_SIZE;

        if (fallocate(file, mode, (off_t)at, (off_t)(end - at)) == 0)
                return 0;
        for (; at < end; at += MIN(end - at, (uint64_t)sizeof(zeros))) {
                if (write_at(file, zeros, (size_t)MIN(end - at, (uint64_t)sizeof(zeros)), at, err) < 0)
                        return -1;
        }
        return 0;
}

/* Nothing stood there: what does now came with the upload. */
static int clear_data(int file, const Record *hole, bool preallocated, Error *err)
{
        uint64_t at = hole->at, end = hole->at + hole->length;

        while (at < end) {
                off_t data = lseek(file, (off_t)at, SEEK_DATA), next;

                if (data < 0 && errno == ENXIO)
                        return 0;
                at = data < 0 ? at : MAX((uint64_t)data, at);
                if (at >= end)
                        return 0;
                next = lseek(file, (off_t)at, SEEK_HOLE);
                if (clear(file, at, next > (off_t)at ? MIN((uint64_t)next, end) : end, preallocated, err) < 0)
                        return -1;
                at = next > (off_t)at ? (uint64_t)next : end;
        }
        return 0;
}

static int apply_records(int kept, int file, const Head *head, const char *name, Error *err)
{
        AUTOFREE uint8_t *data = mem_alloc(MOST_DATA);
        Record record;
        int r;

        while ((r = read_part(kept, &record, sizeof(record), err)) > 0) {
                if (record.at > head->size || record.length > head->size - record.at ||
                    (record.is_data && record.length > MOST_DATA))
                        return err_set(err, ERR_OPERATION_FAILED, "what was kept of '%s' is damaged", name);
                if (!record.is_data) {
                        if (clear_data(file, &record, head->preallocated, err) < 0)
                                return -1;
                        continue;
                }
                r = read_part(kept, data, (size_t)record.length, err);
                if (r <= 0)
                        break;
                if (write_at(file, data, (size_t)record.length, record.at, err) < 0)
                        return -1;
        }
        return r;
}

int undo_apply(int kept, int file, const char *name, Error *err)
{
        struct stat st;
        Head head;
        int r = read_part(kept, &head, sizeof(head), err);

        if (r <= 0)
                return r; /* it was never begun */
        if (fstat(file, &st) < 0)
                return err_errno(err, errno, "cannot look at '%s'", name);
        if (memcmp(head.magic, magic, sizeof(magic)) != 0 || head.size > INT64_MAX)
                return err_set(err, ERR_OPERATION_FAILED, "what was kept of '%s' is damaged", name);
        if (head.inode != st.st_ino || !S_ISREG(st.st_mode))
                return 0; /* another file has the name now */
        if (apply_records(kept, file, &head, name, err) < 0)
                return -1;
        return ftruncate(file, (off_t)head.size) < 0 || fdatasync(file) < 0
                       ? err_errno(err, errno, "cannot give back what an upload overwrote in '%s'", name)
                       : 0;
}

/* A link, a directory, or nothing at all has the name now: no upload was to it. */
static bool is_no_file(const char *path)
{
        struct stat st;

        return lstat(path, &st) < 0 ? errno == ENOENT : !S_ISREG(st.st_mode);
}

int undo_give_back(const char *path, Error *err)
{
        AUTOFREE char *kept = kept_path(path);
        AUTO(Fd) file = -1, dir = -1;
        AUTO(Fd) fd = open(kept, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return errno == ENOENT ? 0 : err_errno(err, errno, "cannot open '%s'", kept);
        /* whoever holds it is being killed; it may have ended well, too */
        if (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0)
                return err_errno(err, errno, "cannot lock '%s'", kept);
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || !st.st_nlink)
                return 0;
        file = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (file < 0) {
                int errnum = errno;

                if (!is_no_file(path))
                        return err_errno(err, errnum, "cannot open '%s'", path);
        }
        if ((file >= 0 && undo_apply(fd, file, path, err) < 0) || open_parent(path, &dir, err) < 0)
                return -1;
        /* what came back with the power would be given back again, over all that was written meanwhile */
        return unlink(kept) < 0 || fsync(dir) < 0 ? err_errno(err, errno, "cannot remove '%s'", kept) : 0;
}

int undo_all(const char *path, Error *err)
{
        DIR *dir = opendir(path);
        int r = 0;

        if (!dir)
                return err_errno(err, errno, "cannot open directory '%s'", path);
        for (struct dirent *entry; (entry = readdir(dir));) {
                AUTOFREE char *of = NULL;

                if (!undo_is_file(entry->d_name))
                        continue;
                of = str_format("%s/%s", dir_stem(path), entry->d_name + strlen(PREFIX));
                if (undo_give_back(of, r < 0 ? NULL : err) < 0)
                        r = -1;
        }
        closedir(dir);
        return r;
}
