/*
 * daemon/qemu-status.c - finding running guests again after a restart
 *
 * RUN/qemu/NAME.status says which process runs a guest, in which state it was
 * and with which definition. It is written before a start forks QEMU and before a
 * save or restore begins, and rewritten at each change of state. The run
 * directory does not outlive a boot, so what is there is of this boot. A daemon
 * that starts takes up each guest whose process still is the one it says: same
 * pid, same start time, same UUID over the monitor. For the others it says how
 * they ended, as far as the last state tells.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/define.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-take.h"
#include "daemon/pool.h"
#include "daemon/qemu-agent.h"
#include "daemon/qemu-dump.h"
#include "daemon/qemu-hook.h"
#include "daemon/qemu-save.h"
#include "wire/constants.h"

#include <dirent.h>
#include <errno.h>

enum { LARGEST_STATUS = 16 * 1024 * 1024 };

static char *status_path(const QemuDriver *qemu, const char *name)
{
        return str_format("%s/%s.status", qemu->status_dir, name);
}

/* Lines of "key value", an empty line, the live definition. */
static int format_status(const QemuRun *run, Buf *ret)
{
        const Domain *dom = run->dom;
        AUTO(Buf) text = { 0 };

        if (run->migration && run->migration->side == MIGRATE_OUT &&
            (run->migration->transfer || run->migration->recovered)) {
                const Migration *m = run->migration;

                buf_format(&text, "moving-nonce %s\nmoving-flags %u\nmoving-was-running %d\n", m->nonce, m->flags,
                           m->was_running);
                if (m->ask)
                        buf_format(&text, "moving-peer %s\n", m->ask);
        }
        if (run->nonce)
                buf_format(&text, "nonce %s\nunrun %d\ncoming-flags %u\n", run->nonce, run->unrun, run->coming_flags);
        image_uses_format(&run->images, &text);
        if (run->save)
                qemu_save_put_status(run->save, &text);
        if (run->dump)
                qemu_dump_put_status(run->dump, &text);
        if (run->image)
                buf_format(&text, "restoring 1\nimage-managed %d\nimage-path %s\n", run->options.managed_image,
                           run->image);
        if (run->interrupted)
                interrupted_put_status(run->interrupted, &text);
        else
                buf_format(&text, "starting %d\n", run->start_done != NULL);
        buf_format(
                &text,
                "id %d\nclock-base %lld\nagent-timeout %d\npid %d\nstart %llu\nstate %d\nreason %d\npersistent %d\n\n",
                dom->id, (long long)run->clock_base_s, run->agent_timeout_s, guest_pid(run->guest),
                (unsigned long long)guest_start_ticks(run->guest), dom->state, dom->reason, dom->persistent);
        if (domain_def_format(run->plugging ?: dom->live, DEF_FORMAT_SECURE, &text) < 0)
                return -1;
        *ret = text;
        text = (Buf){ 0 };
        return 0;
}

void qemu_status_save(Domain *dom)
{
        QemuRun *run = qemu_run(dom);

        if (run && guest_is_active(run->guest) && dom->live)
                qemu_status_save_then(dom, NULL, NULL);
}

