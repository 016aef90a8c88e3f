/*
 * daemon/migrate-dest.c - the destination side of a migration, up to the memory
 *
 * prepare starts a QEMU that waits for the memory; migrate-finish.c has how that
 * ends. A guest that is to run is started so that it does at the moment the last
 * of it has arrived, not a round trip of the client later. Whoever doubts asks:
 * see migrate-ask.c.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/def-store.h"
#include "daemon/define.h"
#include "daemon/handlers.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-disks.h"
#include "daemon/migrate-finish.h"
#include "daemon/migrate-limit.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-tunnel.h"
#include "daemon/qemu-hook.h"
#include "daemon/server-client.h"
#include "daemon/stream.h"

/* A prepare on its way: the call that waits, and the guest that is made ready. */
struct Preparing {
        Call *call;
        Migration *migration;
        Domain *dom;
        DomainDef *def; /* until QEMU is started with it */
        StartOptions options;
        Fd tunnel; /* the memory comes through it from the client's stream; -1: QEMU listens by itself */
};

static Preparing *preparing_new(Call *call, Domain *dom, Migration *m)
{
        Preparing *p = mem_new(Preparing);

        *p = (Preparing){ .call = call, .tunnel = -1, .dom = domain_ref(dom), .migration = m };
        vec_push(&qemu_driver(dom->driver)->preparing, p);
        return p;
}

static void preparing_free(Preparing *p)
{
        vec_remove_item(&qemu_driver(p->dom->driver)->preparing, p);
        fd_close(&p->tunnel);
        domain_def_unref(p->def);
        domain_unref(p->dom);
        free(p);
}

/* Its call is answered behind the undo: whoever hears that it failed finds nothing of it here. */
static void fail_prepare(Preparing *p, const Error *failure)
{
        Migration *m = p->migration;
        Domain *dom = p->dom;

        /* only what this migration started is stopped: the guest that was in its way goes on */
        if (m && p->options.incoming && qemu_run(dom)) {
                migrate_drop_failing(m, p->call, failure);
                preparing_free(p);
                return;
        }
        if (m && m->is_new && dom->listed && !dom->persistent && !domain_is_active(dom))
                domain_list_remove(dom->driver->domains, dom);
        migration_free(m);
        call_fail(p->call, failure);
        preparing_free(p);
}

void migrate_prepare_retire(Preparing *p, const Error *why)
{
        call_fail(p->call, why);
        migration_free(p->migration);
        preparing_free(p);
}

/* --- prepare --- */

/* What the client sends from now on goes to QEMU; the break of either is seen by the other. */
static int answer_tunnel(Preparing *p, const Buf *cookie, Error *err)
{
        if (!stream_new(p->call, fd_take(&p->tunnel), false, true, NULL, NULL, err))
                return -1;
        call_reply(p->call,
                   &(WireDomainMigratePrepareTunnel3ParamsRet){ .n_cookie_out = (uint32_t)cookie->len,
                                                                .cookie_out = (const uint8_t *)cookie->data });
        return 0;
}

static void answer_prepare(Preparing *p)
{
        Migration *m = p->migration;
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Buf) text = { 0 };
        AUTOFREE char *uri = migrate_uri_out(m);
        AUTO(Error) err = { 0 };

        migrate_own_cookie(m->dom, m->nonce, &cookie);
        cookie.ask = migrate_ask_address(m);
        cookie.nbd_port = m->nbd_port;
        migrate_cookie_format(&cookie, &text);
        if (m->client)
                server_client_forget(m->client, m);
        m->client = call_client_watch(p->call, migrate_on_preparer_left, m);
        if (!(m->flags & VIR_MIGRATE_TUNNELLED)) {
                call_reply(p->call, &(WireDomainMigratePrepare3ParamsRet){ .n_cookie_out = (uint32_t)text.len,
                                                                           .cookie_out = (const uint8_t *)text.data,
                                                                           .uri_out = uri });
        } else if (answer_tunnel(p, &text, &err) < 0) {
                fail_prepare(p, &err);
                return;
        }
        preparing_free(p);
}

/*
 * Copies of disks are let go of before the guest runs, and a guest that was paused for the move arrives paused: these
 * wait for finish. So does one that comes through a tunnel: it is not for the shortest pause, and a daemon between the
 * two QEMUs can die at any byte. And so does one of another daemon than drover, which may cancel at any moment.
 */
static bool waits_for_finish(const Migration *m)
{
        return m->flags & (VIR_MIGRATE_PAUSED | MIGRATE_COPIES_DISKS | VIR_MIGRATE_TUNNELLED) ||
               !(m->flags & VIR_MIGRATE_LIVE) || (!m->nonce && !(m->flags & VIR_MIGRATE_POSTCOPY));
}

static void on_listening(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Migration *m = p->migration;
        AUTO(Error) err = { 0 };

        m->query = NULL;
        if (!failure && !call_client(p->call)) {
                err_set(&err, ERR_OPERATION_ABORTED, "who prepared the migration has left");
                log_info("guest '%s': %s; it is given up", m->dom->name, err.text);
                failure = &err;
        }
        if (failure) {
                fail_prepare(p, failure);
                return;
        }
        m->runs_by_itself = !waits_for_finish(m);
        answer_prepare(p);
}

