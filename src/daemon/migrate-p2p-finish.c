/*
 * daemon/migrate-p2p-finish.c - the end of a move that the source drives
 *
 * Once all memory was sent only the destination knows whether the guest runs there: it is told to let it, and where its
 * answer is lost it is asked, over the address that it gave, until it is known.
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-p2p-parts.h"
#include "daemon/migrate-source.h"

/* QEMU is here, whether the guest stands still or not. */
bool p2p_runs_here(const PeerMove *p)
{
        QemuRun *run = qemu_run(p->dom);

        return run && guest_is_active(run->guest);
}

ClientCall *p2p_call_finish(PeerMove *p, bool cancelled, ClientDone *done)
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
        if (!cancelled)
                nw_learned_list(p->dom, &cookie.learned);
        if (!cancelled && p->migration)
                migrate_tell_figures(p->migration, &cookie);
        migrate_cookie_format(&cookie, &text);
        return client_domain_migrate_finish3_params(
                p->client,
                &(WireDomainMigrateFinish3ParamsArgs){ .n_params = (uint32_t)list.list.len,
                                                       .params = list.list.items,
                                                       .n_cookie_in = (uint32_t)text.len,
                                                       .cookie_in = (const uint8_t *)text.data,
                                                       .flags = p2p_peer_flags(p),
                                                       .cancelled = cancelled },
                done, p);
}

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

StepResult p2p_finish_peer(void *state, Job *job UNUSED, Error *err UNUSED)
{
        PeerMove *p = state;

        if (!client_is_open(p->client))
                return STEP_UNKNOWN;
        p->pending = p2p_call_finish(p, false, on_finish_answered);
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
        return now_ms - p->asked_ms >= p2p_patience_ms(p);
}

StepResult p2p_ask_peer(void *state, Job *job UNUSED, Error *err)
{
        PeerMove *p = state;

        p2p_drop_pending(p);
        if (!p->migration)
                return err_set(err, ERR_OPERATION_FAILED, "the destination gave no answer"), STEP_FAILED;
        if (!p2p_runs_here(p))
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
                               (unsigned long long)p2p_patience_ms(p)),
                       STEP_FAILED;
        }
        migrate_ask(p->migration, on_fate, p);
        return STEP_WAIT;
}
