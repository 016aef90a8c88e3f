/*
 * daemon/migrate-postcopy.c - a guest whose memory is on two hosts
 */
#include "daemon/migrate-postcopy.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-finish.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-transfer.h"

/* --- states --- */

static void on_active(Migration *m)
{
        m->broken = false;
        if (m->side == MIGRATE_OUT) {
                m->committed = true;
                domain_paused(m->dom, VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY);
                return;
        }
        m->postcopy = true;
        /* at first it has not run yet, and its running is told as such */
        if (m->resumed_us)
                domain_resumed(m->dom, VIR_DOMAIN_RUNNING_POSTCOPY, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY);
}

static void on_broken(Migration *m)
{
        bool is_news = !m->broken;

        m->broken = true;
        if (!is_news)
                return;
        log_warning(
                "guest '%s': the connection broke in post-copy; its memory is on both hosts, end neither. Connect "
                "them again with virsh migrate --postcopy --postcopy-resume on the source",
                m->dom->name);
        if (m->side == MIGRATE_OUT) {
                m->committed = true;
                domain_paused(m->dom, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED);
        } else {
                m->postcopy = true;
                domain_resumed(m->dom, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED);
        }
}

void migrate_postcopy_status(Migration *m, const char *status)
{
        if (str_eq(status, "postcopy-active"))
                on_active(m);
        else if (str_eq(status, "postcopy-paused"))
                on_broken(m);
        else if (str_eq(status, "completed") && m->side == MIGRATE_IN && m->postcopy)
                domain_resumed(m->dom, VIR_DOMAIN_RUNNING_MIGRATED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED);
        else
                return;
        qemu_status_save(m->dom);
}

Migration *migrate_find_broken(const Domain *dom, MigrateSide side, Error *err)
{
        QemuRun *run = qemu_run(dom);
        Migration *m = run ? run->migration : NULL;

        if (m && m->side == side && m->broken)
                return m;
        err_set(err, ERR_OPERATION_INVALID, "guest '%s' is not in a post-copy migration that broke", dom->name);
        return NULL;
}

/* QEMU would do it as soon as the last byte was sent, and before we have heard of that. */
static int check_resume_on_the_way(const Migration *m, Error *err)
{
        if (m->transfer && transfer_is_handing_over(m->transfer))
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "guest '%s' is being handed to the other host at this moment and cannot be resumed here",
                        m->dom->name);
        if (m->recovered)
                return err_set(err, ERR_RESOURCE_BUSY,
                               "guest '%s' was moving to another host when an earlier droverd ended; what became of "
                               "that is being found out",
                               m->dom->name);
        return 0;
}

int migrate_check_resume(const Domain *dom, Error *err)
{
        QemuRun *run = dom->driver->ops == &driver_qemu_ops ? qemu_run(dom) : NULL;
        Migration *m = run ? run->migration : NULL;

        if (!m || m->side != MIGRATE_OUT)
                return 0;
        if (migrate_is_torn(m) || (m->completed && !m->asking))
                return err_set(err, ERR_OPERATION_INVALID,
                               "guest '%s' has been handed to the other host and cannot be resumed here", dom->name);
        if (!m->completed)
                return check_resume_on_the_way(m, err);
        if (!m->asked_in_vain || m->waiting || m->driven_here)
                return err_set(err, ERR_RESOURCE_BUSY,
                               "guest '%s' was sent completely and the other host is being asked whether it runs it; "
                               "wait for its answer",
                               dom->name);
        log_warning("guest '%s': a person says that it goes on here; the other host is not asked any more",
                    dom->name);
        migrate_give_settled(dom);
        migration_free(m);
        return 0;
}

/* --- destination: listen again --- */

/* What follows when QEMU has noticed the break. */
struct Relisten {
        Migration *migration;
        void (*done)(void *arg, const Error *failure);
        void *arg;
};

static void relisten_settle(Relisten *r, const Error *failure)
{
        void (*done)(void *arg, const Error *failure) = r->done;
        void *arg = r->arg;

        r->migration->relisten = NULL;
        free(r);
        done(arg, failure);
}

