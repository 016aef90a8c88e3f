/*
 * host/root.c - the acts that need root, all of them
 */
#include "host/root.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OWNER_ATTRIBUTE "trusted.drover.owner" /* "UID GID USERS" */

typedef struct Owner {
        unsigned uid, gid, users;
} Owner;

static bool read_owner(int fd, Owner *ret)
{
        char text[64];
        ssize_t n = fgetxattr(fd, OWNER_ATTRIBUTE, text, sizeof(text) - 1);

        if (n <= 0)
                return false;
        text[n] = '\0';
        return sscanf(text, "%u %u %u", &ret->uid, &ret->gid, &ret->users) == 3;
}

static int write_owner(int fd, const Owner *owner)
{
        char text[64];
        int n = snprintf(text, sizeof(text), "%u %u %u", owner->uid, owner->gid, owner->users);

        return fsetxattr(fd, OWNER_ATTRIBUTE, text, (size_t)n, 0);
}

/* Opened and locked, so that two guests that start at once count right; -1 with errno. */
static int open_locked(const char *path, struct stat *st)
{
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd < 0)
                return -1;
        if (fstat(fd, st) < 0 || (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode) && !S_ISCHR(st->st_mode)) ||
            flock(fd, LOCK_EX) < 0) {
                close(fd);
                errno = EINVAL;
                return -1;
        }
        return fd;
}

static int give(int fd, const struct stat *st, const RootUser *user, bool write)
{
        Owner owner;

        if (read_owner(fd, &owner)) {
                owner.users++;
                return write_owner(fd, &owner) < 0 ? errno : 0;
        }
        if (st->st_uid == user->uid ||
            (st->st_mode & (write ? S_IROTH | S_IWOTH : S_IROTH)) == (mode_t)(write ? S_IROTH | S_IWOTH : S_IROTH))
                return 0;
        owner = (Owner){ st->st_uid, st->st_gid, 1 };
        /* a file system without attributes: the file changes hands and keeps its new owner */
        if (write_owner(fd, &owner) < 0 && errno != ENOTSUP)
                return errno;
        return fchown(fd, user->uid, user->gid) < 0 ? errno : 0;
}

int root_give_file(const char *path, const RootUser *user, bool write)
{
        struct stat st;
        int fd, errnum;

        if (user->uid == 0)
                return 0;
        fd = open_locked(path, &st);
        if (fd < 0)
                return errno;
        errnum = give(fd, &st, user, write);
        close(fd);
        return errnum;
}

int root_take_back_file(const char *path, const RootUser *user)
{
        struct stat st;
        Owner owner;
        int fd, errnum = 0;

        if (user->uid == 0)
                return 0;
        fd = open_locked(path, &st);
        if (fd < 0)
                return errno;
        if (read_owner(fd, &owner)) {
                if (owner.users > 1) {
                        owner.users--;
                        errnum = write_owner(fd, &owner) < 0 ? errno : 0;
                } else if (fchown(fd, owner.uid, owner.gid) < 0 || fremovexattr(fd, OWNER_ATTRIBUTE) < 0) {
                        errnum = errno;
                }
        }
        close(fd);
        return errnum;
}

int root_drop_to(const RootUser *user)
{
        if (user->uid != 0 &&
            (setgroups(user->n_groups, user->groups) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
             setresuid(user->uid, user->uid, user->uid) < 0))
                return errno;
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}
