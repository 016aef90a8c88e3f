/*
 * qemu/guest-event.c - what QEMU's events say about the state of a guest
 *
 * QEMU tells the reason before the fact: BLOCK_IO_ERROR, WATCHDOG, GUEST_PANICKED or SHUTDOWN come first,
 * STOP comes after.
 */
#include "base/log.h"
#include "base/str.h"
#include "qemu/guest-private.h"

static void on_stop(Guest *guest)
{
        GuestCause cause = guest->stop_cause;
        bool ends = guest->end_of_run, reboot = guest->end_is_reboot;

        guest->stop_cause = GUEST_CAUSE_ASKED;
        guest->end_of_run = guest->end_is_reboot = false;
        if (ends)
                guest_set_state(guest, cause == GUEST_CAUSE_PANICKED ? GUEST_CRASHED : GUEST_SHUTDOWN, cause);
        else if (guest->state == GUEST_RUNNING)
                guest_set_state(guest, GUEST_PAUSED, cause);
        if (ends && guest->hooks.end_of_run)
                guest->hooks.end_of_run(guest->arg, cause, reboot);
}

static void on_shutdown(Guest *guest, const QmpEventShutdown *event)
{
        str_replace(&guest->last_end, event->reason);
        if (!event->guest)
                return;
        guest->end_of_run = true;
        guest->end_is_reboot = guest->reboot_wanted || str_eq(event->reason, "guest-reset");
        guest->stop_cause = str_eq(event->reason, "guest-panic") ? GUEST_CAUSE_PANICKED : GUEST_CAUSE_GUEST;
        guest->reboot_wanted = false;
}

static void take_note(Guest *guest, const QmpEvent *event)
{
        switch (event->type) {
        case QMP_EVENT_STOP:
                on_stop(guest);
                return;
        case QMP_EVENT_RESUME:
                str_replace(&guest->last_end, NULL);
                guest_set_state(guest, GUEST_RUNNING,
                                guest->state == GUEST_INCOMING ? GUEST_CAUSE_MIGRATION : GUEST_CAUSE_ASKED);
                return;
        case QMP_EVENT_SHUTDOWN:
                on_shutdown(guest, &event->shutdown);
                return;
        case QMP_EVENT_GUEST_PANICKED:
                guest->stop_cause = GUEST_CAUSE_PANICKED;
                guest->end_of_run = str_eq(event->guest_panicked.action, "pause");
                return;
        case QMP_EVENT_BLOCK_IO_ERROR:
                if (str_eq(event->block_io_error.action, "stop"))
                        guest->stop_cause = GUEST_CAUSE_IO_ERROR;
                return;
        case QMP_EVENT_WATCHDOG:
                if (str_eq(event->watchdog.action, "pause"))
                        guest->stop_cause = GUEST_CAUSE_WATCHDOG;
                return;
        case QMP_EVENT_MIGRATION:
                if (str_eq(event->migration.status, "active") || str_eq(event->migration.status, "device"))
                        guest->stop_cause = GUEST_CAUSE_MIGRATION;
                else
                        guest->stop_cause = GUEST_CAUSE_ASKED;
                return;
        case QMP_EVENT_SUSPEND:
                guest_set_state(guest, GUEST_PMSUSPENDED, GUEST_CAUSE_GUEST);
                return;
        case QMP_EVENT_WAKEUP:
                guest_set_state(guest, GUEST_RUNNING, GUEST_CAUSE_GUEST);
                return;
        case QMP_EVENT_BALLOON_CHANGE:
                guest->balloon_bytes = event->balloon_change.actual;
                return;
        case QMP_EVENT_VSERPORT_CHANGE:
                guest_set_channel(guest, event->vserport_change.id, event->vserport_change.open);
                return;
        default:
                return;
        }
}

void guest_on_event(void *arg, const char *name, struct json_object *json)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        Guest *guest = arg;
        QmpEvent event;

        if (qmp_event_decode(name, json, arena, &event, &err) < 0) {
                log_warning("guest '%s': %s", guest->name, err.text);
                return;
        }
        take_note(guest, &event);
        if (guest->hooks.event)
                guest->hooks.event(guest->arg, &event, json);
}
