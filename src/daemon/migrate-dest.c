/*
 * daemon/migrate-dest.c - the destination side of a migration
 *
 * prepare starts a QEMU that waits for the memory; finish says that the guest
 * lives here now. A guest that is to run is told so before its memory comes, so
 * that it runs at the moment the last of it has arrived, not a round trip of the
 * client later. Whoever doubts asks: see migrate-ask.c.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/define.h"
#include "daemon/handlers.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-disks.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-source.h"
#include "daemon/server-client.h"

#include <limits.h>
#include <unistd.h>

/* A prepare on its way: the call that waits, and the guest that is made ready. */
typedef struct Preparing {
        Call *call;
        Migration *migration;
        Domain *dom;
        DomainDef *def; /* until QEMU is started with it */
        StartOptions options;
        bool tunnelled;
} Preparing;

/* --- giving up --- */

static void on_incoming_gone(void *arg, const Error *failure UNUSED)
{
        domain_unref(arg);
}

/* The guest never ran here: its QEMU goes, and so does a Domain that prepare made. */
static void drop_incoming(Migration *m)
{
        Domain *dom = domain_ref(m->dom);
        QemuRun *run = qemu_run(dom);

        migration_free(m);
        if (!run) {
                domain_unref(dom);
                return;
        }
        run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
        run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
        guest_stop(run->guest, GUEST_STOP_HARD, on_incoming_gone, dom);
}

/* A guest that must not run here is on its way out. */
typedef struct Withdrawal {
        Migration *migration;
        void (*done)(void *arg, MigrateFate fate, const Error *failure);
        void *arg;
} Withdrawal;

static void withdrawal_settle(Withdrawal *w, MigrateFate fate, const Error *failure)
{
        if (w->done)
                w->done(w->arg, fate, failure);
        free(w);
}

static void on_withdrawn(void *arg, const Error *failure)
{
        withdrawal_settle(arg, failure ? MIGRATE_FATE_UNKNOWN : MIGRATE_FATE_ABSENT, failure);
}

static void end_unrun(Withdrawal *w)
{
        QemuRun *run = qemu_run(w->migration->dom);

        migration_free(w->migration);
        run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
        run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
        guest_stop(run->guest, GUEST_STOP_HARD, on_withdrawn, w);
}

static void on_going_on(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_error("a guest that had begun to run here could not be resumed: %s", failure->text);
}

/* QEMU's answer comes behind the event that the guest runs, if it does. */
static void on_told_to_stop(void *arg, const Error *failure)
{
        Withdrawal *w = arg;
        Migration *m = w->migration;

        m->query = NULL;
        if (failure) {
                withdrawal_settle(w, MIGRATE_FATE_UNKNOWN, failure);
        } else if (m->resumed_us) {
                guest_resume(qemu_run(m->dom)->guest, on_going_on, NULL);
                withdrawal_settle(w, MIGRATE_FATE_RUNS, NULL);
        } else {
                end_unrun(w);
        }
}

void migrate_withdraw(Migration *m, void (*done)(void *arg, MigrateFate fate, const Error *failure), void *arg)
{
        Withdrawal *w = mem_new(Withdrawal);
        AUTO(Error) busy = { 0 };

        err_set(&busy, ERR_RESOURCE_BUSY, "its migration is being finished");
        *w = (Withdrawal){ .migration = m, .done = done, .arg = arg };
        if (m->resumed_us)
                withdrawal_settle(w, MIGRATE_FATE_RUNS, NULL);
        else if (m->query)
                withdrawal_settle(w, MIGRATE_FATE_UNKNOWN, &busy); /* it is being finished or withdrawn already */
        else if (!m->runs_by_itself)
                end_unrun(w);
        else
                m->query = qmp_stop(guest_qmp(qemu_run(m->dom)->guest), on_told_to_stop, w);
}

static void settle(Migration *m);

