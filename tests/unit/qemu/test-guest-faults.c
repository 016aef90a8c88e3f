#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "qemu/guest.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A guest whose QEMU is tests/fake/fake-qemu: it does what a transcript says, also what QEMU never should. */
typedef struct Bench {
        char dir[64];
        GuestEnv env;
        Uuid uuid;
        Guest *guest;
        bool answered, ended, end_of_run;
        Error failure;
        GuestCause cause, end_cause;
        char trace[64];
} Bench;

static void on_done(void *arg, const Error *failure)
{
        Bench *b = arg;

        b->answered = true;
        err_done(&b->failure);
        if (failure)
                err_copy(&b->failure, failure);
}

static void on_changed(void *arg, GuestState from UNUSED, GuestState to, GuestCause cause)
{
        static const char letters[] = "0srpdcwil";
        Bench *b = arg;

        b->trace[strlen(b->trace)] = letters[to];
        b->cause = cause;
}

static void on_end_of_run(void *arg, GuestCause cause UNUSED, bool reboot UNUSED)
{
        ((Bench *)arg)->end_of_run = true;
}

static void on_ended(void *arg, GuestCause cause)
{
        Bench *b = arg;

        b->ended = true;
        b->end_cause = cause;
}

static void await(Bench *b, const bool *what)
{
        while (!*what)
                CHECK(loop_turn(b->env.loop, -1, NULL) >= 0);
        b->answered = false;
}

static void begin(Bench *b, const char *transcript)
{
        static const GuestHooks hooks = { .changed = on_changed, .end_of_run = on_end_of_run, .ended = on_ended };
        AUTOFREE char *path = NULL;
        AUTO(CommandLine) line = { 0 };
        AUTO(Error) err = { 0 };
        char uuid[UUID_TEXT_LEN + 1];

        *b = (Bench){ .dir = "/tmp/drover-test-XXXXXX" };
        CHECK(mkdtemp(b->dir));
        b->env = (GuestEnv){ .loop = loop_new(NULL),
                             .run_dir = b->dir,
                             .log_dir = b->dir,
                             .logger = getenv("DROVER_LOG"),
                             .log_bytes = 1 << 20,
                             .log_backups = 1 };
        path = str_format("%s/transcript", b->dir);
        CHECK_INT(file_write_atomic(path, transcript, strlen(transcript), 0600, NULL), 0);
        uuid_new_random(&b->uuid);
        vec_push(&line.argv, str_dup(DROVER_TEST_DATA "/../fake/fake-qemu"));
        vec_push(&line.argv, str_dup("-uuid"));
        vec_push(&line.argv, str_dup(uuid_format(&b->uuid, uuid)));
        vec_push(&line.argv, NULL);
        vec_push(&line.env, str_format("FAKE_QEMU_TRANSCRIPT=%s", path));
        vec_push(&line.env, NULL);
        b->guest = guest_new(&b->env, "g", &b->uuid, &hooks, b);
        if (guest_start(b->guest, &line, &(GuestStartOptions){ 0 }, on_done, b, &err) < 0)
                fail_msg("%s", err.text);
}

static void start(Bench *b, const char *transcript)
{
        begin(b, transcript);
        await(b, &b->answered);
}

static void finish(Bench *b)
{
        AUTOFREE char *command = str_format("rm -rf %s", b->dir);

        if (guest_is_active(b->guest)) {
                guest_stop(b->guest, GUEST_STOP_HARD, on_done, b);
                await(b, &b->ended);
        }
        guest_free(b->guest);
        loop_free(b->env.loop);
        err_done(&b->failure);
        CHECK_INT(system(command), 0);
}

