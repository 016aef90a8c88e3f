#pragma once
/*
 * daemon/migrate-take.h - the destination takes a guest that waits for its source's word
 */
#include "daemon/migrate.h"

/* The guest waits here, paused and complete, for its source to decide; whoever could have finished its move is gone. */
bool migrate_waits(const Domain *dom);
/* Destination: what becomes of it is being written or done at this moment. */
bool migrate_is_deciding(const Migration *m);
/*
 * It is the source's last word, or a person's: the guest goes on here. done() comes once; the migration is gone then, or on
 * a failure as it was. The guest must wait, see above.
 */
void migrate_take(Migration *m, void (*done)(void *arg, const Error *failure), void *arg);
/* What migrate_take() waited for is over. Nothing when nobody takes it. */
void migrate_taken(Take *take, const Error *failure);
/*
 * By a person: domain_resume of a guest that waits. Nobody here can see what the source does, so the first call is refused,
 * with what it risks; a second one soon after it is meant.
 */
int migrate_take_by_hand(Call *call, Domain *dom, Error *err);
/* After a restart of the daemon: the guest was on its way here, or had arrived and nobody had told it to run. */
void migrate_recover_coming(Domain *dom);
/*
 * The same for one that no word of a source was kept for: its preparing was not answered yet, or its source is not drover. Its
 * memory is not here, so it goes; the source has it.
 */
void migrate_end_coming(Domain *dom);
