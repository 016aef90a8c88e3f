/*
 * daemon/migrate-p2p.c - the source drives the whole move
 *
 * One call of the client; we are a client of the destination ourselves. Up to
 * the transfer every step can be undone. Once all memory was sent, a lost answer
 * of finish is asked for, over the connection's peer address, until it is known.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-limit.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-transfer.h"
#include "daemon/migrate-tunnel.h"
#include "wire/client-calls.h"
#include "wire/client.h"

enum {
        CONNECT_S = 60,
        CALL_S = 60,
        PATIENCE_MS = 30 * 1000, /* where no keepalive says how long a peer may be silent */
        FEATURE_MIGRATION_PARAMS = 13,
};

struct PeerMove {
        Migration *migration; /* NULL for a definition only */
        Domain *dom;
        Call *call;
        Job *job;
        Client *client;
        ClientCall *pending;
        Tunnel *tunnel; /* NULL: the two QEMUs connect */
        char *uri, *nonce;
        uint32_t flags;
        Arena *arena; /* of what the peer answers and of the parameters */
        MigrateParams params;
        MigrateCookie peer; /* of prepare */
        const char *uri_out;
        bool prepared;     /* there is something to give up on the other side */
        Buf cookie;        /* begin's */
        bool finished;     /* the peer has answered finish */
        bool unknown;      /* it has not, and cannot be asked, or does not answer that either */
        Timer *gone;       /* runs since the connection ended while the memory moves */
        uint64_t asked_ms; /* loop time of the first question; 0: none was asked */
        int64_t resumed_us;
};

/* What the peer is told: the source's own business is left out. */
static uint32_t peer_flags(const PeerMove *p)
{
        uint32_t own = VIR_MIGRATE_CHANGE_PROTECTION | VIR_MIGRATE_UNDEFINE_SOURCE;

        /* a tunnel makes sense to it only from peer to peer */
        return p->flags & ~(p->flags & VIR_MIGRATE_TUNNELLED ? own : own | VIR_MIGRATE_PEER2PEER);
}

static void drop_pending(PeerMove *p)
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
static uint64_t patience_ms(const PeerMove *p)
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
                (unsigned long long)patience_ms(p));
        log_warning("guest '%s': %s", p->dom->name, why.text);
        transfer_cancel(t, &why, NULL);
}

static void on_closed(void *arg, const Error *why)
{
        PeerMove *p = arg;

        log_warning("guest '%s': the connection to the destination ended: %s", p->dom->name, why->text);
        if (p->migration && p->migration->transfer && !p->gone)
                p->gone = timer_new(p->dom->driver->daemon->loop, patience_ms(p), on_gone, p);
}

static StepResult connect_peer(void *state, Job *job UNUSED, Error *err)
{
        static const ClientHooks hooks = { .opened = on_opened, .closed = on_closed };
        PeerMove *p = state;
        const Config *config = p->dom->driver->daemon->config;
        ClientOptions options = { .close_callback = true,
                                  .keepalive_interval_s = config->keepalive_interval,
                                  .keepalive_count = (unsigned)config->keepalive_count,
                                  .open_timeout_ms = CONNECT_S * 1000 };

        p->client = client_new(p->dom->driver->daemon->loop, p->uri, &options, &hooks, p, err);
        return p->client ? STEP_WAIT : STEP_FAILED;
}

static StepResult hang_up(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        drop_pending(p);
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

static StepResult check_peer(void *state, Job *job UNUSED, Error *err UNUSED)
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

static StepResult prepare_peer(void *state, Job *job UNUSED, Error *err)
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
                                                                      .flags = peer_flags(p) },
                        on_tunnel_prepared, p);
                return STEP_WAIT;
        }
        p->pending = client_domain_migrate_prepare3_params(
                p->client,
                &(WireDomainMigratePrepare3ParamsArgs){ .n_params = (uint32_t)list.list.len,
                                                        .params = list.list.items,
                                                        .n_cookie_in = (uint32_t)p->cookie.len,
                                                        .cookie_in = (const uint8_t *)p->cookie.data,
                                                        .flags = peer_flags(p) },
                on_prepared, p);
        return STEP_WAIT;
}

