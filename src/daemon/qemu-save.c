/*
 * daemon/qemu-save.c - a guest's state to a file
 *
 * The guest is paused and QEMU sends its state into a pipe; drover-save writes
 * it to a file that gets its name only when all of it is there and synced. Until
 * that moment every failure, and an abort, ends with the guest going on as
 * before. Only then QEMU is stopped.
 */
#include "daemon/qemu-save.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/define.h"
#include "daemon/save-helper.h"
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_FD "drover-save"

enum { LOOK_EVERY_MS = 500, AGAIN_MS = 100, MOST_RESUMES = 50 };

struct Save {
        Domain *dom;  /* referenced */
        QemuRun *run; /* NULL: it ended */
        DriverDone *done;
        void *arg;
        Helper *helper;
        Fd state;  /* for QEMU; -1 once it has it */
        Fd commit; /* to the helper */
        Timer *look;
        Timer *again; /* the guest is to go on, and QEMU is not ready for that */
        unsigned resumes;
        QmpCall *query;
        MigrateStats stats;
        Error failure;
        StatusNote *noting;
        char *path;
        char nonce[UUID_TEXT_LEN + 1]; /* in the image: how a later daemon knows it from another one there */
        uint64_t helper_start;
        bool managed;
        bool was_running;
        bool asking;    /* a step was asked of QEMU and is not answered */
        bool committed; /* the helper was told: it may give the file its name at any moment */
        bool sending;   /* QEMU was told to migrate and has not said how that ended */
        bool written;   /* the file has its name: no way back */
};

char *qemu_managed_save_path(const QemuDriver *qemu, const char *name)
{
        return str_format("%s/%s.save", qemu->save_dir, name);
}

const MigrateStats *qemu_save_stats(const Save *save)
{
        return &save->stats;
}

/* It is over: failure is in it, or the guest is gone. */
static void finish(Save *save)
{
        DriverDone *done = save->done;
        void *arg = save->arg;
        AUTO(Domain) *dom = save->dom;
        AUTO(Error) failure = { 0 };

        status_note_free(save->noting);
        if (save->run) {
                save->run->save = NULL;
                save->run->pause_reason = VIR_DOMAIN_PAUSED_USER;
                qemu_status_save(dom);
        }
        err_move(&failure, &save->failure);
        helper_free(save->helper);
        fd_close(&save->state);
        fd_close(&save->commit);
        timer_free(save->look);
        timer_free(save->again);
        qmp_call_free(save->query);
        migrate_stats_done(&save->stats);
        free(save->path);
        free(save);
        done(arg, err_is_set(&failure) ? &failure : NULL);
}

static void let_go_on(void *arg);

/* QEMU says that a migration failed a moment before it can take `cont`: until then it refuses that. */
static void on_resumed(void *arg, const Error *failure)
{
        Save *save = arg;
        bool refused = failure && !qmp_failure_is_unknown(failure);

        if (refused && ++save->resumes < MOST_RESUMES) {
                timer_free(save->again);
                save->again = timer_new(save->run->qemu->env.loop, AGAIN_MS, let_go_on, save);
                return;
        }
        if (refused)
                log_error("guest '%s' stays paused after a save that failed: %s", save->dom->name, failure->text);
        save->run->resume_reason = VIR_DOMAIN_RUNNING_UNPAUSED;
        finish(save);
}

static void let_go_on(void *arg)
{
        Save *save = arg;

        if (!save->run || !save->was_running || guest_state(save->run->guest) != GUEST_PAUSED ||
            !guest_qmp(save->run->guest)) {
                finish(save);
                return;
        }
        save->run->resume_reason = VIR_DOMAIN_RUNNING_SAVE_CANCELED;
        guest_resume(save->run->guest, on_resumed, save);
}

