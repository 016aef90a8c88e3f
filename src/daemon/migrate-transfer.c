/*
 * daemon/migrate-transfer.c - move a guest's memory out of this host
 *
 * A table of steps. QEMU is told to wait before the switch-over, so the guest
 * stops at a moment that we see, and nothing is sent to completion before the
 * disks are. When the stream could not be completed QEMU still has the guest,
 * which goes on here; once it was completed only the destination knows.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-transfer-parts.h"

enum {
        CONNECT_S = 30,
        LAST_FIGURES_MS = 1000,
        LAST_FIGURES_PAUSED_MS = 50,
};

/* The step's command was answered. A lost answer is a failure here: what QEMU does is seen from its events. */
void transfer_step_done(void *arg, const Error *failure)
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

void transfer_drop_calls(Transfer *t)
{
        if (t->call)
                t->call = qmp_call_free(t->call);
        if (t->query)
                t->query = qmp_call_free(t->query);
        if (t->postcopy)
                t->postcopy = qmp_call_free(t->postcopy);
        t->patience = timer_free(t->patience);
        pace_done(&t->pace);
}

/* --- the note --- */

static void on_noted(void *arg, const Error *failure)
{
        Transfer *t = arg;
        AUTO(Error) err = { 0 };

        t->note = NULL;
        if (failure)
                err_set(&err, ERR_OPERATION_FAILED,
                        "that guest '%s' moves cannot be written down (%s); it stays here", t->migration->dom->name,
                        failure->text);
        job_resume(t->job, failure ? &err : NULL);
}

/* A daemon that comes back must know that the guest was moving, or it would let it run beside its copy. */
static StepResult note_move(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        migrate_give_prepare(t->migration);
        t->note = qemu_status_note(t->migration->dom, on_noted, t);
        return STEP_WAIT;
}

static StepResult forget_note(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        t->note = status_note_free(t->note);
        return STEP_DONE;
}

/* --- capabilities and parameters --- */

static StepResult set_capabilities(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        QmpMigrationCapability caps[MIGRATE_N_CAPABILITIES];
        size_t n = migrate_capabilities(t->migration, caps);

        t->call = qmp_migrate_set_capabilities(
                t->qmp, &(QmpMigrateSetCapabilities){ .capabilities = caps, .n_capabilities = n }, transfer_step_done,
                t);
        return STEP_WAIT;
}

static StepResult set_parameters(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        QmpMigrateSetParameters params = { 0 };

        migrate_parameters(t->migration, &params);
        pace_init(&t->pace, t->migration);
        t->call = qmp_migrate_set_parameters(t->qmp, &params, transfer_step_done, t);
        return STEP_WAIT;
}

static void on_parameters(void *arg, const QmpMigrateParameters *now, const Error *failure)
{
        Transfer *t = arg;
        const MigrateParams *wanted = &t->migration->params;
        AUTO(Error) err = { 0 };

        t->call = NULL;
        if (failure)
                err_copy(&err, failure);
        else if (wanted->has_zlib_level && now->multifd_zlib_level != (uint64_t)wanted->zlib_level)
                err_set(&err, ERR_CONFIG_UNSUPPORTED,
                        "this QEMU takes no zlib level while its guest runs: it stays at %llu, leave --comp-zlib-level out",
                        (unsigned long long)now->multifd_zlib_level);
        else if (wanted->has_zstd_level && now->multifd_zstd_level != (uint64_t)wanted->zstd_level)
                err_set(&err, ERR_CONFIG_UNSUPPORTED,
                        "this QEMU takes no zstd level while its guest runs: it stays at %llu, leave --comp-zstd-level out",
                        (unsigned long long)now->multifd_zstd_level);
        job_resume(t->job, err_is_set(&err) ? &err : NULL);
}

/* QEMU 7.2 says yes to a level of compression and forgets it. */
static StepResult check_parameters(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        if (!t->migration->params.has_zlib_level && !t->migration->params.has_zstd_level)
                return STEP_DONE;
        t->call = qmp_query_migrate_parameters(t->qmp, on_parameters, t);
        return STEP_WAIT;
}

