/*
 * daemon/stream.c - bytes between a client and a descriptor, under an open call
 *
 * Towards the client: fd is read only while little is queued on the connection.
 * From the client: what fd does not take at once waits in `pending`; when that
 * is full the client's connection is not read until it has drained.
 */
#include "daemon/stream.h"

#include "base/arena.h"
#include "base/mem.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/server-client.h"
#include "wire/codec.h"
#include "wire/error.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
        MOST_STREAMS = 64,          /* of a client */
        MOST_QUEUED = 512 * 1024,   /* on the connection, before fd is not read any more */
        MOST_PENDING = 1024 * 1024, /* from the client, before it is not read any more */
};

struct Stream {
        ServerClient *client;
        FrameHeader header; /* of its packets */
        Fd fd;
        Watch *watch; /* NULL: the other end is gone, which the kernel would tell again and again */
        bool reads, writes;
        bool eof;       /* fd has no more for the client */
        bool finishing; /* the client said finish; pending goes out first */
        bool holds_up;  /* the client is not read because of us */
        bool pieces;    /* through fd go pieces, so that holes can */
        bool cut;       /* the other end of fd is gone; why, the owner will say */
        Buf pending;
        Buf incoming; /* from fd, not yet a whole piece */
        void (*ended)(void *arg, const Error *failure);
        void *arg;
};

static void on_ready(void *arg, uint32_t revents);

Stream *stream_new(Call *call, Fd fd, bool reads, bool writes, void (*ended)(void *arg, const Error *failure),
                   void *arg, Error *err)
{
        ServerClient *client = call_client(call);
        AUTO(Fd) own = fd;
        Stream *stream;

        if (!client) {
                err_set(err, ERR_OPERATION_ABORTED, "the client has left");
                return NULL;
        }
        if (client->streams.len >= MOST_STREAMS) {
                err_set(err, ERR_OPERATION_INVALID, "this client has %d streams open already", MOST_STREAMS);
                return NULL;
        }
        if (fd_set_nonblocking(own, err) < 0)
                return NULL;
        stream = mem_new(Stream);
        *stream = (Stream){ .client = client,
                            .header = { .program = call_proc(call)->program,
                                        .version = 1,
                                        .procedure = call_proc(call)->number,
                                        .type = FRAME_STREAM,
                                        .serial = call_serial(call) },
                            .fd = fd_take(&own),
                            .reads = reads,
                            .writes = writes,
                            .eof = !reads,
                            .ended = ended,
                            .arg = arg };
        stream->watch = watch_new(client->daemon->loop, stream->fd, reads ? EPOLLIN : 0, on_ready, stream);
        vec_push(&client->streams, stream);
        return stream;
}

Stream *stream_new_pieces(Call *call, Fd fd, bool writes, void (*ended)(void *arg, const Error *failure), void *arg,
                          Error *err)
{
        Stream *stream = stream_new(call, fd, !writes, writes, ended, arg, err);

        if (stream)
                stream->pieces = true;
        return stream;
}

static void hold_up(Stream *stream, bool yes)
{
        if (stream->holds_up == yes)
                return;
        stream->holds_up = yes;
        server_client_hold(stream->client, yes ? 1 : -1);
}

/* Everything goes; the owner is told why. */
static void end(Stream *stream, const Error *failure)
{
        hold_up(stream, false);
        vec_remove_item(&stream->client->streams, stream);
        watch_free(stream->watch);
        fd_close(&stream->fd);
        buf_done(&stream->pending);
        buf_done(&stream->incoming);
        if (stream->ended)
                stream->ended(stream->arg, failure);
        free(stream);
}

Stream *stream_free(Stream *stream)
{
        AUTO(Error) gone = { 0 };

        if (!stream)
                return NULL;
        err_set(&gone, ERR_OPERATION_ABORTED, "the client left");
        end(stream, &gone);
        return NULL;
}

static void send_packet(Stream *stream, FrameStatus status, const void *data, size_t n)
{
        FrameHeader header = stream->header;
        AUTO(Buf) frame = { 0 };

        header.status = (int32_t)status;
        frame_begin(&frame);
        buf_put(&frame, data, n);
        conn_send(stream->client->conn, &header, &frame, NULL, 0);
}