static const char *listen_address(const Migration *m)
{
        return m->params.listen_address ?: m->dom->driver->daemon->config->migration_address;
}

static void on_tunnel_passed(void *arg, const Error *failure)
{
        Preparing *p = arg;
        Migration *m = p->migration;

        m->query = NULL;
        if (failure) {
                fail_prepare(p, failure);
                return;
        }
        m->query = qmp_migrate_incoming(guest_qmp(qemu_run(m->dom)->guest),
                                        &(QmpMigrateIncoming){ .uri = "fd:migrate" }, on_listening, p);
}

/* QEMU gets one end of a socket, the client's stream will have the other. */
static void pass_tunnel(Preparing *p)
{
        Migration *m = p->migration;
        AUTO(Error) err = { 0 };
        AUTO(Fd) end = -1;

        if (tunnel_pair(&end, &p->tunnel, &err) < 0) {
                fail_prepare(p, &err);
                return;
        }
        m->query = qmp_getfd(guest_qmp(qemu_run(m->dom)->guest), &(QmpGetfd){ .fdname = "migrate" }, end,
                             on_tunnel_passed, p);
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
        if (m->flags & VIR_MIGRATE_TUNNELLED) {
                pass_tunnel(p);
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
                fail_prepare(p, failure);
                return;
        }
        qemu_run(m->dom)->migration = m;
        nw_learned_take(m->dom, &m->learned);
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
        if (domain_must_be_listed(m->dom, &err) < 0 || domain_must_be_inactive(m->dom, &err) < 0 ||
            migrate_ports_take(m, &err) < 0) {
                fail_prepare(p, &err);
                return;
        }
        /* its port is on disk before QEMU is noted there: a daemon that comes back can be asked where its cookie says */
        migrate_ask_listen(m->dom->driver);
        p->options.incoming = true;
        p->options.paused = true;
        p->options.runs_when_arrived = !waits_for_finish(m);
        p->options.postcopy = m->flags & VIR_MIGRATE_POSTCOPY;
        p->options.nonce = m->nonce;
        p->options.coming_flags = m->flags;
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
        if (params->dest_name && def_store_check_name("guest", params->dest_name, err) < 0)
                return NULL;
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
        preparing_free(p);
}

static int define_offline(Call *call, Domain *dom, const void *args UNUSED, Error *err UNUSED)
{
        AUTO(DomainDef) *def = call_take_def(call);

        dom->driver->ops->save_config(dom, def, on_offline_defined, preparing_new(call, dom, NULL));
        return 0;
}

/* Only the definition moves (MIG-36). Nobody starts the guest before it is kept. */
static int prepare_offline(Call *call, Driver *driver, DomainDef *def, Domain *dom, Error *err)
{
        AUTO(DomainDef) *own = def;

        if (dom)
                return err_set(err, ERR_OPERATION_FAILED, "domain '%s' is already defined here", def->name);
        dom = define_add(driver, def);
        domain_set_config(dom, domain_def_ref(own));
        call_keep_def(call, TAKE(own));
        call_use_domain(call, dom);
        return call_run_job(call, dom, JOB_MODIFY, define_offline);
}

static void on_listens_again(void *arg, const Error *failure)
{
        Preparing *p = arg;

        if (!failure) {
                answer_prepare(p);
                return;
        }
        call_fail(p->call, failure);
        preparing_free(p);
}

/* The guest runs here and its source wants to send the rest of it over a new connection. */
static int prepare_again(Call *call, Domain *dom, const MigrateCookie *from, uint32_t flags, Error *err)
{
        QemuRun *run = dom ? qemu_run(dom) : NULL;
        Migration *m = run ? run->migration : NULL;
        Preparing *p;

        if (!m || m->side != MIGRATE_IN || !migrate_is_torn(m) || !m->nonce || !from->nonce ||
            !str_eq(m->nonce, from->nonce))
                return err_set(err, ERR_OPERATION_INVALID, "there is no guest here whose post-copy migration broke");
        if (m->query || m->relisten || m->finishing)
                return err_set(err, ERR_RESOURCE_BUSY, "the migration of guest '%s' is being resumed", dom->name);
        m->flags |= flags & VIR_MIGRATE_PERSIST_DEST;
        p = preparing_new(call, dom, m);
        call_use_domain(call, dom);
        migrate_listen_again(m, on_listens_again, p);
        return 0;
}

