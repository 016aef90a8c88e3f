#include "test.h"

#include "fake-server.h"
#include "wire/client-wait.h"

#include <sys/un.h>

/* A daemon at a path, which takes one connection. */
typedef struct Daemon {
        FakeServer fake;
        Loop *loop;
        Fd listening;
        Watch *watch;
        Idle *answer;
        char path[64];
} Daemon;

static void on_connection(void *arg, uint32_t revents UNUSED)
{
        static const ConnHooks hooks = { .frame = fake_on_frame, .closed = fake_on_closed };
        Daemon *d = arg;

        d->fake.conn = conn_new(d->loop, accept4(d->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), &hooks,
                                &d->fake);
}

static void daemon_start(Daemon *d, Loop *loop)
{
        struct sockaddr_un at = { .sun_family = AF_UNIX };

        snprintf(d->path, sizeof(d->path), "/tmp/test-client-wait-%d", getpid());
        unlink(d->path);
        memcpy(at.sun_path, d->path, sizeof(d->path));
        d->loop = loop;
        d->fake.received_fd = -1;
        d->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_INT(bind(d->listening, (struct sockaddr *)&at, sizeof(at)), 0);
        CHECK_INT(listen(d->listening, 5), 0);
        d->watch = watch_new(loop, d->listening, 1, on_connection, d);
}

static void daemon_done(Daemon *d)
{
        watch_free(d->watch);
        idle_free(d->answer);
        fake_done(&d->fake);
        fd_close(&d->listening);
        unlink(d->path);
}
DEFINE_AUTO_VALUE(Daemon, daemon_done)

/* Looks whether the call is there yet, again on each turn. */
static void answer_lookup(void *arg)
{
        Daemon *d = arg;
        WireDomainLookupByNameRet ret = { .dom = { .name = "guest", .id = 4 } };

        idle_free(d->answer);
        d->answer = NULL;
        if (d->fake.headers.len)
                fake_reply(&d->fake, d->fake.last, &ret);
        else
                d->answer = idle_new(d->loop, answer_lookup, d);
}

TEST(calls_can_be_waited_for)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Daemon) d = { 0 };
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        AUTO(Client) *client = NULL;
        AUTOFREE char *uri = NULL;
        const WireProc *proc = wire_proc_find_name("domain_lookup_by_name");
        const WireDomainLookupByNameArgs args = { .name = "guest" };
        WireDomainLookupByNameRet ret = { 0 };

        daemon_start(&d, loop);
        uri = str_format("qemu+unix:///system?socket=%s", d.path);
        client = client_open_wait(loop, uri, &(ClientOptions){ 0 }, NULL, NULL, &err);
        CHECK_STR(err.text ?: "opened", "opened");
        d.answer = idle_new(loop, answer_lookup, &d);
        CHECK_INT(client_call_wait(client, proc, &args, arena, &ret, &err), 0);
        CHECK_STR(ret.dom.name, "guest");
        CHECK_INT(ret.dom.id, 4);

        d.fake.conn = conn_free(d.fake.conn);
        CHECK_INT(client_call_wait(client, proc, &args, arena, &ret, &err), -1);
        CHECK(str_starts(err.text, "the peer closed the connection"));
        CHECK_INT(client_run_until(client, &(bool){ false }, &err), -1);
        CHECK_INT(client_call_wait(client, proc, &args, NULL, NULL, &err), -1);
}

TEST(a_daemon_that_is_not_there_is_an_error)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };

        CHECK_NULL(client_open_wait(loop, "qemu+unix:///system?socket=/nonexistent", &(ClientOptions){ 0 }, NULL,
                                    NULL, &err));
        CHECK(strstr(err.text, "is the daemon running?"));
        CHECK_NULL(client_open_wait(loop, "nonsense", &(ClientOptions){ 0 }, NULL, NULL, &err));
        CHECK_INT(err.code, ERR_INVALID_ARG);
}
