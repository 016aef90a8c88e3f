/*
 * daemon/migrate-transfer.c - move a guest's memory out of this host
 *
 * A table of steps. QEMU is told to wait before the switch-over, so the guest
 * stops at a moment that we see, and nothing is sent to completion before the
 * disks are. When the stream could not be completed QEMU still has the guest,
 * which goes on here; once it was completed only the destination knows.
 */
#include "daemon/migrate-transfer.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-disks.h"
#include "daemon/migrate-pace.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"
#include "wire/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

enum {
        POLL_MS = 100, /* between two looks at the figures */
        CONNECT_S = 30,
};

struct Transfer {
        Migration *migration;
        QmpClient *qmp;
        Job *job;
        Loop *loop;
        char *host;
        int port, nbd_port;
        Fd fd;
        Uri *uri;
        Dial *dial;
        QmpCall *call; /* what the current step waits for */
        QmpCall *query;
        Timer *poll;
        Disks *disks;
        bool sending;    /* QEMU has begun and has not ended */
        bool ready;      /* it waits before the switch-over */
        bool arrived;    /* it has sent everything */
        bool cancelling; /* we told it to give up */
        bool dead;       /* QEMU is gone: there is nothing left to undo in it */
        bool continued;  /* we told it to send the rest */
        Pace pace;
        void (*postcopy_done)(void *arg, const Error *failure);
        void *postcopy_arg;
        void (*done)(void *arg, const Error *failure);
        void *arg;
};

/* The step's command was answered. A lost answer is a failure here: what QEMU does is seen from its events. */
static void on_step_done(void *arg, const Error *failure)
{
        Transfer *t = arg;

        t->call = NULL;
        job_resume(t->job, failure);
}

/* The answer only means that QEMU has begun; the step ends with its state. */
static void on_continued(void *arg, const Error *failure)
{
        Transfer *t = arg;

        t->call = NULL;
        if (failure)
                job_resume(t->job, failure);
}

static void drop_call(Transfer *t)
{
        if (t->call)
                t->call = qmp_call_free(t->call);
        if (t->query)
                t->query = qmp_call_free(t->query);
        pace_done(&t->pace);
}

/* --- capabilities and parameters --- */

static StepResult set_capabilities(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        QmpMigrationCapability caps[MIGRATE_N_CAPABILITIES];
        size_t n = migrate_capabilities(t->migration, caps);

        t->call = qmp_migrate_set_capabilities(
                t->qmp, &(QmpMigrateSetCapabilities){ .capabilities = caps, .n_capabilities = n }, on_step_done, t);
        return STEP_WAIT;
}

static StepResult set_parameters(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        QmpMigrateSetParameters params = { 0 };

        migrate_parameters(t->migration, &params);
        pace_init(&t->pace, t->migration, params.downtime_limit);
        t->call = qmp_migrate_set_parameters(t->qmp, &params, on_step_done, t);
        return STEP_WAIT;
}

/* --- disks --- */

static void on_disks_ready(void *arg, const Error *failure)
{
        job_resume(((Transfer *)arg)->job, failure);
}

static StepResult mirror_disks(void *state, Job *job UNUSED, Error *err)
{
        Transfer *t = state;

        if (!(t->migration->flags & MIGRATE_COPIES_DISKS))
                return STEP_DONE;
        t->disks = disks_mirror(t->migration, t->host, t->nbd_port, on_disks_ready, t, err);
        return t->disks ? STEP_WAIT : STEP_FAILED;
}

static StepResult cancel_mirrors(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        if (!t->disks || t->dead)
                return STEP_DONE;
        disks_cancel(t->disks, on_disks_ready, t);
        return STEP_WAIT;
}

static StepResult finish_mirrors(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        if (!t->disks)
                return STEP_DONE;
        disks_finish(t->disks, on_disks_ready, t);
        return STEP_WAIT;
}

/* --- connection --- */

