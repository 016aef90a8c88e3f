/*
 * wire/conn.c - one connection that carries frames, either side
 *
 * Bytes are read into a scratch area shared by all connections of the thread;
 * only an incomplete frame is kept, in a buffer that lives until the frame is
 * whole. Every read asks for descriptors too: they queue up and are matched to
 * the carrier bytes that follow a frame which announces them.
 *
 * A hook may free the connection. `busy` counts the functions on the stack
 * that still use it; the last one out releases the memory.
 */
#include "wire/conn.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
        SCRATCH = 256 * 1024,
        QUEUE_BYTES = 4 * 1024 * 1024,
        QUEUE_FRAMES = 1000,
        KEEPALIVE_PING = 1,
        KEEPALIVE_PONG = 2,
        READING = EPOLLIN | EPOLLRDHUP, /* the end is told apart from the data before it, for watch_drained() */
};

typedef struct Outgoing {
        char *data;
        size_t len, sent;
        bool wipe;
        Fd *fds; /* go out one by one behind the data */
        size_t n_fds, fds_sent;
} Outgoing;

struct Conn {
        Loop *loop;
        Fd fd;
        Watch *watch;
        uint32_t events;
        const ConnHooks *hooks;
        void *arg;
        size_t frame_limit;
        Buf partial;
        size_t reserved; /* bytes of the budget held for the frame being read */
        VEC(Fd) received;
        VEC(Outgoing) queue;
        size_t queued;
        unsigned busy;
        bool paused, starved, closing, closed, freed;
        Idle *deliver; /* frames that were read before a pause */
        Idle *give_up;
        Error give_up_why;
        Timer *keepalive;
        uint64_t heard_ms;
        unsigned interval_ms, asked, most_asked;
};

static void on_ready(void *arg, uint32_t revents);

Conn *conn_new(Loop *loop, Fd fd, const ConnHooks *hooks, void *arg)
{
        Conn *conn = mem_new(Conn);

        *conn = (Conn){ .loop = loop, .fd = fd, .hooks = hooks, .arg = arg, .frame_limit = FRAME_MAX };
        conn->events = READING;
        conn->watch = watch_new(loop, fd, READING | EPOLLET, on_ready, conn);
        conn->heard_ms = loop_now_ms(loop);
        return conn;
}

void conn_expect(Conn *conn)
{
        watch_expect(conn->watch, EPOLLIN);
}

static void outgoing_done(Outgoing *out)
{
        for (size_t i = out->fds_sent; i < out->n_fds; i++)
                fd_close(&out->fds[i]);
        free(out->fds);
        if (out->wipe)
                explicit_bzero(out->data, out->len);
        free(out->data);
}

static void give_back_reserve(Conn *conn)
{
        if (conn->reserved && conn->hooks->release)
                conn->hooks->release(conn->arg, conn->reserved);
        conn->reserved = 0;
}

static void stop_everything(Conn *conn)
{
        conn->watch = watch_free(conn->watch);
        conn->keepalive = timer_free(conn->keepalive);
        conn->deliver = idle_free(conn->deliver);
        conn->give_up = idle_free(conn->give_up);
        give_back_reserve(conn);
        fd_close(&conn->fd);
}

static void release(Conn *conn)
{
        for (size_t i = 0; i < conn->queue.len; i++)
                outgoing_done(&conn->queue.items[i]);
        for (size_t i = 0; i < conn->received.len; i++)
                fd_close(&conn->received.items[i]);
        vec_done(&conn->queue);
        vec_done(&conn->received);
        buf_done(&conn->partial);
        err_done(&conn->give_up_why);
        free(conn);
}

Conn *conn_free(Conn *conn)
{
        if (!conn)
                return NULL;
        stop_everything(conn);
        conn->freed = true;
        conn->closed = true;
        if (!conn->busy)
                release(conn);
        return NULL;
}

static void enter(Conn *conn)
{
        conn->busy++;
}

static void leave(Conn *conn)
{
        if (--conn->busy == 0 && conn->freed)
                release(conn);
}

int conn_fd(const Conn *conn)
{
        return conn->fd;
}

static void report_closed(Conn *conn, const Error *why)
{
        if (conn->closed)
                return;
        conn->closed = true;
        stop_everything(conn);
        conn->hooks->closed(conn->arg, why);
}

static void on_give_up(void *arg)
{
        Conn *conn = arg;

        enter(conn);
        report_closed(conn, &conn->give_up_why);
        leave(conn);
}

