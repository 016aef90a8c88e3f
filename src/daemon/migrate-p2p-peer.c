/*
 * daemon/migrate-p2p-peer.c - the destination of a move that the source drives, up to the memory
 *
 * We are a client of it: connected, asked whether it knows migration with parameters, told to make the guest ready. All of
 * that can be undone, and is when the connection ends while the memory is still on its way.
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-p2p-parts.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-transfer.h"

enum {
        PATIENCE_MS = 30 * 1000, /* where no keepalive says how long a peer may be silent */
        FEATURE_MIGRATION_PARAMS = 13,
};

uint32_t p2p_peer_flags(const PeerMove *p)
{
        uint32_t own = VIR_MIGRATE_CHANGE_PROTECTION | VIR_MIGRATE_UNDEFINE_SOURCE;

        /* a tunnel makes sense to it only from peer to peer */
        return p->flags & ~(p->flags & VIR_MIGRATE_TUNNELLED ? own : own | VIR_MIGRATE_PEER2PEER);
}

void p2p_drop_pending(PeerMove *p)
{
        if (p->pending)
                p->pending = client_call_free(p->pending);
}

/* --- connect --- */

static void on_opened(void *arg, const Error *failure)
{
        PeerMove *p = arg;
        AUTO(Error) err = { 0 };

        if (failure) {
                err_set(&err, ERR_OPERATION_FAILED, "cannot connect to the destination '%s': %s", p->uri,
                        failure->text);
                job_resume(p->job, &err);
                return;
        }
        job_resume(p->job, NULL);
}

/* How long a destination may be silent: as long as on a connection that is kept alive. */
uint64_t p2p_patience_ms(const PeerMove *p)
{
        const Config *config = p->dom->driver->daemon->config;

        if (config->keepalive_interval <= 0)
                return PATIENCE_MS;
        return (uint64_t)config->keepalive_interval * ((uint64_t)config->keepalive_count + 1) * 1000;
}

/* What the guest would be handed to is not there: it goes on here, while that is still ours to say. */
static void on_gone(void *arg)
{
        PeerMove *p = arg;
        Transfer *t = p->migration->transfer;
        AUTO(Error) why = { 0 };

        if (!t || transfer_is_over(t) || transfer_is_handing_over(t) || p->migration->committed)
                return; /* it is asked */
        err_set(&why, ERR_OPERATION_FAILED,
                "the connection to the destination ended, and for %llu ms nobody was there to take the guest over; it "
                "goes on here",
                (unsigned long long)p2p_patience_ms(p));
        log_warning("guest '%s': %s", p->dom->name, why.text);
        transfer_cancel(t, &why, NULL);
}

static void on_closed(void *arg, const Error *why)
{
        PeerMove *p = arg;

        log_warning("guest '%s': the connection to the destination ended: %s", p->dom->name, why->text);
        if (p->migration && p->migration->transfer && !p->gone)
                p->gone = timer_new(p->dom->driver->daemon->loop, p2p_patience_ms(p), on_gone, p);
}

StepResult p2p_connect(void *state, Job *job UNUSED, Error *err)
{
        static const ClientHooks hooks = { .opened = on_opened, .closed = on_closed };
        PeerMove *p = state;
        const Config *config = p->dom->driver->daemon->config;
        ClientOptions options = { .close_callback = true,
                                  .keepalive_interval_s = config->keepalive_interval,
                                  .keepalive_count = (unsigned)config->keepalive_count,
                                  .open_timeout_ms = P2P_CONNECT_S * 1000 };

        p->client = client_new(p->dom->driver->daemon->loop, p->uri, &options, &hooks, p, err);
        return p->client ? STEP_WAIT : STEP_FAILED;
}

StepResult p2p_hang_up(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        p2p_drop_pending(p);
        p->tunnel = tunnel_free(p->tunnel);
        p->client = client_free(p->client);
        return STEP_DONE;
}

static void on_feature(void *arg, ClientReply *reply)
{
        PeerMove *p = arg;
        const WireConnectSupportsFeatureRet *ret = reply->ret;
        AUTO(Error) err = { 0 };

        p->pending = NULL;
        if (reply->failure) {
                job_resume(p->job, reply->failure);
        } else if (!ret->supported) {
                err_set(&err, ERR_ARGUMENT_UNSUPPORTED, "the destination does not know migration with parameters");
                job_resume(p->job, &err);
        } else {
                job_resume(p->job, NULL);
        }
}

StepResult p2p_check_peer(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        p->pending = client_connect_supports_feature(
                p->client, &(WireConnectSupportsFeatureArgs){ .feature = FEATURE_MIGRATION_PARAMS }, on_feature, p);
        return STEP_WAIT;
}

