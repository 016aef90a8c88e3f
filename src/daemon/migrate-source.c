/*
 * daemon/migrate-source.c - begin and perform: the source side of a migration that the client drives
 *
 * begin takes the guest's slot and gives it back with confirm, or when the
 * client that began it leaves before perform. perform moves the memory. How it
 * ends is in migrate-confirm.c.
 */
#include "daemon/migrate-source.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-limit.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-transfer.h"
#include "daemon/server-client.h"

static Migration *migration_of(const Domain *dom)
{
        QemuRun *run = qemu_run(dom);

        return run ? run->migration : NULL;
}

/* --- begin --- */

/* The client that began it left: before perform nothing has happened yet, after it the peer knows. */
static void on_client_left(void *arg)
{
        Migration *m = arg;

        m->client = NULL;
        if (m->asking || (m->transfer && !m->stats.ended_ms))
                return; /* what goes on comes to its end first */
        if (migrate_is_torn(m))
                return; /* somebody will connect the two hosts again */
        if (m->completed || m->committed) {
                migrate_settle_alone(m);
                return;
        }
        log_info("guest '%s': the client that began a migration left; it is given up", m->dom->name);
        migration_free(m);
}

static void watch_client(Migration *m, Call *call)
{
        if (m->client)
                server_client_forget(m->client, m);
        m->client = call_client_watch(call, on_client_left, m);
}

int migrate_begin_xml(Domain *dom, uint32_t flags, const MigrateParams *params, Buf *ret, Error *err)
{
        const DomainDef *def = flags & VIR_MIGRATE_OFFLINE ? dom->config : domain_def(dom);
        unsigned format = DEF_FORMAT_SECURE | DEF_FORMAT_MIGRATABLE;
        AUTO(DomainDef) *given = NULL;

        if (params->dest_xml) {
                if (domain_def_parse(params->dest_xml, strlen(params->dest_xml), DEF_PARSE_INACTIVE, &given, NULL,
                                     err) < 0 ||
                    domain_def_check_abi(def, given, err) < 0)
                        return -1;
                def = given;
        }
        if (domain_def_format(def, format | (flags & VIR_MIGRATE_OFFLINE ? DEF_FORMAT_INACTIVE : 0), ret) < 0)
                return err_set(err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", dom->name);
        return 0;
}

/* What begin answers, in either of its forms. */
static int answer_begin(Call *call, Domain *dom, uint32_t flags, const MigrateParams *params, const char *nonce,
                        Error *err)
{
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Buf) cookie_text = { 0 };
        AUTO(Buf) xml = { 0 };

        if (migrate_begin_xml(dom, flags, params, &xml, err) < 0)
                return -1;
        migrate_own_cookie(dom, nonce, &cookie);
        migrate_tell_disks(domain_def(dom), flags, params, &cookie);
        migrate_tell_cpu(dom, &cookie);
        nw_learned_list(dom, &cookie.learned);
        migrate_cookie_format(&cookie, &cookie_text);
        call_reply(call, &(WireDomainMigrateBegin3ParamsRet){ .n_cookie_out = (uint32_t)cookie_text.len,
                                                              .cookie_out = (const uint8_t *)cookie_text.data,
                                                              .xml = buf_text(&xml) });
        return 0;
}

static void on_begin_claimed(void *arg, const Error *refused)
{
        Migration *m = arg;
        Call *call = TAKE(m->waiting);
        AUTO(Error) err = { 0 };

        if (refused) {
                call_fail(call, refused);
                migration_free(m);
                return;
        }
        m->was_running = m->dom->state == VIR_DOMAIN_RUNNING;
        watch_client(m, call);
        if (!m->client)
                err_set(&err, ERR_OPERATION_ABORTED, "the client has left");
        else if (answer_begin(call, m->dom, m->flags, &m->params, m->nonce, &err) == 0)
                return;
        call_fail(call, &err);
        migration_free(m);
}

