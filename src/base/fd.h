#pragma once
/*
 * base/fd.h - an owned file descriptor
 *
 * AUTO(Fd) closes at the end of the scope; -1 holds nothing. 0 is a descriptor
 * like any other, so an Fd is initialised explicitly, never by zeroing.
 */
#include "base/auto.h"
#include "base/err.h"

#include <sys/types.h>

typedef int Fd;

static inline Fd fd_take(Fd *fd)
{
        Fd taken = *fd;

        *fd = -1;
        return taken;
}
void fd_close(Fd *fd); /* closes and sets to -1; keeps errno */
int fd_set_nonblocking(Fd fd, Error *err);
/* All n bytes, going on after EINTR and short writes. Blocks as the descriptor does. */
int fd_write_all(Fd fd, const void *data, size_t n, Error *err);

DEFINE_AUTO_VALUE(Fd, fd_close)
