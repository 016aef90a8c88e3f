#pragma once
/*
 * daemon/migrate-ask.h - where does the guest run? asked by the source when an answer was lost
 *
 * While guests move in, droverd listens on one port of the migration range for
 * this one question (migrate-ask.c; migrate-question.c asks it). The asker names the guest and the nonce that only the two
 * daemons know. A guest that has not run here is ended before "absent" is said,
 * so the answer stays true.
 */
#include "daemon/migrate.h"

/* Destination: listen, unless that is done already or no port is free; what is written after this finds its port written. */
void migrate_ask_listen(Driver *driver);
/* The address for the cookie, host:port. Owned; NULL: nobody listens. */
char *migrate_ask_address(const Migration *m);

/*
 * Source: ask the peer of this migration, which owns the question: one at a time. answered() comes once, not from within;
 * the migration may be freed in it, and before it by nobody.
 */
void migrate_ask(Migration *m, void (*answered)(void *arg, MigrateFate fate, const Error *failure), void *arg);
/* The guest here has ended: answered() comes now, with MIGRATE_FATE_MOOT and why. */
void migrate_ask_drop(Migration *m, const Error *why);