/* The broken migration goes on: it keeps its slot and its nonce. */
static int begin_again(Call *call, Domain *dom, uint32_t flags, const MigrateParams *params, Error *err)
{
        Migration *m = migrate_find_broken(dom, MIGRATE_OUT, err);

        if (!m)
                return -1;
        watch_client(m, call);
        m->params.bandwidth_postcopy_mib = params->bandwidth_postcopy_mib;
        return answer_begin(call, dom, flags, params, m->nonce, err);
}

static int begin(Call *call, const WireDomain *wire, uint32_t flags, const MigrateParams *params, Error *err)
{
        Domain *dom = call_find_domain(call, wire, err);
        Migration *m;

        if (!dom || migrate_check_flags(flags, params, err) < 0 || migrate_check_source(dom, flags, params, err) < 0)
                return -1;
        if (flags & VIR_MIGRATE_OFFLINE) {
                AUTOFREE char *nonce = migrate_new_nonce();

                return answer_begin(call, dom, flags, params, nonce, err);
        }
        if (flags & VIR_MIGRATE_POSTCOPY_RESUME)
                return begin_again(call, dom, flags, params, err);
        if (migration_of(dom))
                return err_set(err, ERR_OPERATION_INVALID, "guest '%s' is busy with a migration already", dom->name);
        if (migrate_limit_check(call_daemon(call)->config, qemu_driver(call_driver(call))->n_migrations, err) < 0)
                return -1;
        m = migration_new(dom, MIGRATE_OUT, flags, params);
        m->waiting = call;
        m->nonce = migrate_new_nonce();
        job_claim(dom->jobs, JOB_MIGRATION_OUT, dom->name, &m->claim, on_begin_claimed, m);
        return 0;
}

