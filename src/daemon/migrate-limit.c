/*
 * daemon/migrate-limit.c - how many migrations this host takes part in at a time
 */
#include "daemon/migrate-limit.h"

#include "base/auto.h"

void migrate_limit(const Config *config, MigrateLimit *ret)
{
        int ports = config->migration_port_max - config->migration_port_min + 1;

        if (ports > 1)
                ports--; /* other hosts ask at the last one: see migrate-ask.c */
        /* CON-10: one connection here and one to the other host for each, so half of them may be those */
        *ret = (MigrateLimit){ .clients = (unsigned)config->max_clients / 2,
                               .workers = (unsigned)config->max_workers,
                               .ports = (unsigned)MAX(ports, 0) };
        ret->most = MIN(ret->clients, MIN(ret->workers, ret->ports));
        if (ret->most == ret->workers)
                ret->bound_by = "max_workers";
        else
                ret->bound_by = ret->most == ret->clients ? "max_clients"
                                                          : "migration_port_min and migration_port_max";
}

int migrate_limit_check(const Config *config, unsigned going_on, Error *err)
{
        MigrateLimit limit;

        migrate_limit(config, &limit);
        if (going_on < limit.most)
                return 0;
        return err_set(
                err, ERR_OPERATION_FAILED,
                "this host takes part in %u migrations, which is all it may at a time (%s in its droverd.conf); "
                "wait until one of them is over",
                going_on, limit.bound_by);
}
