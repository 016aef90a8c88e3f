#include "test.h"

#include "fake-server.h"

typedef struct Owner {
        Client *client;
        Buf said;
        bool free_when_done, free_when_closed;
        Arena *kept;
        const WireDomainLookupByNameRet *ret;
        Fd fd;
} Owner;

static void owner_done(Owner *owner)
{
        client_free(owner->client);
        buf_done(&owner->said);
        arena_free(owner->kept);
}
DEFINE_AUTO_VALUE(Owner, owner_done)

static void on_opened(void *arg, const Error *failure)
{
        Owner *owner = arg;

        buf_format(&owner->said, "opened:%s ", failure ? failure->text : "yes");
}

static void on_closed(void *arg, const Error *why)
{
        Owner *owner = arg;

        buf_format(&owner->said, "closed:%s ", why->text);
        if (owner->free_when_closed)
                owner->client = client_free(owner->client);
}

static void on_event(void *arg, const WireEvent *event, const void *msg)
{
        Owner *owner = arg;
        const WireDomainEventCallbackLifecycleMsg *lifecycle = msg;

        buf_format(&owner->said, "%s:%d:%s:%d ", event->name, lifecycle->callbackID, lifecycle->msg.dom.name,
                   lifecycle->msg.event);
}

static const ClientHooks hooks = { .opened = on_opened, .closed = on_closed, .event = on_event };

static void on_done(void *arg, ClientReply *reply)
{
        Owner *owner = arg;

        if (reply->failure) {
                buf_format(&owner->said, "%d:%s ", reply->failure->code, reply->failure->text);
        } else if (reply->ret) {
                const WireDomainLookupByNameRet *ret = reply->ret;

                buf_format(&owner->said, "%s:%d ", ret->dom.name, ret->dom.id);
        } else {
                buf_put_text(&owner->said, "done ");
        }
        if (owner->free_when_done)
                owner->client = client_free(owner->client);
}

static void open_client(Owner *owner, FakeServer *fake, Loop *loop, const char *uri, const ClientOptions *options)
{
        owner->client = client_new_fd(loop, fake_start(fake, loop), uri, options, &hooks, owner, NULL);
        fake_settle(loop);
}

static ClientCall *look_up(Owner *owner, const char *name)
{
        return client_domain_lookup_by_name(owner->client, &(WireDomainLookupByNameArgs){ .name = name }, on_done,
                                            owner);
}

static WireDomainLookupByNameRet guest(const char *name, int id)
{
        return (WireDomainLookupByNameRet){ .dom = { .name = name, .id = id } };
}

static const ClientOptions plain = { 0 };

TEST(opening_makes_the_calls_in_the_order_of_every_client)
{
        static const struct {
                const char *uri;
                ClientOptions options;
                uint32_t features_off;
                const char *calls, *client_uri;
        } cases[] = {
                { "qemu:///system",
                  { 0 },
                  0,
                  "auth_list connect_open connect_supports_feature 14 connect_supports_feature 15 ",
                  "qemu:///system" },
                { "",
                  { 0 },
                  0,
                  "auth_list connect_open connect_get_uri connect_supports_feature 14 connect_supports_feature 15 ",
                  "qemu:///chosen" },
                { "qemu+tcp://h/system",
                  { .keepalive_interval_s = 5, .keepalive_count = 5, .close_callback = true },
                  0,
                  "auth_list connect_supports_feature 10 connect_open connect_supports_feature 14 connect_supports_feature 15 "
                  "connect_register_close_callback ",
                  "qemu:///system" },
                { "test:///default",
                  { .close_callback = true },
                  1 << 15,
                  "auth_list connect_open connect_supports_feature 14 connect_supports_feature 15 ",
                  "test:///default" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Loop) *loop = loop_new(NULL);
                AUTO(FakeServer) fake = { .features_off = cases[i].features_off };
                AUTO(Owner) owner = { 0 };

                open_client(&owner, &fake, loop, cases[i].uri, &cases[i].options);
                CHECK_STR(buf_text(&fake.calls), cases[i].calls);
                CHECK_STR(buf_text(&owner.said), "opened:yes ");
                CHECK(client_is_open(owner.client));
                CHECK_STR(client_uri(owner.client), cases[i].client_uri);
        }
}

