/*
 * daemon/migrate-finish.c - how an incoming migration ends
 *
 * finish says that the guest lives here now; a source that asks, a client that
 * leaves or a stream that breaks may say that it does not. A guest that has begun
 * to run here is never ended by any of them.
 */
#include "daemon/migrate-finish.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/define.h"
#include "daemon/handlers.h"
#include "daemon/migrate-disks.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-reason.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-take.h"
#include "daemon/server-client.h"

/* --- giving up --- */

/* A guest that must not run here is on its way out. */
struct Withdrawal {
        Migration *migration;
        void (*done)(void *arg, MigrateFate fate, const Error *failure);
        void *arg;
        Call *finishing; /* that waits for its memory in vain */
};

static void withdrawal_settle(Withdrawal *w, MigrateFate fate, const Error *failure)
{
        w->done(w->arg, fate, failure);
        free(w);
}

static void on_withdrawn(void *arg, const Error *failure)
{
        Withdrawal *w = arg;
        Call *finishing = TAKE(w->finishing);
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_FAILED, "the guest goes on where it came from");
        withdrawal_settle(w, failure ? MIGRATE_FATE_UNKNOWN : MIGRATE_FATE_ABSENT, failure);
        if (finishing)
                call_fail(finishing, &err);
}

static void end_unrun(Withdrawal *w)
{
        w->finishing = TAKE(w->migration->finishing);
        migrate_drop(w->migration, on_withdrawn, w);
}

static void on_going_on(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_error("a guest that had begun to run here could not be resumed: %s", failure->text);
}

static void settle(Migration *m);

/* QEMU's answer comes behind the event that the guest runs, if it does. */
static void on_told_to_stop(void *arg, const Error *failure)
{
        Withdrawal *w = arg;
        Migration *m = w->migration;

        m->query = NULL;
        m->withdrawal = NULL;
        if (failure && !m->failed) {
                withdrawal_settle(w, MIGRATE_FATE_UNKNOWN, failure);
        } else if (m->resumed_us) {
                bool finishing = m->finishing;

                guest_resume(qemu_run(m->dom)->guest, on_going_on, NULL);
                withdrawal_settle(w, MIGRATE_FATE_RUNS, NULL);
                if (finishing) /* it came meanwhile */
                        migrate_go_on(m);
        } else {
                end_unrun(w);
        }
}

static void stop_and_see(Withdrawal *w)
{
        Migration *m = w->migration;

        m->withdrawal = w;
        m->query = qmp_stop(guest_qmp(qemu_run(m->dom)->guest), on_told_to_stop, w);
}

void migrate_withdraw_retire(Migration *m, const Error *why)
{
        Withdrawal *w = TAKE(m->withdrawal);

        if (w)
                withdrawal_settle(w, MIGRATE_FATE_UNKNOWN, why);
}

void migrate_withdraw(Migration *m, void (*done)(void *arg, MigrateFate fate, const Error *failure), void *arg)
{
        Withdrawal *w = mem_new(Withdrawal);
        AUTO(Error) busy = { 0 };

        err_set(&busy, ERR_RESOURCE_BUSY, "its migration is being finished");
        *w = (Withdrawal){ .migration = m, .done = done, .arg = arg };
        if (m->resumed_us)
                withdrawal_settle(w, MIGRATE_FATE_RUNS, NULL);
        else if (migrate_is_deciding(m) || m->postcopy)
                withdrawal_settle(w, MIGRATE_FATE_UNKNOWN, &busy); /* it is being finished or withdrawn already */
        else if (!m->runs_by_itself)
                end_unrun(w);
        else
                stop_and_see(w);
}

/* It had begun to run after all: nobody else will say that its migration is over. */
static void on_left_withdrawn(void *arg, MigrateFate fate, const Error *failure UNUSED)
{
        Migration *m = arg;

        if (fate == MIGRATE_FATE_RUNS && !m->finishing)
                settle(m);
}

/* Who prepared it left. A guest whose memory is here is kept: it may be the only one. */
void migrate_on_preparer_left(void *arg)
{
        Migration *m = arg;

        m->client = NULL;
        if (m->finishing)
                return; /* finish goes on without its client */
        if (migrate_is_torn(m))
                return; /* it is settled when all of it is here */
        if (m->resumed_us) {
                log_info("guest '%s' has arrived and runs; nobody finished its migration", m->dom->name);
                settle(m);
                return;
        }
        if (m->arrived) {
                log_warning(
                        "guest '%s' has arrived, but nobody finished its migration; it waits for its source to say what is "
                        "to become of it. If that host is gone for good: virsh resume here",
                        m->dom->name);
                return;
        }
        log_info("guest '%s': who prepared its migration left; it is given up", m->dom->name);
        migrate_withdraw(m, on_left_withdrawn, m);
}

