/*
 * img/lock.c - QEMU's byte locks
 */
#include "img/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/vfs.h>

/* Not in every linux/magic.h. */
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42

enum { /* bits, and places behind the two bases */
       PERM_CONSISTENT_READ,
       PERM_WRITE,
       PERM_WRITE_UNCHANGED,
       PERM_RESIZE,
       PERM_COUNT,
       BASE_USED = 100,     /* locked: somebody does this */
       BASE_UNSHARED = 200, /* locked: somebody does not want others to do this */
};

static const char *const perm_names[PERM_COUNT] = { "consistent read", "write", "write unchanged", "resize" };

static int lock_byte(int fd, int how, off_t at)
{
        struct flock lock = { .l_type = (short)how, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

        return fcntl(fd, F_OFD_SETLK, &lock);
}

/* Somebody else holds a lock on this byte. */
static bool byte_is_held(int fd, off_t at)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

        return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int refused(Error *err, const ImageFile *file, const char *what, int perm)
{
        return err_set(err, ERR_RESOURCE_BUSY,
                       "Failed to get %s\"%s\" lock\nIs another process using the image [%s]?", what,
                       perm_names[perm], file->name);
}

/* A file system without locks cannot be asked. */
static bool knows_no_locks(int errnum)
{
        return errnum == EINVAL || errnum == ENOLCK || errnum == EOPNOTSUPP;
}

int image_file_lock(ImageFile *file, bool write, Error *err)
{
        unsigned used = 1 << PERM_CONSISTENT_READ | (write ? 1 << PERM_WRITE | 1 << PERM_RESIZE : 0);
        unsigned unshared = 1 << PERM_WRITE | 1 << PERM_RESIZE;
        int fd = image_file_fd(image_file_place(file, &(uint64_t){ 0 }));

        if (fd < 0)
                return 0;
        for (int i = 0; i < PERM_COUNT; i++) {
                if ((used >> i & 1 && lock_byte(fd, F_RDLCK, BASE_USED + i) < 0) ||
                    (unshared >> i & 1 && lock_byte(fd, F_RDLCK, BASE_UNSHARED + i) < 0)) {
                        if (knows_no_locks(errno))
                                return 0;
                        return refused(err, file, "", i);
                }
        }
        for (int i = 0; i < PERM_COUNT; i++) {
                if (used >> i & 1 && byte_is_held(fd, BASE_UNSHARED + i))
                        return refused(err, file, "", i);
                if (unshared >> i & 1 && byte_is_held(fd, BASE_USED + i))
                        return refused(err, file, "shared ", i);
        }
        return 0;
}

/* SMB's bind who writes, also him who holds them: with one of ours a write over that byte fails. */
static bool locks_bind(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 && ((unsigned)fs.f_type == CIFS_MAGIC || (unsigned)fs.f_type == SMB2_MAGIC);
}

int image_fd_lock_bytes(int fd, const char *name, Error *err)
{
        if (!locks_bind(fd) && lock_byte(fd, F_RDLCK, BASE_USED + PERM_WRITE) < 0) {
                if (knows_no_locks(errno))
                        return 0;
        } else if (!byte_is_held(fd, BASE_UNSHARED + PERM_WRITE)) {
                return 0;
        }
        return err_set(err, ERR_RESOURCE_BUSY,
                       "'%s' cannot be overwritten: another process uses it, such as a guest's QEMU", name);
}