/* In post-copy a guest waits for its pages: a network that swallows them is a break, and soon. */
static void end_when_silent(const Transfer *t)
{
        const Config *config = t->migration->dom->driver->daemon->config;
        int seconds = MAX(config->keepalive_interval, 1) * (config->keepalive_count + 1);
        unsigned patience_ms = (unsigned)seconds * 1000;

        if (setsockopt(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof(patience_ms)) < 0)
                log_warning("a break of the network in post-copy will be noticed late: %s", strerror(errno));
}

static void on_connected(void *arg, Fd fd, const Error *failure)
{
        Transfer *t = arg;
        AUTO(Error) err = { 0 };

        if (failure) {
                err_set(&err, ERR_OPERATION_FAILED, "the destination's QEMU cannot be reached at %s port %d: %s",
                        t->host, t->port, failure->text);
                job_resume(t->job, &err);
                return;
        }
        t->fd = fd;
        if (t->migration->flags & VIR_MIGRATE_POSTCOPY)
                end_when_silent(t);
        job_resume(t->job, NULL);
}

/* Where to connect to: the peer's QEMU, or where its daemon can be asked. 0: nowhere. */
static int port_to_dial(const Transfer *t)
{
        AUTOFREE char *uri = str_format("tcp:%s", t->migration->ask ?: "");
        AUTOFREE char *host = NULL;
        int port = 0;

        if (!(t->migration->flags & VIR_MIGRATE_PARALLEL))
                return t->port;
        return migrate_parse_uri(uri, &host, &port, NULL) < 0 ? 0 : port;
}

/*
 * One stream is connected by us, so that QEMU needs no name look-up. Parallel ones QEMU opens itself and takes the first
 * for the main one; for these only the numeric address is found out, without a connection to the other QEMU.
 */
static StepResult connect_peer(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        int port = port_to_dial(t);

        if (t->fd >= 0 || !port)
                return STEP_DONE;
        t->uri = mem_new(Uri);
        *t->uri = (Uri){
                .driver = str_dup("qemu"), .transport = URI_TCP, .host = str_dup(t->host), .port = (uint16_t)port
        };
        t->dial = dial_new(t->loop, t->uri, &(DialOptions){ 0 }, on_connected, t);
        return STEP_WAIT;
}

static StepResult hang_up(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        t->dial = dial_free(t->dial);
        fd_close(&t->fd);
        return STEP_DONE;
}

static StepResult pass_stream(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        if (t->migration->flags & VIR_MIGRATE_PARALLEL)
                return STEP_DONE;
        t->call = qmp_getfd(t->qmp, &(QmpGetfd){ .fdname = "migrate" }, t->fd, on_step_done, t);
        return STEP_WAIT;
}

/* Where QEMU connects to by itself: the numeric address we reached the peer at. */
static char *numeric_uri(const Transfer *t)
{
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        char text[INET6_ADDRSTRLEN] = "";

        if (t->fd < 0 || getpeername(t->fd, (struct sockaddr *)&peer, &len) < 0)
                return str_format(strchr(t->host, ':') ? "tcp:[%s]:%d" : "tcp:%s:%d", t->host, t->port);
        if (peer.ss_family == AF_INET6) {
                inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&peer)->sin6_addr, text, sizeof(text));
                return str_format("tcp:[%s]:%d", text, t->port);
        }
        inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, text, sizeof(text));
        return str_format("tcp:%s:%d", text, t->port);
}

/* --- memory --- */

static StepResult start_memory(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        AUTOFREE char *uri = t->migration->flags & VIR_MIGRATE_PARALLEL ? numeric_uri(t) : str_dup("fd:migrate");

        fd_close(&t->fd); /* QEMU has its own by now; parallel streams begin with QEMU's first connection */
        t->sending = true;
        t->call = qmp_migrate(t->qmp, &(QmpMigrate){ .uri = uri }, on_step_done, t);
        return STEP_WAIT;
}

static void on_cancel_sent(void *arg, const Error *failure)
{
        Transfer *t = arg;

        t->call = NULL;
        /* that it was cancelled is told by an event; one that cannot be told ends with the QEMU */
        if (failure)
                job_resume(t->job, failure);
}

