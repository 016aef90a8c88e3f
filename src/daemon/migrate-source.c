/*
 * daemon/migrate-source.c - the source side of a migration that the client drives
 *
 * begin takes the guest's slot and gives it back with confirm, or when the
 * client that began it leaves before perform. perform moves the memory. confirm
 * ends the guest here, or lets it go on: on the word of the client only while
 * the transfer was not complete; after that, only when the peer says that it
 * does not have the guest.
 */
#include "daemon/migrate-source.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-check.h"
#include "daemon/migrate-finish.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-question.h"
#include "daemon/migrate-transfer.h"
#include "daemon/server-client.h"

#include <limits.h>
#include <sys/random.h>
#include <unistd.h>

char *migrate_new_nonce(void)
{
        uint8_t bytes[16];
        AUTO(Buf) text = { 0 };

        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
                abort();
        for (size_t i = 0; i < sizeof(bytes); i++)
                buf_format(&text, "%02x", bytes[i]);
        return buf_take(&text);
}

static Migration *migration_of(const Domain *dom)
{
        QemuRun *run = qemu_run(dom);

        return run ? run->migration : NULL;
}

/* What a cookie of ours always says. */
void migrate_own_cookie(const Domain *dom, const char *nonce, MigrateCookie *ret)
{
        char hostname[HOST_NAME_MAX + 1] = "";

        gethostname(hostname, sizeof(hostname) - 1);
        *ret = (MigrateCookie){ .name = str_dup(dom->name),
                                .hostname = str_dup(hostname),
                                .uuid = dom->uuid,
                                .host_uuid = dom->driver->daemon->host_uuid,
                                .nonce = str_dup(nonce) };
}

