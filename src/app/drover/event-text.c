/*
 * app/drover/event-text.c - events of guests in the words that virsh uses
 */
#include "app/drover/event-text.h"

#include "app/drover/common.h"

static const char *const names[N_DOMAIN_EVENTS] = {
        [VIR_DOMAIN_EVENT_ID_LIFECYCLE] = "lifecycle",
        [VIR_DOMAIN_EVENT_ID_REBOOT] = "reboot",
        [VIR_DOMAIN_EVENT_ID_RTC_CHANGE] = "rtc-change",
        [VIR_DOMAIN_EVENT_ID_WATCHDOG] = "watchdog",
        [VIR_DOMAIN_EVENT_ID_IO_ERROR] = "io-error",
        [VIR_DOMAIN_EVENT_ID_GRAPHICS] = "graphics",
        [VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON] = "io-error-reason",
        [VIR_DOMAIN_EVENT_ID_CONTROL_ERROR] = "control-error",
        [VIR_DOMAIN_EVENT_ID_BLOCK_JOB] = "block-job",
        [VIR_DOMAIN_EVENT_ID_DISK_CHANGE] = "disk-change",
        [VIR_DOMAIN_EVENT_ID_TRAY_CHANGE] = "tray-change",
        [VIR_DOMAIN_EVENT_ID_PMWAKEUP] = "pm-wakeup",
        [VIR_DOMAIN_EVENT_ID_PMSUSPEND] = "pm-suspend",
        [VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE] = "balloon-change",
        [VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK] = "pm-suspend-disk",
        [VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED] = "device-removed",
        [VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2] = "block-job-2",
        [VIR_DOMAIN_EVENT_ID_TUNABLE] = "tunable",
        [VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE] = "agent-lifecycle",
        [VIR_DOMAIN_EVENT_ID_DEVICE_ADDED] = "device-added",
        [VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION] = "migration-iteration",
        [VIR_DOMAIN_EVENT_ID_JOB_COMPLETED] = "job-completed",
        [VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED] = "device-removal-failed",
        [VIR_DOMAIN_EVENT_ID_METADATA_CHANGE] = "metadata-change",
        [VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD] = "block-threshold",
        [VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE] = "memory-failure",
        [VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE] = "memory-device-size-change",
};

const char *event_name(int event_id)
{
        return WORD_OF(names, event_id);
}

static const char *lifecycle_detail(int event, int detail)
{
        static const char *const defined[] = { "Added", "Updated", "Renamed", "Snapshot" };
        static const char *const undefined[] = { "Removed", "Renamed" };
        static const char *const started[] = { "Booted",   "Migrated",     "Restored",
                                               "Snapshot", "Event wakeup", "Recreated" };
        static const char *const suspended[] = { "Paused",          "Migrated",      "I/O Error", "Watchdog",
                                                 "Restored",        "Snapshot",      "API error", "Post-copy",
                                                 "Post-copy Error", "Guest shutdown" };
        static const char *const resumed[] = { "Unpaused", "Migrated", "Snapshot", "Post-copy", "Post-copy Error" };
        static const char *const stopped[] = { "Shutdown", "Destroyed", "Crashed",  "Migrated",
                                               "Saved",    "Failed",    "Snapshot", "Recreated" };
        static const char *const shutdown[] = { "Finished", "Finished after guest request",
                                                "Finished after host request" };
        static const char *const suspended_itself[] = { "Memory", "Disk" };
        static const char *const crashed[] = { "Panicked", "Crashloaded" };

        switch (event) {
        case VIR_DOMAIN_EVENT_DEFINED:
                return WORD_OF(defined, detail);
        case VIR_DOMAIN_EVENT_UNDEFINED:
                return WORD_OF(undefined, detail);
        case VIR_DOMAIN_EVENT_STARTED:
                return WORD_OF(started, detail);
        case VIR_DOMAIN_EVENT_SUSPENDED:
                return WORD_OF(suspended, detail);
        case VIR_DOMAIN_EVENT_RESUMED:
                return WORD_OF(resumed, detail);
        case VIR_DOMAIN_EVENT_STOPPED:
                return WORD_OF(stopped, detail);
        case VIR_DOMAIN_EVENT_SHUTDOWN:
                return WORD_OF(shutdown, detail);
        case VIR_DOMAIN_EVENT_PMSUSPENDED:
                return WORD_OF(suspended_itself, detail);
        case VIR_DOMAIN_EVENT_CRASHED:
                return WORD_OF(crashed, detail);
        default:
                return "unknown";
        }
}

