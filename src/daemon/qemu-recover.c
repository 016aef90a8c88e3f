/*
 * daemon/qemu-recover.c - a start, save, restore or dump that the death of an earlier daemon cut off
 *
 * What never ran is ended, as if it had not been asked for; what runs goes on. A
 * save counts when its image has its name and its nonce, because then nobody could
 * tell which of the two is the guest: QEMU is ended. Else the guest goes on. After
 * a dump it always does, once QEMU has let go of the file.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/qemu-save.h"
#include "host/process.h"
#include "wire/constants.h"

#include <signal.h>

enum { LOOK_AGAIN_MS = 100 };

/* A question whose answer nobody may want any more. */
typedef struct Look {
        Interrupted *i;
} Look;

struct Interrupted {
        QemuRun *run;
        InterruptedFacts facts;
        char *path, *nonce;
        JobClaim *claim;
        Process *helper; /* drover-save of the earlier daemon */
        Look *look;
        Timer *again;
};

Interrupted *interrupted_new(QemuRun *run, const InterruptedFacts *facts)
{
        Interrupted *i;

        if (!facts->starting && !facts->restoring && !facts->saving && !facts->dumping)
                return NULL;
        i = mem_new(Interrupted);
        *i = (Interrupted){
                .run = run, .facts = *facts, .path = str_dup(facts->path), .nonce = str_dup(facts->nonce)
        };
        i->facts.path = i->path;
        i->facts.nonce = i->nonce;
        return i;
}

Interrupted *interrupted_free(Interrupted *i)
{
        if (!i)
                return NULL;
        if (i->look)
                i->look->i = NULL;
        timer_free(i->again);
        process_free(i->helper);
        job_claim_free(i->claim);
        free(i->path);
        free(i->nonce);
        free(i);
        return NULL;
}

void interrupted_put_status(const Interrupted *i, Buf *ret)
{
        const InterruptedFacts *f = &i->facts;

        buf_format(
                ret,
                "starting %d\nrestoring %d\nsaving %d\ndumping %d\nimage-managed %d\nimage-was-running %d\nhelper-pid %lld\n"
                "helper-start %lld\n",
                (int)f->starting, (int)f->restoring, (int)f->saving, (int)f->dumping, (int)f->managed,
                (int)f->was_running, (long long)f->helper_pid, (long long)f->helper_start);
        if (i->path)
                buf_format(ret, "image-path %s\n", i->path);
        if (i->nonce)
                buf_format(ret, "image-nonce %s\n", i->nonce);
}

static void on_claimed(void *arg UNUSED, const Error *refused UNUSED)
{
        /* nobody else can hold the slot of a guest that was just found */
}

static void on_ended(void *arg, const Error *failure)
{
        const Domain *dom = arg;

        if (failure)
                log_error("guest '%s' could not be ended: %s", dom->name, failure->text);
}

static void end(Interrupted *i, int reason, int event_detail)
{
        i->run->stop_reason = reason;
        i->run->stop_event_detail = event_detail;
        guest_stop(i->run->guest, GUEST_STOP_NORMAL, on_ended, i->run->dom);
}

/* --- start and restore --- */

static bool has_run(const Interrupted *i)
{
        switch (guest_state(i->run->guest)) {
        case GUEST_INCOMING:
                return false;
        case GUEST_PAUSED: /* waits at its first instruction, or with a state it has just taken up */
                return guest_cause(i->run->guest) != GUEST_CAUSE_BOOTED &&
                       !(i->facts.restoring && guest_cause(i->run->guest) == GUEST_CAUSE_UNKNOWN);
        default:
                return true;
        }
}

static void on_image_gone(void *arg, const Error *failure)
{
        AUTO(Domain) *dom = arg;

        if (failure)
                log_error("the managed save image of '%s' cannot be removed: %s", dom->name, failure->text);
}

/* The guest runs: the state in the image is its past. */
static void drop_image(Interrupted *i)
{
        const char *paths[] = { i->path, NULL };

        i->run->dom->has_managed_save = false;
        file_queue_remove(i->run->qemu->files, paths, on_image_gone, domain_ref(i->run->dom));
}

/* --- save and dump --- */

static void go_back(void *arg);

static void settled(Interrupted *i)
{
        QemuRun *run = i->run;

        log_info("guest '%s' was being %s when an earlier droverd ended; it goes on", run->dom->name,
                 i->facts.dumping ? "dumped" : "saved");
        run->resume_reason = VIR_DOMAIN_RUNNING_UNPAUSED;
        run->interrupted = interrupted_free(i);
        qemu_status_found(run);
}

