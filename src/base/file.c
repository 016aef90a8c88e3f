/*
 * base/file.c - whole files: bounded reads, durable writes
 */
#include "base/file.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, const char *path, const struct stat *st, size_t limit, Buf *ret, Error *err)
{
        AUTO(Buf) buf = { 0 };

        /* at once, so that nothing of a secret is left behind where a smaller buffer was */
        if (S_ISREG(st->st_mode) && st->st_size > 0)
                buf_reserve(&buf, MIN((size_t)st->st_size, limit) + 65536);
        for (;;) {
                void *at = buf_reserve(&buf, 65536);
                ssize_t n = read(fd, at, 65536);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_errno(err, errno, "cannot read '%s'", path);
                if (n == 0)
                        break;
                buf_grow(&buf, (size_t)n);
                if (buf.len > limit)
                        return err_set(err, ERR_INVALID_ARG, "'%s' is larger than %zu bytes", path, limit);
        }
        buf_done(ret);
        *ret = buf;
        buf = (Buf){ 0 };
        return 0;
}

int file_read(const char *path, size_t limit, Buf *ret, Error *err)
{
        AUTO(Fd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct stat st;

        if (fd < 0)
                return err_errno(err, errno, "cannot open '%s'", path);
        if (fstat(fd, &st) < 0)
                return err_errno(err, errno, "cannot tell what '%s' is", path);
        return read_all(fd, path, &st, limit, ret, err);
}

int file_read_regular(const char *path, size_t limit, Buf *ret, struct stat *ret_stat, Error *err)
{
        AUTO(Fd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;

        if (fd < 0)
                return err_errno(err, errno, "cannot open '%s'", path);
        if (fstat(fd, &st) < 0)
                return err_errno(err, errno, "cannot tell what '%s' is", path);
        if (!S_ISREG(st.st_mode))
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a regular file", path);
        if (read_all(fd, path, &st, limit, ret, err) < 0)
                return -1;
        if (ret_stat)
                *ret_stat = st;
        return 0;
}

int file_sync_directory(const char *path, Error *err)
{
        const char *slash = strrchr(path, '/');
        AUTOFREE char *dir = !slash ? str_dup(".") : str_dup_n(path, slash == path ? 1 : (size_t)(slash - path));
        AUTO(Fd) fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return err_errno(err, errno, "cannot open '%s'", dir);
        if (fsync(fd) < 0)
                return err_errno(err, errno, "cannot sync '%s'", dir);
        return 0;
}

/*
 * A change that was made is not taken for failed because its directory cannot be synced: everybody sees it already, and so
 * does the next start. To undo it would be one more change of a directory that takes none.
 */
static void sync_change(const char *path)
{
        AUTO(Error) err = { 0 };

        if (file_sync_directory(path, &err) < 0)
                log_warning("the change of '%s' is made, but may be lost when the power fails: %s", path, err.text);
}

static int write_beside(const char *beside, const void *data, size_t n, mode_t mode, bool sync, Error *err)
{
        AUTO(Fd) fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

        if (fd < 0)
                return err_errno(err, errno, "cannot create '%s'", beside);
        if (fchmod(fd, mode) < 0)
                return err_errno(err, errno, "cannot set the mode of '%s'", beside);
        if (fd_write_all(fd, data, n, err) < 0)
                return err_prefix(err, "'%s'", beside);
        if (sync && fsync(fd) < 0)
                return err_errno(err, errno, "cannot sync '%s'", beside);
        return 0;
}

static int replace(const char *path, const void *data, size_t n, mode_t mode, bool sync, Error *err)
{
        AUTOFREE char *beside = str_format("%s.new", path);

        if (write_beside(beside, data, n, mode, sync, err) < 0) {
                unlink(beside);
                return -1;
        }
        if (rename(beside, path) < 0) {
                err_errno(err, errno, "cannot rename '%s' to '%s'", beside, path);
                unlink(beside);
                return -1;
        }
        if (sync)
                sync_change(path);
        return 0;
}

int file_write_durable(const char *path, const void *data, size_t n, mode_t mode, Error *err)
{
        return replace(path, data, n, mode, true, err);
}

int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode, Error *err)
{
        return replace(path, data, n, mode, false, err);
}

int file_link_durable(const char *path, const char *target, Error *err)
{
        AUTOFREE char *beside = str_format("%s.new", path);

        if (unlink(beside) < 0 && errno != ENOENT)
                return err_errno(err, errno, "cannot remove '%s'", beside);
        if (symlink(target, beside) < 0)
                return err_errno(err, errno, "cannot make the link '%s'", path);
        if (rename(beside, path) < 0) {
                err_errno(err, errno, "cannot rename '%s' to '%s'", beside, path);
                unlink(beside);
                return -1;
        }
        sync_change(path);
        return 0;
}

int file_remove_durable(const char *path, Error *err)
{
        if (unlink(path) < 0) {
                if (errno == ENOENT)
                        return 0;
                return err_errno(err, errno, "cannot remove '%s'", path);
        }
        sync_change(path);
        return 0;
}

/* The whole path at once: mostly it is there, or its last part only is not. */
int dir_make(const char *path, mode_t mode, Error *err)
{
        AUTOFREE char *copy = NULL;

        if (mkdir(path, mode) == 0 || errno == EEXIST)
                return 0;
        copy = str_dup(path);
        for (char *p = copy + 1;; p++) {
                char c = *p;

                if (c && c != '/')
                        continue;
                *p = '\0';
                if (mkdir(copy, mode) < 0 && errno != EEXIST)
                        return err_errno(err, errno, "cannot make the directory '%s'", copy);
                *p = c;
                if (!c)
                        return 0;
        }
}

int dir_remove(const char *path, Error *err)
{
        DIR *dir = opendir(path);

        if (!dir)
                return errno == ENOENT ? 0 : err_errno(err, errno, "cannot open '%s'", path);
        for (struct dirent *entry; (entry = readdir(dir));) {
                bool is_itself = str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..");

                if (!is_itself && unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT) {
                        err_errno(err, errno, "cannot remove '%s/%s'", path, entry->d_name);
                        closedir(dir);
                        return -1;
                }
        }
        closedir(dir);
        if (rmdir(path) < 0 && errno != ENOENT)
                return err_errno(err, errno, "cannot remove the directory '%s'", path);
        return 0;
}

Map *dir_names(const char *path, const char *ending)
{
        Map *names = map_new();
        DIR *dir = opendir(path);

        if (!dir)
                return names;
        for (struct dirent *file; (file = readdir(dir));) {
                if (str_ends(file->d_name, ending))
                        map_put(names, file->d_name, strlen(file->d_name) - strlen(ending), names);
        }
        closedir(dir);
        return names;
}