static void begin(Buf *to, int event_id, const WireDomain *dom)
{
        buf_format(to, "event '%s' for domain '%s'", event_name(event_id), dom->name);
}

static void put_params(Buf *to, const WireTypedParam *params, uint32_t n)
{
        buf_put_text(to, ":\n");
        for (uint32_t i = 0; i < n; i++) {
                AUTOFREE char *text = param_text(&params[i]);

                buf_format(to, "\t%s: %s\n", params[i].field, text);
        }
}

static void put_lifecycle(Buf *to, const WireDomainEventLifecycleMsg *msg)
{
        static const char *const types[] = { "Defined", "Undefined", "Started",     "Suspended", "Resumed",
                                             "Stopped", "Shutdown",  "PMSuspended", "Crashed" };

        begin(to, VIR_DOMAIN_EVENT_ID_LIFECYCLE, &msg->dom);
        buf_format(to, ": %s %s\n", WORD_OF(types, msg->event), lifecycle_detail(msg->event, msg->detail));
}

static const char *io_action(int action)
{
        static const char *const actions[] = { "none", "pause", "report" };

        return WORD_OF(actions, action);
}

static void put_graphics(Buf *to, const WireDomainEventGraphicsMsg *msg)
{
        static const char *const phases[] = { "connect", "initialize", "disconnect" };
        static const char *const families[] = { "IPv4", "IPv6", "unix" };

        begin(to, VIR_DOMAIN_EVENT_ID_GRAPHICS, &msg->dom);
        buf_format(to, ": %s local[%s %s %s] remote[%s %s %s] %s\n", WORD_OF(phases, msg->phase),
                   WORD_OF(families, msg->local.family), msg->local.node, msg->local.service,
                   WORD_OF(families, msg->remote.family), msg->remote.node, msg->remote.service, msg->authScheme);
        for (uint32_t i = 0; i < msg->n_subject; i++)
                buf_format(to, "\tsubject[%u]: %s=%s\n", i, msg->subject[i].type, msg->subject[i].name);
}

static void put_block_job(Buf *to, int event_id, const WireDomain *dom, int type, const char *disk, int status)
{
        static const char *const types[] = { "unknown",      "Block Pull",          "Block Copy",
                                             "Block Commit", "Active Block Commit", "Backup" };
        static const char *const states[] = { "completed", "failed", "canceled", "ready" };

        begin(to, event_id, dom);
        buf_format(to, ": %s for %s %s\n", WORD_OF(types, type), disk, WORD_OF(states, status));
}

static void put_disk_change(Buf *to, const WireDomainEventDiskChangeMsg *msg)
{
        static const char *const reasons[] = { "changed", "dropped" };

        begin(to, VIR_DOMAIN_EVENT_ID_DISK_CHANGE, &msg->dom);
        buf_format(to, " disk %s: %s -> %s: %s\n", msg->devAlias, msg->oldSrcPath ?: "", msg->newSrcPath ?: "",
                   WORD_OF(reasons, msg->reason));
}

static void put_tray_change(Buf *to, const WireDomainEventTrayChangeMsg *msg)
{
        static const char *const reasons[] = { "opened", "closed" };

        begin(to, VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, &msg->dom);
        buf_format(to, " disk %s: %s\n", msg->devAlias, WORD_OF(reasons, msg->reason));
}