void stream_fail(Stream *stream, const Error *failure)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) payload = { 0 };
        int from = stream->client->driver ? stream->client->driver->ops->error_domain : ERROR_FROM_RPC;
        XdrWriter w;
        WireError wire;

        wire_error_fill(failure, from, arena, &wire);
        xdr_writer_init(&w, &payload);
        wire_encode_error(&w, &wire);
        send_packet(stream, FRAME_ERROR, payload.data, payload.len);
        end(stream, failure);
}

static void fail_errno(Stream *stream, const char *what)
{
        AUTO(Error) err = { 0 };

        err_errno(&err, errno, "%s", what);
        stream_fail(stream, &err);
}

static void update_events(Stream *stream)
{
        bool reading = stream->reads && !stream->eof && conn_queued(stream->client->conn) < MOST_QUEUED;

        if (stream->watch)
                watch_set_events(stream->watch,
                                 (reading ? (uint32_t)EPOLLIN : 0) | (stream->pending.len ? (uint32_t)EPOLLOUT : 0));
}

/* Write what waits for fd. False: the stream is gone. */
static bool write_pending(Stream *stream)
{
        while (stream->pending.len) {
                ssize_t n = write(stream->fd, stream->pending.data, stream->pending.len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0 && stream->pieces) {
                        stream->cut = true;
                        buf_clear(&stream->pending);
                        break;
                }
                if (n < 0) {
                        fail_errno(stream, "what the client sent cannot be written");
                        return false;
                }
                buf_drop(&stream->pending, (size_t)n);
        }
        hold_up(stream, stream->pending.len >= MOST_PENDING);
        if (!stream->pending.len && stream->finishing && !(stream->pieces && stream->writes)) {
                send_packet(stream, FRAME_OK, NULL, 0);
                end(stream, NULL);
                return false;
        }
        return true;
}

void stream_complete(Stream *stream)
{
        send_packet(stream, FRAME_OK, NULL, 0);
        end(stream, NULL);
}

/* --- pieces: a kind, a length of eight bytes, and for data the bytes --- */

enum { PIECE_HEAD = 9, PIECE_DATA = 'd', PIECE_HOLE = 'h' };

static void put_piece(Stream *stream, char kind, uint64_t length, const void *data)
{
        uint8_t head[PIECE_HEAD] = { (uint8_t)kind };

        if (stream->cut)
                return;
        for (size_t i = 0; i < 8; i++)
                head[1 + i] = (uint8_t)(length >> (56 - 8 * i));
        buf_put(&stream->pending, head, sizeof(head));
        if (kind == PIECE_DATA)
                buf_put(&stream->pending, data, length);
}

static void send_hole(Stream *stream, uint64_t length)
{
        const WireStreamHole hole = { .length = (int64_t)length };
        FrameHeader header = stream->header;
        AUTO(Buf) frame = { 0 };
        XdrWriter w;

        header.type = FRAME_STREAM_HOLE;
        header.status = FRAME_CONTINUE;
        frame_begin(&frame);
        xdr_writer_init(&w, &frame);
        wire_encode_stream_hole(&w, &hole);
        conn_send(stream->client->conn, &header, &frame, NULL, 0);
}

/* Hand on the whole pieces that have come. */
static void send_pieces(Stream *stream)
{
        size_t used = 0;

        while (!stream->eof && stream->incoming.len - used >= PIECE_HEAD) {
                const uint8_t *head = (const uint8_t *)stream->incoming.data + used;
                uint64_t length = 0;

                for (size_t i = 1; i < PIECE_HEAD; i++)
                        length = length << 8 | head[i];
                if (head[0] == PIECE_HOLE) {
                        send_hole(stream, length);
                        used += PIECE_HEAD;
                        continue;
                }
                if (stream->incoming.len - used - PIECE_HEAD < length)
                        break;
                for (uint64_t at = 0; at < length; at += STREAM_DATA_MAX)
                        send_packet(stream, FRAME_CONTINUE, head + PIECE_HEAD + at,
                                    (size_t)MIN((uint64_t)STREAM_DATA_MAX, length - at));
                if (!length) {
                        send_packet(stream, FRAME_CONTINUE, NULL, 0);
                        stream->eof = true;
                }
                used += PIECE_HEAD + (size_t)length;
        }
        buf_drop(&stream->incoming, used);
}

