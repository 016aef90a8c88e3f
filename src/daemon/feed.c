/*
 * daemon/feed.c - bytes held in memory, read from a descriptor that can be polled
 */
#include "daemon/feed.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

enum { A_TURN = 256 * 1024 };

struct Feed {
        Fd memory, out;
        off_t at;
        Watch *watch;
};

/* What cannot be written any more has nobody to read it. */
static void on_writable(void *arg, uint32_t revents UNUSED)
{
        Feed *feed = arg;
        ssize_t n;

        do {
                n = sendfile(feed->out, feed->memory, &feed->at, A_TURN);
        } while (n < 0 && errno == EINTR);
        if (n > 0 || (n < 0 && errno == EAGAIN))
                return;
        feed->watch = watch_free(feed->watch);
        fd_close(&feed->out);
}

Feed *feed_new(Loop *loop, Fd memory, Fd *reader, Error *err)
{
        AUTO(Fd) own = memory;
        Feed *feed;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
                err_errno(err, errno, "cannot make a socket pair");
                return NULL;
        }
        feed = mem_new(Feed);
        feed->memory = fd_take(&own);
        feed->out = ends[1];
        feed->watch = watch_new(loop, feed->out, EPOLLOUT, on_writable, feed);
        *reader = ends[0];
        return feed;
}

Feed *feed_free(Feed *feed)
{
        if (!feed)
                return NULL;
        watch_free(feed->watch);
        fd_close(&feed->memory);
        fd_close(&feed->out);
        free(feed);
        return NULL;
}