static ClientCall *call_finish(PeerMove *p, bool cancelled, ClientDone *done)
{
        MigrateParams params = p->params;
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Params) list = { 0 };
        AUTO(Buf) text = { 0 };

        params.dest_name = p->params.dest_name ?: p->dom->name;
        params.dest_xml = NULL;
        params.switchover_mib = 0;
        migrate_params_write(&params, &list);
        migrate_own_cookie(p->dom, p->nonce, &cookie);
        migrate_cookie_format(&cookie, &text);
        return client_domain_migrate_finish3_params(
                p->client,
                &(WireDomainMigrateFinish3ParamsArgs){ .n_params = (uint32_t)list.list.len,
                                                       .params = list.list.items,
                                                       .n_cookie_in = (uint32_t)text.len,
                                                       .cookie_in = (const uint8_t *)text.data,
                                                       .flags = peer_flags(p),
                                                       .cancelled = cancelled },
                done, p);
}

/* QEMU is here, whether the guest stands still or not. */
static bool runs_here(const PeerMove *p)
{
        QemuRun *run = qemu_run(p->dom);

        return run && guest_is_active(run->guest);
}

static void on_aborted(void *arg, ClientReply *reply UNUSED)
{
        PeerMove *p = arg;

        /* an error is the usual answer here: there is no guest to speak of */
        p->pending = NULL;
        job_resume(p->job, NULL);
}

static StepResult abort_peer(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        drop_pending(p);
        p->tunnel = tunnel_free(p->tunnel);
        if (p->migration && migrate_is_torn(p->migration))
                return STEP_DONE; /* it runs there */
        if (!p->migration || !p->prepared || !p->client || !client_is_open(p->client))
                return STEP_DONE; /* the peer gives up when the connection ends */
        if (p->unknown || (p->migration->completed && !runs_here(p)))
                return STEP_DONE; /* what the peer has may be the last of the guest */
        p->pending = call_finish(p, true, on_aborted);
        return STEP_WAIT;
}

/* --- the memory --- */

static void on_transferred(void *arg, const Error *failure)
{
        PeerMove *p = arg;
        const Error *broke = p->tunnel ? tunnel_failure(p->tunnel) : NULL;
        AUTO(Error) err = { 0 };

        if (failure && broke) {
                err_set(&err, ERR_OPERATION_FAILED, "the tunnel to the destination broke: %s", broke->text);
                failure = &err;
        }
        /* a break where all may have arrived already: the peer knows, we do not */
        if (failure && p->migration->completed && runs_here(p))
                job_lost(p->job, failure);
        else
                job_resume(p->job, failure);
}

static StepResult move_memory(void *state, Job *job UNUSED, Error *err)
{
        PeerMove *p = state;
        AUTOFREE char *host = NULL;
        int port;

        if (!p->migration)
                return STEP_DONE;
        if (p->tunnel) {
                AUTO(Fd) end = -1;

                if (tunnel_open(p->tunnel, &end, err) < 0)
                        return STEP_FAILED;
                transfer_start(p->migration, NULL, 0, 0, fd_take(&end), on_transferred, p);
                return STEP_WAIT;
        }
        if (migrate_parse_uri(p->uri_out, &host, &port, err) < 0)
                return STEP_FAILED;
        if (!port)
                return err_set(err, ERR_INTERNAL, "the destination named no port"), STEP_FAILED;
        if (p->flags & VIR_MIGRATE_POSTCOPY_RESUME)
                transfer_resume(p->migration, host, port, on_transferred, p);
        else
                transfer_start(p->migration, host, port, p->peer.nbd_port, -1, on_transferred, p);
        return STEP_WAIT;
}

static StepResult stop_memory(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        /* a transfer that is still going on is undone first; its done() resumes us */
        if (p->migration && p->migration->transfer && !p->migration->stats.ended_ms) {
                AUTO(Error) why = { 0 };

                err_set(&why, ERR_OPERATION_ABORTED, "the migration was given up");
                if (transfer_cancel(p->migration->transfer, &why, NULL) == 0)
                        return STEP_WAIT;
        }
        return STEP_DONE;
}

static void on_tunnel_finished(void *arg, const Error *failure)
{
        PeerMove *p = arg;

        if (failure)
                job_lost(p->job, failure);
        else
                job_resume(p->job, NULL);
}

/* QEMU here is done; what it sent last is still on its way. */
static StepResult finish_tunnel(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        if (!p->tunnel)
                return STEP_DONE;
        tunnel_finish(p->tunnel, on_tunnel_finished, p);
        return STEP_WAIT;
}

