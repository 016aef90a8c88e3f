/*
 * daemon/qemu-events.c - what a running guest tells, as clients hear it
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-reason.h"
#include "daemon/qemu-act.h"
#include "daemon/qemu-agent.h"
#include "daemon/qemu-clock.h"
#include "daemon/qemu-driver.h"
#include "daemon/qemu-dump.h"
#include "daemon/qemu-save.h"
#include "daemon/qemu-tune.h"
#include "daemon/qemu-unplug.h"
#include "daemon/qemu-vcpu.h"
#include "model/cpu.h"
#include "qemu/command-line.h"
#include "wire/constants.h"

/* --- state --- */

static void on_paused(QemuRun *run, GuestCause cause)
{
        Domain *dom = run->dom;

        switch (cause) {
        case GUEST_CAUSE_IO_ERROR:
                domain_paused(dom, VIR_DOMAIN_PAUSED_IOERROR, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR);
                return;
        case GUEST_CAUSE_WATCHDOG:
                domain_paused(dom, VIR_DOMAIN_PAUSED_WATCHDOG, VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG);
                return;
        case GUEST_CAUSE_MIGRATION:
                domain_paused(dom, VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED);
                return;
        default:
                domain_paused(dom, run->pause_reason, run->pause_detail);
        }
}

static void on_running(QemuRun *run, GuestState from, GuestCause cause)
{
        Domain *dom = run->dom;

        if (from == GUEST_PMSUSPENDED || dom->state == VIR_DOMAIN_PMSUSPENDED) {
                domain_set_state(dom, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_WAKEUP);
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_WAKEUP);
                return;
        }
        if (run->migration)
                migrate_tell_started(run->migration);
        if (cause == GUEST_CAUSE_MIGRATION && run->migration && migrate_is_torn(run->migration))
                domain_resumed(dom, VIR_DOMAIN_RUNNING_POSTCOPY, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY);
        else if (cause == GUEST_CAUSE_MIGRATION)
                domain_resumed(dom, VIR_DOMAIN_RUNNING_MIGRATED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED);
        else
                domain_resumed(dom, run->resume_reason, run->resume_detail);
}

/* It answers again, or has ended. True: it is not what clients believe it to be. */
static bool found_again(QemuRun *run, GuestState now)
{
        if (!run->found) {
                qemu_status_found(run);
                return false;
        }
        if (now == GUEST_OFF)
                return false; /* the end of the run is told by its own hook */
        log_info("guest '%s' answers again", run->dom->name);
        qemu_agent_start(run);
        return !(now == GUEST_RUNNING && run->dom->state == VIR_DOMAIN_RUNNING) &&
               !(now == GUEST_PAUSED && run->dom->state == VIR_DOMAIN_PAUSED);
}

static void on_changed(void *arg, GuestState from, GuestState to, GuestCause cause)
{
        QemuRun *run = arg;
        Domain *dom = run->dom;

        if (run->start_done || (run->adopting && from != GUEST_LOST) || from == GUEST_STARTING)
                return; /* told when the start is done */
        if (from == GUEST_LOST && !found_again(run, to))
                return;
        switch (to) {
        case GUEST_RUNNING:
                on_running(run, from, cause);
                return;
        case GUEST_PAUSED:
                if (!run->restore) /* it tells by itself */
                        on_paused(run, cause);
                return;
        case GUEST_SHUTDOWN:
                domain_set_state(dom, VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_USER);
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED);
                return;
        case GUEST_CRASHED:
                domain_set_state(dom, VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED);
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED);
                return;
        case GUEST_PMSUSPENDED:
                domain_set_state(dom, VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_PMSUSPENDED_UNKNOWN);
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_PMSUSPENDED, VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY);
                return;
        default:
                return; /* the end of the run is told by its own hook */
        }
}