/* --- prepare --- */

static void take_prepared(PeerMove *p, const uint8_t *cookie, uint32_t n_cookie)
{
        AUTO(Error) err = { 0 };

        p->prepared = true;
        if (migrate_cookie_parse(cookie, n_cookie, &p->peer, &err) < 0 ||
            (!uuid_eq(&p->peer.uuid, &p->dom->uuid) &&
             err_set(&err, ERR_INTERNAL, "the destination's cookie belongs to another guest") < 0)) {
                job_resume(p->job, &err);
                return;
        }
        if (p->migration)
                str_replace(&p->migration->ask, p->peer.ask);
        job_resume(p->job, NULL);
}

static void on_prepared(void *arg, ClientReply *reply)
{
        PeerMove *p = arg;
        const WireDomainMigratePrepare3ParamsRet *ret = reply->ret;

        p->pending = NULL;
        if (reply->failure) {
                job_resume(p->job, reply->failure);
                return;
        }
        p->uri_out = arena_dup(p->arena, ret->uri_out ?: p->params.migrate_uri);
        take_prepared(p, ret->cookie_out, ret->n_cookie_out);
}

static void on_tunnel_prepared(void *arg, ClientReply *reply)
{
        PeerMove *p = arg;
        const WireDomainMigratePrepareTunnel3ParamsRet *ret = reply->ret;

        if (reply->failure)
                job_resume(p->job, reply->failure);
        else
                take_prepared(p, ret->cookie_out, ret->n_cookie_out);
}

StepResult p2p_prepare_peer(void *state, Job *job UNUSED, Error *err)
{
        PeerMove *p = state;
        MigrateParams params = p->params;
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Params) list = { 0 };
        AUTO(Buf) xml = { 0 };

        if (migrate_begin_xml(p->dom, p->flags, &p->params, &xml, err) < 0)
                return STEP_FAILED;
        migrate_own_cookie(p->dom, p->nonce, &cookie);
        migrate_tell_disks(domain_def(p->dom), p->flags, &p->params, &cookie);
        migrate_tell_cpu(p->dom, &cookie);
        nw_learned_list(p->dom, &cookie.learned);
        migrate_cookie_format(&cookie, &p->cookie);
        params.dest_xml = buf_text(&xml);
        params.switchover_mib = 0; /* the source's own business, and older peers do not know it */
        migrate_params_write(&params, &list);
        if (p->flags & VIR_MIGRATE_TUNNELLED) {
                p->tunnel = tunnel_new(
                        p->client, p->migration,
                        &(WireDomainMigratePrepareTunnel3ParamsArgs){ .n_params = (uint32_t)list.list.len,
                                                                      .params = list.list.items,
                                                                      .n_cookie_in = (uint32_t)p->cookie.len,
                                                                      .cookie_in = (const uint8_t *)p->cookie.data,
                                                                      .flags = p2p_peer_flags(p) },
                        on_tunnel_prepared, p);
                return STEP_WAIT;
        }
        p->pending = client_domain_migrate_prepare3_params(
                p->client,
                &(WireDomainMigratePrepare3ParamsArgs){ .n_params = (uint32_t)list.list.len,
                                                        .params = list.list.items,
                                                        .n_cookie_in = (uint32_t)p->cookie.len,
                                                        .cookie_in = (const uint8_t *)p->cookie.data,
                                                        .flags = p2p_peer_flags(p) },
                on_prepared, p);
        return STEP_WAIT;
}

/* --- and given up again --- */

static void on_aborted(void *arg, ClientReply *reply)
{
        PeerMove *p = arg;

        /* an error is the usual answer here: there is no guest to speak of, perhaps for a reason */
        p->pending = NULL;
        if (reply->failure && reply->failure->code == ERR_OPERATION_FAILED)
                str_replace(&p->objection, reply->failure->text);
        job_resume(p->job, NULL);
}

StepResult p2p_abort_peer(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        p2p_drop_pending(p);
        p->tunnel = tunnel_free(p->tunnel);
        if (p->migration && migrate_is_torn(p->migration))
                return STEP_DONE; /* it runs there */
        if (!p->migration || !p->prepared || !p->client || !client_is_open(p->client))
                return STEP_DONE; /* the peer gives up when the connection ends */
        if (p->unknown || (p->migration->completed && !p2p_runs_here(p)))
                return STEP_DONE; /* what the peer has may be the last of the guest */
        p->pending = p2p_call_finish(p, true, on_aborted);
        return STEP_WAIT;
}
