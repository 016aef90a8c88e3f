#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "qemu/qmp.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Both ends of a connection: the client under test, and QEMU played by the test. */
typedef struct Pair {
        Loop *loop;
        QmpClient *qmp;
        int peer;
        char trace[1024];
        unsigned n_events;
        bool free_in_event;
} Pair;

static void note(Pair *pair, const char *text)
{
        strncat(pair->trace, text, sizeof(pair->trace) - strlen(pair->trace) - 1);
        strncat(pair->trace, ";", sizeof(pair->trace) - strlen(pair->trace) - 1);
}

static void on_ready(void *arg)
{
        note(arg, "ready");
}

static void on_event(void *arg, const char *name, struct json_object *event)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        Pair *pair = arg;
        QmpEvent decoded;

        pair->n_events++;
        note(pair, qmp_event_decode(name, event, arena, &decoded, &err) < 0 ? err.text : name);
        if (decoded.type == QMP_EVENT_RTC_CHANGE)
                note(pair, decoded.rtc_change.offset == -3600 ? "an hour" : "wrong");
        if (pair->free_in_event)
                pair->qmp = qmp_client_free(pair->qmp);
}

static void on_closed(void *arg, const Error *why)
{
        note(arg, "closed");
        note(arg, why->text);
}

static void setup(Pair *pair)
{
        static const QmpHooks hooks = { on_ready, on_event, on_closed };
        int ends[2];

        *pair = (Pair){ .loop = loop_new_fake(NULL) };
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        pair->peer = ends[1];
        pair->qmp = qmp_client_new(pair->loop, ends[0], &hooks, pair);
}

static void teardown(Pair *pair)
{
        qmp_client_free(pair->qmp);
        if (pair->peer >= 0)
                close(pair->peer);
        loop_free(pair->loop);
}

static void turn(Pair *pair)
{
        while (loop_turn(pair->loop, 0, NULL) > 0)
                ;
}

