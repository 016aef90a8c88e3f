/*
 * daemon/migrate-events.c - what QEMU tells while its guest moves
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-disks.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-take.h"
#include "daemon/migrate-transfer.h"

#include <json-c/json.h>

/* Wall clock of an event, as QEMU took it. */
static int64_t event_time_us(struct json_object *json)
{
        struct json_object *timestamp, *seconds, *micros;

        if (!json_object_object_get_ex(json, "timestamp", &timestamp) ||
            !json_object_object_get_ex(timestamp, "seconds", &seconds) ||
            !json_object_object_get_ex(timestamp, "microseconds", &micros))
                return 0;
        return json_object_get_int64(seconds) * 1000000 + json_object_get_int64(micros);
}

static void tell_iteration(const Domain *dom, int64_t pass)
{
        WireDomainEventCallbackMigrationIterationMsg msg = { .dom = call_wire_domain(dom),
                                                             .iteration = (int32_t)pass };

        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, &dom->uuid, &msg);
}

void migration_on_event(Migration *m, const QmpEvent *event, struct json_object *json)
{
        int64_t at_us = event_time_us(json);

        if (event->type == QMP_EVENT_MIGRATION_PASS)
                tell_iteration(m->dom, event->migration_pass.pass);
        if (m->side == MIGRATE_IN)
                migrate_incoming_event(m, event, at_us);
        else if (m->transfer)
                transfer_on_event(m->transfer, event, at_us);
}

static void on_incoming_ended(Migration *m, const Error *why)
{
        Call *call = TAKE(m->finishing);
        Take *take = TAKE(m->take);

        if (m->failed)
                qemu_run(m->dom)->unrun = true; /* whoever told it to run: it could not */
        if (call)
                call_fail(call, why);
        migration_free(m);
        migrate_taken(take, why);
}

void migration_on_guest_ended(Migration *m)
{
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_FAILED, "guest '%s' ended while it was migrated", m->dom->name);
        if (m->side == MIGRATE_IN) {
                on_incoming_ended(m, &err);
                return;
        }
        if (migrate_is_torn(m))
                log_error("guest '%s' has ended here in post-copy: what the other host has not got of it is lost",
                          m->dom->name);
        if (m->transfer && !transfer_is_over(m->transfer)) {
                transfer_on_guest_ended(m->transfer, &err);
                return;
        }
        if (m->completed)
                log_warning("guest '%s' was sent completely and has ended here: the other host has it", m->dom->name);
        if (m->question) {
                migrate_ask_drop(m, &err);
        } else if (!m->driven_here) {
                migrate_give(m);
                migration_free(m);
        }
}