/* Who prepared it left. A guest whose memory is here is kept: it may be the only one. */
static void on_preparer_left(void *arg)
{
        Migration *m = arg;

        m->client = NULL;
        if (m->finishing)
                return; /* finish goes on without its client */
        if (m->resumed_us) {
                log_info("guest '%s' has arrived and runs; nobody finished its migration", m->dom->name);
                settle(m);
                return;
        }
        if (m->arrived) {
                log_warning(
                        "guest '%s' has arrived, but nobody finished its migration; it waits for the source to ask",
                        m->dom->name);
                return;
        }
        log_info("guest '%s': who prepared its migration left; it is given up", m->dom->name);
        migrate_withdraw(m, NULL, NULL);
}

static void fail_prepare(Preparing *p, const Error *failure)
{
        Migration *m = p->migration;

        call_fail(p->call, failure);
        /* only what this migration started is stopped: the guest that was in its way goes on */
        if (m && p->options.incoming && qemu_run(m->dom))
                drop_incoming(m);
        else
                migration_free(m);
        domain_def_unref(p->def);
        domain_unref(p->dom);
        free(p);
}

/* --- prepare --- */

static void answer_prepare(Preparing *p)
{
        Migration *m = p->migration;
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Buf) text = { 0 };
        AUTOFREE char *uri = migrate_uri_out(m);
        WireDomainMigratePrepare3ParamsRet ret = { 0 };

        migrate_own_cookie(m->dom, m->nonce, &cookie);
        cookie.ask = migrate_ask_address(m);
        cookie.nbd_port = m->nbd_port;
        migrate_cookie_format(&cookie, &text);
        ret.n_cookie_out = (uint32_t)text.len;
        ret.cookie_out = (const uint8_t *)text.data;
        ret.uri_out = uri;
        m->client = call_client_watch(p->call, on_preparer_left, m);
        call_reply(p->call, &ret);
        domain_unref(p->dom);
        free(p);
}

static void on_told_to_run(void *arg, const Error *failure)
{
        Preparing *p = arg;

        p->migration->query = NULL;
        if (failure)
                fail_prepare(p, failure);
        else
                answer_prepare(p);
}

static void on_listening(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Migration *m = p->migration;

        m->query = NULL;
        if (failure) {
                fail_prepare(p, failure);
                return;
        }
        /*
         * Copies of disks are let go of before the guest runs, and a guest that was paused for the move arrives
         * paused: these wait for finish.
         */
        if (m->flags & (VIR_MIGRATE_PAUSED | MIGRATE_COPIES_DISKS) || !(m->flags & VIR_MIGRATE_LIVE)) {
                answer_prepare(p);
                return;
        }
        m->runs_by_itself = true;
        m->query = qmp_cont(guest_qmp(qemu_run(m->dom)->guest), on_told_to_run, p);
}

static const char *listen_address(const Migration *m)
{
        return m->params.listen_address ?: m->dom->driver->daemon->config->migration_address;
}

static void on_exported(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Migration *m = p->migration;
        AUTOFREE char *uri = NULL;

        m->query = NULL;
        if (failure) {
                fail_prepare(p, failure);
                return;
        }
        uri = str_format(strchr(listen_address(m), ':') ? "tcp:[%s]:%d" : "tcp:%s:%d", listen_address(m), m->port);
        m->query = qmp_migrate_incoming(guest_qmp(qemu_run(m->dom)->guest), &(QmpMigrateIncoming){ .uri = uri },
                                        on_listening, p);
}

static void on_parameters_set(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Migration *m = p->migration;

        m->query = NULL;
        if (failure) {
                fail_prepare(p, failure);
                return;
        }
        if (m->flags & MIGRATE_COPIES_DISKS)
                disks_export(m, listen_address(m), m->nbd_port, on_exported, p);
        else
                on_exported(p, NULL);
}

