/*
 * nbd/channel.c - sockets as channels
 */
#include "nbd/channel.h"

#include "base/fd.h"
#include "base/mem.h"
#include "nbd/protocol.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

typedef struct SocketChannel {
        NbdChannel channel;
        Fd fd;
} SocketChannel;

static SocketChannel *socket_channel(NbdChannel *channel)
{
        return container_of(channel, SocketChannel, channel);
}

int64_t nbd_now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int nbd_channel_wait(const NbdChannel *channel, int fd, short events, Error *err)
{
        struct pollfd one = { .fd = fd, .events = events };

        for (;;) {
                int64_t left = channel->deadline_ms ? channel->deadline_ms - nbd_now_ms() : -1;
                int r;

                if (channel->deadline_ms && left <= 0)
                        return err_set(err, ERR_OPERATION_TIMEOUT, "the client did not come to the point in %d s",
                                       NBD_HAGGLE_SECONDS);
                r = poll(&one, 1, (int)left);
                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return err_errno(err, errno, "cannot wait for the client");
        }
}

/* The client keeps us waiting in the middle of something. Threads that wait for it elsewhere hear of its end too. */
static int wait_in_message(const NbdChannel *channel, int fd, short events, Error *err)
{
        struct pollfd one = { .fd = fd, .events = events };
        int r;

        do
                r = poll(&one, 1, channel->stall_ms);
        while (r < 0 && errno == EINTR);
        if (r > 0)
                return 0;
        if (r < 0)
                return err_errno(err, errno, "cannot wait for the client");
        shutdown(fd, SHUT_RDWR);
        return err_set(err, ERR_OPERATION_TIMEOUT, "the client has %s for %d s",
                       events & POLLOUT ? "taken nothing of an answer" : "not gone on with a request",
                       channel->stall_ms / 1000);
}

static int socket_receive(NbdChannel *channel, void *data, size_t n, size_t *done, Error *err)
{
        SocketChannel *s = socket_channel(channel);

        bool limited = !channel->deadline_ms && channel->stall_ms && channel->expecting;

        for (;;) {
                ssize_t got;

                if (channel->deadline_ms && nbd_channel_wait(channel, s->fd, POLLIN, err) < 0)
                        return -1;
                got = recv(s->fd, data, n, limited ? MSG_DONTWAIT : 0);
                if (got >= 0) {
                        *done = (size_t)got;
                        return 0;
                }
                if (limited && errno == EAGAIN) {
                        if (wait_in_message(channel, s->fd, POLLIN, err) < 0)
                                return -1;
                } else if (errno != EINTR) {
                        return err_errno(err, errno, "cannot receive from the client");
                }
        }
}

static int socket_send(NbdChannel *channel, struct iovec *parts, unsigned n, Error *err)
{
        SocketChannel *s = socket_channel(channel);
        bool limited = channel->deadline_ms || channel->stall_ms;

        while (n) {
                struct msghdr message = { .msg_iov = parts, .msg_iovlen = n };
                ssize_t put;

                if (channel->deadline_ms && nbd_channel_wait(channel, s->fd, POLLOUT, err) < 0)
                        return -1;
                put = sendmsg(s->fd, &message, MSG_NOSIGNAL | (limited ? MSG_DONTWAIT : 0));
                if (put < 0 && errno == EAGAIN && limited) {
                        if (!channel->deadline_ms && wait_in_message(channel, s->fd, POLLOUT, err) < 0)
                                return -1;
                        continue;
                }
                if (put < 0 && errno == EINTR)
                        continue;
                if (put < 0)
                        return err_errno(err, errno, "cannot send to the client");
                while (n && (size_t)put >= parts->iov_len) {
                        put -= (ssize_t)parts->iov_len;
                        parts++;
                        n--;
                }
                if (n) {
                        parts->iov_base = (char *)parts->iov_base + put;
                        parts->iov_len -= (size_t)put;
                }
        }
        return 0;
}

static void socket_close(NbdChannel *channel)
{
        SocketChannel *s = socket_channel(channel);

        fd_close(&s->fd);
        free(s);
}

static const NbdChannelOps socket_ops = { .receive = socket_receive, .send = socket_send, .close = socket_close };

NbdChannel *nbd_channel_from_fd(int fd)
{
        SocketChannel *s = mem_new(SocketChannel);

        s->channel.ops = &socket_ops;
        s->fd = fd;
        return &s->channel;
}

NbdChannel *nbd_channel_close(NbdChannel *channel)
{
        if (channel)
                channel->ops->close(channel);
        return NULL;
}

int nbd_channel_receive(NbdChannel *channel, void *data, size_t n, Error *err)
{
        while (n) {
                size_t done;

                if (channel->ops->receive(channel, data, n, &done, err) < 0)
                        return -1;
                if (done == 0)
                        return err_set(err, ERR_OPERATION_ABORTED, "the client has closed the connection");
                data = (char *)data + done;
                n -= done;
        }
        return 0;
}

int nbd_channel_send(NbdChannel *channel, struct iovec *parts, unsigned n, Error *err)
{
        return channel->ops->send(channel, parts, n, err);
}