/* Tell QEMU to give up, unless it did already. */
static StepResult cancel_memory(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        drop_call(t);
        t->poll = timer_free(t->poll);
        if (!t->sending)
                return STEP_DONE;
        t->cancelling = true;
        t->call = qmp_migrate_cancel(t->qmp, on_cancel_sent, t);
        return STEP_WAIT;
}

/* --- converging --- */

static void on_figures(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Transfer *t = arg;

        t->query = NULL;
        if (!failure) {
                migrate_stats_take(&t->migration->stats, info);
                if (info->error_desc)
                        str_replace(&t->migration->stats.error, info->error_desc);
                if (t->migration->stats.has_ram && !t->ready)
                        pace_look(&t->pace, t->migration, t->qmp);
        }
        if (t->poll)
                timer_set(t->poll, POLL_MS);
}

static void on_poll(void *arg)
{
        Transfer *t = arg;

        if (!t->query)
                t->query = qmp_query_migrate(t->qmp, on_figures, t);
}

static StepResult await_converged(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        t->pace.began_ms = loop_now_ms(t->loop);
        t->poll = timer_new(t->loop, POLL_MS, on_poll, t);
        /* the state may have been told while the step before still ran */
        return t->ready || t->arrived ? STEP_DONE : STEP_WAIT;
}

/* --- switch-over --- */

static StepResult send_the_rest(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        if (t->arrived)
                return STEP_DONE;
        if (t->migration->committed)
                return STEP_WAIT; /* post-copy: the rest goes by itself */
        t->continued = true;
        t->call = qmp_migrate_continue(t->qmp, &(QmpMigrateContinue){ .state = "pre-switchover" }, on_continued, t);
        return STEP_WAIT;
}

static void on_resumed(void *arg, const Error *failure)
{
        job_resume(((Transfer *)arg)->job, failure);
}

/* The stream is not complete, so nobody else runs this guest: it goes on where it stopped. Else the peer is asked. */
static StepResult resume_here(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        QemuRun *run = qemu_run(t->migration->dom);

        if (t->dead || t->migration->completed || !t->migration->was_running || !run ||
            guest_state(run->guest) == GUEST_RUNNING)
                return STEP_DONE;
        run->resume_reason = VIR_DOMAIN_RUNNING_MIGRATION_CANCELED;
        guest_resume(run->guest, on_resumed, t);
        return STEP_WAIT;
}

static void on_stopped(void *arg, const Error *failure)
{
        job_resume(((Transfer *)arg)->job, failure);
}

/* A paused migration stands still for the whole of it (MIG-02). */
static StepResult pause_guest(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        QemuRun *run = qemu_run(t->migration->dom);

        if (t->migration->flags & VIR_MIGRATE_LIVE || guest_state(run->guest) != GUEST_RUNNING)
                return STEP_DONE;
        run->pause_reason = VIR_DOMAIN_PAUSED_MIGRATION;
        guest_suspend(run->guest, on_stopped, t);
        return STEP_WAIT;
}

static StepResult nothing(void *state UNUSED, Job *job UNUSED, Error *err UNUSED)
{
        return STEP_DONE;
}

static const JobStep steps[] = {
        /* name             run               undo            ask   deadline */
        { "keep-running", nothing, resume_here, NULL, 0 },
        { "set-capabilities", set_capabilities, NULL, NULL, 30 },
        { "set-parameters", set_parameters, NULL, NULL, 30 },
        { "mirror-disks", mirror_disks, cancel_mirrors, NULL, 0 },
        { "pause", pause_guest, NULL, NULL, 30 },
        { "connect", connect_peer, hang_up, NULL, CONNECT_S },
        { "pass-stream", pass_stream, NULL, NULL, 30 },
        { "start-transfer", start_memory, cancel_memory, NULL, 30 },
        { "converge", await_converged, NULL, NULL, 0 },
        { "finish-mirrors", finish_mirrors, NULL, NULL, 60 },
        { "continue", send_the_rest, NULL, NULL, 0 },
};