static void on_recovering(void *arg, const Error *failure)
{
        Relisten *r = arg;
        Migration *m = r->migration;

        m->query = NULL;
        /* an address that nobody connected to is still listened on */
        if (failure && m->listens_again && strstr(failure->text, "triggered already"))
                failure = NULL;
        m->listens_again = !failure;
        relisten_settle(r, failure);
}

static void recover(Relisten *r)
{
        Migration *m = r->migration;
        const char *address = m->params.listen_address ?: m->dom->driver->daemon->config->migration_address;
        AUTOFREE char *uri = NULL;
        AUTO(Error) err = { 0 };

        if (!m->listens_again) {
                m->port = 0;
                if (migrate_ports_take(m, &err) < 0) {
                        relisten_settle(r, &err);
                        return;
                }
        }
        uri = str_format(strchr(address, ':') ? "tcp:[%s]:%d" : "tcp:%s:%d", address, m->port);
        m->query = qmp_migrate_recover(guest_qmp(qemu_run(m->dom)->guest), &(QmpMigrateRecover){ .uri = uri },
                                       on_recovering, r);
}

static void on_pause_sent(void *arg, const Error *failure)
{
        Relisten *r = arg;

        r->migration->query = NULL;
        if (r->migration->broken) /* QEMU noticed it meanwhile; its event is out of band, as this answer is */
                recover(r);
        else if (failure)
                relisten_settle(r, failure); /* else its event says when */
}

void migrate_relisten_on_event(Migration *m, const char *status)
{
        AUTO(Error) err = { 0 };

        if (!m->relisten || m->query)
                return;
        if (str_eq(status, "postcopy-paused")) {
                recover(m->relisten);
        } else if (str_eq(status, "completed")) {
                err_set(&err, ERR_OPERATION_INVALID, "guest '%s' has arrived completely meanwhile", m->dom->name);
                relisten_settle(m->relisten, &err);
        }
}

void migrate_relisten_forget(Migration *m)
{
        AUTO(Error) err = { 0 };

        if (!m->relisten)
                return;
        err_set(&err, ERR_OPERATION_FAILED, "guest '%s' ended", m->dom->name);
        relisten_settle(m->relisten, &err);
}

void migrate_listen_again(Migration *m, void (*done)(void *arg, const Error *failure), void *arg)
{
        m->relisten = mem_new(Relisten);
        *m->relisten = (Relisten){ .migration = m, .done = done, .arg = arg };
        if (m->broken) {
                recover(m->relisten);
                return;
        }
        /* a network that swallows everything is not noticed by who only listens */
        m->query = qmp_migrate_pause(guest_qmp(qemu_run(m->dom)->guest), on_pause_sent, m->relisten);
}

/* --- destination: after a restart --- */

static void on_seen(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        Migration *m = arg;
        const char *status = failure ? "" : info->status ?: "none";

        m->query = NULL;
        if (str_eq(status, "completed") || str_eq(status, "none")) {
                migrate_postcopy_status(m, "completed");
                m->arrived = true;
                migrate_settle_arrived(m);
        } else if (str_eq(status, "postcopy-paused")) {
                on_broken(m);
        }
}

static void on_claimed(void *arg, const Error *refused)
{
        Migration *m = arg;

        if (refused)
                migration_free(m);
        else
                m->query = qmp_query_migrate(guest_qmp(qemu_run(m->dom)->guest), on_seen, m);
}

void migrate_recover_incoming(Domain *dom)
{
        static const MigrateParams none;
        Migration *m = migration_new(dom, MIGRATE_IN, VIR_MIGRATE_LIVE | VIR_MIGRATE_POSTCOPY, &none);

        log_info("guest '%s' had not arrived completely when an earlier droverd ended", dom->name);
        m->nonce = str_dup(qemu_run(dom)->nonce);
        m->postcopy = true;
        m->resumed_us = MIGRATE_RESUMED_SOMETIME;
        qemu_status_claim(qemu_run(dom), JOB_MIGRATION_IN, &m->claim, on_claimed, m);
}