static void say(Pair *pair, const char *text)
{
        CHECK_INT(send(pair->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
        turn(pair);
}

static const char *hear(Pair *pair)
{
        static char text[4096];
        ssize_t n = recv(pair->peer, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        return text;
}

static void greet(Pair *pair)
{
        CHECK_STR(hear(pair), "{\"execute\":\"qmp_capabilities\",\"id\":1}");
        say(pair, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n{\"return\": {}, \"id\": 1}\r\n");
        CHECK_STR(pair->trace, "ready;");
        pair->trace[0] = '\0';
}

static void done(void *arg, const Error *failure)
{
        note(arg, !failure ? "done" : qmp_failure_is_unknown(failure) ? "unknown" : failure->text);
}

static void got_status(void *arg, const QmpStatus *ret, const Error *failure)
{
        note(arg, failure ? failure->text : ret->status);
}

TEST(replies_are_matched_by_id_in_any_order)
{
        Pair pair;

        setup(&pair);
        greet(&pair);
        qmp_migrate(pair.qmp, &(QmpMigrate){ .uri = "fd:m", .has_detach = true, .detach = true }, done, &pair);
        CHECK_STR(hear(&pair), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:m\",\"detach\":true},\"id\":2}");
        qmp_query_status(pair.qmp, got_status, &pair);
        say(&pair, "{\"return\":{\"status\":\"paused\",\"running\":false},\"id\":3}{\"return\":{},\"i");
        CHECK_STR(pair.trace, "paused;");
        say(&pair, "d\":2}\r\n");
        CHECK_STR(pair.trace, "paused;done;");
        teardown(&pair);
}

TEST(a_refusal_of_qemu_reaches_the_caller)
{
        Pair pair;

        setup(&pair);
        greet(&pair);
        qmp_cont(pair.qmp, done, &pair);
        say(&pair, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":2}");
        CHECK_STR(pair.trace, "QEMU refused 'cont': no;");
        teardown(&pair);
}

TEST(an_answer_of_the_wrong_shape_is_an_error)
{
        static const struct {
                const char *reply, *complaint;
        } cases[] = {
                { "{}", "the answer to 'query-status' cannot be used: Status lacks 'status';" },
                { "[]", "the answer to 'query-status' cannot be used: Status is not an object;" },
                { "{\"status\":1,\"running\":true}",
                  "the answer to 'query-status' cannot be used: 'status' is not a text;" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *text = str_format("{\"return\":%s,\"id\":2}", cases[i].reply);
                Pair pair;

                setup(&pair);
                greet(&pair);
                qmp_query_status(pair.qmp, got_status, &pair);
                say(&pair, text);
                CHECK_STR(pair.trace, cases[i].complaint);
                teardown(&pair);
        }
}

TEST(after_the_deadline_the_outcome_is_unknown_and_a_late_reply_dropped)
{
        Pair pair;

        setup(&pair);
        greet(&pair);
        qmp_cont(pair.qmp, done, &pair);
        qmp_call_set_deadline(qmp_stop(pair.qmp, done, &pair), 20000);
        loop_advance(pair.loop, QMP_DEADLINE_MS - 1);
        CHECK_STR(pair.trace, "");
        loop_advance(pair.loop, 1);
        CHECK_STR(pair.trace, "unknown;");
        say(&pair, "{\"return\":{},\"id\":2}");
        CHECK_STR(pair.trace, "unknown;");
        loop_advance(pair.loop, 10000);
        CHECK_STR(pair.trace, "unknown;unknown;");
        teardown(&pair);
}

/* A QEMU that hangs for days, and somebody asks for its figures each second. */
TEST(what_a_deaf_qemu_was_not_told_by_the_deadline_it_never_hears)
{
        AUTOFREE char *large = mem_new_array(char, (1 << 20) + 1);
        char heard[65536];
        bool is_told = false;
        ssize_t n;
        Pair pair;

        setup(&pair);
        greet(&pair);
        memset(large, 'x', 1 << 20); /* more than the socket holds */
        qmp_object_del(pair.qmp, &(QmpObjectDel){ .id = large }, done, &pair);
        qmp_cont(pair.qmp, done, &pair);
        qmp_call_free(qmp_stop(pair.qmp, done, &pair));
        loop_advance(pair.loop, QMP_DEADLINE_MS);
        CHECK_STR(pair.trace,
                  "unknown;QEMU is not responding: it reads nothing from its monitor, 'cont' was not sent;");
        qmp_system_reset(pair.qmp, done, &pair);
        while ((n = recv(pair.peer, heard, sizeof(heard) - 1, 0)) > 0) {
                heard[n] = '\0';
                CHECK(!strstr(heard, "cont") && !strstr(heard, "stop"));
                is_told = is_told || strstr(heard, "system_reset");
                turn(&pair);
        }
        CHECK(is_told);
        teardown(&pair);
}

static void ask_again(void *arg, const Error *failure UNUSED)
{
        Pair *pair = arg;

        qmp_stop(pair->qmp, done, pair);
}

/* A medium is tried again to be changed while QEMU dies. */
TEST(what_is_asked_of_a_qemu_that_is_gone_is_answered)
{
        Pair pair;

        setup(&pair);
        greet(&pair);
        qmp_cont(pair.qmp, ask_again, &pair);
        qmp_client_fail_calls(pair.qmp);
        CHECK_STR(pair.trace, "unknown;");
        teardown(&pair);
}

TEST(a_connection_takes_the_place_of_one_that_was_given_up)
{
        Pair pair;
        int ends[2];

        setup(&pair);
        greet(&pair);
        qmp_cont(pair.qmp, done, &pair);
        CHECK_STR(hear(&pair), "{\"execute\":\"cont\",\"id\":2}");
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        qmp_client_reopen(pair.qmp, ends[0]);
        CHECK_STR(pair.trace, "unknown;");
        CHECK_STR(hear(&pair), "");
        CHECK_INT(recv(pair.peer, &(char){ 0 }, 1, 0), 0);
        close(pair.peer);
        pair.peer = ends[1];
        turn(&pair);
        CHECK_STR(hear(&pair), "{\"execute\":\"qmp_capabilities\",\"id\":3}");
        say(&pair, "{\"QMP\": {}}{\"return\": {}, \"id\": 3}");
        CHECK_STR(pair.trace, "unknown;ready;");
        teardown(&pair);
}

TEST(a_call_that_is_freed_is_not_answered)
{
        Pair pair;

        setup(&pair);
        greet(&pair);
        qmp_call_free(qmp_cont(pair.qmp, done, &pair));
        say(&pair, "{\"return\":{},\"id\":2}");
        CHECK_STR(pair.trace, "");
        teardown(&pair);
}

TEST(the_end_of_the_connection_fails_what_is_pending)
{
        Pair pair;

        setup(&pair);
        greet(&pair);
        qmp_cont(pair.qmp, done, &pair);
        close(pair.peer);
        pair.peer = -1;
        turn(&pair);
        CHECK_STR(pair.trace, "unknown;closed;QEMU closed its monitor connection;");
        CHECK(!qmp_client_is_open(pair.qmp));
        qmp_cont(pair.qmp, done, &pair);
        turn(&pair);
        CHECK_STR(pair.trace, "unknown;closed;QEMU closed its monitor connection;"
                              "QEMU is not responding: the connection to its monitor is lost, 'cont' was not sent;");
        teardown(&pair);
}

TEST(events_are_decoded_and_may_free_the_client)
{
        Pair pair;

        setup(&pair);
        greet(&pair);
        say(&pair, "{\"event\":\"RTC_CHANGE\",\"data\":{\"offset\":-3600,\"qom-path\":\"/r\"},"
                   "\"timestamp\":{\"seconds\":5,\"microseconds\":7}}");
        CHECK_STR(pair.trace, "RTC_CHANGE;an hour;");
        pair.free_in_event = true;
        say(&pair, "{\"event\":\"NEWS\"}{\"event\":\"STOP\"}");
        CHECK_INT(pair.n_events, 2);
        teardown(&pair);
}

TEST(what_is_not_qmp_ends_the_connection)
{
        static const char *const cases[] = { "hello", "{\"a\" 1}", "{\"x\":tru}" };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                Pair pair;

                setup(&pair);
                greet(&pair);
                say(&pair, cases[i]);
                CHECK(str_starts(pair.trace, "closed;QEMU sent something that is not QMP: "));
                teardown(&pair);
        }
}

TEST(nesting_and_size_of_a_message_are_bounded)
{
        Pair pair;
        char many[32768];

        setup(&pair);
        greet(&pair);
        memset(many, '[', 100);
        many[100] = '\0';
        say(&pair, many);
        CHECK(str_starts(pair.trace, "closed;"));
        teardown(&pair);

        setup(&pair);
        greet(&pair);
        say(&pair, "[0");
        for (size_t i = 0; i + 2 < sizeof(many); i += 3)
                memcpy(many + i, ",[]", 4);
        for (int i = 0; i < 20 && pair.trace[0] == '\0'; i++)
                say(&pair, many);
        CHECK_STR(pair.trace, "closed;QEMU sent a message that is too large;");
        teardown(&pair);
}

TEST(a_descriptor_travels_with_its_command)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        char text[256];
        struct iovec piece = { text, sizeof(text) };
        struct msghdr msg = {
                .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC), got;
        struct stat is, expected;
        Pair pair;

        setup(&pair);
        greet(&pair);
        qmp_getfd(pair.qmp, &(QmpGetfd){ .fdname = "tap" }, null, done, &pair);
        CHECK(recvmsg(pair.peer, &msg, 0) > 0);
        CHECK(CMSG_FIRSTHDR(&msg));
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(got));
        CHECK_INT(fstat(got, &is), 0);
        CHECK_INT(fstat(null, &expected), 0);
        CHECK_INT(is.st_rdev, expected.st_rdev);
        close(got);
        close(null);
        teardown(&pair);
}

static void got_raw(void *arg, const char *reply, const Error *failure)
{
        note(arg, failure ? failure->text : reply);
}

TEST(a_raw_command_is_passed_through_with_our_id)
{
        AUTO(Error) err = { 0 };
        Pair pair;

        setup(&pair);
        greet(&pair);
        CHECK(qmp_raw(pair.qmp, "{\"execute\":\"x\",\"id\":\"mine\"}", -1, got_raw, &pair, &err));
        CHECK_STR(hear(&pair), "{\"execute\":\"x\",\"id\":2}");
        say(&pair, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no x\"},\"id\":2}");
        CHECK_STR(pair.trace, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no x\"},\"id\":2};");
        CHECK_NULL(qmp_raw(pair.qmp, "{\"execute\":", -1, got_raw, &pair, &err));
        CHECK_NULL(qmp_raw(pair.qmp, "[1]", -1, got_raw, &pair, &err));
        CHECK_STR(err.text, "a QMP command is an object with the member \"execute\"");
        teardown(&pair);
}