TEST(authentication_that_is_not_built_in_is_refused_by_name)
{
        static const struct {
                int32_t type;
                const char *word;
        } cases[] = { { WIRE_AUTH_TYPE_SASL, "SASL" }, { WIRE_AUTH_TYPE_POLKIT, "polkit" }, { 77, "no way" } };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Loop) *loop = loop_new(NULL);
                AUTO(FakeServer) fake = { .auth_type = cases[i].type };
                AUTO(Owner) owner = { 0 };

                open_client(&owner, &fake, loop, "qemu:///system", &plain);
                CHECK_STR(buf_text(&fake.calls), "auth_list ");
                CHECK(strstr(buf_text(&owner.said), cases[i].word));
                CHECK_INT(client_failure(owner.client)->code, ERR_AUTH_FAILED);
                CHECK(fake.gone);
        }
}

TEST(answers_find_their_calls_in_any_order)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        WireDomainLookupByNameRet one = guest("one", 1), two = guest("two", 2);

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        buf_clear(&owner.said);
        look_up(&owner, "one");
        look_up(&owner, "two");
        look_up(&owner, "three");
        fake_settle(loop);
        CHECK_INT(fake.headers.len, 3);
        fake_fail(&fake, fake.headers.items[2], 42, "Domain not found: no domain 'three'", FRAME_REPLY);
        fake_reply(&fake, fake.headers.items[1], &two);
        fake_reply(&fake, fake.headers.items[1], &two); /* a second answer is nobody's */
        fake_reply(&fake, fake.headers.items[0], &one);
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "42:Domain not found: no domain 'three' two:2 one:1 ");
}

TEST(a_call_that_is_freed_or_late_is_not_answered)
{
        AUTO(Loop) *loop = loop_new_fake(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        WireDomainLookupByNameRet one = guest("one", 1);

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        buf_clear(&owner.said);
        client_call_free(look_up(&owner, "freed"));
        client_call_set_deadline(look_up(&owner, "late"), 500);
        fake_settle(loop);
        loop_advance(loop, 499);
        CHECK_STR(buf_text(&owner.said), "");
        loop_advance(loop, 1);
        CHECK(strstr(buf_text(&owner.said), "did not answer domain_lookup_by_name in time"));
        buf_clear(&owner.said);
        fake_reply(&fake, fake.headers.items[0], &one);
        fake_reply(&fake, fake.headers.items[1], &one);
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "");
}

TEST(what_cannot_be_sent_fails_on_the_next_turn)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { .silent = true };
        AUTO(Owner) owner = { 0 };

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        look_up(&owner, "x");
        CHECK_STR(buf_text(&owner.said), "");
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "55:the connection is not open yet ");
        CHECK_STR(buf_text(&fake.calls), "auth_list ");
}

TEST(a_call_without_a_needed_text_fails_here)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        look_up(&owner, NULL);
        buf_clear(&owner.said);
        fake_settle(loop);
        CHECK(strstr(buf_text(&owner.said), "Unable to encode"));
        CHECK_INT(fake.headers.len, 0);
}

TEST(the_end_of_the_connection_fails_all_calls_and_is_told_last)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { .free_when_closed = true };

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        buf_clear(&owner.said);
        look_up(&owner, "one");
        look_up(&owner, "two");
        fake_settle(loop);
        fake.conn = conn_free(fake.conn);
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "39:the peer closed the connection 39:the peer closed the connection "
                                         "closed:the peer closed the connection ");
        CHECK_NULL(owner.client);
}

TEST(a_server_that_never_opens_is_given_up)
{
        AUTO(Loop) *loop = loop_new_fake(NULL);
        AUTO(FakeServer) fake = { .silent = true };
        AUTO(Owner) owner = { 0 };
        ClientOptions options = { .open_timeout_ms = 1000 };

        open_client(&owner, &fake, loop, "qemu:///system", &options);
        loop_advance(loop, 1000);
        CHECK_STR(buf_text(&owner.said), "opened:the server did not open the connection within 1000 ms ");
        CHECK_INT(client_failure(owner.client)->code, ERR_OPERATION_TIMEOUT);
}

