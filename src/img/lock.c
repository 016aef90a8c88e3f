/*
 * img/lock.c - QEMU's byte locks
 */
#include "img/lock.h"

#include <errno.h>
#include <fcntl.h>

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

int image_file_lock(ImageFile *file, bool write, Error *err)
{
        unsigned used = 1 << PERM_CONSISTENT_READ | (write ? 1 << PERM_WRITE | 1 << PERM_RESIZE : 0);
        unsigned unshared = 1 << PERM_WRITE | 1 << PERM_RESIZE;
        int fd = image_file_fd(file);

        if (fd < 0)
                return 0;
        for (int i = 0; i < PERM_COUNT; i++) {
                if ((used >> i & 1 && lock_byte(fd, F_RDLCK, BASE_USED + i) < 0) ||
                    (unshared >> i & 1 && lock_byte(fd, F_RDLCK, BASE_UNSHARED + i) < 0)) {
                        /* A file system without locks cannot be asked. */
                        if (errno == EINVAL || errno == ENOLCK || errno == EOPNOTSUPP)
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
