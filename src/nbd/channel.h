#pragma once
/*
 * nbd/channel.h - bytes to and from one client, plain or encrypted
 *
 * One thread may receive while another sends. A deadline holds for all that
 * blocks; when it has passed, or the client is gone, every call fails. Without
 * one, a client that stops in the middle of a message, either way, may do so
 * for `stall_ms`: then the connection is shut down.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct NbdChannel NbdChannel;

typedef struct NbdChannelOps {
        /* Some bytes, at least one; 0 at the end. */
        int (*receive)(NbdChannel *channel, void *data, size_t n, size_t *done, Error *err);
        /* All of it; the parts may be changed. */
        int (*send)(NbdChannel *channel, struct iovec *parts, unsigned n, Error *err);
        void (*close)(NbdChannel *channel);
} NbdChannelOps;

struct NbdChannel {
        const NbdChannelOps *ops;
        int64_t deadline_ms; /* of CLOCK_MONOTONIC; 0: none. Set while one thread uses the channel */
        int stall_ms;        /* 0: no limit. Set at the start */
        bool expecting;      /* more of a message is to come; the receiving thread's */
};

/* Of a connected socket, which is taken. Close with nbd_channel_close(). */
NbdChannel *nbd_channel_from_fd(int fd);
NbdChannel *nbd_channel_close(NbdChannel *channel); /* returns NULL */
/* Wait until fd is ready for events (POLLIN, POLLOUT), at most until the channel's deadline. */
int nbd_channel_wait(const NbdChannel *channel, int fd, short events, Error *err);
/* Exactly n bytes. */
int nbd_channel_receive(NbdChannel *channel, void *data, size_t n, Error *err);
int nbd_channel_send(NbdChannel *channel, struct iovec *parts, unsigned n, Error *err);
int64_t nbd_now_ms(void);

DEFINE_AUTO(NbdChannel, nbd_channel_close)
