/*
 * daemon/qemu-dump.c - a running guest's memory to a file, for a debugger
 *
 * drover-save makes the file and gives it its name when all of it is there, so a half one is never seen. QEMU gets a
 * descriptor, no path: a pipe, or the file itself for the compressed formats, which are not written front to back.
 * Whatever fails, the guest goes on as it was before.
 */
#include "daemon/qemu-dump.h"

#include "base/mem.h"
#include "base/str.h"
#include "daemon/qemu-save.h"
#include "daemon/save-helper.h"
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DUMP_FD "drover-dump"

enum { LOOK_EVERY_MS = 500 };

struct Dump {
        Domain *dom;         /* referenced */
        QemuRun *run;        /* NULL: it ended */
        DumpOptions options; /* path NULL */
        DriverDone *done;
        void *arg;
        Helper *helper;
        Fd to;     /* for QEMU; -1 once it has it */
        Fd commit; /* to the helper, which sends the file over it where QEMU is to have it */
        Watch *file;
        Timer *look;
        QmpCall *query;
        StatusNote *noting;
        uint64_t helper_start;
        MigrateStats stats;
        Error failure, complaint; /* complaint: QEMU's own, where the helper knows nothing better */
        bool was_running;
        bool asking;    /* a step was asked of QEMU and is not answered */
        bool writing;   /* QEMU was told to write and has not said how that ended */
        bool committed; /* the helper was told: it may give the file its name at any moment */
        bool written;   /* the file has its name */
};