TEST(a_start_that_fails_says_why_and_leaves_nothing)
{
        static const struct {
                const char *transcript, *complaint; /* NULL: it starts */
        } cases[] = {
                { "", NULL },
                { "at start exit 1 no such machine",
                  "QEMU of the guest 'g' ended while it started: no such machine" },
                { "at start exit 1 Failed to get write lock Is another process using the image [g.raw]?",
                  "QEMU of the guest 'g' ended while it started: Failed to get write lock Is another process using the "
                  "image [g.raw]?. It is in use on this host or on one that shares it" },
                /* MIG-31 */
                { "at start exit 1 Failed to lock byte 100: No locks available",
                  "QEMU of the guest 'g' ended while it started: Failed to lock byte 100: No locks available. Its file "
                  "system gives no locks, as NFS does" },
                { "at start garbage hello", "QEMU sent something that is not QMP: " },
                { "on query-cpus-fast exit 3 out of memory",
                  "QEMU of the guest 'g' ended while it started: out of memory" },
                { "on query-cpus-fast kill", "QEMU of the guest 'g' ended while it started: it gave no reason" },
                { "on query-cpus-fast reply [1]", "the answer to 'query-cpus-fast' cannot be used: " },
                { "on query-chardev error GenericError no", "QEMU refused 'query-chardev': no" },
                { "on cont error GenericError not now", "QEMU refused 'cont': not now" },
                { "on qmp_capabilities error GenericError no",
                  "the monitor of QEMU cannot be used: QEMU refused 'qmp_capabilities': no" },
        };

        if (!getenv("DROVER_LOG"))
                skip();
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *dir = NULL;
                Bench b;

                start(&b, cases[i].transcript);
                dir = guest_dir(&b.env, &b.uuid);
                if (!cases[i].complaint) {
                        CHECK_STR(b.failure.text ?: "", "");
                        CHECK_STR(b.trace, "sr");
                } else {
                        if (!b.failure.text || !str_starts(b.failure.text, cases[i].complaint))
                                fail_msg("%s: %s", cases[i].transcript, b.failure.text ?: "it started");
                        CHECK(!guest_is_active(b.guest));
                        CHECK_INT(access(dir, F_OK), -1);
                }
                finish(&b);
        }
}

static void on_stopped(void *arg, const Error *failure)
{
        *(bool *)arg = !failure;
}

TEST(who_ends_a_guest_that_is_only_starting_is_told_of_its_end)
{
        bool stopped = false;
        Bench b;

        if (!getenv("DROVER_LOG"))
                skip();
        begin(&b, "");
        guest_stop(b.guest, GUEST_STOP_HARD, on_stopped, &stopped);
        await(&b, &b.answered);
        CHECK(b.failure.text && !guest_is_active(b.guest));
        CHECK(stopped);
        finish(&b);
}

TEST(a_qemu_that_dies_is_a_crash_and_what_was_asked_of_it_unknown)
{
        Bench b;

        if (!getenv("DROVER_LOG"))
                skip();
        start(&b, "on stop kill");
        guest_suspend(b.guest, on_done, &b);
        await(&b, &b.answered);
        CHECK(qmp_failure_is_unknown(&b.failure));
        await(&b, &b.ended);
        CHECK_INT(b.end_cause, GUEST_CAUSE_FAILED);
        /* its monitor closes before its process is gone: a busy machine may see it lost in between */
        if (!str_eq(b.trace, "srl0"))
                CHECK_STR(b.trace, "sr0");
        finish(&b);
}

TEST(a_disk_error_that_stops_the_guest_is_the_cause)
{
        Bench b;

        if (!getenv("DROVER_LOG"))
                skip();
        start(&b,
              "on system_wakeup event {\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"device\":\"\",\"operation\":\"write\","
              "\"action\":\"stop\",\"reason\":\"No space left on device\"}}\n"
              "on system_wakeup event {\"event\":\"STOP\"}\n");
        guest_wakeup(b.guest, on_done, &b);
        await(&b, &b.answered);
        CHECK_STR(b.trace, "srp");
        CHECK_INT(b.cause, GUEST_CAUSE_IO_ERROR);
        finish(&b);
}

TEST(a_guest_that_powers_off_waits_for_what_its_policy_says_LIFE_24)
{
        static const struct {
                LifecycleAction action;
                bool goes_on;
                const char *trace;
        } cases[] = {
                { LIFECYCLE_ACTION_DESTROY, false, "srd0" },
                { LIFECYCLE_ACTION_RESTART, true, "srdr" },
                { LIFECYCLE_ACTION_PRESERVE, true, "srd" },
        };

        if (!getenv("DROVER_LOG"))
                skip();
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                DomainDef def = { .on_poweroff = cases[i].action };
                Bench b;

                start(&b, "on system_powerdown event {\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":"
                          "\"guest-shutdown\"}}\non system_powerdown event {\"event\":\"STOP\"}\n");
                guest_powerdown(b.guest, on_done, &b);
                await(&b, &b.answered);
                CHECK(b.end_of_run);
                CHECK_INT(guest_act_on_end(b.guest, &def, GUEST_CAUSE_GUEST, false), cases[i].goes_on);
                while (!str_eq(b.trace, cases[i].trace))
                        CHECK(loop_turn(b.env.loop, -1, NULL) >= 0);
                if (b.ended)
                        CHECK_INT(b.end_cause, GUEST_CAUSE_GUEST);
                finish(&b);
        }
}

