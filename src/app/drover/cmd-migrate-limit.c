/*
 * app/drover/cmd-migrate-limit.c - how many migrations a droverd.conf allows, and which of its keys says so
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "daemon/migrate-limit.h"

static int show_migrate_limit(Session *s, const Args *args, Error *err)
{
        AUTO(Config) *config = config_load(arg_text(args, "config") ?: "/etc/drover/droverd.conf", NULL, NULL, err);
        MigrateLimit limit;

        if (!config)
                return -1;
        migrate_limit(config, &limit);
        out_print(s->out, "Migrations at a time: %u (bound by %s)\n", limit.most, limit.bound_by);
        out_print(s->out, "%-30s %u\n", "half of max_clients:", limit.clients);
        out_print(s->out, "%-30s %u\n", "max_workers:", limit.workers);
        out_print(s->out, "%-30s %u\n", "ports:", limit.ports);
        out_set_u64(s->out, "most", limit.most);
        out_set_text(s->out, "bound_by", limit.bound_by);
        out_set_u64(s->out, "half_of_max_clients", limit.clients);
        out_set_u64(s->out, "max_workers", limit.workers);
        out_set_u64(s->out, "ports", limit.ports);
        return 0;
}

const Command migrate_limit_commands[] = {
        { .name = "migrate-limit",
          .group = GROUP_HOST,
          .args = "[--config=FILE]  instead of /etc/drover/droverd.conf",
          .summary = "show how many migrations this host takes part in at a time",
          .text = "Each costs a connection on both hosts, a call that is worked on, and a port where the guest comes in. "
                  "One more than that is refused with a message, and can be tried again.",
          .run = show_migrate_limit },
        { 0 },
};