Migration *migration_free(Migration *m)
{
        QemuRun *run;

        if (!m)
                return NULL;
        run = qemu_run(m->dom);
        if (run && run->migration == m)
                run->migration = NULL;
        migrate_ports_release(m);
        migrate_forget_intent(m);
        migrate_relisten_forget(m);
        if (m->client)
                server_client_forget(m->client, m);
        timer_free(m->recovery);
        if (m->query)
                qmp_call_free(m->query);
        transfer_free(m->transfer);
        migrate_stats_done(&m->stats);
        job_claim_free(m->claim);
        arena_free(m->arena);
        free(m->nonce);
        free(m->ask);
        free(m->source_name);
        free(m->take);
        question_free(m->question);
        domain_unref(m->dom);
        free(m);
        return NULL;
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

Migration *migration_new(Domain *dom, MigrateSide side, uint32_t flags, const MigrateParams *params)
{
        Migration *m = mem_new(Migration);
        QemuRun *run = qemu_run(dom);

        *m = (Migration){ .side = side, .dom = domain_ref(dom), .flags = flags, .arena = arena_new() };
        migrate_params_copy(&m->params, params, m->arena);
        m->stats.operation = side == MIGRATE_OUT ? VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
                                                 : VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN;
        m->stats.type = VIR_DOMAIN_JOB_UNBOUNDED;
        m->stats.began_ms = loop_now_ms(dom->driver->daemon->loop);
        if (run)
                run->migration = m;
        return m;
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
        m = migration_new(dom, MIGRATE_OUT, flags, params);
        m->waiting = call;
        m->nonce = migrate_new_nonce();
        job_claim(dom->jobs, JOB_MIGRATION_OUT, dom->name, &m->claim, on_begin_claimed, m);
        return 0;
}

int handle_domain_migrate_begin3_params(Call *call, const WireDomainMigrateBegin3ParamsArgs *args, Error *err)
{
        MigrateParams params = { 0 };

        if (call_check_flags(call, args->flags, MIGRATE_FLAGS, err) < 0 ||
            migrate_params_read(args->params, args->n_params, &params, call_arena(call), err) < 0)
                return -1;
        return begin(call, &args->dom, args->flags, &params, err);
}

/* The older form: the same with fixed arguments. */
int handle_domain_migrate_begin3(Call *call, const WireDomainMigrateBegin3Args *args, Error *err)
{
        MigrateParams params = { .dest_xml = args->xmlin, .dest_name = args->dname, .bandwidth_mib = args->resource };

        if (call_check_flags(call, (uint32_t)args->flags, MIGRATE_FLAGS, err) < 0)
                return -1;
        return begin(call, &args->dom, (uint32_t)args->flags, &params, err);
}

/* --- perform --- */

/* "tcp:HOST:PORT" or "tcp://HOST:PORT" as the destination's prepare gave it. */
int migrate_parse_uri(const char *uri, char **ret_host, int *ret_port, Error *err)
{
        const char *rest, *colon;
        int32_t port;

        if (!uri)
                return err_set(err, ERR_INVALID_ARG, "the address to migrate to is missing");
        if (str_starts(uri, "tcp://"))
                rest = uri + 6;
        else if (str_starts(uri, "tcp:"))
                rest = uri + 4;
        else
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a migration URI; tcp://HOST[:PORT] is", uri);
        colon = *rest == '[' ? strchr(rest, ']') : strrchr(rest, ':');
        if (colon && *colon == ']')
                colon++;
        *ret_port = 0;
        if (!colon || !*colon) {
                *ret_host = *rest == '[' ? str_dup_n(rest + 1, strlen(rest) - 2) : str_dup(rest);
        } else {
                AUTOFREE char *digits = str_dup_n(colon + 1, strcspn(colon + 1, "/"));

                if (*colon != ':' || str_to_i32(digits, &port) < 0 || port <= 0 || port > UINT16_MAX)
                        return err_set(err, ERR_INVALID_ARG, "'%s' does not end with a port number", uri);
                *ret_port = port;
                *ret_host = *rest == '[' ? str_dup_n(rest + 1, (size_t)(colon - rest) - 2)
                                         : str_dup_n(rest, (size_t)(colon - rest));
        }
        if (!**ret_host)
                return err_set(err, ERR_INVALID_ARG, "'%s' names no host", uri);
        return 0;
}

static void answer_perform(Call *call, const Migration *m)
{
        AUTO(MigrateCookie) cookie = { 0 };
        AUTO(Buf) text = { 0 };

        migrate_own_cookie(m->dom, m->nonce, &cookie);
        cookie.stopped_us = m->stopped_us;
        migrate_cookie_format(&cookie, &text);
        call_reply(call, &(WireDomainMigratePerform3ParamsRet){ .n_cookie_out = (uint32_t)text.len,
                                                                .cookie_out = (const uint8_t *)text.data });
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
        /* stock clients do not confirm a move that failed here: it is over now */
        if (!m->committed)
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

        if (call_check_flags(call, args->flags, MIGRATE_FLAGS, err) < 0 ||
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

        if (call_check_flags(call, (uint32_t)args->flags, MIGRATE_FLAGS, err) < 0)
                return -1;
        if (args->flags & VIR_MIGRATE_PEER2PEER)
                return migrate_p2p(call, &args->dom, args->dconnuri, (uint32_t)args->flags, &params, err);
        return perform(call, &args->dom, (uint32_t)args->flags, args->uri, args->cookie_in, args->n_cookie_in, err);
}

/* --- confirm --- */

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
                dom->driver->ops->remove_config(dom, VIR_DOMAIN_UNDEFINE_MANAGED_SAVE, on_undefined, domain_ref(dom));
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
        l->done(l->arg, failure);
        domain_unref(l->dom);
        free(l);
}

void migrate_leave(Migration *m, int64_t resumed_us, void (*done)(void *arg, const Error *failure), void *arg)
{
        Domain *dom = m->dom;
        QemuRun *run = qemu_run(dom);
        Leaving *l = mem_new(Leaving);

        if (m->stopped_us && resumed_us >= m->stopped_us) {
                m->stats.downtime_ms = (uint64_t)(resumed_us - m->stopped_us) / 1000;
                m->stats.has_downtime = true;
                log_info("guest '%s' moved; it paused for %llu ms", dom->name,
                         (unsigned long long)m->stats.downtime_ms);
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
        if (!run || !m->was_running || !guest_is_active(run->guest) || guest_state(run->guest) == GUEST_RUNNING) {
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