static void end_run(QemuRun *run, GuestCause cause)
{
        if (run->stop_reason >= 0)
                qemu_run_end(run, run->stop_reason, VIR_DOMAIN_EVENT_STOPPED, run->stop_event_detail);
        else if (cause == GUEST_CAUSE_GUEST || cause == GUEST_CAUSE_ASKED)
                qemu_run_end(run, VIR_DOMAIN_SHUTOFF_SHUTDOWN, VIR_DOMAIN_EVENT_STOPPED,
                             VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
        else if (cause == GUEST_CAUSE_PANICKED)
                qemu_run_end(run, VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_EVENT_STOPPED,
                             VIR_DOMAIN_EVENT_STOPPED_CRASHED);
        else
                qemu_run_end(run, VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_EVENT_STOPPED,
                             VIR_DOMAIN_EVENT_STOPPED_FAILED);
}

static void on_ended(void *arg, GuestCause cause)
{
        QemuRun *run = arg;
        Dump *dump = run->dump;
        Save *save = run->save;
        Restore *restore = run->restore;

        if (run->start_done) {
                qemu_start_ended(run);
                return;
        }
        migrate_keep_reason(run->qemu, run->dom->name, guest_last_words(run->guest));
        if (run->migration)
                migration_on_guest_ended(run->migration);
        end_run(run, cause);
        if (dump)
                qemu_dump_on_guest_ended(dump);
        if (save)
                qemu_save_on_guest_ended(save);
        if (restore)
                qemu_restore_on_guest_ended(restore);
}

static void on_end_of_run(void *arg, GuestCause cause, bool reboot)
{
        QemuRun *run = arg;

        guest_act_on_end(run->guest, run->dom->live, cause, reboot);
}

/* --- events --- */

static void emit(const Domain *dom, int event_id, const void *msg)
{
        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, event_id, &dom->uuid, msg);
}

static void on_rtc_change(QemuRun *run, int64_t since_start_s)
{
        Domain *dom = run->dom;
        int64_t offset_s = qemu_clock_changed(run, since_start_s);
        WireDomainEventCallbackRtcChangeMsg msg = { .msg = { .dom = call_wire_domain(dom), .offset = offset_s } };

        emit(dom, VIR_DOMAIN_EVENT_ID_RTC_CHANGE, &msg);
}

static void on_reset(Domain *dom)
{
        WireDomainEventCallbackRebootMsg msg = { .msg = { .dom = call_wire_domain(dom) } };

        emit(dom, VIR_DOMAIN_EVENT_ID_REBOOT, &msg);
}

static void on_watchdog(Domain *dom, const char *action)
{
        static const char *const words[] = {
                "none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi"
        };
        WireDomainEventCallbackWatchdogMsg msg = { .msg = { .dom = call_wire_domain(dom) } };

        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                if (str_eq(action, words[i]))
                        msg.msg.action = (int32_t)i;
        }
        emit(dom, VIR_DOMAIN_EVENT_ID_WATCHDOG, &msg);
}

static void on_io_error(const Domain *dom, const QmpEventBlockIoError *e)
{
        int action = str_eq(e->action, "stop")     ? VIR_DOMAIN_EVENT_IO_ERROR_PAUSE
                     : str_eq(e->action, "report") ? VIR_DOMAIN_EVENT_IO_ERROR_REPORT
                                                   : VIR_DOMAIN_EVENT_IO_ERROR_NONE;
        const char *alias = e->device ?: "", *reason = e->has_nospace && e->nospace ? "enospc" : "", *path = "";

        for (uint32_t i = 0; i < dom->live->n_disks; i++) {
                const DiskDef *disk = dom->live->disks[i];

                if (disk->info.alias && (str_eq(disk->info.alias, alias) || strstr(alias, disk->info.alias))) {
                        path = disk->source.path ?: "";
                        alias = disk->info.alias;
                }
        }
        emit(dom, VIR_DOMAIN_EVENT_ID_IO_ERROR,
             &(WireDomainEventCallbackIoErrorMsg){
                     .msg = { .dom = call_wire_domain(dom), .srcPath = path, .devAlias = alias, .action = action } });
        emit(dom, VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
             &(WireDomainEventCallbackIoErrorReasonMsg){ .msg = { .dom = call_wire_domain(dom),
                                                                  .srcPath = path,
                                                                  .devAlias = alias,
                                                                  .action = action,
                                                                  .reason = reason } });
}

static void on_balloon_change(Domain *dom, uint64_t bytes)
{
        WireDomainEventCallbackBalloonChangeMsg msg = { .msg = { .dom = call_wire_domain(dom),
                                                                 .actual = bytes / 1024 } };

        emit(dom, VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, &msg);
}