void qemu_status_save_then(Domain *dom, DriverDone *done, void *arg)
{
        QemuRun *run = qemu_run(dom);
        AUTOFREE char *path = status_path(run->qemu, dom->name);
        AUTO(Buf) text = { 0 };
        AUTO(Error) err = { 0 };

        if (format_status(run, &text) == 0) {
                file_queue_write(run->qemu->files, path, &text, 0600, false, done, arg);
        } else if (done) {
                err_set(&err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", dom->name);
                done(arg, &err);
        }
}

struct StatusNote {
        DriverDone *done; /* NULL: nobody wants to know any more */
        void *arg;
};

static void on_noted(void *arg, const Error *failure)
{
        StatusNote *note = arg;

        if (note->done)
                note->done(note->arg, failure);
        free(note);
}

StatusNote *qemu_status_note(Domain *dom, DriverDone *done, void *arg)
{
        const QemuRun *run = qemu_run(dom);
        AUTOFREE char *path = status_path(run->qemu, dom->name);
        StatusNote *note = mem_new(StatusNote);
        AUTO(Buf) text = { 0 };

        *note = (StatusNote){ done, arg };
        format_status(run, &text);
        file_queue_write(run->qemu->files, path, &text, 0600, false, on_noted, note);
        return note;
}

StatusNote *status_note_free(StatusNote *note)
{
        if (note)
                note->done = NULL;
        return NULL;
}

void qemu_status_remove(QemuDriver *qemu, const char *name)
{
        AUTOFREE char *path = status_path(qemu, name);
        const char *paths[] = { path, NULL };

        file_queue_remove(qemu->files, paths, NULL, NULL);
}

typedef struct Status {
        int64_t id, pid, start, state, reason, persistent;
        InterruptedFacts interrupted;
        ImageUses images;
        const char *nonce;                      /* of the migration that brought it here, or NULL */
        const char *moving_nonce, *moving_peer; /* of the migration that it was in, or NULL */
        int64_t moving_flags, moving_was_running, coming_flags, unrun, agent_timeout, clock_base;
        const char *xml;
} Status;

typedef struct StatusText {
        const char *key;
        const char **value;
} StatusText;

/* A line of one of these keys; the value stays a part of the line. */
static bool take_text(const StatusText *texts, size_t n_texts, const char *line)
{
        for (size_t i = 0; i < n_texts; i++) {
                size_t n = strlen(texts[i].key);

                if (strncmp(line, texts[i].key, n) == 0 && line[n] == ' ') {
                        *texts[i].value = line + n + 1;
                        return true;
                }
        }
        return false;
}

static int parse_status(char *text, Status *ret, Error *err)
{
        struct {
                const char *key;
                int64_t *value;
        } keys[] = { { "id", &ret->id },
                     { "pid", &ret->pid },
                     { "start", &ret->start },
                     { "state", &ret->state },
                     { "reason", &ret->reason },
                     { "persistent", &ret->persistent },
                     { "unrun", &ret->unrun },
                     { "coming-flags", &ret->coming_flags },
                     { "clock-base", &ret->clock_base },
                     { "agent-timeout", &ret->agent_timeout },
                     { "starting", &ret->interrupted.starting },
                     { "restoring", &ret->interrupted.restoring },
                     { "saving", &ret->interrupted.saving },
                     { "dumping", &ret->interrupted.dumping },
                     { "image-managed", &ret->interrupted.managed },
                     { "image-was-running", &ret->interrupted.was_running },
                     { "helper-pid", &ret->interrupted.helper_pid },
                     { "helper-start", &ret->interrupted.helper_start },
                     { "moving-flags", &ret->moving_flags },
                     { "moving-was-running", &ret->moving_was_running } };
        const StatusText texts[] = { { "nonce", &ret->nonce },
                                     { "image-path", &ret->interrupted.path },
                                     { "image-nonce", &ret->interrupted.nonce },
                                     { "moving-nonce", &ret->moving_nonce },
                                     { "moving-peer", &ret->moving_peer } };
        char *line = text, *end;

        for (; (end = strchr(line, '\n')) && end != line; line = end + 1) {
                char *blank = strchr(line, ' ');
                bool known;

                *end = '\0';
                if (str_starts(line, "image ") && image_uses_parse(&ret->images, line) == 0)
                        continue;
                known = take_text(texts, ARRAY_LEN(texts), line);
                for (size_t i = 0; blank && blank < end && i < ARRAY_LEN(keys); i++) {
                        if (strncmp(line, keys[i].key, (size_t)(blank - line)) == 0 &&
                            strlen(keys[i].key) == (size_t)(blank - line))
                                known = str_to_i64(blank + 1, keys[i].value) == 0;
                }
                if (!known)
                        return err_set(err, ERR_INTERNAL, "'%s' is not a line of a status file", line);
        }
        if (!end || ret->id <= 0 || ret->pid < 0 || (!ret->pid && !ret->interrupted.starting) ||
            ret->id > INT32_MAX || ret->pid > INT32_MAX)
                return err_set(err, ERR_INTERNAL, "the status file is not complete");
        ret->xml = end + 1;
        return 0;
}

/* A guest that ended while nobody watched. An exit without a SHUTDOWN that we saw means it crashed. */
static void report_lost(QemuRun *run, int last_state, const char *why)
{
        log_info("guest '%s' ended while droverd did not run: %s", run->dom->name, why);
        migrate_give_lost(run);
        if (last_state == VIR_DOMAIN_SHUTDOWN)
                qemu_run_end(run, VIR_DOMAIN_SHUTOFF_SHUTDOWN, VIR_DOMAIN_EVENT_STOPPED,
                             VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
        else
                qemu_run_end(run, VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_EVENT_STOPPED,
                             VIR_DOMAIN_EVENT_STOPPED_FAILED);
}

/* The monitor says how the guest is now; that counts, not the file. */
static void take_state(QemuRun *run)
{
        Domain *dom = run->dom;

        switch (guest_state(run->guest)) {
        case GUEST_RUNNING:
                if (dom->state != VIR_DOMAIN_RUNNING)
                        domain_set_state(dom, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNKNOWN);
                return;
        case GUEST_PAUSED:
                if (dom->state != VIR_DOMAIN_PAUSED)
                        domain_set_state(dom, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_UNKNOWN);
                return;
        case GUEST_SHUTDOWN: /* what on_poweroff says comes next, from the guest's own hook */
                domain_set_state(dom, VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_USER);
                return;
        case GUEST_CRASHED:
                domain_set_state(dom, VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED);
                return;
        case GUEST_PMSUSPENDED:
                domain_set_state(dom, VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_PMSUSPENDED_UNKNOWN);
                return;
        default:
                return;
        }
}

void qemu_status_claim(QemuRun *run, JobType type, JobClaim **ret, void (*settled)(void *arg, const Error *refused),
                       void *arg)
{
        if (!run->adopting) {
                job_claim(run->dom->jobs, type, run->dom->name, ret, settled, arg);
                return;
        }
        *ret = TAKE(run->adopting);
        job_claim_become(*ret, type);
        settled(arg, NULL);
}

static void take_up(QemuRun *run)
{
        Domain *dom = run->dom;

        run->found = true;
        if (run->interrupted && interrupted_settle(run->interrupted))
                return;
        run->interrupted = interrupted_free(run->interrupted);
        qemu_agent_start(run);
        take_state(run);
        qemu_settle_devices(run);
        if (run->moving_nonce)
                migrate_recover(dom, run->moving_nonce, run->moving_peer, run->moving_flags, run->moving_was_running);
        else if (run->nonce && dom->state == VIR_DOMAIN_RUNNING &&
                 (dom->reason == VIR_DOMAIN_RUNNING_POSTCOPY || dom->reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED))
                migrate_recover_incoming(dom);
        else if (run->nonce && (run->unrun || guest_state(run->guest) == GUEST_INCOMING))
                migrate_recover_coming(dom);
        else if (guest_state(run->guest) == GUEST_INCOMING)
                migrate_end_coming(dom);
        qemu_status_save(dom);
        log_info("guest '%s' (pid %d) goes on", dom->name, guest_pid(run->guest));
        hook_tell_found(run->qemu, dom->live);
}

void qemu_status_found(QemuRun *run)
{
        AUTO(Domain) *dom = domain_ref(run->dom);

        /* who waits for the guest comes when all is known of it: one that has moved must not be resumed here meanwhile */
        job_slot_hold(dom->jobs);
        take_up(run);
        if (qemu_run(dom) == run)
                run->adopting = job_claim_free(run->adopting);
        job_slot_let_go(dom->jobs);
}

static void on_adopted(void *arg, const Error *failure)
{
        QemuRun *run = arg;

        if (failure) {
                report_lost(run, run->dom->state, failure->text);
                return;
        }
        /* a QEMU that does not answer has its guest all the same, in the state it was in; it is found when it does */
        if (guest_state(run->guest) != GUEST_LOST)
                qemu_status_found(run);
        else if (!run->moving_nonce) /* whether one that was moving may run here nobody says before that */
                run->adopting = job_claim_free(run->adopting);
}

static void on_claimed(void *arg UNUSED, const Error *refused UNUSED)
{
        /* nobody else can hold the slot of a guest that was just found */
}

/* The daemon died before there was a QEMU: as if the start had not been asked for. */
static void undo_start(QemuDriver *qemu, const DomainDef *def)
{
        log_info("the start of guest '%s' was cut off by the end of an earlier droverd and is undone", def->name);
        guest_process_sweep(&qemu->env, &def->uuid);
        qemu_status_remove(qemu, def->name);
}

static int adopt(QemuDriver *qemu, Status *status, Error *err)
{
        AUTO(DomainDef) *def = NULL;
        Domain *dom;
        QemuRun *run;

        if (domain_def_parse(status->xml, strlen(status->xml), 0, &def, NULL, err) < 0)
                return -1;
        if (status->interrupted.starting) {
                pid_t pid;
                uint64_t start;

                if (guest_process_find(&qemu->env, &def->uuid, &pid, &start) < 0) {
                        undo_start(qemu, def);
                        return 0;
                }
                status->pid = pid;
                status->start = (int64_t)start;
        }
        volume_disks_recall(qemu->driver->storage, def);
        if (define_find(qemu->driver, def, &dom, err) < 0)
                return -1;
        if (!dom)
                dom = define_add(qemu->driver, def);
        run = qemu_run_new(dom, (int)status->id);
        run->nonce = str_dup(status->nonce);
        run->unrun = status->unrun;
        run->coming_flags = (uint32_t)status->coming_flags;
        run->moving_nonce = str_dup(status->moving_nonce);
        run->moving_peer = str_dup(status->moving_peer);
        run->moving_flags = (uint32_t)status->moving_flags;
        run->moving_was_running = status->moving_was_running;
        run->agent_timeout_s = (int)status->agent_timeout;
        run->clock_base_s = status->clock_base;
        image_uses_add(&run->images, &status->images, NULL);
        run->interrupted = interrupted_new(run, &status->interrupted);
        domain_set_live(dom, TAKE(def));
        dom->state = status->interrupted.starting ? (int)VIR_DOMAIN_PAUSED : (int)status->state;
        dom->reason = status->interrupted.starting ? (int)VIR_DOMAIN_PAUSED_STARTING_UP : (int)status->reason;
        job_claim(dom->jobs, JOB_ADOPT, dom->name, &run->adopting, on_claimed, NULL);
        if (status->state == VIR_DOMAIN_RUNNING &&
            (status->reason == VIR_DOMAIN_RUNNING_POSTCOPY || status->reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED))
                guest_expect_postcopy(run->guest);
        if (guest_adopt(run->guest, (pid_t)status->pid, (uint64_t)status->start, on_adopted, run, err) < 0)
                report_lost(run, dom->state, err->text);
        return 0;
}

static int load_one(QemuDriver *qemu, const char *file, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", qemu->status_dir, file);
        AUTO(Buf) text = { 0 };
        Status status = { .agent_timeout = VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT };
        int rc;

        if (file_read_regular(path, LARGEST_STATUS, &text, NULL, err) < 0)
                return -1;
        buf_reserve(&text, 1);
        rc = parse_status(text.data, &status, err);
        if (rc == 0)
                rc = adopt(qemu, &status, err);
        image_uses_done(&status.images);
        return rc < 0 ? err_prefix(err, "'%s'", path) : 0;
}

int qemu_status_load(QemuDriver *qemu, Error *err)
{
        DIR *dir;

        if (dir_make(qemu->status_dir, 0700, err) < 0)
                return -1;
        dir = opendir(qemu->status_dir);
        if (!dir)
                return err_errno(err, errno, "cannot open '%s'", qemu->status_dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
                AUTO(Error) why = { 0 };

                if (str_ends(entry->d_name, ".status") && load_one(qemu, entry->d_name, &why) < 0)
                        log_error("a running guest may be left out: %s", why.text);
        }
        closedir(dir);
        return 0;
}
