/*
 * app/drover-save - the daemon's hands on files of guests where they may be anywhere
 *
 *      drover-save write PATH [direct]    0: state from QEMU  3: head  4: "c" commits, its end does not
 *      drover-save show  PATH             1: the head, checked
 *      drover-save read  PATH [direct]    1: the state
 *      drover-save edit  PATH             3: another head for the same state  1: a dot now and then, while it goes on
 *      drover-save dump  PATH [direct]    0: what becomes of the file  4: "c" commits, its end does not
 *      drover-save file  PATH             4: the file is sent, for others to write; then as above
 *      drover-save find  PATH             1: "yes" or "no": is something there?
 *      drover-save remove PATH            it is not there afterwards
 *
 * A path that a user named may hang or lead anywhere, so it is touched here, in
 * a process that can be killed. Nothing incomplete ever has the final name: a
 * file is written without a name (or beside it), synced, and then renamed.
 * What goes wrong is one sentence on standard error and status 1; 2 when a write
 * was not committed.
 */
#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/str.h"
#include "qemu/save-image.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_FD = 3, COMMIT_FD = 4, CHUNK = 1 << 20, TELL_EVERY = 64 };

/* A file that is being made: without a name, or with one that nobody asks for. */
typedef struct NewFile {
        const char *path;
        char *dir, *temporary; /* temporary: where it is linked, on its way to path */
        Fd fd;
        bool has_name;
} NewFile;

static void new_file_done(NewFile *file)
{
        if (file->has_name)
                unlink(file->temporary);
        fd_close(&file->fd);
        free(file->dir);
        free(file->temporary);
}
DEFINE_AUTO_VALUE(NewFile, new_file_done)

