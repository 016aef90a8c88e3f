/*
 * host/storage/transfer.c - the content of a volume as a stream of pieces, both ways
 */
#include "host/storage/undo.h"
#include "host/storage/volume.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Volume {
        const char *path;
        Fd fd;
        uint64_t size;
        bool is_block;
} Volume;

static void volume_done(Volume *v)
{
        fd_close(&v->fd);
}
DEFINE_AUTO_VALUE(Volume, volume_done)

static int volume_open(Volume *v, int flags, Error *err)
{
        struct stat st;

        v->fd = open(v->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (v->fd < 0 || fstat(v->fd, &st) < 0)
                return storage_fail(err, errno, v->path, "cannot open '%s'", v->path);
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return err_set(err, ERR_OPERATION_INVALID, "'%s' is neither a file nor a device", v->path);
        v->is_block = S_ISBLK(st.st_mode);
        v->size = (uint64_t)st.st_size;
        if (v->is_block && ioctl(v->fd, BLKGETSIZE64, &v->size) < 0)
                return err_errno(err, errno, "cannot get the size of '%s'", v->path);
        return 0;
}

static void put_head(uint8_t head[VOLUME_PIECE_HEAD], uint8_t kind, uint64_t length)
{
        head[0] = kind;
        for (size_t i = 0; i < 8; i++)
                head[1 + i] = (uint8_t)(length >> (56 - 8 * i));
}

static int send_piece(int to, uint8_t kind, uint64_t length, const void *data, Error *err)
{
        uint8_t head[VOLUME_PIECE_HEAD];

        put_head(head, kind, length);
        if (fd_write_all(to, head, sizeof(head), err) < 0)
                return -1;
        return kind == VOLUME_PIECE_DATA && length ? fd_write_all(to, data, length, err) : 0;
}

/* Whether a hole stands at `at`, and where this piece ends. */
static void find_piece(const Volume *v, uint64_t at, uint64_t end, bool *hole, uint64_t *piece_end)
{
        off_t data = lseek(v->fd, (off_t)at, SEEK_DATA), next;

        if (data < 0) {
                *hole = errno == ENXIO; /* a hole to the end; or it cannot be told */
                *piece_end = end;
                return;
        }
        *hole = (uint64_t)data > at;
        next = *hole ? data : lseek(v->fd, (off_t)at, SEEK_HOLE);
        *piece_end = next > 0 ? MIN((uint64_t)next, end) : end;
}

static int send_data(const Volume *v, uint64_t at, uint64_t end, void *data, int to, Error *err)
{
        while (at < end) {
                ssize_t n = pread(v->fd, data, (size_t)MIN((uint64_t)VOLUME_PIECE_MOST, end - at), (off_t)at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_errno(err, errno, "cannot read '%s' at %llu", v->path, (unsigned long long)at);
                if (n == 0)
                        return 0; /* somebody cut it meanwhile */
                if (send_piece(to, VOLUME_PIECE_DATA, (uint64_t)n, data, err) < 0)
                        return -1;
                at += (uint64_t)n;
        }
        return 0;
}

int volume_send(const char *path, uint64_t offset, uint64_t length, bool sparse, int to, Error *err)
{
        AUTO(Volume) v = { .path = path, .fd = -1 };
        AUTOFREE void *data = mem_alloc(VOLUME_PIECE_MOST);
        uint64_t at = offset, end;

        if (volume_open(&v, O_RDONLY, err) < 0)
                return -1;
        if (offset > v.size)
                return err_set(err, ERR_INVALID_ARG, "offset %llu is behind the end of '%s' (%llu)",
                               (unsigned long long)offset, path, (unsigned long long)v.size);
        end = length && length < v.size - offset ? offset + length : v.size;
        while (at < end) {
                bool hole = false;
                uint64_t next = end;

                if (sparse && !v.is_block)
                        find_piece(&v, at, end, &hole, &next);
                if (hole ? send_piece(to, VOLUME_PIECE_HOLE, next - at, NULL, err) < 0
                         : send_data(&v, at, next, data, to, err) < 0)
                        return -1;
                at = next;
        }
        return send_piece(to, VOLUME_PIECE_DATA, 0, NULL, err);
}

/* --- the other way --- */

static int read_all(int from, void *data, size_t n, Error *err)
{
        size_t at = 0;

        while (at < n) {
                ssize_t got = read(from, (char *)data + at, n - at);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_errno(err, errno, "cannot read what the client sends");
                if (got == 0)
                        return err_set(err, ERR_OPERATION_ABORTED, "the stream ended before its content did");
                at += (size_t)got;
        }
        return 0;
}

static int write_all(const Volume *v, const char *data, size_t n, uint64_t at, Error *err)
{
        while (n) {
                ssize_t done = pwrite(v->fd, data, n, (off_t)at);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done <= 0)
                        return err_errno(err, done ? errno : ENOSPC, "cannot write '%s' at %llu", v->path,
                                         (unsigned long long)at);
                data += done;
                n -= (size_t)done;
                at += (uint64_t)done;
        }
        return 0;
}

static int write_zeros(const Volume *v, uint64_t at, uint64_t n, Error *err)
{
        static const char zeros[65536];

        for (uint64_t done = 0; done < n; done += sizeof(zeros)) {
                if (write_all(v, zeros, (size_t)MIN((uint64_t)sizeof(zeros), n - done), at + done, err) < 0)
                        return -1;
        }
        return 0;
}

/* A hole reads as zeros afterwards, whatever was there. A device takes whole sectors only: the rest is written. */
static int make_hole(const Volume *v, uint64_t at, uint64_t n, Error *err)
{
        uint64_t range[2] = { at, n };
        uint64_t inside = at < v->size ? MIN(n, v->size - at) : 0;

        if (v->is_block)
                return ioctl(v->fd, BLKZEROOUT, range) == 0 ? 0 : write_zeros(v, at, n, err);
        if (inside && fallocate(v->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)inside) < 0 &&
            write_zeros(v, at, inside, err) < 0)
                return -1;
        if (at + n > v->size && ftruncate(v->fd, (off_t)(at + n)) < 0)
                return err_errno(err, errno, "cannot make '%s' longer", v->path);
        return 0;
}