static void on_capabilities_set(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Migration *m = p->migration;
        QmpMigrateSetParameters params;

        m->query = NULL;
        if (failure) {
                fail_prepare(p, failure);
                return;
        }
        migrate_parameters(m, &params);
        m->query = qmp_migrate_set_parameters(guest_qmp(qemu_run(m->dom)->guest), &params, on_parameters_set, p);
}

static void on_incoming_started(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Migration *m = p->migration;
        QmpMigrationCapability caps[MIGRATE_N_CAPABILITIES];
        size_t n;

        if (failure) {
                Domain *dom = m->dom;

                if (m->is_new && dom->listed && !domain_is_active(dom))
                        domain_list_remove(dom->driver->domains, dom);
                fail_prepare(p, failure);
                return;
        }
        qemu_run(m->dom)->migration = m;
        str_replace(&qemu_run(m->dom)->nonce, m->nonce);
        qemu_status_save(m->dom);
        n = migrate_capabilities(m, caps);
        m->query = qmp_migrate_set_capabilities(
                guest_qmp(qemu_run(m->dom)->guest),
                &(QmpMigrateSetCapabilities){ .capabilities = caps, .n_capabilities = n }, on_capabilities_set, p);
}

static void on_claimed(void *arg, const Error *refused)
{
        Preparing *p = arg;
        Migration *m = p->migration;
        AUTO(Error) err = { 0 };

        if (refused) {
                fail_prepare(p, refused);
                return;
        }
        if (domain_must_be_inactive(m->dom, &err) < 0 || migrate_ports_take(m, &err) < 0) {
                fail_prepare(p, &err);
                return;
        }
        p->options.incoming = true;
        p->options.paused = true;
        qemu_start(m->dom, TAKE(p->def), &p->options, on_incoming_started, p);
}

/* The definition as it will run here. */
static DomainDef *incoming_def(Driver *driver, const MigrateParams *params, Error *err)
{
        AUTO(DomainDef) *def = NULL;

        if (!params->dest_xml) {
                err_set(err, ERR_INVALID_ARG, "the definition of the guest that moves is missing");
                return NULL;
        }
        def = define_parse(driver, params->dest_xml, false, true, err);
        if (def && params->dest_name)
                def->name = arena_dup(domain_def_arena(def), params->dest_name);
        return TAKE(def);
}

static int check_cookie(Driver *driver, const uint8_t *data, uint32_t n, const DomainDef *def, MigrateCookie *ret,
                        Error *err)
{
        char text[UUID_TEXT_LEN + 1];

        if (migrate_cookie_parse(data, n, ret, err) < 0)
                return -1;
        if (!uuid_eq(&ret->uuid, &def->uuid))
                return err_set(err, ERR_INTERNAL, "the migration cookie belongs to another guest");
        if (uuid_eq(&ret->host_uuid, &driver->daemon->host_uuid))
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "guest '%s' cannot be migrated to the host it runs on (%s); give this host a host_uuid of "
                        "its own in droverd.conf if they are two",
                        def->name, uuid_format(&ret->host_uuid, text));
        return 0;
}

static void on_offline_defined(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Domain *dom = p->dom;
        AUTO(Buf) text = { 0 };
        AUTO(MigrateCookie) cookie = { 0 };
        AUTOFREE char *host = migrate_host_address(dom->driver->daemon->config);
        AUTOFREE char *uri = str_format("tcp:%s", host);
        WireDomainMigratePrepare3ParamsRet ret = { 0 };

        if (failure) {
                if (!dom->persistent && dom->listed)
                        domain_list_remove(dom->driver->domains, dom);
                fail_prepare(p, failure);
                return;
        }
        dom->persistent = true;
        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_ADDED);
        migrate_own_cookie(dom, NULL, &cookie);
        migrate_cookie_format(&cookie, &text);
        /* nobody connects to it, but stock clients take a missing address for a failed prepare */
        ret.uri_out = uri;
        ret.n_cookie_out = (uint32_t)text.len;
        ret.cookie_out = (const uint8_t *)text.data;
        call_reply(p->call, &ret);
        domain_unref(dom);
        free(p);
}