static int new_file_open(NewFile *file, const char *path, Error *err)
{
        AUTOFREE char *copy = str_dup(path);
        struct stat st;

        *file = (NewFile){ .path = path, .fd = -1 };
        if (path[0] != '/')
                return err_set(err, ERR_INVALID_ARG, "'%s' is not an absolute path", path);
        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return err_set(err, ERR_OPERATION_FAILED, "'%s' is there and is no regular file", path);
        file->dir = str_dup(dirname(copy));
        file->temporary = str_format("%s.part-%d", path, getpid());
        file->fd = open(file->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (file->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
                file->fd = open(file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                file->has_name = file->fd >= 0;
        }
        return file->fd < 0 ? err_errno(err, errno, "cannot make a file in '%s'", file->dir) : 0;
}

/* From now on it has its name and survives a crash. */
static int new_file_commit(NewFile *file, Error *err)
{
        char self[64];
        AUTO(Fd) dir = -1;

        if (fsync(file->fd) < 0)
                return err_errno(err, errno, "cannot write '%s'", file->path);
        snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
        if (!file->has_name && linkat(AT_FDCWD, self, AT_FDCWD, file->temporary, AT_SYMLINK_FOLLOW) < 0)
                return err_errno(err, errno, "cannot name '%s'", file->temporary);
        file->has_name = true;
        if (rename(file->temporary, file->path) < 0)
                return err_errno(err, errno, "cannot rename to '%s'", file->path);
        file->has_name = false;
        dir = open(file->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || fsync(dir) < 0) {
                /* the guest will go on: an image of its past must not stay */
                err_errno(err, errno, "cannot sync '%s'", file->dir);
                unlink(file->path);
                return -1;
        }
        return 0;
}

/* Around the page cache, where the file system can do that. */
static void go_direct(int fd, bool direct)
{
        int flags = fcntl(fd, F_GETFL);

        fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT);
}

static int read_some(int fd, char *data, size_t n, size_t *ret, Error *err)
{
        *ret = 0;
        while (*ret < n) {
                ssize_t got = read(fd, data + *ret, n - *ret);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_errno(err, errno, "cannot read the guest's state");
                if (got == 0)
                        return 0;
                *ret += (size_t)got;
        }
        return 0;
}

/* The head the daemon made: all of it, from a descriptor. */
static int read_head(SaveImage *image, Buf *head, Error *err)
{
        struct stat st;
        size_t got;
        char *data;

        if (fstat(HEAD_FD, &st) < 0 || st.st_size > SAVE_IMAGE_MOST_XML + 2 * SAVE_IMAGE_BLOCK)
                return err_set(err, ERR_INTERNAL, "the head is no file of a fitting size");
        data = buf_reserve(head, (size_t)st.st_size);
        if (lseek(HEAD_FD, 0, SEEK_SET) < 0 || read_some(HEAD_FD, data, (size_t)st.st_size, &got, err) < 0)
                return -1;
        buf_grow(head, got);
        return save_image_parse(head->data, head->len, image, err);
}

static int write_head(int fd, const Buf *head, Error *err)
{
        if (lseek(fd, 0, SEEK_SET) < 0)
                return err_errno(err, errno, "cannot write the head");
        return fd_write_all(fd, head->data, head->len, err);
}

/* So far it is on the disk: who waits for us hears that we do something, and the last sync will not take long. */
static int tell(int to, Error *err)
{
        if (fdatasync(to) < 0)
                return err_errno(err, errno, "cannot write the guest's state");
        return fd_write_all(STDOUT_FILENO, ".", 1, err);
}

/* Copy the state behind the head; data is a CHUNK, aligned. tells: say now and then that it goes on. */
static int write_state(int from, int to, char *data, bool tells, uint64_t *ret_bytes, Error *err)
{
        unsigned chunks = 0;
        size_t got;

        *ret_bytes = 0;
        do {
                if (read_some(from, data, CHUNK, &got, err) < 0)
                        return -1;
                if (got < CHUNK)
                        go_direct(to, false); /* the last piece has any length */
                if (fd_write_all(to, data, got, err) < 0)
                        return -1;
                *ret_bytes += got;
                if (tells && ++chunks % TELL_EVERY == 0 && tell(to, err) < 0)
                        return -1;
        } while (got == CHUNK);
        return 0;
}

static int await_commit(Error *err)
{
        char commit;

        if (read(COMMIT_FD, &commit, 1) != 1 || commit != 'c')
                return err_set(err, ERR_OPERATION_ABORTED, "the save was given up");
        return 0;
}

static int do_write(const char *path, bool direct, char *data, Error *err)
{
        AUTO(NewFile) file = { .fd = -1 };
        AUTO(Buf) head = { 0 };
        AUTO(Buf) final = { 0 };
        SaveImage image;

        if (read_head(&image, &head, err) < 0 || new_file_open(&file, path, err) < 0 ||
            write_head(file.fd, &head, err) < 0)
                return -1;
        go_direct(file.fd, direct);
        if (write_state(STDIN_FILENO, file.fd, data, false, &image.state_bytes, err) < 0)
                return err_prefix(err, "'%s'", path);
        if (await_commit(err) < 0)
                return -1;
        if (save_image_format(&image, &final, err) < 0 || write_head(file.fd, &final, err) < 0)
                return -1;
        return new_file_commit(&file, err);
}

static int do_dump(const char *path, bool direct, char *data, Error *err)
{
        AUTO(NewFile) file = { .fd = -1 };
        uint64_t bytes;

        if (new_file_open(&file, path, err) < 0)
                return -1;
        go_direct(file.fd, direct);
        if (write_state(STDIN_FILENO, file.fd, data, false, &bytes, err) < 0)
                return err_prefix(err, "'%s'", path);
        return await_commit(err) < 0 ? -1 : new_file_commit(&file, err);
}

static int send_file(int fd, Error *err)
{
        char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
        struct iovec text = { &byte, 1 };
        struct msghdr message = {
                .msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(int));
        return sendmsg(COMMIT_FD, &message, MSG_NOSIGNAL) == 1 ? 0 : err_errno(err, errno, "cannot send the file");
}

static int do_file(const char *path, Error *err)
{
        AUTO(NewFile) file = { .fd = -1 };

        if (new_file_open(&file, path, err) < 0 || send_file(file.fd, err) < 0 || await_commit(err) < 0)
                return -1;
        return new_file_commit(&file, err);
}

/* Open an image and check all that can be checked without reading its state. */
static int open_image(const char *path, Fd *ret, SaveImage *image, Buf *head, Error *err)
{
        AUTO(Fd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        uint32_t bytes;
        size_t got;

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_errno(err, errno, "cannot open '%s'", path);
        if (!S_ISREG(st.st_mode))
                return err_set(err, ERR_OPERATION_FAILED, "'%s' is no regular file", path);
        buf_reserve(head, SAVE_IMAGE_FIXED);
        if (read_some(fd, head->data, SAVE_IMAGE_FIXED, &got, err) < 0)
                return -1;
        buf_grow(head, got);
        bytes = save_image_head_bytes(head->data, head->len, err);
        if (!bytes)
                return err_prefix(err, "'%s'", path);
        if (read_some(fd, buf_reserve(head, bytes - got), bytes - got, &got, err) < 0)
                return -1;
        buf_grow(head, got);
        if (save_image_parse(head->data, head->len, image, err) < 0)
                return err_prefix(err, "'%s'", path);
        if ((uint64_t)st.st_size - image->head_bytes != image->state_bytes)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s' is damaged: it should hold %llu bytes of state and holds %lld", path,
                               (unsigned long long)image->state_bytes, (long long)st.st_size - image->head_bytes);
        *ret = fd_take(&fd);
        return 0;
}

static int do_show(const char *path, Error *err)
{
        AUTO(Fd) fd = -1;
        AUTO(Buf) head = { 0 };
        SaveImage image;

        if (open_image(path, &fd, &image, &head, err) < 0)
                return -1;
        return fd_write_all(STDOUT_FILENO, head.data, head.len, err);
}

static int do_read(const char *path, bool direct, char *data, Error *err)
{
        AUTO(Fd) fd = -1;
        AUTO(Buf) head = { 0 };
        SaveImage image;
        size_t got;

        if (open_image(path, &fd, &image, &head, err) < 0)
                return -1;
        go_direct(fd, direct);
        do {
                if (read_some(fd, data, CHUNK, &got, err) < 0 || fd_write_all(STDOUT_FILENO, data, got, err) < 0)
                        return err_prefix(err, "'%s'", path);
        } while (got == CHUNK);
        return 0;
}

static int do_edit(const char *path, char *data, Error *err)
{
        AUTO(NewFile) file = { .fd = -1 };
        AUTO(Fd) old = -1;
        AUTO(Buf) old_head = { 0 };
        AUTO(Buf) head = { 0 };
        SaveImage image, old_image;
        uint64_t copied;

        if (read_head(&image, &head, err) < 0 || open_image(path, &old, &old_image, &old_head, err) < 0 ||
            new_file_open(&file, path, err) < 0 || write_head(file.fd, &head, err) < 0 ||
            write_state(old, file.fd, data, true, &copied, err) < 0)
                return -1;
        if (copied != image.state_bytes)
                return err_set(err, ERR_OPERATION_FAILED, "'%s' changed meanwhile", path);
        return new_file_commit(&file, err);
}

static int do_find(const char *path, Error *err)
{
        struct stat st;
        bool found = lstat(path, &st) == 0;

        if (!found && errno != ENOENT && errno != ENOTDIR)
                return err_errno(err, errno, "cannot look for '%s'", path);
        return fd_write_all(STDOUT_FILENO, found ? "yes" : "no", found ? 3 : 2, err);
}

int main(int argc, char **argv)
{
        const char *verb = argc > 2 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
        bool direct = argc > 3 && str_eq(argv[3], "direct");
        AUTO(Error) err = { 0 };
        AUTOFREE char *data = NULL;
        int rc;

        signal(SIGPIPE, SIG_IGN);
        data = aligned_alloc(SAVE_IMAGE_BLOCK, CHUNK);
        if (!data)
                rc = err_set(&err, ERR_NO_MEMORY, "out of memory");
        else if (str_eq(verb, "write"))
                rc = do_write(path, direct, data, &err);
        else if (str_eq(verb, "show"))
                rc = do_show(path, &err);
        else if (str_eq(verb, "read"))
                rc = do_read(path, direct, data, &err);
        else if (str_eq(verb, "edit"))
                rc = do_edit(path, data, &err);
        else if (str_eq(verb, "dump"))
                rc = do_dump(path, direct, data, &err);
        else if (str_eq(verb, "file"))
                rc = do_file(path, &err);
        else if (str_eq(verb, "find"))
                rc = do_find(path, &err);
        else if (str_eq(verb, "remove"))
                rc = file_remove_durable(path, &err);
        else
                rc = err_set(&err, ERR_INVALID_ARG,
                             "usage: drover-save write|show|read|edit|dump|file|find|remove PATH [direct]");
        if (rc < 0)
                fprintf(stderr, "%s\n", err.text);
        return rc == 0 ? 0 : err.code == ERR_OPERATION_ABORTED ? 2 : 1;
}