int handle_domain_migrate_begin3_params(Call *call, const WireDomainMigrateBegin3ParamsArgs *args, Error *err)
{
        MigrateParams params = { 0 };

        if (migrate_check_call(call, args->flags, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        return begin(call, &args->dom, args->flags, &params, err);
}

/* The older form: the same with fixed arguments. */
int handle_domain_migrate_begin3(Call *call, const WireDomainMigrateBegin3Args *args, Error *err)
{
        MigrateParams params = { .dest_xml = args->xmlin, .dest_name = args->dname, .bandwidth_mib = args->resource };

        if (migrate_check_call(call, (uint32_t)args->flags, err) < 0)
                return -1;
        return begin(call, &args->dom, (uint32_t)args->flags, &params, err);
}

/* --- perform --- */

static void answer_perform(Call *call, const Migration *m)
{
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Buf) text = { 0 };

        migrate_own_cookie(m->dom, m->nonce, &cookie);
        migrate_tell_figures(m, &cookie);
        nw_learned_list(m->dom, &cookie.learned); /* also what was learned since begin */
        migrate_cookie_format(&cookie, &text);
        call_reply(call, &(WireDomainMigratePerform3ParamsRet){ .n_cookie_out = (uint32_t)text.len,
                                                                .cookie_out = (const uint8_t *)text.data });
}

/* The transfer broke where it may have been complete: what the peer says is what happened. */
static void on_break_asked(void *arg, MigrateFate fate, const Error *failure)
{
        Migration *m = arg;
        Call *call = TAKE(m->waiting);
        AUTO(Error) err = { 0 };

        m->asking = false;
        if (fate == MIGRATE_FATE_RUNS) {
                answer_perform(call, m); /* it did arrive; finish and confirm follow */
                if (!m->client)
                        migrate_settle_alone(m);
        } else if (fate == MIGRATE_FATE_ABSENT) {
                err_set(&err, ERR_OPERATION_FAILED, "the migration broke at its end; the guest goes on here");
                migrate_stay(m);
                call_fail(call, &err);
        } else if (fate == MIGRATE_FATE_MOOT) {
                migrate_give(m);
                migration_free(m);
                call_fail(call, failure);
        } else {
                migrate_stay_paused(m, failure, &err);
                call_fail(call, &err);
        }
}

static void on_transferred(void *arg, const Error *failure)
{
        Migration *m = arg;
        Call *call;

        if (failure && m->completed && guest_is_active(qemu_run(m->dom)->guest)) {
                m->asking = true;
                migrate_ask(m, on_break_asked, m);
                return;
        }
        call = TAKE(m->waiting);
        if (!failure) {
                answer_perform(call, m); /* what follows is confirm */
                if (!m->client)
                        migrate_settle_alone(m);
                return;
        }
        if (m->completed) /* its QEMU is gone */
                migrate_give(m);
        /* stock clients do not confirm a move that failed here: it is over now, unless the two hosts can be connected again */
        if (!m->committed || !guest_is_active(qemu_run(m->dom)->guest))
                migrate_stay(m);
        call_fail(call, failure);
}

/* The peer's cookie fits this guest and comes from another host. */
static int take_peer_cookie(Migration *m, const uint8_t *data, uint32_t n, MigrateCookie *ret, Error *err)
{
        if (migrate_cookie_parse(data, n, ret, err) < 0)
                return -1;
        if (!uuid_eq(&ret->uuid, &m->dom->uuid))
                return err_set(err, ERR_INTERNAL, "the migration cookie belongs to another guest");
        if (ret->nonce && !str_eq(ret->nonce, m->nonce))
                return err_set(err, ERR_INTERNAL, "the migration cookie belongs to another migration");
        str_replace(&m->ask, ret->ask);
        return 0;
}

static int perform(Call *call, const WireDomain *wire, uint32_t flags, const char *uri, const uint8_t *cookie,
                   uint32_t n_cookie, Error *err)
{
        Domain *dom = call_find_domain(call, wire, err);
        AUTO(MigrateCookie) peer = { 0 };
        AUTOFREE char *host = NULL;
        bool again = flags & VIR_MIGRATE_POSTCOPY_RESUME;
        Migration *m;
        int port;

        if (!dom || domain_must_be_active(dom, err) < 0)
                return -1;
        m = again ? migrate_find_broken(dom, MIGRATE_OUT, err) : migration_of(dom);
        if (again && !m)
                return -1;
        if (!m || m->side != MIGRATE_OUT || m->waiting || (m->transfer && !again))
                return err_set(err, ERR_OPERATION_INVALID, "no migration of guest '%s' waits to be performed",
                               dom->name);
        if (take_peer_cookie(m, cookie, n_cookie, &peer, err) < 0 || migrate_parse_uri(uri, &host, &port, err) < 0)
                return -1;
        if (!port)
                return err_set(err, ERR_INVALID_ARG, "'%s' has no port", uri);
        m->flags |= flags & (VIR_MIGRATE_LIVE | VIR_MIGRATE_POSTCOPY);
        m->waiting = call;
        if (again)
                transfer_resume(m, host, port, on_transferred, m);
        else
                transfer_start(m, host, port, peer.nbd_port, -1, on_transferred, m);
        return 0;
}

int handle_domain_migrate_perform3_params(Call *call, const WireDomainMigratePerform3ParamsArgs *args, Error *err)
{
        MigrateParams params = { 0 };

        if (migrate_check_call(call, args->flags, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        if (args->flags & VIR_MIGRATE_PEER2PEER)
                return migrate_p2p(call, &args->dom, args->dconnuri, args->flags, &params, err);
        return perform(call, &args->dom, args->flags, params.migrate_uri, args->cookie_in, args->n_cookie_in, err);
}

int handle_domain_migrate_perform3(Call *call, const WireDomainMigratePerform3Args *args, Error *err)
{
        MigrateParams params = { .migrate_uri = args->uri,
                                 .dest_xml = args->xmlin,
                                 .dest_name = args->dname,
                                 .bandwidth_mib = args->resource };

        if (migrate_check_call(call, (uint32_t)args->flags, err) < 0)
                return -1;
        if (args->flags & VIR_MIGRATE_PEER2PEER)
                return migrate_p2p(call, &args->dom, args->dconnuri, (uint32_t)args->flags, &params, err);
        return perform(call, &args->dom, (uint32_t)args->flags, args->uri, args->cookie_in, args->n_cookie_in, err);
}