/* --- memory that is sent without a copy --- */

enum { LOCKED_BESIDES = 64 * 1024 * 1024 };

static StepResult allow_locks(void *state, Job *job UNUSED, Error *err)
{
        Transfer *t = state;
        const Domain *dom = t->migration->dom;
        uint64_t most = dom->live->memory_kib * 1024 + LOCKED_BESIDES;
        int r;

        if (!(t->migration->flags & VIR_MIGRATE_ZEROCOPY))
                return STEP_DONE;
        /* what is on its way is locked, and that may be all of it; else the kernel refuses in the middle of the transfer */
        r = root_set_memlock(guest_pid(qemu_run(dom)->guest), &(MemLock){ most, most }, &t->locks);
        if (r)
                return err_errno(err, r, "QEMU of guest '%s' may not lock its memory, as --zerocopy needs it",
                                 dom->name),
                       STEP_FAILED;
        if (t->locks.soft > most) /* it may lock more than that anyhow */
                root_set_memlock(guest_pid(qemu_run(dom)->guest), &t->locks, &(MemLock){ 0 });
        return STEP_DONE;
}

static StepResult forbid_locks(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        MemLock ignored;

        if (t->locks.hard && !t->dead)
                root_set_memlock(guest_pid(qemu_run(t->migration->dom)->guest), &t->locks, &ignored);
        return STEP_DONE;
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

/* --- memory --- */

static StepResult start_memory(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        AUTOFREE char *uri = transfer_uri(t);

        fd_close(&t->fd); /* QEMU has its own by now; parallel streams begin with QEMU's first connection */
        t->sending = true;
        t->call = qmp_migrate(t->qmp, &(QmpMigrate){ .uri = uri }, transfer_step_done, t);
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

        transfer_drop_calls(t);
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
                timer_set(t->poll, pace_next_look_ms(&t->pace, t->migration));
}

void transfer_look(void *arg)
{
        Transfer *t = arg;

        if (!t->query)
                t->query = qmp_query_migrate(t->qmp, on_figures, t);
}

/* --- post-copy --- */

static void on_postcopy_started(void *arg, const Error *failure)
{
        Transfer *t = arg;
        void (*done)(void *done_arg, const Error *failed) = TAKE(t->postcopy_done);

        t->postcopy = NULL;
        if (done)
                done(t->postcopy_arg, failure);
        else if (failure)
                log_warning("guest '%s' was to go on in post-copy: %s", t->migration->dom->name, failure->text);
}

static StepResult await_converged(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        t->pace.began_ms = loop_now_ms(t->loop);
        t->poll = timer_new(t->loop, pace_next_look_ms(&t->pace, t->migration), transfer_look, t);
        if (t->migration->wants_postcopy)
                t->postcopy = qmp_migrate_start_postcopy(t->qmp, on_postcopy_started, t);
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
            guest_state(run->guest) == GUEST_RUNNING || migrate_stopped_by_itself(t->migration->dom))
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

/* --- the end --- */

static void take_last_figures(Transfer *t, const QmpMigrationInfo *info)
{
        migrate_stats_take(&t->migration->stats, info);
        t->migration->stats.are_final = info->status && str_eq(info->status, "completed");
}

static void on_figures_at_the_end(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Transfer *t = arg;

        t->query = NULL;
        if (!failure)
                take_last_figures(t, info);
        t->patience = timer_free(t->patience);
        job_resume(t->job, NULL);
}

static void on_patience_ended(void *arg)
{
        job_resume(((Transfer *)arg)->job, NULL);
}

/*
 * The other host's account of the move is made of them. A guest that runs there by itself does not wait for them; another one
 * hardly does.
 */
static StepResult read_last_figures(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        uint32_t flags = t->migration->flags;
        bool runs_there = flags & VIR_MIGRATE_LIVE &&
                          !(flags & (VIR_MIGRATE_PAUSED | MIGRATE_COPIES_DISKS | VIR_MIGRATE_TUNNELLED));

        if (!t->arrived || t->dead)
                return STEP_DONE;
        transfer_drop_calls(t);
        t->patience = timer_new(t->loop, runs_there ? LAST_FIGURES_MS : LAST_FIGURES_PAUSED_MS, on_patience_ended, t);
        t->query = qmp_query_migrate(t->qmp, on_figures_at_the_end, t);
        return STEP_WAIT;
}

static const JobStep steps[] = {
        /* name             run               undo            ask   deadline */
        { "keep-running", nothing, resume_here, NULL, 0 },
        { "note-move", note_move, forget_note, NULL, 0 },
        { "set-capabilities", set_capabilities, NULL, NULL, 30 },
        { "set-parameters", set_parameters, NULL, NULL, 30 },
        { "check-parameters", check_parameters, NULL, NULL, 30 },
        { "allow-locks", allow_locks, forbid_locks, NULL, 0 },
        { "mirror-disks", mirror_disks, cancel_mirrors, NULL, 0 },
        { "pause", pause_guest, NULL, NULL, 30 },
        { "connect", transfer_connect, transfer_hang_up, NULL, CONNECT_S },
        { "pass-stream", transfer_pass_stream, NULL, NULL, 30 },
        { "start-transfer", start_memory, cancel_memory, NULL, 30 },
        { "converge", await_converged, NULL, NULL, 0 },
        { "finish-mirrors", finish_mirrors, NULL, NULL, 60 },
        { "continue", send_the_rest, NULL, NULL, 0 },
        { "last-figures", read_last_figures, NULL, NULL, 0 },
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
                transfer_step_done, t);
        return STEP_WAIT;
}