/*
 * End the connection on the next turn, or at the end of a turn of its own that goes on: whoever calls us need not expect
 * its own end.
 */
static void give_up(Conn *conn, const char *why)
{
        if (conn->closed || conn->give_up)
                return;
        err_set(&conn->give_up_why, ERR_RPC, "%s", why);
        conn->give_up = idle_new(conn->loop, on_give_up, conn);
}

static void update_events(Conn *conn)
{
        bool reading = !conn->paused && !conn->starved && !conn->closing;
        uint32_t events = (reading ? (uint32_t)READING : 0) | (conn->queue.len ? (uint32_t)EPOLLOUT : 0);

        if (conn->closed || events == conn->events)
                return;
        conn->events = events;
        watch_set_events(conn->watch, events | EPOLLET);
}

/* --- sending --- */

/* One descriptor with its carrier byte. 1: sent, 0: the socket is full, -1: it is broken. */
static int send_fd(Conn *conn, Fd fd)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        char carrier = 0;
        struct iovec iov = { &carrier, 1 };
        struct msghdr msg = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)
        };
        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(int));
        for (;;) {
                if (sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
                        return 1;
                if (errno == EAGAIN)
                        return 0;
                if (errno != EINTR)
                        return -1;
        }
}

/* As much of it as the socket takes; the same results. */
static int send_one(Conn *conn, Outgoing *out)
{
        while (out->sent < out->len) {
                ssize_t n = send(conn->fd, out->data + out->sent, out->len - out->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -1;
                out->sent += (size_t)n;
                conn->queued -= (size_t)n;
        }
        while (out->fds_sent < out->n_fds) {
                int r = send_fd(conn, out->fds[out->fds_sent]);

                if (r <= 0)
                        return r;
                fd_close(&out->fds[out->fds_sent++]);
        }
        return 1;
}

static void peer_left(Conn *conn)
{
        give_up(conn, "the peer closed the connection while something was sent to it");
}

/* True when nothing is queued any more. */
static bool flush(Conn *conn)
{
        size_t done = 0;
        int r = 1;

        while (done < conn->queue.len && (r = send_one(conn, &conn->queue.items[done])) == 1)
                outgoing_done(&conn->queue.items[done++]);
        if (done) {
                memmove(conn->queue.items, conn->queue.items + done,
                        (conn->queue.len - done) * sizeof(*conn->queue.items));
                conn->queue.len -= done;
        }
        if (r < 0)
                peer_left(conn);
        if (!conn->queue.len)
                vec_done(&conn->queue);
        return !conn->queue.len;
}

/* Arguments and answers may hold passwords and keys; the data of streams is a console's or an image's. */
static bool may_be_secret(const FrameHeader *header)
{
        return header->type != FRAME_STREAM && header->type != FRAME_STREAM_HOLE;
}

void conn_send(Conn *conn, const FrameHeader *header, Buf *frame, const Fd *fds, size_t n_fds)
{
        Outgoing out = { .len = frame->len, .wipe = may_be_secret(header) };
        int sent;

        frame_finish(frame, header);
        out.data = buf_take(frame);
        if (n_fds) {
                out.fds = mem_dup(fds, n_fds * sizeof(Fd));
                out.n_fds = n_fds;
        }
        if (conn->closed || conn->closing || conn->give_up) {
                outgoing_done(&out);
                return;
        }
        if (conn->queued > QUEUE_BYTES || conn->queue.len > QUEUE_FRAMES) {
                outgoing_done(&out);
                give_up(conn, "the peer does not read what is sent to it");
                return;
        }
        conn->queued += out.len;
        sent = conn->queue.len ? 0 : send_one(conn, &out);
        if (sent > 0) {
                outgoing_done(&out);
                return;
        }
        if (sent < 0)
                peer_left(conn);
        vec_push(&conn->queue, out);
        update_events(conn);
}

size_t conn_queued(const Conn *conn)
{
        return conn->queued;
}

void conn_close_when_sent(Conn *conn)
{
        if (conn->closed)
                return;
        conn->closing = true;
        if (conn->queue.len)
                update_events(conn);
        else
                give_up(conn, "closed by this side");
}

/* --- keepalive --- */

static void send_keepalive(Conn *conn, int32_t procedure)
{
        FrameHeader header = {
                .program = WIRE_PROGRAM_KEEPALIVE, .version = 1, .procedure = procedure, .type = FRAME_MESSAGE
        };
        AUTO(Buf) frame = { 0 };

        frame_begin(&frame);
        conn_send(conn, &header, &frame, NULL, 0);
}

/* The timer is not moved at each frame that comes in; it looks at the clock when it fires. */
static void on_keepalive(void *arg)
{
        Conn *conn = arg;
        uint64_t silent_ms = loop_now_ms(conn->loop) - conn->heard_ms;

        if (conn->paused || conn->starved)
                silent_ms = 0; /* it is us who do not listen */
        if (silent_ms < conn->interval_ms) {
                conn->asked = 0;
                timer_set(conn->keepalive, conn->interval_ms - silent_ms);
                return;
        }
        if (conn->asked >= conn->most_asked) {
                give_up(conn, "the peer does not answer keepalive requests");
                return;
        }
        conn->asked++;
        send_keepalive(conn, KEEPALIVE_PING);
        timer_set(conn->keepalive, conn->interval_ms);
}

void conn_keepalive_start(Conn *conn, int interval_s, unsigned count)
{
        if (interval_s <= 0 || conn->closed)
                return;
        conn->interval_ms = (unsigned)interval_s * 1000;
        conn->most_asked = count;
        if (!conn->keepalive)
                conn->keepalive = timer_new(conn->loop, conn->interval_ms, on_keepalive, conn);
}

/* --- receiving --- */

static bool carries_fds(const uint8_t *data)
{
        uint32_t type = frame_read_word(data + 16);

        return type == FRAME_CALL_WITH_FDS || type == FRAME_REPLY_WITH_FDS;
}

static void hand_over(Conn *conn, uint8_t *data, size_t len, size_t n_fds)
{
        size_t skip = carries_fds(data) ? 4 : 0; /* how many there are, also when that is none */
        Frame frame = { .payload = data + FRAME_OVERHEAD + skip, .len = len - FRAME_OVERHEAD - skip };
        Fd fds[FRAME_MAX_FDS];

        frame_read_header(data, &frame.header);
        if (frame.header.program == WIRE_PROGRAM_KEEPALIVE) {
                if (frame.header.procedure == KEEPALIVE_PING)
                        send_keepalive(conn, KEEPALIVE_PONG);
                return;
        }
        for (size_t i = 0; i < n_fds; i++) {
                fds[i] = conn->received.items[0];
                vec_remove(&conn->received, 0);
        }
        frame.fds = fds;
        frame.n_fds = n_fds;
        conn->hooks->frame(conn->arg, &frame);
        if (may_be_secret(&frame.header))
                explicit_bzero(data, len);
        for (size_t i = 0; i < n_fds; i++)
                fd_close(&fds[i]);
}

/* Is there budget for this frame? A small one needs none. */
static bool reserve(Conn *conn, size_t len)
{
        if (len <= FRAME_LARGE || conn->reserved)
                return true;
        if (conn->hooks->reserve && !conn->hooks->reserve(conn->arg, len)) {
                conn->starved = true;
                return false;
        }
        conn->reserved = len;
        return true;
}

/* Hand over the frame at data. Its size with carrier bytes, 0 when it is not whole yet, -1 when it broke the rules. */
static ssize_t take_frame(Conn *conn, uint8_t *data, size_t n)
{
        size_t len = n >= 4 ? frame_read_word(data) : 0, n_fds = 0;

        if (n < 4)
                return 0;
        if (len < FRAME_OVERHEAD || len > conn->frame_limit) {
                give_up(conn, "the peer sent a frame of impossible length");
                return -1;
        }
        if (!reserve(conn, len) || n < len)
                return 0;
        if (carries_fds(data)) {
                n_fds = len >= FRAME_OVERHEAD + 4 ? frame_read_word(data + FRAME_OVERHEAD) : FRAME_MAX_FDS + 1;
                if (n_fds > FRAME_MAX_FDS) {
                        give_up(conn, "the peer announced too many descriptors");
                        return -1;
                }
                if (n < len + n_fds)
                        return 0;
                if (conn->received.len < n_fds) {
                        give_up(conn, "the peer announced descriptors that did not come");
                        return -1;
                }
        }
        hand_over(conn, data, len, n_fds);
        give_back_reserve(conn);
        return (ssize_t)(len + n_fds);
}

/* Hand over all whole frames in the n bytes; returns how many bytes they took. */
static size_t take_frames(Conn *conn, uint8_t *data, size_t n)
{
        size_t at = 0;

        while (at < n && !conn->paused && !conn->starved && !conn->closing && !conn->closed && !conn->give_up) {
                ssize_t size = take_frame(conn, data + at, n - at);

                if (size <= 0)
                        break;
                at += (size_t)size;
        }
        return at;
}

static void take_partial(Conn *conn)
{
        buf_drop(&conn->partial, take_frames(conn, (uint8_t *)conn->partial.data, conn->partial.len));
        if (!conn->partial.len)
                buf_done(&conn->partial);
}

/* The last thing of a turn of the connection's own: no hook is on the stack any more. */
static void end_turn(Conn *conn)
{
        if (conn->give_up && conn->busy == 1)
                report_closed(conn, &conn->give_up_why);
        else
                update_events(conn);
        leave(conn);
}

static void on_deliver(void *arg)
{
        Conn *conn = arg;

        enter(conn);
        conn->deliver = idle_free(conn->deliver);
        take_partial(conn);
        end_turn(conn);
}

void conn_pause(Conn *conn)
{
        conn->paused = true;
        update_events(conn);
}

static void go_on(Conn *conn)
{
        if (conn->partial.len && !conn->deliver && !conn->closed)
                conn->deliver = idle_new(conn->loop, on_deliver, conn);
        update_events(conn);
}

void conn_resume(Conn *conn)
{
        conn->paused = false;
        go_on(conn);
}

void conn_retry(Conn *conn)
{
        conn->starved = false;
        go_on(conn);
}

void conn_set_frame_limit(Conn *conn, size_t bytes)
{
        conn->frame_limit = bytes;
}

static void keep_descriptors(Conn *conn, struct msghdr *msg)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        Fd fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (conn->received.len < FRAME_MAX_FDS) {
                                vec_push(&conn->received, fd);
                        } else {
                                fd_close(&fd);
                                give_up(conn, "the peer sent more descriptors than it announced");
                        }
                }
        }
}

