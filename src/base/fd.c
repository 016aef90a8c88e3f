/*
 * base/fd.c - owned file descriptors
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void fd_close(Fd *fd)
{
        int saved = errno;

        if (*fd >= 0)
                close(*fd);
        *fd = -1;
        errno = saved;
}

int fd_set_nonblocking(Fd fd, Error *err)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return err_errno(err, errno, "cannot make descriptor %d non-blocking", fd);
        return 0;
}

int fd_write_all(Fd fd, const void *data, size_t n, Error *err)
{
        const char *p = data;

        while (n) {
                ssize_t done = write(fd, p, n);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done < 0)
                        return err_errno(err, errno, "cannot write");
                p += done;
                n -= (size_t)done;
        }
        return 0;
}
