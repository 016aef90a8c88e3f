#pragma once
/*
 * wire/conn.h - one connection that carries frames, either side
 *
 * Reads frames and hands them over, queues frames and sends them, passes
 * descriptors, keeps the connection alive. What a frame means is its owner's
 * business. A connection without traffic holds no buffer.
 */
#include "base/fd.h"
#include "loop/loop.h"
#include "wire/frame.h"

typedef struct Conn Conn;

typedef struct Frame {
        FrameHeader header;
        const uint8_t *payload; /* borrowed, until the hook returns; without the descriptor count */
        size_t len;
        Fd *fds; /* take them with fd_take(); the others are closed after the hook */
        size_t n_fds;
} Frame;

typedef struct ConnHooks {
        void (*frame)(void *arg, const Frame *frame);
        /* Once: the peer left, broke the rules or does not answer. The owner frees the connection, here or later. */
        void (*closed)(void *arg, const Error *why);
        /* All that was queued has been handed to the kernel. May be NULL. */
        void (*drained)(void *arg);
        /*
         * Room for a frame over FRAME_LARGE: false stops reading until conn_retry(). release() gives it back after
         * the frame hook. Both may be NULL.
         */
        bool (*reserve)(void *arg, size_t bytes);
        void (*release)(void *arg, size_t bytes);
} ConnHooks;

/* fd is a stream socket and becomes the connection's. */
Conn *conn_new(Loop *loop, Fd fd, const ConnHooks *hooks, void *arg);
Conn *conn_free(Conn *conn); /* closes; also from inside a hook. Returns NULL */
int conn_fd(const Conn *conn);
/* The peer has likely sent something: look in this round, without asking the kernel whether that is so. */
void conn_expect(Conn *conn);

void conn_set_frame_limit(Conn *conn, size_t bytes);
/* Stop reading, so that the peer's next frames wait in the socket. Calls do not nest. */
void conn_pause(Conn *conn);
void conn_resume(Conn *conn);
/* There may be room now for the frame that reserve() had refused. */
void conn_retry(Conn *conn);

/*
 * Queue a frame that was begun with frame_begin() and send what goes at once. The buffer is empty afterwards,
 * the descriptors (may be NULL) are taken. A peer that reads so slowly that more than 4 MiB or 1,000 frames are
 * queued already is given up: closed() comes on the next turn, or at the end of one of the connection's own.
 */
void conn_send(Conn *conn, const FrameHeader *header, Buf *frame, const Fd *fds, size_t n_fds);
size_t conn_queued(const Conn *conn); /* bytes */
/* Read no more; close once all is sent. closed() comes then. */
void conn_close_when_sent(Conn *conn);

/*
 * Ask the peer whether it lives after interval_s without a word from it; after count questions without any traffic
 * closed() comes. interval_s <= 0: never ask. Questions of the peer are always answered.
 */
void conn_keepalive_start(Conn *conn, int interval_s, unsigned count);

DEFINE_AUTO(Conn, conn_free)
