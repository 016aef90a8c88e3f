/*
 * daemon/migrate-transfer-events.c - what QEMU tells about a transfer while it goes on
 */
#include "base/str.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-transfer-parts.h"

#include <time.h>

/* QEMU gave up. Its reason comes with the figures; ask for it before the step fails. */
static void on_reason(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Transfer *t = arg;
        AUTO(Error) err = { 0 };

        t->query = NULL;
        if (!failure && info->error_desc)
                err_set(&err, ERR_OPERATION_FAILED, "QEMU gave up the migration: %s", info->error_desc);
        else
                err_set(&err, ERR_OPERATION_FAILED,
                        "QEMU gave up the migration: the connection to the other host broke");
        job_resume(t->job, &err);
}

static void on_gave_up(Transfer *t, bool cancelled)
{
        t->sending = false;
        transfer_drop_calls(t);
        if (t->cancelling || cancelled) {
                job_resume(t->job, NULL); /* that is what the undo waits for */
                return;
        }
        /*
         * A break behind the last word of the guest's state is a failure here and none there: QEMU on the other side
         * does without what follows it. So after the switch-over a failure says nothing, and the peer is asked.
         */
        if (t->continued)
                t->migration->completed = t->migration->broke = true;
        t->query = qmp_query_migrate(t->qmp, on_reason, t);
}

void transfer_on_guest_ended(Transfer *t, const Error *why)
{
        if (t->continued)
                t->migration->completed = true;
        t->sending = false;
        t->dead = true;
        transfer_drop_calls(t);
        t->poll = timer_free(t->poll);
        job_resume(t->job, why);
}

/* QEMU waits for a new connection; this transfer is over, the migration is not. */
static void on_broken(Transfer *t)
{
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_FAILED,
                "the connection to the other host broke in post-copy; the guest runs there and needs both hosts. "
                "Connect them again with --postcopy --postcopy-resume");
        t->sending = false;
        transfer_drop_calls(t);
        job_resume(t->job, &err);
}

static void on_arrived(Transfer *t)
{
        t->sending = false;
        t->arrived = true;
        t->migration->completed = true;
        job_commit(t->job);
        transfer_drop_calls(t);
        job_resume(t->job, NULL);
}

static int64_t wall_clock_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* MIG-48: its owner would rather have the guest here than on its way while its disks fail. */
static void on_io_error(Transfer *t, const QmpEventBlockIoError *e)
{
        const DomainDef *def = t->migration->dom->live;
        const char *target = e->device;
        AUTO(Error) why = { 0 };

        if (!(t->migration->flags & VIR_MIGRATE_ABORT_ON_ERROR) || transfer_is_over(t) || transfer_is_handing_over(t))
                return;
        for (uint32_t i = 0; def && i < def->n_disks; i++) {
                AUTOFREE char *node = qemu_disk_node(def, def->disks[i]);

                if (node && str_eq(node, e->node_name))
                        target = def->disks[i]->target_dev;
        }
        err_set(&why, ERR_OPERATION_FAILED, "a %s of disk '%s' failed (%s), and --abort-on-error was asked for",
                e->operation, target, e->reason);
        transfer_cancel(t, &why, NULL);
}

void transfer_on_event(Transfer *t, const QmpEvent *event, int64_t at_us)
{
        const char *status;

        if (t->disks)
                disks_on_event(t->disks, event);

        if (event->type == QMP_EVENT_MIGRATION_PASS && t->poll)
                transfer_look(t); /* the end of a pass is when figures mean most */
        if (event->type == QMP_EVENT_BLOCK_IO_ERROR)
                on_io_error(t, &event->block_io_error);
        if (event->type == QMP_EVENT_STOP) {
                t->migration->stopped_us = at_us ? at_us : wall_clock_us();
                t->migration->stopped_ms = loop_now_ms(t->loop);
        }
        if (event->type != QMP_EVENT_MIGRATION)
                return;
        status = event->migration.status;
        migrate_postcopy_status(t->migration, status);
        if (str_eq(status, "pre-switchover")) {
                t->ready = true;
                if (str_eq(job_step_name(t->job), "converge"))
                        job_resume(t->job, NULL);
        } else if (str_eq(status, "postcopy-active")) {
                job_commit(t->job);
                if (str_eq(job_step_name(t->job), "converge"))
                        job_resume(t->job, NULL);
        } else if (str_eq(status, "postcopy-paused")) {
                on_broken(t);
        } else if (str_eq(status, "completed")) {
                on_arrived(t);
        } else if (str_eq(status, "failed") || str_eq(status, "cancelled")) {
                on_gave_up(t, str_eq(status, "cancelled"));
        }
}
