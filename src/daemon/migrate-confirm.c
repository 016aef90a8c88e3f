/*
 * daemon/migrate-confirm.c - how a migration ends at its source
 *
 * confirm ends the guest here, or lets it go on: on the word of the client only
 * while the transfer was not complete; after that, only when the peer says that
 * it does not have the guest.
 */
#include "base/log.h"
#include "base/mem.h"
#include "daemon/handlers.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"
#include "daemon/server-client.h"

/* STOP may be read late by the daemon, but not by much. */
enum { CLOCKS_AGREE_MS = 1000 };

/* --- the three ends --- */

static void on_undefined(void *arg, const Error *failure)
{
        Domain *dom = arg;

        if (failure) {
                log_error("guest '%s' has moved, but its definition here could not be removed: %s", dom->name,
                          failure->text);
        } else {
                dom->persistent = false;
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_UNDEFINED, VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
                domain_set_config(dom, NULL);
                if (dom->listed && !domain_is_active(dom))
                        domain_list_remove(dom->driver->domains, dom);
        }
        domain_unref(dom);
}

void migrate_undefine_source(Domain *dom)
{
        if (dom->persistent)
                dom->driver->ops->remove_config(dom,
                                                VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
                                                on_undefined, domain_ref(dom));
}

typedef struct Leaving {
        Domain *dom;
        bool undefine;
        void (*done)(void *arg, const Error *failure);
        void *arg;
} Leaving;

static void on_source_ended(void *arg, const Error *failure)
{
        Leaving *l = arg;

        if (!failure && l->undefine)
                migrate_undefine_source(l->dom);
        if (!failure)
                migrate_give_settled(l->dom);
        l->done(l->arg, failure);
        domain_unref(l->dom);
        free(l);
}

/* The pause is measured by us: the figure of QEMU 7.2 is nonsense after a quick post-copy. */
static void tell_pause(const Migration *m)
{
        AUTO(Buf) kept = { 0 };
        bool is_kept = promise_explain(&m->promise, m->stats.downtime_ms, m->stats.ram.downtime_bytes, &kept);

        log_line(is_kept ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "guest '%s' moved; it paused for %llu ms%s",
                 m->dom->name, (unsigned long long)m->stats.downtime_ms, buf_text(&kept));
}

/*
 * From the clocks of both hosts, as far as they agree: the guest ran there after it stopped here and before we were told of it.
 * Else that time is the pause as far as anybody here can tell.
 */
static uint64_t pause_ms(const Migration *m, int64_t resumed_us)
{
        uint64_t most_ms = loop_now_ms(m->dom->driver->daemon->loop) - m->stopped_ms;

        if (resumed_us >= m->stopped_us && (uint64_t)(resumed_us - m->stopped_us) / 1000 <= most_ms + CLOCKS_AGREE_MS)
                return (uint64_t)(resumed_us - m->stopped_us) / 1000;
        log_warning(
                "guest '%s': the clocks of the two hosts differ by seconds or more; what is said of its pause is how "
                "long it took until this host heard that it runs there",
                m->dom->name);
        return most_ms;
}

void migrate_leave(Migration *m, int64_t resumed_us, void (*done)(void *arg, const Error *failure), void *arg)
{
        Domain *dom = m->dom;
        QemuRun *run = qemu_run(dom);
        Leaving *l = mem_new(Leaving);

        if (m->stopped_us && resumed_us > MIGRATE_RESUMED_SOMETIME) {
                m->stats.downtime_ms = pause_ms(m, resumed_us);
                m->stats.has_downtime = true;
                tell_pause(m);
        }
        m->stats.type = VIR_DOMAIN_JOB_COMPLETED;
        domain_keep_stats(dom, &m->stats);
        *l = (Leaving){
                .dom = domain_ref(dom), .undefine = m->flags & VIR_MIGRATE_UNDEFINE_SOURCE, .done = done, .arg = arg
        };
        if (!run || !guest_is_active(run->guest)) { /* it ended by itself meanwhile */
                migration_free(m);
                on_source_ended(l, NULL);
                return;
        }
        run->stop_reason = VIR_DOMAIN_SHUTOFF_MIGRATED;
        run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_MIGRATED;
        guest_stop(run->guest, GUEST_STOP_HARD, on_source_ended, l);
        migration_free(m);
}

bool migrate_stopped_by_itself(const Domain *dom)
{
        return dom->state == VIR_DOMAIN_PAUSED &&
               (dom->reason == VIR_DOMAIN_PAUSED_IOERROR || dom->reason == VIR_DOMAIN_PAUSED_WATCHDOG);
}

static void on_resumed(void *arg, const Error *failure)
{
        Migration *m = arg;

        if (failure)
                log_error("guest '%s' could not be resumed after a migration that did not happen: %s", m->dom->name,
                          failure->text);
        migration_free(m);
}