static const char *const formats[] = { "elf", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp" };

const MigrateStats *qemu_dump_stats(const Dump *dump)
{
        return &dump->stats;
}

static bool needs_file(const DumpOptions *options)
{
        return options->memory_only && options->format != VIR_DOMAIN_CORE_DUMP_FORMAT_RAW;
}

static void dump_free(Dump *dump)
{
        helper_free(dump->helper);
        watch_free(dump->file);
        fd_close(&dump->to);
        fd_close(&dump->commit);
        timer_free(dump->look);
        qmp_call_free(dump->query);
        status_note_free(dump->noting);
        migrate_stats_done(&dump->stats);
        err_done(&dump->failure);
        err_done(&dump->complaint);
        domain_unref(dump->dom);
        free(dump);
}

/* It is over: failure is in it, or the file is there. */
static void finish(Dump *dump)
{
        DriverDone *done = dump->done;
        void *arg = dump->arg;
        AUTO(Error) failure = { 0 };

        if (dump->run) {
                dump->run->dump = NULL;
                dump->run->pause_reason = VIR_DOMAIN_PAUSED_USER;
                dump->run->resume_reason = VIR_DOMAIN_RUNNING_UNPAUSED;
                qemu_status_save(dump->dom);
        }
        err_move(&failure, &dump->failure);
        if (!err_is_set(&failure)) {
                dump->stats.ended_ms = loop_now_ms(dump->dom->driver->daemon->loop);
                dump->stats.type = VIR_DOMAIN_JOB_COMPLETED;
                domain_keep_stats(dump->dom, &dump->stats);
        }
        dump_free(dump);
        done(arg, err_is_set(&failure) ? &failure : NULL);
}

static void on_resumed(void *arg, const Error *failure)
{
        Dump *dump = arg;

        if (failure && !err_is_set(&dump->failure))
                err_copy(&dump->failure, failure);
        finish(dump);
}

static void go_on(Dump *dump)
{
        if (dump->run && dump->was_running && guest_state(dump->run->guest) == GUEST_PAUSED &&
            guest_qmp(dump->run->guest))
                guest_resume(dump->run->guest, on_resumed, dump);
        else
                finish(dump);
}

/* The first failure counts. QEMU is let finish with the file before the guest goes on. */
static void give_up(Dump *dump, const Error *why)
{
        if (why && !err_is_set(&dump->failure))
                err_copy(&dump->failure, why);
        dump->helper = helper_free(dump->helper);
        dump->file = watch_free(dump->file);
        fd_close(&dump->commit);
        fd_close(&dump->to);
        if (!dump->writing && !dump->asking)
                go_on(dump);
}

/* --- the end --- */

static void on_reset(void *arg, const Error *failure)
{
        Dump *dump = arg;

        if (failure)
                err_copy(&dump->failure, failure);
        go_on(dump);
}

static void on_stopped(void *arg, const Error *failure)
{
        Dump *dump = arg;

        /* the end of its run is told next and finishes the rest */
        if (failure) {
                err_copy(&dump->failure, failure);
                finish(dump);
        }
}

static void on_helper_done(void *arg, Buf *said UNUSED, const Error *failure)
{
        Dump *dump = arg;

        if (failure) {
                give_up(dump, failure->code == ERR_OPERATION_ABORTED && err_is_set(&dump->complaint)
                                      ? &dump->complaint
                                      : failure);
                return;
        }
        dump->written = true;
        if (!dump->run) {
                finish(dump);
        } else if (dump->options.crash) {
                dump->run->stop_reason = VIR_DOMAIN_SHUTOFF_CRASHED;
                dump->run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_CRASHED;
                guest_stop(dump->run->guest, GUEST_STOP_NORMAL, on_stopped, dump);
        } else if (dump->options.reset) {
                dump->was_running = true; /* what was paused runs from its start, too */
                guest_reset(dump->run->guest, on_reset, dump);
        } else {
                go_on(dump);
        }
}

void qemu_dump_on_guest_ended(Dump *dump)
{
        dump->run = NULL;
        dump->query = NULL;
        dump->look = timer_free(dump->look);
        if (dump->committed && !dump->written && dump->helper)
                return; /* all of its memory is in the file, and whether that gets its name the helper says yet */
        if (!dump->written && !err_is_set(&dump->failure))
                err_set(&dump->failure, ERR_OPERATION_FAILED, "guest '%s' ended while it was dumped",
                        dump->dom->name);
        finish(dump);
}

/* --- what QEMU says --- */

/* All of it is written. From here the helper decides. */
static void commit(Dump *dump)
{
        AUTO(Error) failed = { 0 };

        dump->committed = write(dump->commit, "c", 1) == 1;
        if (dump->committed)
                return;
        err_errno(&failed, errno, "drover-save does not listen");
        give_up(dump, &failed);
}

/* QEMU has let go of the file. */
static void on_written(Dump *dump, const char *complaint)
{
        dump->writing = false;
        if (complaint)
                err_set(&dump->complaint, ERR_OPERATION_FAILED, "QEMU could not dump guest '%s': %s", dump->dom->name,
                        complaint);
        if (err_is_set(&dump->failure) || (complaint && !dump->helper))
                give_up(dump, complaint ? &dump->complaint : NULL);
        else if (complaint)
                fd_close(&dump->commit); /* the helper may know why, and ends now */
        else
                commit(dump);
}

void qemu_dump_on_event(Dump *dump, const QmpEvent *event)
{
        if (!dump->writing)
                return;
        if (event->type == QMP_EVENT_DUMP_COMPLETED && dump->options.memory_only) {
                dump->stats.ram.transferred = event->dump_completed.result.completed;
                dump->stats.ram.remaining = 0;
                on_written(dump, str_eq(event->dump_completed.result.status, "completed")
                                         ? NULL
                                         : event->dump_completed.error ?: "it gives no reason");
        } else if (event->type == QMP_EVENT_MIGRATION && !dump->options.memory_only) {
                if (str_eq(event->migration.status, "completed"))
                        on_written(dump, NULL);
                else if (str_eq(event->migration.status, "failed") || str_eq(event->migration.status, "cancelled"))
                        on_written(dump, event->migration.status);
        }
}

static void on_looked_dump(void *arg, const QmpDump *info, const Error *failure)
{
        Dump *dump = arg;

        dump->query = NULL;
        if (failure)
                return;
        dump->stats.has_ram = true;
        dump->stats.ram.total = info->total;
        dump->stats.ram.transferred = info->completed;
        dump->stats.ram.remaining = info->total - info->completed;
}

static void on_looked(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Dump *dump = arg;

        dump->query = NULL;
        if (!failure)
                migrate_stats_take(&dump->stats, info);
}

static void look(void *arg)
{
        Dump *dump = arg;
        QmpClient *qmp = guest_qmp(dump->run->guest);

        timer_set(dump->look, LOOK_EVERY_MS);
        if (dump->query || !dump->writing || !qmp)
                return;
        dump->query = dump->options.memory_only ? qmp_query_dump(qmp, on_looked_dump, dump)
                                                : qmp_query_migrate(qmp, on_looked, dump);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

int qemu_dump_abort(Dump *dump, Error *err)
{
        if (dump->committed || err_is_set(&dump->failure))
                return err_set(err, ERR_OPERATION_INVALID, "guest '%s' is dumped already, or the dump is given up",
                               dump->dom->name);
        if (dump->writing && needs_file(&dump->options))
                return err_set(err, ERR_OPERATION_INVALID,
                               "QEMU cannot be stopped while it writes a compressed dump of '%s'; wait for its end",
                               dump->dom->name);
        err_set(&dump->failure, ERR_OPERATION_ABORTED, "the dump of guest '%s' was canceled by a client",
                dump->dom->name);
        dump->stats.type = VIR_DOMAIN_JOB_CANCELLED;
        if (dump->writing && !dump->options.memory_only)
                qmp_migrate_cancel(guest_qmp(dump->run->guest), ignore, NULL);
        give_up(dump, NULL); /* what QEMU writes to has no reader then, so it ends */
        return 0;
}

/* --- the steps --- */

/* A step was answered: go on? */
static bool may_go_on(Dump *dump, const Error *failure)
{
        dump->asking = false;
        if (!failure && !err_is_set(&dump->failure)) {
                dump->asking = true; /* the next step */
                return true;
        }
        give_up(dump, failure);
        return false;
}

static void on_writing(void *arg, const Error *failure)
{
        Dump *dump = arg;

        dump->asking = false;
        if (failure)
                dump->writing = false;
        if (failure || (!dump->writing && err_is_set(&dump->failure)))
                give_up(dump, failure); /* else events tell the rest */
}

static void on_fd_given(void *arg, const Error *failure)
{
        Dump *dump = arg;
        QmpClient *qmp;
        QmpDumpGuestMemory memory = { .protocol = "fd:" DUMP_FD, .has_detach = true, .detach = true };

        fd_close(&dump->to);
        if (!may_go_on(dump, failure))
                return;
        qmp = guest_qmp(dump->run->guest);
        dump->writing = true;
        dump->look = timer_new(dump->run->qemu->env.loop, 0, look, dump);
        memory.format = formats[dump->options.format];
        if (dump->options.memory_only)
                qmp_dump_guest_memory(qmp, &memory, on_writing, dump);
        else
                qmp_migrate(qmp, &(QmpMigrate){ .uri = "fd:" DUMP_FD }, on_writing, dump);
}

static void give_fd(void *arg, const Error *failure)
{
        Dump *dump = arg;

        if (may_go_on(dump, failure))
                qmp_getfd(guest_qmp(dump->run->guest), &(QmpGetfd){ .fdname = DUMP_FD }, dump->to, on_fd_given, dump);
}

/* There is something to write to: hold the guest still, unless it may run on. */
static void on_still(void *arg, const Error *failure)
{
        Dump *dump = arg;

        if (!may_go_on(dump, failure))
                return;
        if (dump->options.memory_only)
                give_fd(dump, NULL);
        else
                qemu_plain_migration(guest_qmp(dump->run->guest), give_fd, dump);
}

void qemu_dump_put_status(const Dump *dump, Buf *ret)
{
        buf_format(ret, "dumping 1\nimage-was-running %d\nhelper-pid %d\nhelper-start %llu\n", dump->was_running,
                   dump->helper ? helper_pid(dump->helper) : 0, (unsigned long long)dump->helper_start);
}

/* A later daemon knows that the guest stands still for a dump only. */
static void on_noted(void *arg, const Error *failure)
{
        Dump *dump = arg;

        dump->noting = NULL;
        if (!may_go_on(dump, failure))
                return;
        if (dump->was_running && !dump->options.live)
                guest_suspend(dump->run->guest, on_still, dump);
        else
                on_still(dump, NULL);
}

static void begin(Dump *dump)
{
        dump->asking = true;
        dump->noting = qemu_status_note(dump->dom, on_noted, dump);
}

static void on_capability(void *arg, const QmpDumpCapability *known, const Error *failure)
{
        Dump *dump = arg;
        AUTO(Error) err = { 0 };
        bool found = false;

        dump->asking = false;
        for (size_t i = 0; !failure && i < known->n_formats; i++)
                found = found || str_eq(known->formats[i], formats[dump->options.format]);
        if (!failure && !found)
                err_set(&err, ERR_OPERATION_UNSUPPORTED, "unsupported dumpformat '%s' for this QEMU binary",
                        formats[dump->options.format]);
        if (failure || err_is_set(&err) || err_is_set(&dump->failure))
                give_up(dump, failure ?: err_is_set(&err) ? &err : NULL);
        else
                begin(dump);
}

static void ask_capability(Dump *dump)
{
        if (!dump->options.memory_only) {
                begin(dump);
                return;
        }
        dump->asking = true;
        qmp_query_dump_guest_memory_capability(guest_qmp(dump->run->guest), on_capability, dump);
}

/* The helper has made the file and sends it. When it could not, its end says why. */
static void on_file(void *arg, uint32_t revents UNUSED)
{
        Dump *dump = arg;
        char byte, control[CMSG_SPACE(sizeof(int))];
        struct iovec text = { &byte, 1 };
        struct msghdr message = {
                .msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(dump->commit, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        const struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

        if (n < 0 && errno == EAGAIN)
                return;
        dump->file = watch_free(dump->file);
        if (header && header->cmsg_type == SCM_RIGHTS) {
                memcpy(&dump->to, CMSG_DATA(header), sizeof(int));
                ask_capability(dump);
        }
}

static int start_helper(Dump *dump, const char *path, Error *err)
{
        SaveHelperSpec spec = { .verb = needs_file(&dump->options) ? "file" : "dump",
                                .path = path,
                                .direct = dump->options.bypass_cache,
                                .in = -1,
                                .head = -1,
                                .out = STDERR_FILENO };
        AUTO(Fd) reader = -1;
        AUTO(Fd) commit = -1;
        int ends[2], sockets[2];
        ProcessStat stat;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
                return err_errno(err, errno, "cannot make a socket pair");
        dump->commit = sockets[0];
        spec.commit = commit = sockets[1];
        if (!needs_file(&dump->options)) {
                if (pipe2(ends, O_CLOEXEC) < 0)
                        return err_errno(err, errno, "cannot make a pipe");
                spec.in = reader = ends[0];
                dump->to = ends[1];
        }
        dump->helper = save_helper_new(dump->run->qemu, &spec, on_helper_done, dump, err);
        if (!dump->helper)
                return -1;
        if (process_stat(helper_pid(dump->helper), 0, &stat, NULL) == 0)
                dump->helper_start = stat.start_ticks;
        return 0;
}

int qemu_dump(Domain *dom, const DumpOptions *options, DriverDone *done, void *arg, Error *err)
{
        QemuRun *run = qemu_run(dom);
        Dump *dump = mem_new(Dump);

        *dump = (Dump){ .dom = domain_ref(dom), .run = run, .options = *options, .to = -1, .commit = -1 };
        dump->options.path = NULL;
        dump->stats = (MigrateStats){ .began_ms = loop_now_ms(run->qemu->env.loop),
                                      .operation = VIR_DOMAIN_JOB_OPERATION_DUMP,
                                      .type = VIR_DOMAIN_JOB_UNBOUNDED };
        if (start_helper(dump, options->path, err) < 0) {
                dump_free(dump);
                return -1;
        }
        dump->done = done;
        dump->arg = arg;
        dump->was_running = guest_state(run->guest) == GUEST_RUNNING;
        run->dump = dump;
        run->pause_reason = VIR_DOMAIN_PAUSED_DUMP;
        if (needs_file(options))
                dump->file = watch_new(run->qemu->env.loop, dump->commit, EPOLLIN, on_file, dump);
        else
                ask_capability(dump);
        return 0;
}