static void put_agent(Buf *to, const WireDomainEventCallbackAgentLifecycleMsg *msg)
{
        static const char *const states[] = { "unknown", "connected", "disconnected" };
        static const char *const reasons[] = { "unknown", "domain started", "channel event" };

        begin(to, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, &msg->dom);
        buf_format(to, ": state: '%s' reason: '%s'\n", WORD_OF(states, msg->state), WORD_OF(reasons, msg->reason));
}

static void put_metadata(Buf *to, const WireDomainEventCallbackMetadataChangeMsg *msg)
{
        static const char *const types[] = { "description", "title", "element" };

        begin(to, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, &msg->dom);
        buf_format(to, ": type %s, uri %s\n", WORD_OF(types, msg->type), msg->nsuri ?: "N/A");
}

static void put_memory_failure(Buf *to, const WireDomainEventMemoryFailureMsg *msg)
{
        static const char *const recipients[] = { "hypervisor", "guest" };
        static const char *const actions[] = { "ignore", "inject", "fatal", "reset" };

        begin(to, VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE, &msg->dom);
        buf_format(to, ":\nrecipient: %s\naction: %s\nflags:\n\taction required: %d\n\trecursive: %d\n",
                   WORD_OF(recipients, msg->recipient), WORD_OF(actions, msg->action),
                   (msg->flags & VIR_DOMAIN_MEMORY_FAILURE_ACTION_REQUIRED) != 0,
                   (msg->flags & VIR_DOMAIN_MEMORY_FAILURE_RECURSIVE) != 0);
}

static const char *watchdog_action(int action)
{
        static const char *const actions[] = {
                "none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi"
        };

        return WORD_OF(actions, action);
}