TEST(a_callback_may_free_the_client)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        WireDomainLookupByNameRet one = guest("one", 1);

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        buf_clear(&owner.said);
        owner.free_when_done = true;
        look_up(&owner, "one");
        look_up(&owner, "two");
        fake_settle(loop);
        fake_reply(&fake, fake.headers.items[0], &one);
        fake_reply(&fake, fake.headers.items[1], &one);
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "one:1 ");
        CHECK(fake.gone);
}

TEST(events_reach_the_owner)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        const WireEvent *event = wire_event_find_id(WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_LIFECYCLE, false);
        FrameHeader header = {
                .program = WIRE_PROGRAM_REMOTE, .version = 1, .procedure = event->number, .type = FRAME_MESSAGE
        };
        WireDomainEventCallbackLifecycleMsg msg = {
                .callbackID = 3, .msg = { .dom = { .name = "g", .id = 1 }, .event = VIR_DOMAIN_EVENT_STARTED }
        };

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        buf_clear(&owner.said);
        fake_send(&fake, header, event->encode, &msg);
        fake_send(&fake, header, NULL, NULL); /* cannot be read */
        header.procedure = 9999;
        fake_send(&fake, header, NULL, NULL); /* nobody knows it */
        fake_settle(loop);
        CHECK_STR(buf_text(&owner.said), "domain_event_callback_lifecycle:3:g:2 ");
}

static void keep_reply(void *arg, ClientReply *reply)
{
        Owner *owner = arg;

        owner->ret = reply->ret;
        owner->kept = TAKE(reply->arena);
}

TEST(a_reply_can_be_kept_with_its_arena)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { 0 };
        WireDomainLookupByNameRet one = guest("kept", 1);

        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        client_domain_lookup_by_name(owner.client, &(WireDomainLookupByNameArgs){ .name = "x" }, keep_reply, &owner);
        fake_settle(loop);
        fake_reply(&fake, fake.last, &one);
        fake_settle(loop);
        owner.client = client_free(owner.client);
        CHECK_STR(owner.ret->dom.name, "kept");
}

static void keep_fd(void *arg, ClientReply *reply)
{
        Owner *owner = arg;

        CHECK_INT(reply->n_fds, 1);
        owner->fd = fd_take(&reply->fds[0]);
}

TEST(descriptors_go_both_ways)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(FakeServer) fake = { 0 };
        AUTO(Owner) owner = { .fd = -1 };
        const WireProc *out = wire_proc_find_name("domain_open_graphics");
        const WireDomainOpenGraphicsArgs args = { .dom = { .name = "g", .id = 1 } };
        const WireDomainOpenGraphicsFdArgs fd_args = { .dom = { .name = "g", .id = 1 } };
        WireDomainOpenGraphicsArgs seen = { 0 };
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) frame = { 0 };
        int ends[2];

        CHECK_INT(pipe(ends), 0);
        open_client(&owner, &fake, loop, "qemu:///system", &plain);
        client_call_fds(owner.client, out, &args, &ends[0], 1, on_done, &owner);
        fake_settle(loop);
        CHECK_INT(fake.last.type, FRAME_CALL_WITH_FDS);
        CHECK(fake.received_fd >= 0);
        CHECK_INT(xdr_decode(out->args_decode, fake.payload.data, fake.payload.len, arena, &seen, NULL), 0);
        CHECK_STR(seen.dom.name, "g");

        client_domain_open_graphics_fd(owner.client, &fd_args, keep_fd, &owner);
        fake_settle(loop);
        frame_begin(&frame);
        buf_put(&frame, "\0\0\0\1", 4);
        fake.last.type = FRAME_REPLY_WITH_FDS;
        conn_send(fake.conn, &fake.last, &frame, &fake.received_fd, 1);
        fake.received_fd = -1;
        fake_settle(loop);
        CHECK(owner.fd >= 0);
        CHECK_INT(write(ends[1], "x", 1), 1);
        CHECK_INT(read(owner.fd, (char[1]){ 0 }, 1), 1);
        fd_close(&owner.fd);
        close(ends[1]);
}