static int check_procedure(const Call *call, uint32_t flags, Error *err)
{
        bool tunnelled = flags & VIR_MIGRATE_TUNNELLED;

        if (tunnelled != (call_proc(call)->stream == WIRE_STREAM_WRITE))
                return err_set(err, ERR_INTERNAL, "a %s migration is not prepared by %s",
                               tunnelled ? "tunnelled" : "direct", call_proc(call)->name);
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

        if (check_procedure(call, flags, err) < 0 || migrate_check_flags(flags, params, err) < 0 ||
            !(def = incoming_def(driver, params, err)) ||
            check_cookie(driver, cookie, n_cookie, def, &from, err) < 0 || define_find(driver, def, &dom, err) < 0)
                return -1;
        if (flags & VIR_MIGRATE_OFFLINE)
                return prepare_offline(call, driver, TAKE(def), dom, err);
        if (flags & VIR_MIGRATE_POSTCOPY_RESUME)
                return prepare_again(call, dom, &from, flags, err);
        if ((dom && domain_must_be_inactive(dom, err) < 0) ||
            migrate_check_destination(driver, def, flags, &from, err) < 0)
                return -1;
        if (migrate_limit_check(call_daemon(call)->config, qemu_driver(call_driver(call))->n_migrations, err) < 0)
                return -1;
        is_new = !dom;
        if (is_new) {
                dom = define_add(driver, def);
                domain_set_live(dom, domain_def_ref(def));
        }
        p = preparing_new(call, dom, migration_new(dom, MIGRATE_IN, flags, params));
        p->def = TAKE(def);
        p->migration->is_new = is_new;
        p->migration->nonce = str_dup(from.nonce);
        p->migration->source_name = str_dup(from.hostname);
        p->migration->learned = from.learned;
        from.learned = (NwLearnedList){ 0 };
        call_use_domain(call, dom);
        job_claim(dom->jobs, JOB_MIGRATION_IN, dom->name, &p->migration->claim, on_claimed, p);
        return 0;
}

/* A prepare that waits for the administrator's script. What it was called with lives as long as the call. */
typedef struct Asking {
        Call *call;
        Hook *hook;
        MigrateParams params;
        const uint8_t *cookie;
        uint32_t n_cookie, flags;
} Asking;

static void on_asked(void *arg, const char *said, const Error *failure)
{
        Asking *a = arg;
        Call *call = a->call;
        AUTO(Error) err = { 0 };

        if (failure)
                err_copy(&err, failure);
        else if (*said)
                a->params.dest_xml = arena_dup(call_arena(call), said);
        hook_free(a->hook);
        if (!failure)
                prepare(call, &a->params, a->cookie, a->n_cookie, a->flags, &err);
        free(a);
        if (err_is_set(&err))
                call_fail(call, &err);
}

/* The script may change the definition to what fits here, or refuse it (MIG-29). */
static int ask_and_prepare(Call *call, const MigrateParams *params, const uint8_t *cookie, uint32_t n_cookie,
                           uint32_t flags, Error *err)
{
        const QemuDriver *qemu = call_driver(call)->ops == &driver_qemu_ops ? qemu_driver(call_driver(call)) : NULL;
        AUTO(DomainDef) *def = NULL;
        AUTO(Buf) xml = { 0 };
        Asking *a;

        if (!qemu || !qemu->hook || flags & VIR_MIGRATE_POSTCOPY_RESUME)
                return prepare(call, params, cookie, n_cookie, flags, err);
        def = incoming_def(call_driver(call), params, err);
        if (!def)
                return -1;
        buf_put_text(&xml, params->dest_xml);
        a = mem_new(Asking);
        *a = (Asking){ .call = call, .params = *params, .cookie = cookie, .n_cookie = n_cookie, .flags = flags };
        a->hook = hook_new(qemu, def->name, "migrate", "begin", &xml, on_asked, a, err);
        if (a->hook)
                return 0;
        free(a);
        return -1;
}

int handle_domain_migrate_prepare3_params(Call *call, const WireDomainMigratePrepare3ParamsArgs *args, Error *err)
{
        MigrateParams params = { 0 };

        if (migrate_check_call(call, args->flags, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        return ask_and_prepare(call, &params, args->cookie_in, args->n_cookie_in, args->flags, err);
}

int handle_domain_migrate_prepare3(Call *call, const WireDomainMigratePrepare3Args *args, Error *err)
{
        MigrateParams params = { .migrate_uri = args->uri_in,
                                 .dest_name = args->dname,
                                 .dest_xml = args->dom_xml,
                                 .bandwidth_mib = args->resource };

        if (migrate_check_call(call, (uint32_t)args->flags, err) < 0)
                return -1;
        return ask_and_prepare(call, &params, args->cookie_in, args->n_cookie_in, (uint32_t)args->flags, err);
}

int handle_domain_migrate_prepare_tunnel3_params(Call *call, const WireDomainMigratePrepareTunnel3ParamsArgs *args,
                                                 Error *err)
{
        MigrateParams params = { 0 };

        if (migrate_check_call(call, args->flags, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        return ask_and_prepare(call, &params, args->cookie_in, args->n_cookie_in, args->flags, err);
}

int handle_domain_migrate_prepare_tunnel3(Call *call, const WireDomainMigratePrepareTunnel3Args *args, Error *err)
{
        MigrateParams params = { .dest_name = args->dname,
                                 .dest_xml = args->dom_xml,
                                 .bandwidth_mib = args->resource };

        if (migrate_check_call(call, (uint32_t)args->flags, err) < 0)
                return -1;
        return ask_and_prepare(call, &params, args->cookie_in, args->n_cookie_in, (uint32_t)args->flags, err);
}