/* Clients choose how much they send at once. */
static int receive_data(const Volume *v, char *data, uint64_t n, uint64_t at, int from, Error *err)
{
        for (size_t piece; n; n -= piece, at += piece) {
                piece = (size_t)MIN(n, (uint64_t)VOLUME_PIECE_MOST);
                if (read_all(from, data, piece, err) < 0 || write_all(v, data, piece, at, err) < 0)
                        return -1;
        }
        return 0;
}

/* 0: the stream ended as it should. Its pieces go to *at and behind; undo may be NULL. */
static int receive_pieces(Volume *v, Undo *undo, uint64_t at, uint64_t most, int from, Error *err)
{
        AUTOFREE char *data = mem_alloc(VOLUME_PIECE_MOST);
        uint64_t left = most;

        for (;;) {
                uint8_t head[VOLUME_PIECE_HEAD];
                uint64_t n = 0;

                if (read_all(from, head, sizeof(head), err) < 0)
                        return -1;
                for (size_t i = 1; i < sizeof(head); i++)
                        n = n << 8 | head[i];
                if (!n)
                        return 0;
                if (n > left || n > INT64_MAX - at)
                        return err_set(err, ERR_INVALID_ARG, "more is sent than the %llu bytes announced for '%s'",
                                       (unsigned long long)most, v->path);
                if (undo && undo_keep(undo, at + n, err) < 0)
                        return -1;
                if (head[0] == VOLUME_PIECE_DATA) {
                        if (receive_data(v, data, n, at, from, err) < 0)
                                return -1;
                } else if (head[0] != VOLUME_PIECE_HOLE) {
                        return err_set(err, ERR_INTERNAL, "the stream of '%s' is damaged", v->path);
                } else if (make_hole(v, at, n, err) < 0) {
                        return -1;
                }
                at += n;
                left -= n;
                v->size = MAX(v->size, at);
        }
}

/* What a link leads to may be another file by the time that something is given back: nothing is kept of it. */
static bool is_link(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

int volume_receive(const char *path, uint64_t offset, uint64_t length, int from, Error *err)
{
        AUTO(Volume) v = { .path = path, .fd = -1 };
        AUTO(Undo) *undo = NULL;

        if (volume_open(&v, O_RDWR, err) < 0 || image_fd_lock_bytes(v.fd, path, err) < 0)
                return -1;
        if (!v.is_block && !is_link(path) && !(undo = undo_begin(path, v.fd, offset, err)))
                return -1;
        if (receive_pieces(&v, undo, offset, length ? length : UINT64_MAX - offset, from, err) < 0) {
                if (!undo)
                        err_prefix(err, "'%s' holds a part of what was sent", path);
                return -1;
        }
        if (fdatasync(v.fd) < 0)
                return err_errno(err, errno, "cannot write '%s'", path);
        return undo ? undo_forget(undo, err) : 0;
}
