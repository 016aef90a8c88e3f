#include "test.h"

#include "fake-server.h"

typedef struct Owner {
        Client *client;
        ClientStream *stream;
        Buf said;
        bool free_at_end, free_at_room;
} Owner;

static void owner_done(Owner *owner)
{
        client_stream_free(owner->stream);
        client_free(owner->client);
        buf_done(&owner->said);
}
DEFINE_AUTO_VALUE(Owner, owner_done)

static void on_data(void *arg, const void *data, size_t len)
{
        Owner *owner = arg;

        buf_format(&owner->said, "data:%.*s ", (int)len, (const char *)data);
}

static void on_hole(void *arg, uint64_t length)
{
        Owner *owner = arg;

        buf_format(&owner->said, "hole:%llu ", (unsigned long long)length);
}

static void on_end(void *arg)
{
        Owner *owner = arg;

        buf_put_text(&owner->said, "end ");
        if (owner->free_at_end)
                owner->stream = client_stream_free(owner->stream);
}

static void on_room(void *arg)
{
        Owner *owner = arg;

        buf_put_text(&owner->said, "room ");
        if (owner->free_at_room)
                owner->stream = client_stream_free(owner->stream);
}

static void on_finished(void *arg, const Error *failure)
{
        Owner *owner = arg;

        buf_format(&owner->said, "finished:%s ", failure ? failure->text : "well");
}

static void on_opened(void *arg, ClientReply *reply)
{
        Owner *owner = arg;

        buf_format(&owner->said, "opened:%s ", reply->failure ? reply->failure->text : "yes");
}

static const ClientStreamHooks hooks = {
        .data = on_data, .hole = on_hole, .end = on_end, .room = on_room, .finished = on_finished
};
static const ClientHooks no_hooks = { 0 };

/* Open a client and a stream; the opening call waits for the test's answer. */
static void open_stream(Owner *owner, FakeServer *fake, Loop *loop, const char *procedure)
{
        const WireStorageVolDownloadArgs args = { .vol = { .pool = "p", .name = "v", .key = "k" } };

        owner->client = client_new_fd(loop, fake_start(fake, loop), "qemu:///system", &(ClientOptions){ 0 },
                                      &no_hooks, owner, NULL);
        fake_settle(loop);
        buf_clear(&fake->calls);
        owner->stream = client_stream_new(owner->client, wire_proc_find_name(procedure), &args, &hooks, on_opened,
                                          owner);
        fake_settle(loop);
}

TEST(a_download_brings_data_holes_and_its_end)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        const WireStreamHole hole = { .length = 1 << 20 };
        FrameHeader call, header;
        AUTO(Buf) frame = { 0 };
        XdrWriter w;

        open_stream(&owner, &fake, loop, "storage_vol_download");
        call = fake.last;
        fake_packet(&fake, call, FRAME_CONTINUE, "early",
                    5); /* a stock daemon may be so quick: it waits for the reply */
        fake_reply(&fake, call, NULL);
        fake_packet(&fake, call, FRAME_CONTINUE, "abc", 3);
        header = call;
        header.type = FRAME_STREAM_HOLE;
        header.status = FRAME_CONTINUE;
        frame_begin(&frame);
        xdr_writer_init(&w, &frame);
        wire_encode_stream_hole(&w, &hole);
        conn_send(fake.conn, &header, &frame, NULL, 0);
        fake_packet(&fake, call, FRAME_CONTINUE, "", 0);
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "opened:yes data:early data:abc hole:1048576 end ");
        client_stream_finish(owner.stream);
        fake_settle(loop);
        fake_packet(&fake, fake.last, FRAME_OK, "", 0);
        fake_packet(&fake, fake.last, FRAME_CONTINUE, "late", 4);
        fake_settle(loop);
        CHECK_STR(buf_text(&fake.calls), "storage_vol_download ok0 ");
        CHECK_STR(buf_text(&owner.said), "opened:yes data:early data:abc hole:1048576 end finished:well ");
}

TEST(what_comes_before_the_reply_is_dropped_with_a_refusal_or_a_free)
{
        for (int freed = 0; freed < 2; freed++) {
                AUTO(Loop) *loop = loop_new(NULL);
                AUTO(FakeServer) fake = { 0 };
                AUTO(Owner) owner = { .free_at_end = freed };
                FrameHeader call;

                open_stream(&owner, &fake, loop, "storage_vol_download");
                call = fake.last;
                fake_packet(&fake, call, FRAME_CONTINUE, "", 0);
                fake_packet(&fake, call, FRAME_CONTINUE, "late", 4);
                if (freed)
                        fake_reply(&fake, call, NULL);
                else
                        fake_fail(&fake, call, 55, "no", FRAME_REPLY);
                fake_settle(loop);
                CHECK_STR(buf_text(&owner.said), freed ? "opened:yes end " : "opened:no ");
        }
}

TEST(an_upload_is_cut_into_packets_that_every_server_takes)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        AUTOFREE char *data = mem_alloc(300000);

        open_stream(&owner, &fake, loop, "storage_vol_upload");
        CHECK(!client_stream_has_room(owner.stream));
        fake_reply(&fake, fake.last, NULL);
        fake_settle(loop);
        CHECK(client_stream_has_room(owner.stream));
        client_stream_send(owner.stream, data, 300000);
        client_stream_send_hole(owner.stream, 4096);
        client_stream_finish(owner.stream);
        client_stream_send(owner.stream, "late", 4);
        fake_settle(loop);
        CHECK_STR(buf_text(&fake.calls), "storage_vol_upload data262120 data37880 hole12 ok0 ");
        fake_fail(&fake, fake.last, 38, "no space left", FRAME_STREAM);
        fake_settle(loop);
        CHECK(strstr(buf_text(&owner.said), "finished:no space left "));
}

