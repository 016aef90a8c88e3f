/*
 * wire/client-stream.c - streams of data beside the calls
 *
 * A stream belongs to the call that opened it and shares its serial. Its packets
 * count only after that call's reply. Once it has ended, by either side's word,
 * further packets with its serial are nobody's.
 */
#include "base/mem.h"
#include "wire/client-internal.h"
#include "wire/codec.h"
#include "wire/constants.h"

enum {
        ROOM_BYTES = 1024 * 1024, /* beyond it has_room() says no; the connection ends at 4 MiB */
        EARLY_MOST_BYTES = 4 * 1024 * 1024,
};

typedef enum StreamState {
        STREAM_OPENING,
        STREAM_OPEN,
        STREAM_ENDING, /* we said that it ends and wait for the confirmation */
        STREAM_ENDED,
} StreamState;

/* What came before the answer of the opening call: a server may send from another thread than it answers in. */
typedef struct Early {
        FrameHeader header;
        Buf payload;
} Early;

struct ClientStream {
        Client *client; /* NULL once that is gone */
        const WireProc *proc;
        uint32_t serial;
        StreamState state;
        bool wants_room, has_waited; /* for room; has_waited: it is about to be told of some */
        const ClientStreamHooks *hooks;
        ClientDone *opened;
        void *arg;
        ClientCall *call; /* while opening */
        VEC(Early) early;
        size_t early_bytes;
};

static void send_packet(ClientStream *stream, FrameType type, FrameStatus status, Buf *frame)
{
        FrameHeader header = {
                .program = stream->proc->program,
                .version = 1,
                .procedure = stream->proc->number,
                .type = (int32_t)type,
                .serial = stream->serial,
                .status = (int32_t)status,
        };

        conn_send(stream->client->conn, &header, frame, NULL, 0);
}

static bool may_send(const ClientStream *stream)
{
        return stream->state == STREAM_OPEN && stream->client && stream->client->conn;
}

bool client_stream_has_room(ClientStream *stream)
{
        bool room = may_send(stream) && conn_queued(stream->client->conn) < ROOM_BYTES;

        if (!room)
                stream->wants_room = true;
        return room;
}

void client_stream_send(ClientStream *stream, const void *data, size_t len)
{
        const char *at = data;

        while (len && may_send(stream)) {
                size_t n = MIN(len, (size_t)STREAM_DATA_MAX);
                AUTO(Buf) frame = { 0 };

                frame_begin(&frame);
                buf_put(&frame, at, n);
                send_packet(stream, FRAME_STREAM, FRAME_CONTINUE, &frame);
                at += n;
                len -= n;
        }
}

void client_stream_send_hole(ClientStream *stream, uint64_t length)
{
        const WireStreamHole hole = { .length = (int64_t)length };
        AUTO(Buf) frame = { 0 };
        XdrWriter w;

        if (!may_send(stream))
                return;
        frame_begin(&frame);
        xdr_writer_init(&w, &frame);
        wire_encode_stream_hole(&w, &hole);
        send_packet(stream, FRAME_STREAM_HOLE, FRAME_CONTINUE, &frame);
}

static void send_end(ClientStream *stream, FrameStatus status)
{
        AUTO(Buf) frame = { 0 };

        if (!may_send(stream))
                return;
        frame_begin(&frame);
        stream->state = STREAM_ENDING;
        send_packet(stream, FRAME_STREAM, status, &frame);
}

void client_stream_finish(ClientStream *stream)
{
        send_end(stream, FRAME_OK);
}

void client_stream_abort(ClientStream *stream)
{
        send_end(stream, FRAME_ERROR);
}

static void forget_early(ClientStream *stream)
{
        for (size_t i = 0; i < stream->early.len; i++)
                buf_done(&stream->early.items[i].payload);
        vec_done(&stream->early);
}

ClientStream *client_stream_free(ClientStream *stream)
{
        if (!stream)
                return NULL;
        client_stream_abort(stream);
        if (stream->client)
                vec_remove_item(&stream->client->streams, stream);
        client_call_free(stream->call); /* one that could not be sent outlives the connection by a turn */
        forget_early(stream);
        free(stream);
        return NULL;
}

static ClientStream *find_stream(Client *client, const FrameHeader *header)
{
        for (size_t i = 0; i < client->streams.len; i++) {
                ClientStream *stream = client->streams.items[i];

                if (stream->serial == header->serial && stream->proc->program == header->program &&
                    stream->proc->number == header->procedure && stream->state != STREAM_ENDED)
                        return stream;
        }
        return NULL;
}

static void end_stream(ClientStream *stream, const Error *failure)
{
        stream->state = STREAM_ENDED;
        stream->hooks->finished(stream->arg, failure);
}