/* --- finish --- */

/* What was sent, by the account of who sent it; how long it took, by our clock. */
static void take_figures(Migration *m, const MigrateCookie *cookie)
{
        MigrateStats own = m->stats;

        m->stopped_us = cookie->stopped_us;
        if (!cookie->has_stats)
                return;
        m->stats = cookie->stats;
        m->stats.operation = own.operation;
        m->stats.type = own.type;
        m->stats.error = own.error;
        m->stats.began_ms = own.began_ms;
}

/*
 * What the source learned while the memory moved: addresses of interfaces, and the figures. A cookie that says nothing useful
 * stops no guest.
 */
static void take_last_words(Migration *m, const uint8_t *data, uint32_t n)
{
        AUTO(MigrateCookie) cookie = { 0 };

        if (!n || migrate_cookie_parse(data, n, &cookie, NULL) < 0 || !uuid_eq(&cookie.uuid, &m->dom->uuid))
                return;
        if (m->nonce && !(cookie.nonce && str_eq(cookie.nonce, m->nonce)))
                return;
        if (m->nonce)
                nw_learned_take(m->dom, &cookie.learned);
        take_figures(m, &cookie);
}

/* From the clocks of both hosts, where they agree that it lies within the move; else it is not told here. */
static void take_pause(Migration *m)
{
        int64_t pause_us = m->resumed_us - m->stopped_us;

        if (m->resumed_us <= MIGRATE_RESUMED_SOMETIME || !m->stopped_us || pause_us < 0 ||
            (uint64_t)pause_us / 1000 > m->stats.ended_ms - m->stats.began_ms)
                return;
        m->stats.downtime_ms = (uint64_t)pause_us / 1000;
        m->stats.has_downtime = true;
}

/* Nobody to answer where the client left before finish. */
static void answer_finish(Migration *m)
{
        Call *call = TAKE(m->finishing);
        Take *take = TAKE(m->take);
        Domain *dom = m->dom;
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Buf) text = { 0 };

        migrate_own_cookie(dom, m->nonce, &cookie);
        cookie.resumed_us = m->resumed_us;
        migrate_cookie_format(&cookie, &text);
        if (call)
                call_reply(call, &(WireDomainMigrateFinish3ParamsRet){ .dom = call_wire_domain(dom),
                                                                       .n_cookie_out = (uint32_t)text.len,
                                                                       .cookie_out = (const uint8_t *)text.data });
        if (!m->told_started && !m->resumed_us) { /* it has arrived paused */
                migrate_tell_started(m);
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
        }
        m->stats.type = VIR_DOMAIN_JOB_COMPLETED;
        m->stats.ended_ms = loop_now_ms(dom->driver->daemon->loop);
        take_pause(m);
        domain_keep_stats(dom, &m->stats);
        migration_free(m);
        qemu_status_save(dom);
        migrate_taken(take, NULL);
}

/* The guest runs (or stands ready) here; a definition that could not be written does not change that. */
static void on_defined(void *arg, const Error *failure)
{
        Migration *m = arg;
        Domain *dom = m->dom;

        if (failure) {
                log_error("guest '%s' arrived, but could not be made persistent: %s", dom->name, failure->text);
        } else {
                dom->persistent = true;
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_ADDED);
        }
        answer_finish(m);
}

static int make_persistent(Migration *m, Error *err)
{
        Domain *dom = m->dom;
        AUTO(DomainDef) *config = NULL;

        if (m->params.persist_xml) {
                config = define_parse(dom->driver, m->params.persist_xml, false, true, err);
                if (!config)
                        return -1;
                config->name = arena_dup(domain_def_arena(config), dom->name);
        } else {
                AUTO(Buf) xml = { 0 };

                if (domain_def_format(dom->live, DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, &xml) < 0 ||
                    domain_def_parse(buf_text(&xml), xml.len, DEF_PARSE_INACTIVE, &config, NULL, err) < 0)
                        return -1;
        }
        domain_set_config(dom, domain_def_ref(config));
        dom->driver->ops->save_config(dom, config, on_defined, m);
        return 0;
}

static void settle(Migration *m)
{
        AUTO(Error) err = { 0 };

        if (!(m->flags & VIR_MIGRATE_PERSIST_DEST)) {
                answer_finish(m);
                return;
        }
        if (make_persistent(m, &err) < 0)
                on_defined(m, &err);
}