TEST(a_full_connection_says_when_there_is_room_again)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        AUTOFREE char *data = mem_alloc(STREAM_DATA_MAX);
        size_t sent = 0;

        open_stream(&owner, &fake, loop, "storage_vol_upload");
        fake_reply(&fake, fake.last, NULL);
        fake_settle(loop);
        buf_clear(&owner.said);
        while (client_stream_has_room(owner.stream)) {
                client_stream_send(owner.stream, data, STREAM_DATA_MAX);
                CHECK(++sent < 100);
        }
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "room ");
        CHECK(client_stream_has_room(owner.stream));
        CHECK_INT(fake.headers.len, sent + 1);
}

TEST(every_stream_hears_of_room_whichever_of_them_are_freed_meanwhile)
{
        enum { N = 3 };

        for (unsigned freed = 0; freed < 1U << N; freed++) {
                AUTO(Loop) *loop = loop_new(NULL);
                AUTO(FakeServer) fake = { 0 };
                AUTO(Owner) first = { .free_at_room = freed & 1 };
                Owner others[N - 1] = { 0 };
                AUTOFREE char *data = mem_alloc(STREAM_DATA_MAX);

                open_stream(&first, &fake, loop, "storage_vol_upload");
                fake_reply(&fake, fake.last, NULL);
                for (size_t i = 0; i < N - 1; i++) {
                        others[i].free_at_room = freed & 2U << i;
                        others[i].stream = client_stream_new(first.client, wire_proc_find_name("storage_vol_upload"),
                                                             &(WireStorageVolUploadArgs){ .vol = { "p", "v", "k" } },
                                                             &hooks, on_opened, &others[i]);
                        fake_settle(loop);
                        fake_reply(&fake, fake.last, NULL);
                }
                fake_settle(loop);
                while (client_stream_has_room(first.stream))
                        client_stream_send(first.stream, data, STREAM_DATA_MAX);
                for (size_t i = 0; i < N - 1; i++)
                        CHECK(!client_stream_has_room(others[i].stream));
                fake_settle(loop);
                CHECK_STR(buf_text(&first.said), "opened:yes room ");
                for (size_t i = 0; i < N - 1; i++) {
                        CHECK_STR(buf_text(&others[i].said), "opened:yes room ");
                        client_stream_free(others[i].stream);
                        buf_done(&others[i].said);
                }
        }
}

TEST(an_abort_is_confirmed)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };

        open_stream(&owner, &fake, loop, "storage_vol_download");
        fake_reply(&fake, fake.last, NULL);
        fake_settle(loop);
        client_stream_abort(owner.stream);
        fake_settle(loop);
        CHECK_STR(buf_text(&fake.calls), "storage_vol_download error0 ");
        fake_packet(&fake, fake.last, FRAME_OK, "", 0);
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "opened:yes finished:well ");
}

TEST(a_stream_freed_in_its_hook_is_aborted)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { .free_at_end = true };

        open_stream(&owner, &fake, loop, "storage_vol_download");
        fake_reply(&fake, fake.last, NULL);
        fake_packet(&fake, fake.last, FRAME_CONTINUE, "", 0);
        fake_settle(loop);
        CHECK_NULL(owner.stream);
        CHECK_STR(buf_text(&fake.calls), "storage_vol_download error0 ");
        CHECK_STR(buf_text(&owner.said), "opened:yes end ");
}

static void open_what_cannot_be_sent(void *arg)
{
        Owner *owner = arg;

        owner->stream = client_stream_new(owner->client, wire_proc_find_name("storage_vol_download"),
                                          &(WireStorageVolDownloadArgs){ 0 }, &hooks, on_opened, owner);
}

/* Its call fails a turn later, and the connection ended in between. */
TEST(a_stream_that_could_not_be_asked_for_is_freed_with_its_call)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        AUTO(Idle) *first = NULL;

        owner.client = client_new_fd(loop, fake_start(&fake, loop), "qemu:///system", &(ClientOptions){ 0 },
                                     &no_hooks, &owner, NULL);
        fake_settle(loop);
        CHECK(client_is_open(owner.client));
        fake.conn = conn_free(fake.conn);
        first = idle_new(loop, open_what_cannot_be_sent, &owner);
        while (client_is_open(owner.client))
                CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK(owner.stream);
        owner.stream = client_stream_free(owner.stream);
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "");
}

TEST(a_refused_or_broken_stream_is_told_once)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 }, second = { 0 };
        AUTO(Owner) refused = { 0 }, broken = { 0 };

        open_stream(&refused, &fake, loop, "storage_vol_download");
        fake_fail(&fake, fake.last, 50, "no such volume", FRAME_REPLY);
        fake_settle(loop);
        fake.conn = conn_free(fake.conn);
        fake_settle(loop);
        CHECK_STR(buf_text(&refused.said), "opened:no such volume ");

        open_stream(&broken, &second, loop, "storage_vol_download");
        fake_reply(&second, second.last, NULL);
        fake_settle(loop);
        second.conn = conn_free(second.conn);
        fake_settle(loop);
        CHECK_STR(buf_text(&broken.said), "opened:yes finished:the peer closed the connection ");
        client_stream_send(broken.stream, "x", 1);
        broken.client = client_free(broken.client);
        client_stream_send(broken.stream, "x", 1);
}