static void take_hole(ClientStream *stream, const void *payload, size_t len)
{
        AUTO(Arena) *arena = arena_new();
        WireStreamHole hole = { 0 };
        XdrReader r;

        xdr_reader_init(&r, payload, len, arena);
        wire_decode_stream_hole(&r, &hole);
        if (!r.failure && hole.length >= 0 && stream->hooks->hole)
                stream->hooks->hole(stream->arg, (uint64_t)hole.length);
}

static void deliver(ClientStream *stream, const FrameHeader *header, const void *payload, size_t len)
{
        AUTO(Error) failure = { 0 };

        if (header->type == FRAME_STREAM_HOLE) {
                take_hole(stream, payload, len);
        } else if (header->status == FRAME_OK) {
                end_stream(stream, NULL);
        } else if (header->status == FRAME_ERROR) {
                client_read_error(payload, len, &failure);
                end_stream(stream, &failure);
        } else if (len && stream->hooks->data) {
                stream->hooks->data(stream->arg, payload, len);
        } else if (!len && stream->hooks->end) {
                stream->hooks->end(stream->arg);
        }
}

static void keep_early(ClientStream *stream, const Frame *frame)
{
        Early early = { .header = frame->header };

        stream->early_bytes += sizeof(early) + frame->len;
        if (stream->early_bytes > EARLY_MOST_BYTES)
                return;
        buf_put(&early.payload, frame->payload, frame->len);
        vec_push(&stream->early, early);
}

void client_stream_take(Client *client, const Frame *frame)
{
        ClientStream *stream = find_stream(client, &frame->header);

        if (!stream)
                return;
        if (stream->state == STREAM_OPENING)
                keep_early(stream, frame);
        else
                deliver(stream, &frame->header, frame->payload, frame->len);
}

/* In the order of arrival; each may free the stream or the client. */
static void deliver_early(Client *client, ClientStream *stream, const FrameHeader *open)
{
        AUTO(Error) err = { 0 };

        while (!client->freed && find_stream(client, open) == stream && stream->early.len) {
                Early early = stream->early.items[0];

                vec_remove(&stream->early, 0);
                deliver(stream, &early.header, early.payload.data, early.payload.len);
                buf_done(&early.payload);
        }
        if (client->freed || find_stream(client, open) != stream || stream->early_bytes <= EARLY_MOST_BYTES)
                return;
        err_set(&err, ERR_RPC, "the server sent too much of a stream before it answered the call that opens it");
        client_stream_abort(stream);
        end_stream(stream, &err);
}

static void on_opened(void *arg, ClientReply *reply)
{
        ClientStream *stream = arg;
        Client *client = stream->client;
        FrameHeader open = { .program = stream->proc->program,
                             .procedure = stream->proc->number,
                             .serial = stream->serial };

        stream->call = NULL;
        stream->state = reply->failure ? STREAM_ENDED : STREAM_OPEN;
        if (!client) {
                stream->opened(stream->arg, reply);
                return;
        }
        client_enter(client);
        stream->opened(stream->arg, reply);
        deliver_early(client, stream, &open);
        client_leave(client);
}

ClientStream *client_stream_new(Client *client, const WireProc *proc, const void *args,
                                const ClientStreamHooks *hooks, ClientDone *opened, void *arg)
{
        ClientStream *stream = mem_new(ClientStream);

        *stream = (ClientStream){ .client = client, .proc = proc, .hooks = hooks, .opened = opened, .arg = arg };
        vec_push(&client->streams, stream);
        stream->call = client_call(client, proc, args, on_opened, stream);
        stream->serial = stream->call->serial;
        return stream;
}

static ClientStream *find_waiting(Client *client)
{
        for (size_t i = 0; i < client->streams.len; i++) {
                if (client->streams.items[i]->has_waited)
                        return client->streams.items[i];
        }
        return NULL;
}

/* Each once, whichever streams its hook frees; one that fills the room again waits for the next time. */
void client_streams_room(Client *client)
{
        ClientStream *stream;

        for (size_t i = 0; i < client->streams.len; i++) {
                stream = client->streams.items[i];
                stream->has_waited = stream->wants_room && stream->state == STREAM_OPEN;
        }
        while (!client->freed && (stream = find_waiting(client))) {
                stream->has_waited = false;
                if (stream->state != STREAM_OPEN)
                        continue;
                stream->wants_room = false;
                if (stream->hooks->room)
                        stream->hooks->room(stream->arg);
        }
}

void client_streams_fail(Client *client, const Error *why)
{
        while (client->streams.len && !client->freed) {
                ClientStream *stream = client->streams.items[0];
                bool going = stream->state == STREAM_OPEN || stream->state == STREAM_ENDING;

                vec_remove(&client->streams, 0);
                stream->client = NULL;
                if (going)
                        end_stream(stream, why);
        }
}

void client_streams_drop(Client *client)
{
        for (size_t i = 0; i < client->streams.len; i++) {
                client->streams.items[i]->client = NULL;
                client->streams.items[i]->state = STREAM_ENDED;
                client->streams.items[i]->call = NULL;
        }
        vec_done(&client->streams);
}
