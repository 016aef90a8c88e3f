/*
 * daemon/migrate-p2p.c - the source drives the whole move
 *
 * One call of the client; we are a client of the destination ourselves (migrate-p2p-peer.c). Up to the transfer every step
 * can be undone; how it ends once all memory was sent is in migrate-p2p-finish.c.
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-limit.h"
#include "daemon/migrate-p2p-parts.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-transfer.h"

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
        if (failure && p->migration->completed && p2p_runs_here(p))
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

static const JobStep steps[] = {
        /* name          run           undo         ask       deadline */
        { "connect", p2p_connect, p2p_hang_up, NULL, P2P_CONNECT_S },
        { "check-peer", p2p_check_peer, NULL, NULL, P2P_CALL_S },
        { "prepare-peer", p2p_prepare_peer, p2p_abort_peer, NULL, P2P_CALL_S },
        { "transfer", move_memory, stop_memory, p2p_ask_peer, 0 },
        { "finish-tunnel", finish_tunnel, NULL, p2p_ask_peer, P2P_CALL_S },
        { "finish-peer", p2p_finish_peer, NULL, p2p_ask_peer, P2P_CALL_S },
};

static void move_free(PeerMove *p)
{
        vec_remove_item(&qemu_driver(p->dom->driver)->moves, p);
        p2p_drop_pending(p);
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
        free(p->objection);
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
                if (m && migrate_is_torn(m) && p2p_runs_here(p)) {
                        m->driven_here = false; /* it waits for somebody to connect it again */
                } else if (m && p->unknown) {
                        m->driven_here = false;
                        migrate_stay_paused(m, why, &err);
                        why = &err;
                } else if (m) {
                        if (p->objection && why->code == ERR_OPERATION_FAILED) {
                                err_set(&err, why->code, "%s; %s", why->text, p->objection);
                                why = &err;
                        }
                        str_replace(&m->stats.error, why->text);
                        if (m->completed && !p2p_runs_here(p))
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