/* Only the definition moves (MIG-36). */
static int prepare_offline(Call *call, Driver *driver, DomainDef *def, Domain *dom, Error *err)
{
        AUTO(DomainDef) *own = def;
        Preparing *p;

        if (dom)
                return err_set(err, ERR_OPERATION_FAILED, "domain '%s' is already defined here", def->name);
        dom = define_add(driver, def);
        domain_set_config(dom, domain_def_ref(own));
        p = mem_new(Preparing);
        *p = (Preparing){ .call = call, .dom = domain_ref(dom) };
        driver->ops->save_config(dom, own, on_offline_defined, p);
        return 0;
}

static int prepare(Call *call, const MigrateParams *params, const uint8_t *cookie, uint32_t n_cookie, uint32_t flags,
                   Error *err)
{
        Driver *driver = call_driver(call);
        AUTO(DomainDef) *def = NULL;
        AUTO(MigrateCookie) from = { 0 };
        Domain *dom;
        Preparing *p;
        bool is_new;

        if (migrate_check_flags(flags, params, err) < 0 || !(def = incoming_def(driver, params, err)) ||
            check_cookie(driver, cookie, n_cookie, def, &from, err) < 0 || define_find(driver, def, &dom, err) < 0)
                return -1;
        if (flags & VIR_MIGRATE_OFFLINE)
                return prepare_offline(call, driver, TAKE(def), dom, err);
        if ((dom && domain_must_be_inactive(dom, err) < 0) ||
            migrate_check_destination(driver, def, flags, params, err) < 0)
                return -1;
        is_new = !dom;
        if (is_new) {
                dom = define_add(driver, def);
                domain_set_live(dom, domain_def_ref(def));
        }
        p = mem_new(Preparing);
        *p = (Preparing){ .call = call,
                          .dom = domain_ref(dom),
                          .migration = migration_new(dom, MIGRATE_IN, flags, params) };
        p->def = TAKE(def);
        p->migration->is_new = is_new;
        p->migration->nonce = str_dup(from.nonce);
        call_use_domain(call, dom);
        job_claim(dom->jobs, JOB_MIGRATION_IN, dom->name, &p->migration->claim, on_claimed, p);
        return 0;
}