static StepResult resume_memory(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        fd_close(&t->fd);
        t->sending = true;
        t->call = qmp_migrate(t->qmp, &(QmpMigrate){ .uri = "fd:migrate", .has_resume = true, .resume = true },
                              transfer_step_done, t);
        return STEP_WAIT;
}

/* The guest runs there: nothing of this can be undone, only broken again. */
static const JobStep resume_steps[] = {
        { "set-parameters", set_speed, NULL, NULL, 30 },
        { "connect", transfer_connect, transfer_hang_up, NULL, CONNECT_S },
        { "pass-stream", transfer_pass_stream, NULL, NULL, 30 },
        { "start-transfer", resume_memory, NULL, NULL, 30 },
        { "continue", send_the_rest, NULL, NULL, 0 },
        { "last-figures", read_last_figures, NULL, NULL, 0 },
};

static void on_last_figures(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Transfer *t = arg;

        t->query = NULL;
        if (!failure)
                take_last_figures(t, info);
}

static void on_finished(void *state, const Error *why)
{
        Transfer *t = state;

        transfer_drop_calls(t);
        t->poll = timer_free(t->poll);
        t->migration->stats.ended_ms = loop_now_ms(t->loop);
        if (why->code == ERR_OK &&
            !t->migration->stats.are_final) /* they come while the other host is told to go on */
                t->query = qmp_query_migrate(t->qmp, on_last_figures, t);
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
        transfer_drop_calls(t);
        status_note_free(t->note);
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

uint64_t transfer_bound_ms(const Transfer *t, uint64_t ms)
{
        return pace_bound_ms(&t->pace, t->migration, ms);
}

const char *transfer_step(const Transfer *t)
{
        return job_step_name(t->job);
}

void transfer_start_postcopy(Transfer *t, void (*done)(void *arg, const Error *failure), void *arg)
{
        t->postcopy_done = done;
        t->postcopy_arg = arg;
        t->postcopy = qmp_migrate_start_postcopy(t->qmp, on_postcopy_started, t);
}

bool transfer_is_sending(const Transfer *t)
{
        return t->poll;
}
