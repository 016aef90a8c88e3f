/*
 * daemon/migrate-take.c - the destination takes a guest that waits for its source's word
 *
 * A guest whose client was lost waits at the destination, paused, until the source asks for it (migrate-ask.c) or says
 * that its own is dead (migrate-give.c). When the whole source host is gone neither comes, and a person decides.
 */
#include "daemon/migrate-take.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-finish.h"
#include "daemon/migrate-source.h"

enum { MEANT_MS = 5 * 60 * 1000 }; /* a second word within this time is meant */

struct Take {
        void (*done)(void *arg, const Error *failure);
        void *arg;
};

bool migrate_is_deciding(const Migration *m)
{
        /* once its intent to run is written (unrun), only its running or its failing to ends that */
        return m->query || m->intent || m->withdrawal || m->take ||
               (!qemu_run(m->dom)->unrun && !m->runs_by_itself && !m->resumed_us);
}

bool migrate_waits(const Domain *dom)
{
        const QemuRun *run = dom->driver->ops == &driver_qemu_ops ? qemu_run(dom) : NULL;
        const Migration *m = run ? run->migration : NULL;

        return m && m->side == MIGRATE_IN && m->arrived && !m->resumed_us && !m->client && !m->finishing &&
               !migrate_is_deciding(m);
}

void migrate_take(Migration *m, void (*done)(void *arg, const Error *failure), void *arg)
{
        m->take = mem_new(Take);
        *m->take = (Take){ done, arg };
        migrate_go_on(m);
}

void migrate_taken(Take *take, const Error *failure)
{
        if (take)
                take->done(take->arg, failure);
        free(take);
}

int migrate_take_by_hand(Call *call, Domain *dom, Error *err)
{
        Migration *m = qemu_run(dom)->migration;
        uint64_t now_ms = loop_now_ms(dom->driver->daemon->loop);
        bool is_meant = m->warned_ms && now_ms - m->warned_ms <= MEANT_MS;

        if (!is_meant) {
                m->warned_ms = now_ms;
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "guest '%s' has arrived from %s, which has not said whether it goes on there; if both run "
                        "it, its disks are destroyed. Make sure that it does not run there and never will (virsh "
                        "destroy there, or switch that host off); then say resume once more within %d minutes",
                        dom->name, m->source_name ?: "another host", MEANT_MS / 60000);
        }
        m->flags &= ~(uint32_t)VIR_MIGRATE_PAUSED; /* it was moved to stay paused; now it is resumed */
        migrate_take(m, call_done, call);
        return 0;
}

/* --- after a restart of the daemon --- */

static void on_left(void *arg UNUSED, MigrateFate fate UNUSED, const Error *failure UNUSED)
{
        /* whatever it is, nobody waits to hear it */
}

static void on_seen(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Migration *m = arg;
        const char *status = failure ? "" : info->status ?: "none";

        m->query = NULL;
        if (str_eq(status, "completed")) {
                m->arrived = true;
                migrate_settle_unattended(m);
        } else if (str_eq(status, "none") || str_eq(status, "setup")) {
                log_info("guest '%s': nobody had begun to send it; it is given up", m->dom->name);
                migrate_withdraw(m, on_left, NULL);
        }
        /* else its events say how it ends */
}

static void on_claimed(void *arg, const Error *refused)
{
        Migration *m = arg;

        if (refused)
                migration_free(m);
        else if (!m->arrived)
                m->query = qmp_query_migrate(guest_qmp(qemu_run(m->dom)->guest), on_seen, m);
}

void migrate_recover_coming(Domain *dom)
{
        static const MigrateParams none;
        const QemuRun *run = qemu_run(dom);
        Migration *m = migration_new(dom, MIGRATE_IN, run->coming_flags, &none);

        m->nonce = str_dup(run->nonce);
        m->runs_by_itself = !run->unrun;
        m->arrived = guest_state(run->guest) == GUEST_PAUSED;
        qemu_status_claim(qemu_run(dom), JOB_MIGRATION_IN, &m->claim, on_claimed, m);
}

static void on_ended(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_error("a guest that was to move in could not be ended: %s", failure->text);
}

void migrate_end_coming(Domain *dom)
{
        QemuRun *run = qemu_run(dom);

        log_info("guest '%s' was to move in when an earlier droverd ended, and is not here; it is given up",
                 dom->name);
        run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
        run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
        guest_stop(run->guest, GUEST_STOP_HARD, on_ended, NULL);
}
