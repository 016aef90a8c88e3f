/*
 * daemon/migrate-prepare.c - prepare: what is asked of the destination of a migration
 *
 * The definition as it will run here, by the administrator's script if there is one; refused with all that is missing before
 * anything is touched. An offline move is over with it. migrate-dest.c makes the others ready.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/def-store.h"
#include "daemon/define.h"
#include "daemon/handlers.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-dest.h"
#include "daemon/migrate-limit.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"
#include "daemon/qemu-hook.h"
#include "daemon/qemu-images.h"

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
                preparing_fail(p, failure);
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

        dom->driver->ops->save_config(dom, def, on_offline_defined, preparing_new(call, dom, NULL, NULL));
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
                preparing_answer(p);
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
        p = preparing_new(call, dom, m, NULL);
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

/* A prepare that is refused, while its disks are looked at: what they lack is told with the rest. */
typedef struct Refusing {
        Call *call;
        ImageLook *look;
        Error why;
} Refusing;

static void on_disks_looked_at(void *arg, ImageUses *uses UNUSED, const Error *failure)
{
        Refusing *r = arg;
        AUTO(Error) all = { 0 };

        if (failure)
                err_set(&all, r->why.code, "%s; %s", r->why.text, failure->text);
        call_fail(r->call, failure ? &all : &r->why);
        image_look_free(r->look);
        err_done(&r->why);
        free(r);
}

/* Those that are copied need not be there yet. -1: err says all that can be known. */
static int refuse(Call *call, DomainDef *def, uint32_t flags, Error *err)
{
        Refusing *r;

        if (flags & MIGRATE_COPIES_DISKS)
                return -1;
        r = mem_new(Refusing);
        *r = (Refusing){ .call = call };
        r->look = image_look_new(qemu_driver(call_driver(call)), def, NULL, on_disks_looked_at, r, NULL);
        if (!r->look) {
                free(r);
                return -1;
        }
        image_look_forgive(r->look, true);
        err_move(&r->why, err);
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
        if (dom && domain_must_be_inactive(dom, err) < 0)
                return -1;
        if (migrate_check_destination(driver, def, flags, &from, err) < 0)
                return refuse(call, def, flags, err);
        if (migrate_limit_check(call_daemon(call)->config, qemu_driver(call_driver(call))->n_migrations, err) < 0)
                return -1;
        is_new = !dom;
        if (is_new) {
                dom = define_add(driver, def);
                domain_set_live(dom, domain_def_ref(def));
        }
        p = preparing_new(call, dom, migration_new(dom, MIGRATE_IN, flags, params), TAKE(def));
        p->migration->is_new = is_new;
        p->migration->nonce = str_dup(from.nonce);
        p->migration->source_name = str_dup(from.hostname);
        p->migration->learned = from.learned;
        from.learned = (NwLearnedList){ 0 };
        call_use_domain(call, dom);
        preparing_start(p);
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