/* The first failure counts. QEMU is let finish with the stream before the guest goes on. */
static void give_up(Save *save, const Error *why)
{
        if (why && !err_is_set(&save->failure))
                err_copy(&save->failure, why);
        save->helper = helper_free(save->helper);
        fd_close(&save->commit);
        fd_close(&save->state);
        if (!save->sending && !save->asking)
                let_go_on(save);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

static void on_stopped(void *arg, const Error *failure)
{
        Save *save = arg;

        /* the end of its run is told next and finishes the rest */
        if (failure) {
                err_copy(&save->failure, failure);
                finish(save);
        }
}

/* The helper is done: the file is there, or why it is not. */
static void on_helper_done(void *arg, Buf *said UNUSED, const Error *failure)
{
        Save *save = arg;

        if (failure) {
                if (save->sending)
                        qmp_migrate_cancel(guest_qmp(save->run->guest), ignore, NULL);
                if (failure->code == ERR_OPERATION_ABORTED)
                        err_set(&save->failure, ERR_OPERATION_FAILED, "QEMU could not send the state of guest '%s'",
                                save->dom->name);
                give_up(save, failure);
                return;
        }
        save->written = true;
        if (save->managed)
                save->dom->has_managed_save = true;
        if (!save->run) {
                finish(save);
                return;
        }
        save->run->stop_reason = VIR_DOMAIN_SHUTOFF_SAVED;
        save->run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_SAVED;
        guest_stop(save->run->guest, GUEST_STOP_NORMAL, on_stopped, save);
}

void qemu_save_on_guest_ended(Save *save)
{
        save->run = NULL;
        save->query = NULL;
        save->look = timer_free(save->look);
        if (save->committed && !save->written && save->helper)
                return; /* all of its state is in the file, and whether that gets its name the helper says yet */
        if (!save->written && !err_is_set(&save->failure))
                err_set(&save->failure, ERR_OPERATION_FAILED, "guest '%s' ended while it was saved", save->dom->name);
        finish(save);
}

/* --- the stream --- */

/* All of it is sent. From here the helper decides. */
static void commit(Save *save)
{
        AUTO(Error) failed = { 0 };

        save->committed = write(save->commit, "c", 1) == 1;
        if (save->committed)
                return;
        err_errno(&failed, errno, "drover-save does not listen");
        give_up(save, &failed);
}

void qemu_save_on_event(Save *save, const QmpEvent *event)
{
        if (event->type != QMP_EVENT_MIGRATION || !save->sending)
                return;
        if (str_eq(event->migration.status, "completed")) {
                save->sending = false;
                if (err_is_set(&save->failure))
                        give_up(save, NULL);
                else
                        commit(save);
        } else if (str_eq(event->migration.status, "failed") || str_eq(event->migration.status, "cancelled")) {
                save->sending = false;
                if (!save->helper)
                        give_up(save, NULL);
                else /* it may know why, and ends now */
                        fd_close(&save->commit);
        }
}

static void on_looked(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Save *save = arg;

        save->query = NULL;
        if (!failure)
                migrate_stats_take(&save->stats, info);
}

static void on_look(void *arg)
{
        Save *save = arg;

        timer_set(save->look, LOOK_EVERY_MS);
        if (!save->query && save->sending)
                save->query = qmp_query_migrate(guest_qmp(save->run->guest), on_looked, save);
}

int qemu_save_abort(Save *save, Error *err)
{
        if (save->committed || err_is_set(&save->failure))
                return err_set(err, ERR_OPERATION_INVALID, "guest '%s' is saved already, or the save is given up",
                               save->dom->name);
        err_set(&save->failure, ERR_OPERATION_ABORTED, "saving guest '%s' was canceled by a client", save->dom->name);
        if (save->sending)
                qmp_migrate_cancel(guest_qmp(save->run->guest), ignore, NULL);
        give_up(save, NULL); /* QEMU may hang in the pipe until its reader is gone */
        return 0;
}

/* A step was answered: go on? */
static bool may_go_on(Save *save, const Error *failure)
{
        save->asking = false;
        if (!failure && !err_is_set(&save->failure)) {
                save->asking = true; /* the next step */
                return true;
        }
        give_up(save, failure);
        return false;
}

static void on_sending(void *arg, const Error *failure)
{
        Save *save = arg;

        save->asking = false;
        if (failure)
                save->sending = false;
        if (failure || (!save->sending && err_is_set(&save->failure)))
                give_up(save, failure); /* else events tell the rest */
}

static void on_stream_given(void *arg, const Error *failure)
{
        Save *save = arg;

        fd_close(&save->state);
        if (!may_go_on(save, failure))
                return;
        save->sending = true;
        save->look = timer_new(save->run->qemu->env.loop, LOOK_EVERY_MS, on_look, save);
        qmp_migrate(guest_qmp(save->run->guest), &(QmpMigrate){ .uri = "fd:" STREAM_FD }, on_sending, save);
}

static void on_plain(void *arg, const Error *failure)
{
        Save *save = arg;

        if (may_go_on(save, failure))
                qmp_getfd(guest_qmp(save->run->guest), &(QmpGetfd){ .fdname = STREAM_FD }, save->state,
                          on_stream_given, save);
}

static void on_paused(void *arg, const Error *failure)
{
        Save *save = arg;

        if (may_go_on(save, failure))
                qemu_plain_migration(guest_qmp(save->run->guest), on_plain, save);
}

typedef struct Plain {
        QmpClient *qmp;
        void (*done)(void *arg, const Error *failure);
        void *arg;
} Plain;

static void on_capabilities(void *arg, const Error *failure)
{
        Plain *plain = arg;

        if (failure)
                plain->done(plain->arg, failure);
        else
                qmp_migrate_set_parameters(
                        plain->qmp,
                        &(QmpMigrateSetParameters){ .has_max_bandwidth = true, .max_bandwidth = INT64_MAX },
                        plain->done, plain->arg);
        free(plain);
}

void qemu_plain_migration(QmpClient *qmp, void (*done)(void *arg, const Error *failure), void *arg)
{
        QmpMigrationCapability capabilities[] = {
                { "events", true },       { "xbzrle", false },       { "auto-converge", false },
                { "multifd", false },     { "postcopy-ram", false }, { "pause-before-switchover", false },
                { "return-path", false },
        };
        Plain *plain = mem_new(Plain);

        *plain = (Plain){ qmp, done, arg };
        qmp_migrate_set_capabilities(qmp,
                                     &(QmpMigrateSetCapabilities){ .capabilities = capabilities,
                                                                   .n_capabilities = ARRAY_LEN(capabilities) },
                                     on_capabilities, plain);
}

/* --- the begin --- */

static int make_head(const Domain *dom, const SaveOptions *options, bool paused, const char *nonce, Fd *ret,
                     Error *err)
{
        AUTO(DomainDef) *other = NULL;
        AUTO(Buf) xml = { 0 };
        AUTO(Buf) head = { 0 };
        /* the writer puts in the length */
        SaveImage image = { .paused = paused, .state_bytes = 1 };

        if (options->xml) {
                other = qemu_save_other_def(dom->driver, dom->live, options->xml, err);
                if (!other)
                        return -1;
        }
        if (domain_def_format(other ?: dom->live, DEF_FORMAT_SECURE | DEF_FORMAT_MIGRATABLE, &xml) < 0)
                return err_set(err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", dom->name);
        buf_format(&xml, "<!-- saved as %s -->\n", nonce);
        image.xml = buf_text(&xml);
        image.xml_bytes = (uint32_t)MIN(xml.len, (size_t)UINT32_MAX);
        return save_image_format(&image, &head, err) < 0 ? -1 : helper_text_fd(&head, ret, err);
}

static int start_helper(Save *save, const SaveOptions *options, bool paused, Error *err)
{
        AUTO(Fd) head = -1;
        AUTO(Fd) reader = -1;
        AUTO(Fd) commit = -1;
        SaveHelperSpec spec = { .verb = "write", .path = options->path, .direct = options->bypass_cache };
        int ends[2], sockets[2];
        ProcessStat stat;

        if (make_head(save->dom, options, paused, save->nonce, &head, err) < 0)
                return -1;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        reader = ends[0];
        save->state = ends[1];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
                return err_errno(err, errno, "cannot make a socket pair");
        save->commit = sockets[0];
        commit = sockets[1];
        spec.in = reader;
        spec.out = STDERR_FILENO;
        spec.head = head;
        spec.commit = commit;
        save->helper = save_helper_new(save->run->qemu, &spec, on_helper_done, save, err);
        if (!save->helper)
                return -1;
        if (process_stat(helper_pid(save->helper), 0, &stat, NULL) == 0)
                save->helper_start = stat.start_ticks;
        return 0;
}

void qemu_save_put_status(const Save *save, Buf *ret)
{
        buf_format(ret,
                   "saving 1\nimage-managed %d\nimage-was-running %d\nimage-path %s\nimage-nonce %s\nhelper-pid %d\n"
                   "helper-start %llu\n",
                   save->managed, save->was_running, save->path, save->nonce,
                   save->helper ? helper_pid(save->helper) : 0, (unsigned long long)save->helper_start);
}

static void on_noted(void *arg, const Error *failure)
{
        Save *save = arg;

        save->noting = NULL;
        if (!may_go_on(save, failure))
                return;
        if (save->was_running)
                guest_suspend(save->run->guest, on_paused, save);
        else
                on_paused(save, NULL);
}

static bool stays_paused(const Domain *dom, const SaveOptions *options)
{
        return options->paused || (!options->running && dom->state != VIR_DOMAIN_RUNNING);
}

int qemu_save(Domain *dom, const SaveOptions *options, DriverDone *done, void *arg, Error *err)
{
        QemuRun *run = qemu_run(dom);
        Save *save = mem_new(Save);
        Uuid nonce;

        *save = (Save){ .dom = domain_ref(dom), .run = run, .managed = options->managed, .state = -1, .commit = -1 };
        save->path = str_dup(options->path);
        uuid_new_random(&nonce);
        uuid_format(&nonce, save->nonce);
        save->stats = (MigrateStats){ .began_ms = loop_now_ms(run->qemu->env.loop),
                                      .operation = VIR_DOMAIN_JOB_OPERATION_SAVE,
                                      .type = VIR_DOMAIN_JOB_UNBOUNDED };
        if (start_helper(save, options, stays_paused(dom, options), err) < 0) {
                helper_free(save->helper);
                fd_close(&save->state);
                fd_close(&save->commit);
                domain_unref(dom);
                free(save->path);
                free(save);
                return -1;
        }
        save->done = done;
        save->arg = arg;
        save->was_running = guest_state(run->guest) == GUEST_RUNNING;
        run->save = save;
        run->pause_reason = VIR_DOMAIN_PAUSED_SAVE;
        save->asking = true;
        save->noting = qemu_status_note(dom, on_noted, save);
        return 0;
}