static void on_running(void *arg, const Error *failure)
{
        Migration *m = arg;

        m->query = NULL;
        if (!failure) {
                settle(m);
                return;
        }
        if (m->take) { /* it may be the last copy: it waits as before */
                qemu_run(m->dom)->unrun = true;
                qemu_status_save(m->dom);
                migrate_taken(TAKE(m->take), failure);
                return;
        }
        migrate_drop_failing(m, TAKE(m->finishing), failure);
}

static void on_unexported(void *arg, const Error *failure)
{
        Migration *m = arg;

        if (failure)
                log_warning("guest '%s': %s", m->dom->name, failure->text);
        if (m->flags & VIR_MIGRATE_PAUSED)
                settle(m);
        else
                guest_resume(qemu_run(m->dom)->guest, on_running, m);
}

struct Intent {
        Migration *migration; /* NULL: it is over */
};

void migrate_forget_intent(Migration *m)
{
        if (m->intent)
                m->intent->migration = NULL;
        m->intent = NULL;
}

static void on_noted(void *arg, const Error *failure)
{
        Intent *intent = arg;
        Migration *m = intent->migration;

        free(intent);
        if (!m)
                return;
        m->intent = NULL;
        if (!failure) {
                migrate_go_on(m);
                return;
        }
        qemu_run(m->dom)->unrun = true;
        on_running(m, failure);
}

/* That the guest may run here is written before it does: from then on nothing that becomes of it is a denial. */
static void note_intent(Migration *m)
{
        m->intent = mem_new(Intent);
        m->intent->migration = m;
        qemu_run(m->dom)->unrun = false;
        qemu_status_save_then(m->dom, on_noted, m->intent);
}

/*
 * QEMU tells that it runs before it tells that all has arrived. One that does not then was stopped at its source, by
 * --timeout or by a person, and QEMU keeps it so (MIG-53).
 */
static void resume(Migration *m)
{
        m->runs_by_itself = false;
        guest_resume(qemu_run(m->dom)->guest, on_running, m);
}

/* All memory is here. */
void migrate_go_on(Migration *m)
{
        if (qemu_run(m->dom)->unrun) {
                note_intent(m);
                return;
        }
        if (m->flags & MIGRATE_COPIES_DISKS)
                disks_unexport(m, on_unexported, m);
        else if (m->flags & VIR_MIGRATE_PAUSED)
                settle(m);
        else if (m->resumed_us)
                settle(m);
        else if (!m->runs_by_itself || m->arrived)
                resume(m);
        /* else: RESUME comes by itself */
}

void migrate_settle_arrived(Migration *m)
{
        log_info("guest '%s' has arrived completely", m->dom->name);
        settle(m);
}

/* finish cannot say that all is well; the guest runs on. */
static void fail_finishing(Migration *m)
{
        Call *call = TAKE(m->finishing);
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_FAILED,
                "guest '%s' runs here, but the connection to its source broke in post-copy", m->dom->name);
        if (call)
                call_fail(call, &err);
}

void migrate_settle_unattended(Migration *m)
{
        if (m->arrived && m->resumed_us && !m->client && !m->finishing && !m->withdrawal && !m->take)
                migrate_settle_arrived(m);
}

void migrate_tell_started(Migration *m)
{
        if (m->side != MIGRATE_IN || m->told_started)
                return;
        m->told_started = true;
        event_domain_lifecycle(m->dom, VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_MIGRATED);
}

void migrate_incoming_event(Migration *m, const QmpEvent *event, int64_t at_us)
{
        if (event->type == QMP_EVENT_RESUME && !m->resumed_us) {
                m->resumed_us = at_us;
                migrate_tell_started(m);
                if (m->finishing && m->runs_by_itself && m->arrived && !m->withdrawal)
                        settle(m);
                else
                        migrate_settle_unattended(m);
                return;
        }
        if (event->type != QMP_EVENT_MIGRATION)
                return;
        migrate_postcopy_status(m, event->migration.status);
        migrate_relisten_on_event(m, event->migration.status);
        if (str_eq(event->migration.status, "completed")) {
                m->arrived = true;
                if (m->finishing && !m->withdrawal)
                        migrate_go_on(m);
                else
                        migrate_settle_unattended(m);
        } else if (str_eq(event->migration.status, "postcopy-paused")) {
                fail_finishing(m);
        } else if (str_eq(event->migration.status, "failed") && !m->resumed_us) {
                m->failed = true;
                /* what waits for QEMU ends it, or the end of QEMU does, which follows */
                if (!m->query) {
                        AUTO(Error) err = { 0 };

                        err_set(&err, ERR_OPERATION_FAILED, "the guest's memory did not arrive completely");
                        migrate_drop_failing(m, TAKE(m->finishing), &err);
                }
        }
}