/* --- finish: from here on only the peer knows --- */

static void on_finish_answered(void *arg, ClientReply *reply)
{
        PeerMove *p = arg;
        const WireDomainMigrateFinish3ParamsRet *ret = reply->ret;
        AUTO(MigrateCookie) cookie = { 0 };

        p->pending = NULL;
        if (reply->failure && !p->peer.ask && client_is_open(p->client)) {
                /* no drover: its refusal means that the guest is not there, or no more */
                if (p->migration)
                        p->migration->completed = false;
                job_resume(p->job, reply->failure);
                return;
        }
        if (reply->failure) {
                /* refused or lost: whether the guest runs there is asked, not guessed */
                job_lost(p->job, reply->failure);
                return;
        }
        if (ret->n_cookie_out && migrate_cookie_parse(ret->cookie_out, ret->n_cookie_out, &cookie, NULL) == 0)
                p->resumed_us = cookie.resumed_us;
        p->finished = true;
        job_resume(p->job, NULL);
}

static StepResult finish_peer(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        if (!client_is_open(p->client))
                return STEP_UNKNOWN;
        p->pending = call_finish(p, false, on_finish_answered);
        return STEP_WAIT;
}

static void on_fate(void *arg, MigrateFate fate, const Error *failure UNUSED)
{
        PeerMove *p = arg;
        AUTO(Error) err = { 0 };

        p->migration->asking = fate == MIGRATE_FATE_UNKNOWN;
        if (fate == MIGRATE_FATE_RUNS) {
                job_resume(p->job, NULL);
        } else if (fate == MIGRATE_FATE_ABSENT) {
                p->migration->completed = false;
                p->migration->committed = false;
                err_set(&err, ERR_OPERATION_FAILED, "the destination did not take the guest over; it goes on here");
                job_resume(p->job, &err);
        } else if (fate == MIGRATE_FATE_MOOT) {
                job_resume(p->job, failure);
        } else {
                domain_set_state(p->dom, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION);
                job_lost(p->job, failure);
        }
}

/* The client hears that nobody knows; the destination is asked further on without it. */
static bool is_silent(PeerMove *p)
{
        uint64_t now_ms = loop_now_ms(p->dom->driver->daemon->loop);

        if (!p->asked_ms)
                p->asked_ms = now_ms;
        return now_ms - p->asked_ms >= patience_ms(p);
}

static StepResult ask_peer(void *state, Job *job UNUSED, Error *err)
{
        PeerMove *p = state;

        drop_pending(p);
        if (!p->migration)
                return err_set(err, ERR_OPERATION_FAILED, "the destination gave no answer"), STEP_FAILED;
        if (!runs_here(p))
                return err_set(err, ERR_OPERATION_FAILED, "guest '%s' ended here; the other host may have it",
                               p->dom->name),
                       STEP_FAILED;
        if (!p->migration->ask) {
                p->unknown = true;
                return err_set(err, ERR_OPERATION_FAILED, "it gave no address to ask at"), STEP_FAILED;
        }
        if (p->migration->question)
                return STEP_WAIT;
        if (is_silent(p)) {
                p->unknown = true;
                return err_set(err, ERR_OPERATION_FAILED, "it gave no answer for %llu ms",
                               (unsigned long long)patience_ms(p)),
                       STEP_FAILED;
        }
        migrate_ask(p->migration, on_fate, p);
        return STEP_WAIT;
}

static const JobStep steps[] = {
        /* name          run           undo         ask       deadline */
        { "connect", connect_peer, hang_up, NULL, CONNECT_S },
        { "check-peer", check_peer, NULL, NULL, CALL_S },
        { "prepare-peer", prepare_peer, abort_peer, NULL, CALL_S },
        { "transfer", move_memory, stop_memory, ask_peer, 0 },
        { "finish-tunnel", finish_tunnel, NULL, ask_peer, CALL_S },
        { "finish-peer", finish_peer, NULL, ask_peer, CALL_S },
};

static void move_free(PeerMove *p)
{
        vec_remove_item(&qemu_driver(p->dom->driver)->moves, p);
        drop_pending(p);
        timer_free(p->gone);
        tunnel_free(p->tunnel);
        client_free(p->client);
        migrate_cookie_done(&p->peer);
        buf_done(&p->cookie);
        arena_free(p->arena);
        domain_unref(p->dom);
        job_free(p->job);
        free(p->uri);
        free(p->nonce);
        free(p);
}