int handle_domain_migrate_prepare3_params(Call *call, const WireDomainMigratePrepare3ParamsArgs *args, Error *err)
{
        MigrateParams params = { 0 };

        if (call_check_flags(call, args->flags, MIGRATE_FLAGS, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        return prepare(call, &params, args->cookie_in, args->n_cookie_in, args->flags, err);
}

int handle_domain_migrate_prepare3(Call *call, const WireDomainMigratePrepare3Args *args, Error *err)
{
        MigrateParams params = { .migrate_uri = args->uri_in,
                                 .dest_name = args->dname,
                                 .dest_xml = args->dom_xml,
                                 .bandwidth_mib = args->resource };

        if (call_check_flags(call, (uint32_t)args->flags, MIGRATE_FLAGS, err) < 0)
                return -1;
        return prepare(call, &params, args->cookie_in, args->n_cookie_in, (uint32_t)args->flags, err);
}

/* --- finish --- */

/* Nobody to answer where the client left before finish. */
static void answer_finish(Migration *m)
{
        Call *call = TAKE(m->finishing);
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
        m->stats.type = VIR_DOMAIN_JOB_COMPLETED;
        m->stats.ended_ms = loop_now_ms(dom->driver->daemon->loop);
        domain_keep_stats(dom, &m->stats);
        migration_free(m);
        qemu_status_save(dom);
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
        Call *call;

        m->query = NULL;
        if (!failure) {
                settle(m);
                return;
        }
        call = TAKE(m->finishing);
        call_fail(call, failure);
        drop_incoming(m);
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

/* All memory is here. */
static void go_on(Migration *m)
{
        if (m->flags & MIGRATE_COPIES_DISKS)
                disks_unexport(m, on_unexported, m);
        else if (m->flags & VIR_MIGRATE_PAUSED)
                settle(m);
        else if (m->resumed_us)
                settle(m);
        else if (!m->runs_by_itself)
                guest_resume(qemu_run(m->dom)->guest, on_running, m);
        /* else: RESUME comes by itself */
}

void migrate_incoming_event(Migration *m, const QmpEvent *event, int64_t at_us)
{
        if (event->type == QMP_EVENT_RESUME && !m->resumed_us) {
                m->resumed_us = at_us;
                event_domain_lifecycle(m->dom, VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_MIGRATED);
                if (m->finishing && m->runs_by_itself && m->arrived)
                        settle(m);
                return;
        }
        if (event->type != QMP_EVENT_MIGRATION)
                return;
        if (str_eq(event->migration.status, "completed")) {
                m->arrived = true;
                if (m->finishing)
                        go_on(m);
        } else if (str_eq(event->migration.status, "failed") && !m->resumed_us) {
                Call *call = TAKE(m->finishing);
                AUTO(Error) err = { 0 };

                err_set(&err, ERR_OPERATION_FAILED, "the guest's memory did not arrive completely");
                if (call)
                        call_fail(call, &err);
                drop_incoming(m);
        }
}

/* The answer to a finish that was cancelled: an error either way, which says where the guest is. */
static void on_cancelled(void *arg, MigrateFate fate, const Error *failure)
{
        Call *call = arg;
        const char *name = call_domain(call)->name;
        AUTO(Error) err = { 0 };

        if (fate == MIGRATE_FATE_ABSENT)
                err_set(&err, ERR_MIGRATE_FINISH_OK, "guest '%s' does not run here", name);
        else if (fate == MIGRATE_FATE_RUNS)
                err_set(&err, ERR_OPERATION_INVALID, "guest '%s' had arrived and runs here", name);
        else
                err_set(&err, ERR_OPERATION_FAILED, "it is not known whether guest '%s' ran here: %s", name,
                        failure->text);
        call_fail(call, &err);
}

static int finish(Call *call, const char *name, bool cancelled, Error *err)
{
        Domain *dom = domain_list_find_name(call_driver(call)->domains, name);
        QemuRun *run = dom ? qemu_run(dom) : NULL;
        Migration *m = run ? run->migration : NULL;

        if (!dom)
                return err_set(err, ERR_NO_DOMAIN, "no domain with matching name '%s'", name);
        if (!m || m->side != MIGRATE_IN) {
                if (!cancelled && dom->persistent && !domain_is_active(dom)) {
                        /* an offline move was complete with its prepare */
                        call_reply(call, &(WireDomainMigrateFinish3ParamsRet){ .dom = call_wire_domain(dom) });
                        return 0;
                }
                return err_set(err, ERR_OPERATION_INVALID, "no migration of guest '%s' waits to be finished", name);
        }
        if (m->finishing)
                return err_set(err, ERR_OPERATION_INVALID, "the migration of guest '%s' is being finished", name);
        call_use_domain(call, dom);
        if (cancelled) {
                migrate_withdraw(m, on_cancelled, call);
                return 0;
        }
        m->finishing = call;
        if (m->arrived || m->resumed_us)
                go_on(m);
        return 0;
}

int handle_domain_migrate_finish3_params(Call *call, const WireDomainMigrateFinish3ParamsArgs *args, Error *err)
{
        MigrateParams params = { 0 };

        if (call_check_flags(call, args->flags, MIGRATE_FLAGS, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        if (!params.dest_name)
                return err_set(err, ERR_INVALID_ARG, "the name of the guest that moves is missing");
        return finish(call, params.dest_name, args->cancelled, err);
}

int handle_domain_migrate_finish3(Call *call, const WireDomainMigrateFinish3Args *args, Error *err)
{
        return finish(call, args->dname, args->cancelled, err);
}