void migrate_stay(Migration *m)
{
        QemuRun *run = qemu_run(m->dom);

        m->stats.type = m->stats.type == VIR_DOMAIN_JOB_CANCELLED ? VIR_DOMAIN_JOB_CANCELLED : VIR_DOMAIN_JOB_FAILED;
        domain_keep_stats(m->dom, &m->stats);
        migrate_give_settled(m->dom);
        if (!run || !m->was_running || !guest_is_active(run->guest) || guest_state(run->guest) == GUEST_RUNNING ||
            migrate_stopped_by_itself(m->dom)) {
                migration_free(m);
                return;
        }
        if (m->client) /* it may leave now: there is nothing left to decide */
                server_client_forget(m->client, m);
        m->client = NULL;
        run->resume_reason = VIR_DOMAIN_RUNNING_MIGRATION_CANCELED;
        run->resume_detail = VIR_DOMAIN_EVENT_RESUMED_MIGRATED;
        guest_resume(run->guest, on_resumed, m);
}

/* Nobody can tell where the guest runs: it stays as it is, and a person is told what to do. */
void migrate_stay_paused(Migration *m, const Error *why, Error *ret)
{
        err_set(ret, ERR_OPERATION_FAILED,
                "guest '%s' was sent completely and the other host does not say whether it runs it (%s); it stays paused "
                "here%s. If it does not run there: virsh resume; if it does: virsh destroy",
                m->dom->name, why->text, m->ask ? ", and the other host is asked again" : "");
        log_error("%s", ret->text);
        domain_set_state(m->dom, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION);
        if (m->ask)
                migrate_ask_later(m);
        else
                migration_free(m); /* the other host is not drover's */
}

/* --- confirm --- */

static Migration *migration_of(const Domain *dom)
{
        QemuRun *run = qemu_run(dom);

        return run ? run->migration : NULL;
}

/* The peer was asked. Only a clear "it is not here" lets the guest go on. */
static void on_asked(void *arg, MigrateFate fate, const Error *failure)
{
        Migration *m = arg;
        Call *call = TAKE(m->waiting);
        AUTO(Error) err = { 0 };

        switch (fate) {
        case MIGRATE_FATE_ABSENT:
                migrate_stay(m);
                call_reply(call, NULL);
                return;
        case MIGRATE_FATE_RUNS:
                log_warning("guest '%s': the client says the migration failed, but the other host runs it",
                            m->dom->name);
                migrate_leave(m, 0, call_done, call);
                return;
        case MIGRATE_FATE_UNKNOWN:
                migrate_stay_paused(m, failure, &err);
                call_fail(call, &err);
                return;
        case MIGRATE_FATE_MOOT:
                migrate_give(m);
                migration_free(m);
                call_fail(call, failure);
        }
}

static int confirm(Call *call, const WireDomain *wire, const uint8_t *cookie, uint32_t n_cookie, uint32_t flags,
                   bool cancelled, Error *err)
{
        Domain *dom = call_find_domain(call, wire, err);
        AUTO(MigrateCookie) peer = { 0 };
        Migration *m;

        if (!dom)
                return -1;
        m = migration_of(dom);
        if (!m || m->side != MIGRATE_OUT) {
                /* an offline move, or one that was given up before */
                if (cancelled || !domain_is_active(dom)) {
                        if (!cancelled && flags & VIR_MIGRATE_OFFLINE && flags & VIR_MIGRATE_UNDEFINE_SOURCE)
                                migrate_undefine_source(dom);
                        call_reply(call, NULL);
                        return 0;
                }
                return err_set(err, ERR_OPERATION_INVALID, "guest '%s' is not being migrated", dom->name);
        }
        if (m->waiting || m->driven_here)
                return err_set(err, ERR_OPERATION_INVALID, "the migration of guest '%s' is still going on",
                               dom->name);
        if (!cancelled) {
                if (!m->completed)
                        return err_set(err, ERR_OPERATION_INVALID, "the migration of guest '%s' was not performed",
                                       dom->name);
                if (n_cookie && migrate_cookie_parse(cookie, n_cookie, &peer, err) < 0)
                        return -1;
                migrate_leave(m, peer.resumed_us, call_done, call);
                return 0;
        }
        if (migrate_is_torn(m))
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "guest '%s' runs on the other host already and its memory is on both; connect them again "
                        "with --postcopy --postcopy-resume",
                        dom->name);
        if (!m->completed) {
                migrate_stay(m);
                call_reply(call, NULL);
                return 0;
        }
        m->waiting = call;
        m->asking = true;
        migrate_ask(m, on_asked, m);
        return 0;
}

int handle_domain_migrate_confirm3_params(Call *call, const WireDomainMigrateConfirm3ParamsArgs *args, Error *err)
{
        return confirm(call, &args->dom, args->cookie_in, args->n_cookie_in, (uint32_t)args->flags, args->cancelled,
                       err);
}

int handle_domain_migrate_confirm3(Call *call, const WireDomainMigrateConfirm3Args *args, Error *err)
{
        return confirm(call, &args->dom, args->cookie_in, args->n_cookie_in, (uint32_t)args->flags, args->cancelled,
                       err);
}