static void read_pieces(Stream *stream)
{
        enum { TURN = 512 * 1024 };
        ssize_t n = read(stream->fd, buf_reserve(&stream->incoming, TURN), TURN);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                /* before its end: whoever writes it will say why */
                stream->eof = stream->cut = true;
                return;
        }
        buf_grow(&stream->incoming, (size_t)n);
        send_pieces(stream);
}

/* --- */

/* One turn's worth from fd to the client. False: the stream is gone. */
static bool read_some(Stream *stream)
{
        static char data[STREAM_DATA_MAX]; /* of the loop thread; per thread it would cost each worker as much */
        ssize_t n;

        do {
                n = read(stream->fd, data, sizeof(data));
        } while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return true;
        /* a pty whose other end closed gives EIO: that is its end of file */
        if (n < 0 && errno != EIO) {
                fail_errno(stream, "the stream's source cannot be read");
                return false;
        }
        if (n <= 0)
                stream->eof = true;
        send_packet(stream, FRAME_CONTINUE, data, n > 0 ? (size_t)n : 0);
        return true;
}

static void on_ready(void *arg, uint32_t revents)
{
        Stream *stream = arg;

        if (revents & (EPOLLOUT | EPOLLERR) && stream->pending.len && !write_pending(stream))
                return;
        if (stream->pieces) {
                if (revents & (EPOLLIN | EPOLLHUP) && stream->reads && !stream->eof)
                        read_pieces(stream);
                if (stream->writes && revents & EPOLLERR)
                        stream->cut = true;
        } else if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR) && !stream->eof && !read_some(stream)) {
                return;
        }
        /* gone for good: poll no more, the client will finish, or the owner say why */
        if (stream->cut || (stream->eof && revents & (EPOLLHUP | EPOLLERR) && !stream->pending.len))
                stream->watch = watch_free(stream->watch);
        update_events(stream);
}

static Stream *find(ServerClient *client, const FrameHeader *h)
{
        for (size_t i = 0; i < client->streams.len; i++) {
                Stream *stream = client->streams.items[i];

                if (stream->header.serial == h->serial && stream->header.procedure == h->procedure &&
                    stream->header.program == h->program)
                        return stream;
        }
        return NULL;
}

static void receive_data(Stream *stream, const Frame *frame)
{
        AUTO(Error) err = { 0 };

        if (!stream->writes) {
                err_set(&err, ERR_RPC, "this stream takes no data");
                stream_fail(stream, &err);
                return;
        }
        if (stream->pieces && frame->len)
                put_piece(stream, PIECE_DATA, frame->len, frame->payload);
        else if (!stream->pieces)
                buf_put(&stream->pending, frame->payload, frame->len);
        if (write_pending(stream))
                update_events(stream);
}

static void receive_hole(Stream *stream, const Frame *frame)
{
        AUTO(Error) err = { 0 };
        WireStreamHole hole = { 0 };
        XdrReader reader;

        xdr_reader_init(&reader, frame->payload, frame->len, NULL);
        wire_decode_stream_hole(&reader, &hole);
        if (!stream->pieces || !stream->writes || reader.failure || hole.length < 0) {
                err_set(&err, ERR_RPC, "this stream cannot carry holes");
                stream_fail(stream, &err);
                return;
        }
        if (hole.length)
                put_piece(stream, PIECE_HOLE, (uint64_t)hole.length, NULL);
        if (write_pending(stream))
                update_events(stream);
}

void stream_receive(ServerClient *client, const Frame *frame)
{
        Stream *stream = find(client, &frame->header);
        AUTO(Error) err = { 0 };

        if (!stream)
                return; /* packets for a stream that is gone already are not answered */
        if (frame->header.type == FRAME_STREAM_HOLE) {
                receive_hole(stream, frame);
                return;
        }
        switch (frame->header.status) {
        case FRAME_CONTINUE:
                receive_data(stream, frame);
                return;
        case FRAME_OK:
                if (stream->pieces && stream->writes && !stream->finishing)
                        put_piece(stream, PIECE_DATA, 0, NULL);
                stream->finishing = true;
                if (write_pending(stream))
                        update_events(stream);
                return;
        default:
                err_set(&err, ERR_OPERATION_ABORTED, "the client aborted the stream");
                send_packet(stream, FRAME_OK, NULL, 0);
                end(stream, &err);
        }
}

void streams_drained(ServerClient *client)
{
        for (size_t i = 0; i < client->streams.len; i++)
                update_events(client->streams.items[i]);
}
