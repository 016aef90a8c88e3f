/*
 * daemon/migrate-events.c - what QEMU tells while its guest moves
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/migrate-disks.h"
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

void migration_on_guest_ended(Migration *m)
{
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_FAILED, "guest '%s' ended while it was migrated", m->dom->name);
        if (m->side == MIGRATE_IN) {
                Call *call = TAKE(m->finishing);

                if (call)
                        call_fail(call, &err);
                migration_free(m);
                return;
        }
        if (m->transfer)
                transfer_on_guest_ended(m->transfer, &err);
        else
                migration_free(m);
}