static void go_back_later(Interrupted *i)
{
        i->again = timer_free(i->again);
        i->again = timer_new(i->run->qemu->env.loop, LOOK_AGAIN_MS, go_back, i);
}

static void on_resumed(void *arg, const Error *failure)
{
        QemuRun *run = arg;

        if (failure)
                go_back_later(run->interrupted);
        else
                settled(run->interrupted);
}

static void on_cancelled(void *arg, const Error *failure UNUSED)
{
        go_back_later(((QemuRun *)arg)->interrupted);
}

/* QEMU does nothing with its state any more. */
static void let_run(QemuRun *run)
{
        if (run->interrupted->facts.was_running && guest_state(run->guest) == GUEST_PAUSED) {
                run->resume_reason = run->interrupted->facts.dumping ? VIR_DOMAIN_RUNNING_UNPAUSED
                                                                     : VIR_DOMAIN_RUNNING_SAVE_CANCELED;
                guest_resume(run->guest, on_resumed, run);
        } else {
                settled(run->interrupted);
        }
}

static void on_dump(void *arg, const QmpDump *dump, const Error *failure)
{
        QemuRun *run = arg;

        if (failure || str_eq(dump->status, "active"))
                go_back_later(run->interrupted);
        else
                let_run(run);
}

static void on_migration(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        static const char *const goes_on[] = { "setup", "active", "cancelling", "device", "wait-unplug" };
        QemuRun *run = arg;
        bool busy = failure != NULL;

        for (size_t k = 0; !failure && info->status && k < ARRAY_LEN(goes_on); k++)
                busy = busy || str_eq(info->status, goes_on[k]);
        if (failure)
                go_back_later(run->interrupted);
        else if (busy)
                qmp_migrate_cancel(guest_qmp(run->guest), on_cancelled, run);
        else if (run->interrupted->facts.dumping)
                qmp_query_dump(guest_qmp(run->guest), on_dump, run);
        else
                let_run(run);
}

static void go_back(void *arg)
{
        Interrupted *i = arg;

        qmp_query_migrate(guest_qmp(i->run->guest), on_migration, i->run);
}

static void on_head(void *arg, const SaveImage *image, DomainDef *none UNUSED, const Error *failure UNUSED)
{
        Look look = *(Look *)arg;
        Interrupted *i = look.i;

        free(arg);
        if (!i)
                return;
        i->look = NULL;
        if (image && i->nonce && memmem(image->xml, image->xml_bytes, i->nonce, strlen(i->nonce))) {
                log_info("guest '%s' was saved while droverd ended; its QEMU ends now", i->run->dom->name);
                i->run->dom->has_managed_save |= i->facts.managed != 0;
                end(i, VIR_DOMAIN_SHUTOFF_SAVED, VIR_DOMAIN_EVENT_STOPPED_SAVED);
        } else {
                go_back(i);
        }
}

/* Nobody writes to the image any more. */
static void look_at_image(void *arg)
{
        Interrupted *i = arg;
        Look *look = mem_new(Look);
        AUTO(Error) err = { 0 };

        look->i = i;
        i->look = look;
        if (qemu_save_look_at_head(i->run->qemu, i->path, on_head, look, &err) < 0) {
                log_error("guest '%s' was being saved and stays as it is: %s", i->run->dom->name, err.text);
                i->look = NULL;
                free(look);
        }
}

static void on_helper_gone(void *arg)
{
        Interrupted *i = arg;

        if (i->facts.saving)
                look_at_image(i);
        else
                go_back(i);
}

static void settle_file(Interrupted *i)
{
        qemu_status_claim(i->run, i->facts.saving ? JOB_SAVE : JOB_DUMP, &i->claim, on_claimed, NULL);
        if (i->facts.helper_pid > 0)
                i->helper = process_adopt(i->run->qemu->env.loop, (pid_t)i->facts.helper_pid,
                                          (uint64_t)i->facts.helper_start, on_helper_gone, i, NULL);
        if (i->helper)
                process_signal(i->helper, SIGKILL, NULL);
        else
                on_helper_gone(i);
}

bool interrupted_settle(Interrupted *i)
{
        if (i->facts.dumping || (i->facts.saving && i->path)) {
                settle_file(i);
                return true;
        }
        if (!has_run(i)) {
                log_info("guest '%s' was being %s when an earlier droverd ended; that is undone", i->run->dom->name,
                         i->facts.restoring ? "restored" : "started");
                qemu_status_claim(i->run, JOB_START, &i->claim, on_claimed, NULL);
                end(i, VIR_DOMAIN_SHUTOFF_FAILED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
                return true;
        }
        if (i->facts.restoring && i->facts.managed && i->path)
                drop_image(i);
        return false;
}