/* Events about devices and disks. */
static bool format_device_event(int event_id, const void *data, Buf *to)
{
        switch (event_id) {
        case VIR_DOMAIN_EVENT_ID_BLOCK_JOB: {
                const WireDomainEventBlockJobMsg *msg = &((const WireDomainEventCallbackBlockJobMsg *)data)->msg;

                put_block_job(to, event_id, &msg->dom, msg->type, msg->path, msg->status);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2: {
                const WireDomainEventBlockJob2Msg *msg = data;

                put_block_job(to, event_id, &msg->dom, msg->type, msg->dst, msg->status);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_DISK_CHANGE:
                put_disk_change(to, &((const WireDomainEventCallbackDiskChangeMsg *)data)->msg);
                return true;
        case VIR_DOMAIN_EVENT_ID_TRAY_CHANGE:
                put_tray_change(to, &((const WireDomainEventCallbackTrayChangeMsg *)data)->msg);
                return true;
        case VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: {
                const WireDomainEventDeviceRemovedMsg *msg =
                        &((const WireDomainEventCallbackDeviceRemovedMsg *)data)->msg;

                begin(to, event_id, &msg->dom);
                buf_format(to, ": %s\n", msg->devAlias);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_DEVICE_ADDED:
        case VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: {
                const WireDomainEventCallbackDeviceAddedMsg *msg = data; /* both look alike */

                begin(to, event_id, &msg->dom);
                buf_format(to, ": %s\n", msg->devAlias);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD: {
                const WireDomainEventBlockThresholdMsg *msg = data;

                begin(to, event_id, &msg->dom);
                buf_format(to, ": dev: %s(%s) %llu %llu\n", msg->dev, msg->path ?: "",
                           (unsigned long long)msg->threshold, (unsigned long long)msg->excess);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE: {
                const WireDomainEventMemoryDeviceSizeChangeMsg *msg = data;

                begin(to, event_id, &msg->dom);
                buf_format(to, ":\nalias: %s\nsize: %llu\n", msg->alias, (unsigned long long)msg->size);
                return true;
        }
        default:
                return false;
        }
}

/* Events whose message is a guest and perhaps one number. */
static bool format_plain_event(int event_id, const void *data, Buf *to)
{
        switch (event_id) {
        case VIR_DOMAIN_EVENT_ID_REBOOT:
        case VIR_DOMAIN_EVENT_ID_CONTROL_ERROR:
                begin(to, event_id, &((const WireDomainEventCallbackRebootMsg *)data)->msg.dom);
                buf_put_char(to, '\n');
                return true;
        case VIR_DOMAIN_EVENT_ID_PMWAKEUP:
        case VIR_DOMAIN_EVENT_ID_PMSUSPEND:
        case VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK:
                begin(to, event_id, &((const WireDomainEventCallbackPmwakeupMsg *)data)->msg.dom);
                buf_put_char(to, '\n');
                return true;
        case VIR_DOMAIN_EVENT_ID_RTC_CHANGE: {
                const WireDomainEventRtcChangeMsg *msg = &((const WireDomainEventCallbackRtcChangeMsg *)data)->msg;

                begin(to, event_id, &msg->dom);
                buf_format(to, ": %lld\n", (long long)msg->offset);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_WATCHDOG: {
                const WireDomainEventWatchdogMsg *msg = &((const WireDomainEventCallbackWatchdogMsg *)data)->msg;

                begin(to, event_id, &msg->dom);
                buf_format(to, ": %s\n", watchdog_action(msg->action));
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE: {
                const WireDomainEventBalloonChangeMsg *msg =
                        &((const WireDomainEventCallbackBalloonChangeMsg *)data)->msg;

                begin(to, event_id, &msg->dom);
                buf_format(to, ": %lluKiB\n", (unsigned long long)msg->actual);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION: {
                const WireDomainEventCallbackMigrationIterationMsg *msg = data;

                begin(to, event_id, &msg->dom);
                buf_format(to, ": iteration: '%d'\n", msg->iteration);
                return true;
        }
        default:
                return false;
        }
}

static void put_io_error(Buf *to, const WireDomainEventIoErrorMsg *msg)
{
        begin(to, VIR_DOMAIN_EVENT_ID_IO_ERROR, &msg->dom);
        buf_format(to, ": %s (%s) %s\n", msg->srcPath, msg->devAlias, io_action(msg->action));
}

static void put_io_error_reason(Buf *to, const WireDomainEventIoErrorReasonMsg *msg)
{
        begin(to, VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, &msg->dom);
        buf_format(to, ": %s (%s) %s due to %s\n", msg->srcPath, msg->devAlias, io_action(msg->action), msg->reason);
}

bool event_format(const WireEvent *event, const void *data, Buf *to)
{
        switch (event->event_id) {
        case VIR_DOMAIN_EVENT_ID_LIFECYCLE:
                put_lifecycle(to, &((const WireDomainEventCallbackLifecycleMsg *)data)->msg);
                return true;
        case VIR_DOMAIN_EVENT_ID_IO_ERROR:
                put_io_error(to, &((const WireDomainEventCallbackIoErrorMsg *)data)->msg);
                return true;
        case VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON:
                put_io_error_reason(to, &((const WireDomainEventCallbackIoErrorReasonMsg *)data)->msg);
                return true;
        case VIR_DOMAIN_EVENT_ID_GRAPHICS:
                put_graphics(to, &((const WireDomainEventCallbackGraphicsMsg *)data)->msg);
                return true;
        case VIR_DOMAIN_EVENT_ID_TUNABLE:
        case VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: {
                const WireDomainEventCallbackTunableMsg *msg = data; /* both look alike */

                begin(to, event->event_id, &msg->dom);
                put_params(to, msg->params, msg->n_params);
                return true;
        }
        case VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE:
                put_agent(to, data);
                return true;
        case VIR_DOMAIN_EVENT_ID_METADATA_CHANGE:
                put_metadata(to, data);
                return true;
        case VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE:
                put_memory_failure(to, data);
                return true;
        default:
                return format_plain_event(event->event_id, data, to) ||
                       format_device_event(event->event_id, data, to);
        }
}