/* The limit is that of the new attempt, none if it names none. */
static StepResult set_speed(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        t->call = qmp_migrate_set_parameters(
                t->qmp,
                &(QmpMigrateSetParameters){ .has_max_postcopy_bandwidth = true,
                                            .max_postcopy_bandwidth = t->migration->params.bandwidth_postcopy_mib *
                                                                      1024 * 1024 },
                on_step_done, t);
        return STEP_WAIT;
}

static StepResult resume_memory(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        fd_close(&t->fd);
        t->sending = true;
        t->call = qmp_migrate(t->qmp, &(QmpMigrate){ .uri = "fd:migrate", .has_resume = true, .resume = true },
                              on_step_done, t);
        return STEP_WAIT;
}

/* The guest runs there: nothing of this can be undone, only broken again. */
static const JobStep resume_steps[] = {
        { "set-parameters", set_speed, NULL, NULL, 30 }, { "connect", connect_peer, hang_up, NULL, CONNECT_S },
        { "pass-stream", pass_stream, NULL, NULL, 30 },  { "start-transfer", resume_memory, NULL, NULL, 30 },
        { "continue", send_the_rest, NULL, NULL, 0 },
};

static int64_t wall_clock_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void on_finished(void *state, const Error *why)
{
        Transfer *t = state;

        drop_call(t);
        t->poll = timer_free(t->poll);
        t->migration->stats.ended_ms = loop_now_ms(t->loop);
        t->done(t->arg, why->code == ERR_OK ? NULL : why);
}

static const JobKind kind = { "migration", steps, ARRAY_LEN(steps), on_finished };

static const JobKind resume_kind = { "migration", resume_steps, ARRAY_LEN(resume_steps), on_finished };

static Transfer *transfer_new(Migration *migration, const char *host, int port, int nbd_port, Fd fd,
                              void (*done)(void *arg, const Error *failure), void *arg)
{
        QemuRun *run = qemu_run(migration->dom);
        Transfer *t = mem_new(Transfer);

        *t = (Transfer){ .migration = migration,
                         .qmp = guest_qmp(run->guest),
                         .loop = migration->dom->driver->daemon->loop,
                         .host = str_dup(host),
                         .port = port,
                         .nbd_port = nbd_port,
                         .fd = fd,
                         .done = done,
                         .arg = arg };
        migration->transfer = t;
        return t;
}

Transfer *transfer_start(Migration *migration, const char *host, int port, int nbd_port, Fd fd,
                         void (*done)(void *arg, const Error *failure), void *arg)
{
        Transfer *t = transfer_new(migration, host, port, nbd_port, fd, done, arg);

        migration->stats.began_ms = loop_now_ms(t->loop);
        qemu_status_save(migration->dom); /* a daemon that comes back must know that the guest was moving */
        t->job = job_new(t->loop, &kind, t);
        job_start(t->job);
        return t;
}

Transfer *transfer_resume(Migration *migration, const char *host, int port,
                          void (*done)(void *arg, const Error *failure), void *arg)
{
        Transfer *t;

        migration->transfer = transfer_free(migration->transfer);
        migration->stats.ended_ms = 0;
        t = transfer_new(migration, host, port, 0, -1, done, arg);
        t->job = job_new(t->loop, &resume_kind, t);
        job_start(t->job);
        return t;
}

Transfer *transfer_free(Transfer *t)
{
        if (!t)
                return NULL;
        drop_call(t);
        timer_free(t->poll);
        dial_free(t->dial);
        uri_free(t->uri);
        fd_close(&t->fd);
        disks_free(t->disks);
        job_free(t->job);
        free(t->host);
        free(t);
        return NULL;
}

bool transfer_is_handing_over(const Transfer *t)
{
        return t->continued && !t->arrived && !t->migration->committed;
}

bool transfer_is_over(const Transfer *t)
{
        return job_is_finished(t->job);
}