static void on_tray_moved(Domain *dom, const char *alias, bool open)
{
        WireDomainEventCallbackTrayChangeMsg msg = { .msg = { .dom = call_wire_domain(dom),
                                                              .devAlias = alias ?: "" } };

        msg.msg.reason = open ? VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN : VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE;
        emit(dom, VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, &msg);
}

static void on_threshold(Domain *dom, const QmpEventBlockWriteThreshold *e)
{
        for (uint32_t i = 0; i < dom->live->n_disks; i++) {
                AUTOFREE char *node = qemu_disk_node(dom->live, dom->live->disks[i]);
                WireDomainEventBlockThresholdMsg msg = { .dom = call_wire_domain(dom),
                                                         .dev = dom->live->disks[i]->target_dev,
                                                         .path = dom->live->disks[i]->source.path,
                                                         .threshold = e->write_threshold,
                                                         .excess = e->amount_exceeded };

                if (str_eq(node, e->node_name))
                        emit(dom, VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD, &msg);
        }
}

static void on_event(void *arg, const QmpEvent *event, struct json_object *json)
{
        QemuRun *run = arg;
        Domain *dom = run->dom;

        if (!dom->live)
                return;
        qemu_act_tell_monitor_event(dom, event);
        qemu_agent_on_event(run, event);
        if (run->migration)
                migration_on_event(run->migration, event, json);
        if (run->dump)
                qemu_dump_on_event(run->dump, event);
        if (run->save)
                qemu_save_on_event(run->save, event);
        if (run->restore)
                qemu_restore_on_event(run->restore, event);
        switch (event->type) {
        case QMP_EVENT_RTC_CHANGE:
                on_rtc_change(run, event->rtc_change.offset);
                return;
        case QMP_EVENT_RESET:
                on_reset(dom);
                return;
        case QMP_EVENT_WATCHDOG:
                on_watchdog(dom, event->watchdog.action);
                return;
        case QMP_EVENT_BLOCK_IO_ERROR:
                on_io_error(dom, &event->block_io_error);
                return;
        case QMP_EVENT_BALLOON_CHANGE:
                on_balloon_change(dom, event->balloon_change.actual);
                return;
        case QMP_EVENT_DEVICE_DELETED:
                if (event->device_deleted.device)
                        qemu_device_gone(run, event->device_deleted.device);
                qemu_vcpu_gone(run, event->device_deleted.path);
                qemu_unplug_on_event(run, event);
                return;
        case QMP_EVENT_DEVICE_UNPLUG_GUEST_ERROR:
                qemu_unplug_on_event(run, event);
                return;
        case QMP_EVENT_BLOCK_WRITE_THRESHOLD:
                on_threshold(dom, &event->block_write_threshold);
                return;
        case QMP_EVENT_DEVICE_TRAY_MOVED:
                on_tray_moved(dom, event->device_tray_moved.id, event->device_tray_moved.tray_open);
                return;
        default:
                return;
        }
}

/* DOM-37: QEMU itself only warns, and the guest finds parts of its CPU gone. The codes are those that clients know. */
static int check_cpu(const QemuRun *run, const DomainDef *def, Error *err)
{
        size_t n;
        char *const *withheld = guest_withheld_features(run->guest, &n);
        AUTO(Buf) lacking = { 0 };

        if (!n)
                return 0;
        cpu_list_lacking(def->cpu, withheld, n, &lacking);
        if (!lacking.len)
                return 0;
        return err_set(err, def->cpu->check == CPU_CHECK_FULL ? ERR_OPERATION_FAILED : ERR_CPU_INCOMPATIBLE,
                       "guest CPU doesn't match specification: missing features: %s; %s cannot give them here",
                       buf_text(&lacking), def->type == DOMAIN_TYPE_KVM ? "KVM" : "QEMU without KVM");
}

static int on_ready(void *arg, Error *err)
{
        QemuRun *run = arg;

        if (check_cpu(run, run->dom->live, err) < 0)
                return -1;
        return qemu_tune_threads(run, run->dom->live, err);
}

const GuestHooks qemu_guest_hooks = {
        .ready = on_ready,
        .changed = on_changed,
        .event = on_event,
        .end_of_run = on_end_of_run,
        .ended = on_ended,
};
