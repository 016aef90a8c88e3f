/*
 * daemon/migrate-recover.c - a guest that was moving out when an earlier daemon ended
 *
 * QEMU went on alone: it still sends, waits before the switch-over, gave up, or
 * has sent everything. A transfer that is not complete is cancelled and the guest
 * goes on here. A complete one is the peer's: it is asked until it answers, and
 * meanwhile the guest stays paused.
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-give.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-source.h"

enum {
        LOOK_AGAIN_MS = 100,
        ASK_AGAIN_MS = 10000,
};

static void look(void *arg);
static void ask(void *arg);

static void again(Migration *m, uint64_t ms, void (*fn)(void *arg))
{
        m->recovery = timer_free(m->recovery);
        m->recovery = timer_new(m->dom->driver->daemon->loop, ms, fn, m);
}

static void on_left(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_error("a guest that has moved could not be ended here: %s", failure->text);
}

static void on_asked(void *arg, MigrateFate fate, const Error *failure)
{
        Migration *m = arg;
        AUTO(Error) err = { 0 };

        switch (fate) {
        case MIGRATE_FATE_RUNS:
                log_info("guest '%s' has moved while droverd did not run", m->dom->name);
                migrate_leave(m, 0, on_left, NULL);
                return;
        case MIGRATE_FATE_ABSENT:
                log_info("guest '%s' did not move; it goes on here", m->dom->name);
                migrate_stay(m);
                return;
        case MIGRATE_FATE_UNKNOWN:
                if (!m->ask) {
                        migrate_stay_paused(m, failure, &err);
                        return;
                }
                if (!m->asked_in_vain)
                        log_warning(
                                "guest '%s' was sent completely; the other host does not say whether it runs it (%s). It "
                                "stays paused and the other host is asked again",
                                m->dom->name, failure ? failure->text : "no reason");
                migrate_ask_later(m);
                return;
        case MIGRATE_FATE_MOOT:
                migrate_give(m);
                migration_free(m);
        }
}

static void ask(void *arg)
{
        migrate_ask(arg, on_asked, arg);
}

void migrate_ask_later(Migration *m)
{
        m->asking = m->asked_in_vain = true;
        again(m, ASK_AGAIN_MS, ask);
}

static void on_cancel_sent(void *arg, const Error *failure UNUSED)
{
        Migration *m = arg;

        m->query = NULL;
        again(m, LOOK_AGAIN_MS, look);
}

void migrate_settle_alone(Migration *m)
{
        log_info("guest '%s' was sent completely and its client left; the other host is asked", m->dom->name);
        m->asking = true;
        ask(m);
}

static bool is_one_of(const char *word, const char *const *words)
{
        for (; *words; words++) {
                if (str_eq(word, *words))
                        return true;
        }
        return false;
}

static void on_seen(void *arg, const QmpMigrationInfo *info, const Error *failure)
{
        static const char *const over[] = { "none", "failed", "cancelled", NULL };
        static const char *const goes_on[] = { "setup", "active", "pre-switchover", "wait-unplug", NULL };
        Migration *m = arg;
        const char *status = failure ? "" : info->status ?: "none";

        m->query = NULL;
        if (is_one_of(status, over)) {
                migrate_stay(m);
        } else if (str_eq(status, "completed")) {
                m->completed = true;
                ask(m);
        } else if (is_one_of(status, goes_on)) {
                m->query = qmp_migrate_cancel(guest_qmp(qemu_run(m->dom)->guest), on_cancel_sent, m);
        } else if (str_eq(status, "postcopy-paused")) {
                migrate_postcopy_status(m, status); /* until somebody connects the two again */
        } else {
                /* being cancelled, handing over, or in post-copy: it ends by itself */
                m->committed = m->committed || str_starts(status, "postcopy-");
                again(m, LOOK_AGAIN_MS, look);
        }
}

static void look(void *arg)
{
        Migration *m = arg;

        m->query = qmp_query_migrate(guest_qmp(qemu_run(m->dom)->guest), on_seen, m);
}

static void on_claimed(void *arg, const Error *refused)
{
        if (refused)
                migration_free(arg);
        else
                look(arg);
}

void migrate_recover(Domain *dom, const char *nonce, const char *peer, uint32_t flags, bool was_running)
{
        static const MigrateParams none;
        Migration *m = migration_new(dom, MIGRATE_OUT, flags, &none);

        log_info("guest '%s' was moving to another host when an earlier droverd ended", dom->name);
        m->nonce = str_dup(nonce);
        m->ask = str_dup(peer);
        m->was_running = was_running;
        m->recovered = true;
        qemu_status_claim(qemu_run(dom), JOB_MIGRATION_OUT, &m->claim, on_claimed, m);
}