/*
 * Any other code than this would hide from the user of a stock client why the move failed; where QEMU here is the reason, that
 * is to be seen (MIG-25).
 */
static int say_absent(QemuDriver *qemu, const char *name, Error *err)
{
        AUTOFREE char *reason = migrate_take_reason(qemu, name);

        if (reason)
                return err_set(err, ERR_OPERATION_FAILED, "%s", reason);
        return err_set(err, ERR_MIGRATE_FINISH_OK, "guest '%s' does not run here", name);
}

void migrate_say_absent(Call *call, const char *name, const Error *failure)
{
        AUTO(Error) err = { 0 };

        if (failure)
                err_set(&err, ERR_OPERATION_FAILED, "guest '%s' is to be ended here, but: %s", name, failure->text);
        else
                say_absent(qemu_driver(call_driver(call)), name, &err);
        call_fail(call, &err);
}

/* The answer to a finish that was cancelled: an error either way, which says where the guest is. */
static void on_cancelled(void *arg, MigrateFate fate, const Error *failure)
{
        Call *call = arg;
        const char *name = call_domain(call)->name;
        AUTO(Error) err = { 0 };

        if (fate == MIGRATE_FATE_ABSENT)
                say_absent(qemu_driver(call_driver(call)), name, &err);
        else if (fate == MIGRATE_FATE_RUNS)
                err_set(&err, ERR_OPERATION_INVALID, "guest '%s' had arrived and runs here", name);
        else
                err_set(&err, ERR_OPERATION_FAILED, "it is not known whether guest '%s' ran here: %s", name,
                        failure->text);
        call_fail(call, &err);
}

static int finish(Call *call, const char *name, const uint8_t *cookie, uint32_t n_cookie, bool cancelled, Error *err)
{
        Domain *dom = domain_list_find_name(call_driver(call)->domains, name);
        QemuRun *run = dom ? qemu_run(dom) : NULL;
        Migration *m = run ? run->migration : NULL;

        if (cancelled && (!dom || !domain_is_active(dom)))
                return say_absent(qemu_driver(call_driver(call)), name, err);
        if (!dom)
                return err_set(err, ERR_NO_DOMAIN, "no domain with matching name '%s'", name);
        if (!m || m->side != MIGRATE_IN) {
                if (!cancelled && dom->persistent && !domain_is_active(dom)) {
                        /* an offline move was complete with its prepare */
                        call_reply(call, &(WireDomainMigrateFinish3ParamsRet){ .dom = call_wire_domain(dom) });
                        return 0;
                }
                if (cancelled && migrate_drop_is_asked(dom, call))
                        return 0;
                return err_set(err, ERR_OPERATION_INVALID, "no migration of guest '%s' waits to be finished", name);
        }
        if (m->finishing || m->take)
                return err_set(err, ERR_OPERATION_INVALID, "the migration of guest '%s' is being finished", name);
        call_use_domain(call, dom);
        if (cancelled) {
                /* rule 5: a client may be wrong; our source asks by itself when it wants the guest back */
                if (m->arrived && !m->resumed_us && m->nonce) {
                        if (m->client) /* it has said its last word */
                                server_client_forget(m->client, m);
                        m->client = NULL;
                        return err_set(
                                err, ERR_OPERATION_FAILED,
                                "guest '%s' has arrived here; it waits paused for its source to say whether it goes "
                                "on there",
                                name);
                }
                migrate_withdraw(m, on_cancelled, call);
                return 0;
        }
        take_last_words(m, cookie, n_cookie);
        m->finishing = call;
        if (m->broken)
                fail_finishing(m);
        else if ((m->arrived || (m->resumed_us && !m->postcopy)) && !m->withdrawal)
                migrate_go_on(m);
        return 0;
}

int handle_domain_migrate_finish3_params(Call *call, const WireDomainMigrateFinish3ParamsArgs *args, Error *err)
{
        MigrateParams params = { 0 };

        if (migrate_check_call(call, args->flags, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        if (!params.dest_name)
                return err_set(err, ERR_INVALID_ARG, "the name of the guest that moves is missing");
        return finish(call, params.dest_name, args->cookie_in, args->n_cookie_in, args->cancelled, err);
}

int handle_domain_migrate_finish3(Call *call, const WireDomainMigrateFinish3Args *args, Error *err)
{
        return finish(call, args->dname, args->cookie_in, args->n_cookie_in, args->cancelled, err);
}