void migrate_p2p_retire(PeerMove *p, const Error *why)
{
        call_fail(p->call, why);
        if (p->migration)
                migration_free(p->migration);
        move_free(p);
}

static void answer(Call *call)
{
        call_reply(call, &(WireDomainMigratePerform3ParamsRet){ 0 });
}

static void on_left(void *arg, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                answer(arg);
}

static void on_finished(void *state, const Error *why)
{
        PeerMove *p = state;
        Migration *m = p->migration;
        Call *call = p->call;
        bool undefine = p->flags & VIR_MIGRATE_UNDEFINE_SOURCE;
        AUTO(Error) err = { 0 };

        if (why->code != ERR_OK) {
                if (m && migrate_is_torn(m) && runs_here(p)) {
                        m->driven_here = false; /* it waits for somebody to connect it again */
                } else if (m && p->unknown) {
                        m->driven_here = false;
                        migrate_stay_paused(m, why, &err);
                        why = &err;
                } else if (m) {
                        str_replace(&m->stats.error, why->text);
                        if (m->completed && !runs_here(p))
                                migrate_give(m);
                        migrate_stay(m);
                }
                call_fail(call, why);
        } else if (m) {
                migrate_leave(m, p->resumed_us, on_left, call);
        } else {
                if (undefine)
                        migrate_undefine_source(p->dom);
                answer(call);
        }
        move_free(p);
}

static const JobKind kind = { "migration", steps, ARRAY_LEN(steps), on_finished };

static void on_claimed(void *arg, const Error *refused)
{
        PeerMove *p = arg;

        if (refused) {
                call_fail(p->call, refused);
                migration_free(p->migration);
                move_free(p);
                return;
        }
        p->migration->was_running = p->dom->state == VIR_DOMAIN_RUNNING;
        if (!p->migration->was_running) {
                p->flags |= VIR_MIGRATE_PAUSED;
                p->migration->flags |= VIR_MIGRATE_PAUSED;
        }
        job_start(p->job);
}

int migrate_p2p(Call *call, const WireDomain *wire, const char *dconnuri, uint32_t flags, const MigrateParams *params,
                Error *err)
{
        Domain *dom = call_find_domain(call, wire, err);
        Migration *broken = NULL;
        PeerMove *p;

        if (!dom || migrate_check_flags(flags, params, err) < 0 || migrate_check_source(dom, flags, params, err) < 0)
                return -1;
        if (!dconnuri)
                return err_set(err, ERR_INVALID_ARG, "the destination's URI is missing");
        if (flags & VIR_MIGRATE_POSTCOPY_RESUME && !(broken = migrate_find_broken(dom, MIGRATE_OUT, err)))
                return -1;
        if (!broken && qemu_run(dom) && qemu_run(dom)->migration)
                return err_set(err, ERR_OPERATION_INVALID, "guest '%s' is busy with a migration already", dom->name);
        if (!broken && !(flags & VIR_MIGRATE_OFFLINE) &&
            migrate_limit_check(call_daemon(call)->config, qemu_driver(dom->driver)->n_migrations, err) < 0)
                return -1;
        p = mem_new(PeerMove);
        *p = (PeerMove){ .dom = domain_ref(dom),
                         .call = call,
                         .uri = str_dup(dconnuri),
                         .nonce = broken ? str_dup(broken->nonce) : migrate_new_nonce(),
                         .flags = flags,
                         .arena = arena_new() };
        migrate_params_copy(&p->params, params, p->arena);
        p->job = job_new(dom->driver->daemon->loop, &kind, p);
        vec_push(&qemu_driver(dom->driver)->moves, p);
        if (flags & VIR_MIGRATE_OFFLINE) {
                job_start(p->job);
                return 0;
        }
        p->migration = broken ?: migration_new(dom, MIGRATE_OUT, flags, params);
        p->migration->driven_here = true;
        if (broken) {
                broken->params.bandwidth_postcopy_mib = params->bandwidth_postcopy_mib;
                job_start(p->job);
                return 0;
        }
        p->migration->nonce = str_dup(p->nonce);
        job_claim(dom->jobs, JOB_MIGRATION_OUT, dom->name, &p->migration->claim, on_claimed, p);
        return 0;
}