int transfer_cancel(Transfer *t, const Error *why, Error *err)
{
        return job_cancel(t->job, why, err);
}

const char *transfer_step(const Transfer *t)
{
        return job_step_name(t->job);
}

/* --- post-copy --- */

static void on_postcopy_started(void *arg, const Error *failure)
{
        Transfer *t = arg;

        t->call = NULL;
        t->postcopy_done(t->postcopy_arg, failure);
}

void transfer_start_postcopy(Transfer *t, void (*done)(void *arg, const Error *failure), void *arg)
{
        t->postcopy_done = done;
        t->postcopy_arg = arg;
        t->call = qmp_migrate_start_postcopy(t->qmp, on_postcopy_started, t);
}

/* --- events --- */

/* QEMU gave up. Its reason comes with the figures; ask for it before the step fails. */
static void on_reason(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Transfer *t = arg;
        AUTO(Error) err = { 0 };

        t->query = NULL;
        if (!failure && info->error_desc)
                err_set(&err, ERR_OPERATION_FAILED, "QEMU gave up the migration: %s", info->error_desc);
        else
                err_set(&err, ERR_OPERATION_FAILED,
                        "QEMU gave up the migration: the connection to the other host broke");
        job_resume(t->job, &err);
}

static void on_gave_up(Transfer *t, bool cancelled)
{
        t->sending = false;
        drop_call(t);
        if (t->cancelling || cancelled) {
                job_resume(t->job, NULL); /* that is what the undo waits for */
                return;
        }
        /*
         * A break behind the last word of the guest's state is a failure here and none there: QEMU on the other side
         * does without what follows it. So after the switch-over a failure says nothing, and the peer is asked.
         */
        if (t->continued)
                t->migration->completed = t->migration->broke = true;
        t->query = qmp_query_migrate(t->qmp, on_reason, t);
}

void transfer_on_guest_ended(Transfer *t, const Error *why)
{
        if (t->continued)
                t->migration->completed = true;
        t->sending = false;
        t->dead = true;
        drop_call(t);
        t->poll = timer_free(t->poll);
        job_resume(t->job, why);
}

/* QEMU waits for a new connection; this transfer is over, the migration is not. */
static void on_broken(Transfer *t)
{
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_FAILED,
                "the connection to the other host broke in post-copy; the guest runs there and needs both hosts. "
                "Connect them again with --postcopy --postcopy-resume");
        t->sending = false;
        drop_call(t);
        job_resume(t->job, &err);
}

static void on_arrived(Transfer *t)
{
        t->sending = false;
        t->arrived = true;
        t->migration->completed = true;
        job_commit(t->job);
        drop_call(t);
        job_resume(t->job, NULL);
}

void transfer_on_event(Transfer *t, const QmpEvent *event, int64_t at_us)
{
        const char *status;

        if (t->disks)
                disks_on_event(t->disks, event);

        if (event->type == QMP_EVENT_MIGRATION_PASS && t->poll)
                on_poll(t); /* the end of a pass is when figures mean most */
        if (event->type == QMP_EVENT_STOP)
                t->migration->stopped_us = at_us ? at_us : wall_clock_us();
        if (event->type != QMP_EVENT_MIGRATION)
                return;
        status = event->migration.status;
        migrate_postcopy_status(t->migration, status);
        if (str_eq(status, "pre-switchover")) {
                t->ready = true;
                if (str_eq(job_step_name(t->job), "converge"))
                        job_resume(t->job, NULL);
        } else if (str_eq(status, "postcopy-active")) {
                job_commit(t->job);
                if (str_eq(job_step_name(t->job), "converge"))
                        job_resume(t->job, NULL);
        } else if (str_eq(status, "postcopy-paused")) {
                on_broken(t);
        } else if (str_eq(status, "completed")) {
                on_arrived(t);
        } else if (str_eq(status, "failed") || str_eq(status, "cancelled")) {
                on_gave_up(t, str_eq(status, "cancelled"));
        }
}
