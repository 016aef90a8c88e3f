/*
 * daemon/migrate-dest.c - the destination of a migration, up to the memory: a QEMU that waits for it
 *
 * What prepare asks for is in migrate-prepare.c, how it ends in migrate-finish.c. A guest that is to run is started so that
 * it does at the moment the last of it has arrived, not a round trip of the client later. Whoever doubts asks: see
 * migrate-ask.c.
 */
#include "daemon/migrate-dest.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-disks.h"
#include "daemon/migrate-finish.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-tunnel.h"
#include "daemon/server-client.h"
#include "daemon/stream.h"

Preparing *preparing_new(Call *call, Domain *dom, Migration *m, DomainDef *def)
{
        Preparing *p = mem_new(Preparing);

        *p = (Preparing){ .call = call, .tunnel = -1, .dom = domain_ref(dom), .migration = m, .def = def };
        vec_push(&qemu_driver(dom->driver)->preparing, p);
        return p;
}

void preparing_free(Preparing *p)
{
        vec_remove_item(&qemu_driver(p->dom->driver)->preparing, p);
        fd_close(&p->tunnel);
        domain_def_unref(p->def);
        domain_unref(p->dom);
        free(p);
}

/* Its call is answered behind the undo: whoever hears that it failed finds nothing of it here. */
void preparing_fail(Preparing *p, const Error *failure)
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

/* --- the answer --- */

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

void preparing_answer(Preparing *p)
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
                preparing_fail(p, &err);
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
                preparing_fail(p, failure);
                return;
        }
        m->runs_by_itself = !waits_for_finish(m);
        preparing_answer(p);
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
                preparing_fail(p, failure);
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
                preparing_fail(p, &err);
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
                preparing_fail(p, failure);
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
                preparing_fail(p, failure);
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
                preparing_fail(p, failure);
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
                preparing_fail(p, failure);
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
                preparing_fail(p, refused);
                return;
        }
        if (domain_must_be_listed(m->dom, &err) < 0 || domain_must_be_inactive(m->dom, &err) < 0 ||
            migrate_ports_take(m, &err) < 0) {
                preparing_fail(p, &err);
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

void preparing_start(Preparing *p)
{
        job_claim(p->dom->jobs, JOB_MIGRATION_IN, p->dom->name, &p->migration->claim, on_claimed, p);
}
