#pragma once
/*
 * daemon/migrate-source.h - what every way to drive the source side shares
 */
#include "daemon/migrate.h"

/* The guest's run (if any) points to it from now on. */
Migration *migration_new(Domain *dom, MigrateSide side, uint32_t flags, const MigrateParams *params);
char *migrate_new_nonce(void);
void migrate_own_cookie(const Domain *dom, const char *nonce, MigrateCookie *ret);
/* When it stopped here and what was sent, for the other host's account of the move. */
void migrate_tell_figures(const Migration *m, MigrateCookie *ret);
/* The definition for the destination: the guest's own, or the one given if it is compatible (MIG-55). */
int migrate_begin_xml(Domain *dom, uint32_t flags, const MigrateParams *params, Buf *ret, Error *err);
/* Port 0 when there is none. */
int migrate_parse_uri(const char *uri, char **ret_host, int *ret_port, Error *err);

/* It runs there: end it here, with its definition if that was asked for. The migration is over when this returns. */
void migrate_leave(Migration *m, int64_t resumed_us, void (*done)(void *arg, const Error *failure), void *arg);
/* It does not run there: go on here. The migration is over then or soon. */
void migrate_stay(Migration *m);
/* Nobody says where it runs: it stands still here. ret says so; the migration goes on asking, or is over. */
void migrate_stay_paused(Migration *m, const Error *why, Error *ret);
void migrate_undefine_source(Domain *dom);
/* It stands still for a reason of its own, which a migration that did not happen has not cured. */
bool migrate_stopped_by_itself(const Domain *dom);

/* The source does everything by itself (flag PEER2PEER). */
int migrate_p2p(Call *call, const WireDomain *wire, const char *dconnuri, uint32_t flags, const MigrateParams *params,
                Error *err);
/* The daemon ends in the middle of it. */
void migrate_p2p_retire(PeerMove *move, const Error *why);
