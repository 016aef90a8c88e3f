#pragma once
/*
 * daemon/migrate-limit.h - how many migrations this host takes part in at a time (MIG-62, MIG-67)
 *
 * Each costs a client's connection, a call in flight and, where a guest comes in, a port. Whoever would be one too many
 * is told the limit at once; its connection does not wait.
 */
#include "daemon/config.h"

typedef struct MigrateLimit {
        unsigned clients, workers, ports; /* what each of the three allows */
        unsigned most;                    /* the least of them */
        const char *bound_by;             /* the keys of droverd.conf to change */
} MigrateLimit;

void migrate_limit(const Config *config, MigrateLimit *ret);
/* -1 with the reason when `going_on` are enough. */
int migrate_limit_check(const Config *config, unsigned going_on, Error *err);