TEST(a_process_with_another_uuid_is_not_adopted)
{
        Bench b;
        pid_t pid;

        if (!getenv("DROVER_LOG"))
                skip();
        start(&b, "on query-uuid reply {\"UUID\":\"00000000-0000-0000-0000-000000000001\"}");
        pid = guest_pid(b.guest);
        guest_free(b.guest);
        b.guest = guest_new(&b.env, "g", &b.uuid, &(GuestHooks){ .changed = on_changed, .ended = on_ended }, &b);
        CHECK_INT(guest_adopt(b.guest, pid, 0, on_done, &b, &b.failure), 0);
        await(&b, &b.answered);
        CHECK(str_ends(b.failure.text, "runs another guest than 'g'"));
        CHECK(!guest_is_active(b.guest));
        CHECK_INT(kill(pid, SIGKILL), 0); /* it was left alone */
        finish(&b);
}

TEST(a_broken_monitor_connection_is_made_again_and_the_guest_goes_on)
{
        Bench b;
        pid_t pid;

        if (!getenv("DROVER_LOG"))
                skip();
        start(&b, "on system_wakeup close\non query-status reply {\"status\":\"running\",\"running\":true}");
        pid = guest_pid(b.guest);
        guest_wakeup(b.guest, on_done, &b);
        await(&b, &b.answered);
        CHECK(qmp_failure_is_unknown(&b.failure)); /* it was sent */
        CHECK_INT(guest_state(b.guest), GUEST_RUNNING);
        guest_reset(b.guest, on_done, &b);
        await(&b, &b.answered);
        CHECK(!qmp_failure_is_unknown(&b.failure));
        CHECK(str_starts(b.failure.text, "QEMU is not responding: "));
        while (!str_eq(b.trace, "srlr"))
                CHECK(loop_turn(b.env.loop, -1, NULL) >= 0);
        CHECK_INT(guest_pid(b.guest), pid);
        guest_reset(b.guest, on_done, &b);
        await(&b, &b.answered);
        CHECK(!err_is_set(&b.failure));
        finish(&b);
}

TEST(a_qemu_that_refuses_what_a_new_daemon_asks_is_asked_again)
{
        Bench b;
        pid_t pid;

        if (!getenv("DROVER_LOG"))
                skip();
        start(&b, "on query-vnc reply {\"enabled\":false}\non query-vnc error GenericError no\n"
                  "on query-vnc reply {\"enabled\":false}\n"
                  "on query-status reply {\"status\":\"running\",\"running\":true}");
        pid = guest_pid(b.guest);
        guest_free(b.guest);
        memset(b.trace, 0, sizeof(b.trace));
        b.guest = guest_new(&b.env, "g", &b.uuid, &(GuestHooks){ .changed = on_changed, .ended = on_ended }, &b);
        CHECK_INT(guest_adopt(b.guest, pid, 0, on_done, &b, &b.failure), 0);
        await(&b, &b.answered);
        CHECK(!err_is_set(&b.failure));
        while (!str_ends(b.trace, "lr"))
                CHECK(loop_turn(b.env.loop, -1, NULL) >= 0);
        finish(&b);
}

TEST(a_process_that_does_not_answer_is_not_taken_for_dead)
{
        Bench b;
        pid_t pid;
        Fd fds[4];

        if (!getenv("DROVER_LOG"))
                skip();
        start(&b, "on query-status reply {\"status\":\"running\",\"running\":true}");
        pid = guest_pid(b.guest);
        CHECK_INT(kill(pid, SIGSTOP), 0);
        guest_free(b.guest);
        /* connections of daemons that were killed meanwhile */
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                AUTOFREE char *dir = guest_dir(&b.env, &b.uuid), *socket = str_format("%s/monitor", dir);

                fds[i] = -1;
                qmp_client_connect(socket, &fds[i], NULL);
        }
        memset(b.trace, 0, sizeof(b.trace));
        b.guest = guest_new(&b.env, "g", &b.uuid, &(GuestHooks){ .changed = on_changed, .ended = on_ended }, &b);
        CHECK_INT(guest_adopt(b.guest, pid, 0, on_done, &b, &b.failure), 0);
        await(&b, &b.answered);
        CHECK(!err_is_set(&b.failure));
        CHECK_STR(b.trace, "sl");
        CHECK(guest_is_active(b.guest));
        for (size_t i = 0; i < ARRAY_LEN(fds); i++)
                fd_close(&fds[i]);
        CHECK_INT(kill(pid, SIGCONT), 0);
        while (!str_eq(b.trace, "slr"))
                CHECK(loop_turn(b.env.loop, -1, NULL) >= 0);
        finish(&b);
}
