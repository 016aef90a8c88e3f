/*
 * host/root.c - the acts that need root, all of them
 */
#include "host/root.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* "UID GID HOLDER..."; who holds the file already is not counted again, so an act may be repeated after a kill. */
#define OWNER_ATTRIBUTE "trusted.drover.owner"

enum {
        MOST_TEXT = 4096, /* what ext4 has room for */
        LONGEST_OWNER = sizeof("4294967295 4294967295") - 1,
};

typedef struct Owner {
        unsigned uid, gid;
        char holders[MOST_TEXT - LONGEST_OWNER]; /* each with a blank before; read_owner() has room for all of it */
} Owner;

static bool read_owner(int fd, Owner *ret)
{
        char text[MOST_TEXT];
        ssize_t n = fgetxattr(fd, OWNER_ATTRIBUTE, text, sizeof(text) - 1);
        int at = 0;

        if (n <= 0)
                return false;
        text[n] = '\0';
        if (sscanf(text, "%u %u%n", &ret->uid, &ret->gid, &at) != 2)
                return false;
        snprintf(ret->holders, sizeof(ret->holders), "%s", text + at);
        return true;
}

static int write_owner(int fd, const Owner *owner)
{
        char text[MOST_TEXT];
        int n = snprintf(text, sizeof(text), "%u %u%s", owner->uid, owner->gid, owner->holders);

        return fsetxattr(fd, OWNER_ATTRIBUTE, text, (size_t)n, 0);
}

/* Where it stands, with the blank before it; NULL: nowhere. */
static char *find_holder(Owner *owner, const char *holder)
{
        size_t n = strlen(holder);

        for (char *at = owner->holders; (at = strchr(at, ' ')); at++) {
                if (strncmp(at + 1, holder, n) == 0 && (at[1 + n] == ' ' || !at[1 + n]))
                        return at;
        }
        return NULL;
}

/* More than there is room for are not noted: the file is given back while they still have it open. */
static void add_holder(Owner *owner, const char *holder)
{
        size_t len = strlen(owner->holders);

        if (!find_holder(owner, holder) && len + strlen(holder) + 2 < sizeof(owner->holders))
                snprintf(owner->holders + len, sizeof(owner->holders) - len, " %s", holder);
}

static void remove_holder(Owner *owner, const char *holder)
{
        char *at = find_holder(owner, holder);

        if (at)
                memmove(at, at + 1 + strlen(holder), strlen(at + 1 + strlen(holder)) + 1);
}

/*
 * False: an error to tell. NFS locks for one who writes only what is open for writing; it, and what locks nothing, keeps
 * no attributes of ours either, so that nothing is counted there.
 */
static bool lock(int fd)
{
        return flock(fd, LOCK_EX) == 0 || errno == EBADF || errno == ENOLCK || errno == ENOTSUP;
}

/* Opened and locked, so that two guests that start at once count right; -1 with errno. */
static int open_locked(const char *path, struct stat *st)
{
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd < 0)
                return -1;
        if (fstat(fd, st) < 0 || (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode) && !S_ISCHR(st->st_mode)) ||
            !lock(fd)) {
                close(fd);
                errno = EINVAL;
                return -1;
        }
        return fd;
}

static int give(int fd, const struct stat *st, const RootUser *user, const char *holder, bool write)
{
        mode_t needed = write ? S_IROTH | S_IWOTH : S_IROTH;
        Owner owner = { 0 };
        bool known = read_owner(fd, &owner);

        if (!known && (st->st_uid == user->uid || (st->st_mode & needed) == needed))
                return 0;
        if (st->st_uid != user->uid) { /* else it is known, and QEMU's user has it */
                owner.uid = st->st_uid;
                owner.gid = st->st_gid;
        }
        add_holder(&owner, holder);
        /*
         * A file system without attributes: the file changes hands and keeps its new owner. One without room for more
         * of them: those who have it are noted already.
         */
        if (write_owner(fd, &owner) < 0 && errno != ENOTSUP && !(known && errno == ENOSPC))
                return errno;
        return st->st_uid != user->uid && fchown(fd, user->uid, user->gid) < 0 ? errno : 0;
}

int root_give_file(const char *path, const RootUser *user, const char *holder, bool write)
{
        struct stat st;
        int fd, errnum;

        if (user->uid == 0)
                return 0;
        fd = open_locked(path, &st);
        if (fd < 0)
                return errno;
        errnum = give(fd, &st, user, holder, write);
        close(fd);
        return errnum;
}

static int take_back(int fd, const struct stat *st, const RootUser *user, const char *holder)
{
        Owner owner;

        if (!read_owner(fd, &owner))
                return 0;
        remove_holder(&owner, holder);
        if (owner.holders[0])
                return write_owner(fd, &owner) < 0 ? errno : 0;
        /* who got it from somebody else meanwhile keeps it */
        if (st->st_uid == user->uid && fchown(fd, owner.uid, owner.gid) < 0)
                return errno;
        return fremovexattr(fd, OWNER_ATTRIBUTE) < 0 ? errno : 0;
}

int root_take_back_file(const char *path, const RootUser *user, const char *holder)
{
        struct stat st;
        int fd, errnum;

        if (user->uid == 0)
                return 0;
        fd = open_locked(path, &st);
        if (fd < 0)
                return errno;
        errnum = take_back(fd, &st, user, holder);
        close(fd);
        return errnum;
}

int root_set_memlock(pid_t pid, const MemLock *now, MemLock *ret_before)
{
        struct rlimit before, limit = { .rlim_cur = now->soft, .rlim_max = now->hard };

        if (prlimit(pid, RLIMIT_MEMLOCK, &limit, &before) < 0)
                return errno;
        *ret_before = (MemLock){ .soft = before.rlim_cur, .hard = before.rlim_max };
        return 0;
}

int root_drop_to(const RootUser *user)
{
        if (user->uid != 0 &&
            (setgroups(user->n_groups, user->groups) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
             setresuid(user->uid, user->uid, user->uid) < 0))
                return errno;
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}
