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
};

typedef enum StreamState {
        STREAM_OPENING,
        STREAM_OPEN,
        STREAM_ENDING, /* we said that it ends and wait for the confirmation */
        STREAM_ENDED,
} StreamState;

struct ClientStream {
        Client *client; /* NULL once that is gone */
        const WireProc *proc;
        uint32_t serial;
        StreamState state;
        bool wants_room;
        const ClientStreamHooks *hooks;
        ClientDone *opened;
        void *arg;
        ClientCall *call; /* while opening */
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

ClientStream *client_stream_free(ClientStream *stream)
{
        if (!stream)
                return NULL;
        client_stream_abort(stream);
        if (stream->client) {
                vec_remove_item(&stream->client->streams, stream);
                client_call_free(stream->call);
        }
        free(stream);
        return NULL;
}

static void on_opened(void *arg, ClientReply *reply)
{
        ClientStream *stream = arg;

        stream->call = NULL;
        stream->state = reply->failure ? STREAM_ENDED : STREAM_OPEN;
        stream->opened(stream->arg, reply);
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

static ClientStream *find_stream(Client *client, const FrameHeader *header)
{
        for (size_t i = 0; i < client->streams.len; i++) {
                ClientStream *stream = client->streams.items[i];

                if (stream->serial == header->serial && stream->proc->program == header->program &&
                    stream->proc->number == header->procedure &&
                    (stream->state == STREAM_OPEN || stream->state == STREAM_ENDING))
                        return stream;
        }
        return NULL;
}

static void end_stream(ClientStream *stream, const Error *failure)
{
        stream->state = STREAM_ENDED;
        stream->hooks->finished(stream->arg, failure);
}

static void take_hole(ClientStream *stream, const Frame *frame)
{
        AUTO(Arena) *arena = arena_new();
        WireStreamHole hole = { 0 };
        XdrReader r;

        xdr_reader_init(&r, frame->payload, frame->len, arena);
        wire_decode_stream_hole(&r, &hole);
        if (!r.failure && hole.length >= 0 && stream->hooks->hole)
                stream->hooks->hole(stream->arg, (uint64_t)hole.length);
}

void client_stream_take(Client *client, const Frame *frame)
{
        ClientStream *stream = find_stream(client, &frame->header);
        AUTO(Error) failure = { 0 };

        if (!stream)
                return;
        if (frame->header.type == FRAME_STREAM_HOLE) {
                take_hole(stream, frame);
        } else if (frame->header.status == FRAME_OK) {
                end_stream(stream, NULL);
        } else if (frame->header.status == FRAME_ERROR) {
                client_read_error(frame->payload, frame->len, &failure);
                end_stream(stream, &failure);
        } else if (frame->len && stream->hooks->data) {
                stream->hooks->data(stream->arg, frame->payload, frame->len);
        } else if (!frame->len && stream->hooks->end) {
                stream->hooks->end(stream->arg);
        }
}

void client_streams_room(Client *client)
{
        for (size_t i = 0; i < client->streams.len && !client->freed; i++) {
                ClientStream *stream = client->streams.items[i];

                if (!stream->wants_room || stream->state != STREAM_OPEN)
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
