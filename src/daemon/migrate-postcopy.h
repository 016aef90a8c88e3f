#pragma once
/*
 * daemon/migrate-postcopy.h - a guest whose memory is on two hosts (post-copy)
 *
 * From the switch to post-copy until the last page has arrived the guest runs on
 * the destination and needs the source. Neither side ends its QEMU or lets the
 * source's guest run, whoever leaves or asks. When the connection breaks both
 * QEMUs wait, and a migration with POSTCOPY_RESUME connects them again.
 */
#include "daemon/migrate.h"

/* Pages of it are still on the other host, or here only: nobody may end it. */
static inline bool migrate_is_torn(const Migration *m)
{
        return m->side == MIGRATE_OUT ? m->committed && !m->completed : m->postcopy && !m->arrived;
}

/* What both sides make of a status of QEMU's, whether it was told by an event or asked for. */
void migrate_postcopy_status(Migration *m, const char *status);
/* Refuse a resume of what is not broken. NULL: it is. */
Migration *migrate_find_broken(const Domain *dom, MigrateSide side, Error *err);
/*
 * The guest may be let run here by somebody's word: -1 when it runs on another host. Where that host was asked and did not
 * answer, this word ends the migration.
 */
int migrate_check_resume(const Domain *dom, Error *err);

/*
 * Destination: listen again, on a port of migrate_ports_take(). done(arg, failure) comes once; NULL: m->port is where
 * to connect to.
 */
void migrate_listen_again(Migration *m, void (*done)(void *arg, const Error *failure), void *arg);
/* What waits to listen again hears of a status of QEMU's, and of the migration's end. */
void migrate_relisten_on_event(Migration *m, const char *status);
void migrate_relisten_forget(Migration *m);
/* After a restart of the daemon: the guest came and had not arrived completely by then. */
void migrate_recover_incoming(Domain *dom);