/* *drained: nothing is left in the socket. A read that brings descriptors ends behind them, whatever follows. */
static ssize_t receive(Conn *conn, uint8_t *data, size_t room, bool *drained)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(FRAME_MAX_FDS * sizeof(int))];
        } control;
        struct iovec iov = { data, room };
        struct msghdr msg = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)
        };
        ssize_t n;

        do {
                n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        } while (n < 0 && errno == EINTR);
        if (n > 0 && msg.msg_controllen)
                keep_descriptors(conn, &msg);
        *drained = n > 0 && (size_t)n < room && !msg.msg_controllen;
        return n;
}

/* ended: no more can come than is there. */
static void on_readable(Conn *conn, bool ended)
{
        static uint8_t scratch[SCRATCH]; /* of the loop thread; per thread it would cost each worker as much */
        AUTO(Error) why = { 0 };
        bool drained;
        ssize_t n = receive(conn, scratch, sizeof(scratch), &drained);

        if (n < 0 && errno == EAGAIN) {
                if (!ended && !conn->queue.len)
                        watch_drained(conn->watch);
                return;
        }
        if (n <= 0) {
                if (n < 0)
                        err_errno(&why, errno, "the connection broke");
                else
                        err_set(&why, ERR_RPC, "the peer closed the connection");
                report_closed(conn, &why);
                return;
        }
        if (drained && !ended && !conn->queue.len)
                watch_drained(conn->watch);
        conn->heard_ms = loop_now_ms(conn->loop);
        conn->asked = 0; /* also when the answer came within the millisecond of the question */
        if (conn->partial.len) {
                buf_put(&conn->partial, scratch, (size_t)n);
                take_partial(conn);
        } else {
                size_t taken = take_frames(conn, scratch, (size_t)n);

                if (taken < (size_t)n && !conn->closed)
                        buf_put(&conn->partial, scratch + taken, (size_t)n - taken);
        }
}

static void on_ready(void *arg, uint32_t revents)
{
        Conn *conn = arg;
        bool was_queued = conn->queue.len > 0;

        enter(conn);
        if (revents & EPOLLOUT && flush(conn) && was_queued) {
                if (conn->closing)
                        give_up(conn, "closed by this side");
                else if (conn->hooks->drained)
                        conn->hooks->drained(conn->arg);
        }
        if (!conn->closed && revents & (READING | EPOLLHUP | EPOLLERR)) {
                /* a hang-up is reported even while reading is off: then there is nobody left to answer */
                if (conn->events & EPOLLIN || revents & (EPOLLHUP | EPOLLERR))
                        on_readable(conn, revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        }
        end_turn(conn);
}
