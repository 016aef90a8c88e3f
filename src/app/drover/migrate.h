#pragma once
/*
 * app/drover/migrate.h - move a guest from the session's host to another
 *
 * Managed: this program drives both daemons, step by step (begin, prepare,
 * perform, finish, confirm). Peer to peer: one call, and the source drives.
 */
#include "app/drover/migrate-watch.h"

typedef struct MigrateOrder {
        WireDomain dom;
        const char *dest_uri; /* as the user gave it */
        uint32_t flags;
        bool direct;
        bool fall_back; /* without post-copy, when the destination refuses it */
        ParamList params;
        WatchOptions watch;
} MigrateOrder;

/* Where a longest pause is asked for, by post-copy if the hosts can. */
void migrate_order_keep_pause(MigrateOrder *order);
int migrate_run(Session *s, MigrateOrder *order, Error *err);
