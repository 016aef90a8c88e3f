/*
 * daemon/migration.c - a migration, as either side of it is remembered
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-finish.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-question.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-transfer.h"
#include "daemon/server-client.h"

#include <limits.h>
#include <sys/random.h>
#include <time.h>
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

void migrate_tell_figures(const Migration *m, MigrateCookie *ret)
{
        struct timespec now;

        ret->stopped_us = m->stopped_us;
        if (!m->stats.are_final)
                return;
        clock_gettime(CLOCK_REALTIME, &now);
        ret->sent_ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000;
        ret->has_stats = true;
        ret->stats = m->stats;
        ret->stats.error = NULL;
}

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
        if (*rest == '[' && !strchr(rest, ']'))
                return err_set(err, ERR_INVALID_ARG, "the address in '%s' begins with '[' and has no ']'", uri);
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
        qemu_driver(dom->driver)->n_migrations++;
        if (!run)
                return m;
        if (side == MIGRATE_OUT && !m->params.bandwidth_mib) /* MIG-60: the limit set for this guest */
                m->params.bandwidth_mib = run->migrate_speed_mib;
        run->migration = m;
        return m;
}

Migration *migration_free(Migration *m)
{
        QemuRun *run;

        if (!m)
                return NULL;
        run = qemu_run(m->dom);
        if (run && run->migration == m)
                run->migration = NULL;
        qemu_driver(m->dom->driver)->n_migrations--;
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
        vec_done(&m->learned);
        free(m->take);
        question_free(m->question);
        domain_unref(m->dom);
        free(m);
        return NULL;
}
