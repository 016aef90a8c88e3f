#pragma once
/*
 * daemon/migrate-finish.h - ends of an incoming migration that its prepare needs too
 */
#include "daemon/migrate.h"

/*
 * The guest never ran here: its QEMU goes, and so does a Domain that prepare made. The migration is gone when this returns;
 * gone() comes once, when QEMU is too, or with the reason why it is not.
 */
void migrate_drop(Migration *m, void (*gone)(void *arg, const Error *failure), void *arg);
/* The same; call (NULL: nobody waits) fails with why when QEMU is gone. */
void migrate_drop_failing(Migration *m, Call *call, const Error *why);
/* The daemon ends before that. */
void migrate_drop_retire(Drop *drop, const Error *why);
/* Is the guest on its way out? Then the call of a client that gives its move up is answered when it is gone. */
bool migrate_drop_is_asked(const Domain *dom, Call *call);
/* The answer to that: an error which says that the guest is not here, or why it could not be taken; failure: that it may be. */
void migrate_say_absent(Call *call, const char *name, const Error *failure);
/* What is being written about it does not concern it any more. */
void migrate_forget_intent(Migration *m);
/* All of it is here and runs, and nobody waits for it to be finished. */
void migrate_settle_arrived(Migration *m);
/* The same if it is so. */
void migrate_settle_unattended(Migration *m);
/* Who prepared it left. A guest whose memory is here is kept: it may be the only one. arg: the Migration. */
void migrate_on_preparer_left(void *arg);
/* All memory is here: it runs, after that was written where it has to be, and the migration ends. */
void migrate_go_on(Migration *m);
/* The daemon ends: who waits for a withdrawal hears that nobody knows. */
void migrate_withdraw_retire(Migration *m, const Error *why);
/* ... and what is being prepared is not. */
void migrate_prepare_retire(Preparing *preparing, const Error *why);
