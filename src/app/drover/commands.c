/*
 * app/drover/commands.c - all commands there are
 */
#include "app/drover/commands.h"

#include "base/str.h"

#include <stdlib.h>

static const Command *const families[] = {
        list_commands,          info_commands,         lifecycle_commands,     define_commands,
        save_commands,          stats_commands,        devices_commands,       vcpu_commands,
        tuning_commands,        hotplug_commands,      agent_commands,         metadata_commands,
        console_commands,       qemu_commands,         host_commands,          host_memory_commands,
        media_commands,         cpu_commands,          events_commands,        job_commands,
        migrate_commands,       pool_commands,         volume_commands,        volume_data_commands,
        network_commands,       interface_commands,    secret_commands,        object_events_commands,
        shell_commands,         import_commands,       nwfilter_commands,      net_check_commands,
        host_check_commands,    network_port_commands, pool_as_commands,       pool_sources_commands,
        migrate_limit_commands, evacuate_commands,     network_notes_commands, nodedev_commands,
        native_commands,        block_commands,        confidential_commands,
};

static const struct {
        const char *title, *keyword;
} groups[] = {
        [GROUP_DOMAIN] = { "Domain Management", "domain" },
        [GROUP_MONITOR] = { "Domain Monitoring", "monitor" },
        [GROUP_EVENTS] = { "Domain Events", "events" },
        [GROUP_HOST] = { "Host and Hypervisor", "host" },
        [GROUP_STORAGE] = { "Storage Pools and Volumes", "storage" },
        [GROUP_NETWORK] = { "Networking", "network" },
        [GROUP_NWFILTER] = { "Network Filters", "filter" },
        [GROUP_INTERFACE] = { "Host Interfaces", "interface" },
        [GROUP_NODEDEV] = { "Host Devices", "nodedev" },
        [GROUP_SECRET] = { "Secrets", "secret" },
        [GROUP_SHELL] = { "Drover itself", "drover" },
};

static const struct {
        const char *name, *hint;
} hints[] = {
        { "stop", "did you mean 'shutdown' (ask the guest to power off) or 'destroy' (cut its power)?" },
        { "boot", "did you mean 'start'?" },
        { "delete", "did you mean 'undefine'?" },
        { "remove", "did you mean 'undefine'?" },
        { "rm", "did you mean 'undefine'?" },
        { "kill", "did you mean 'destroy'?" },
        { "pause", "did you mean 'suspend'?" },
        { "unpause", "did you mean 'resume'?" },
        { "ls", "did you mean 'list'?" },
        { "ps", "did you mean 'list'?" },
        { "info", "did you mean 'dominfo'?" },
        { "move", "did you mean 'migrate'?" },
        { "rename", "did you mean 'domrename'?" },
};

const Command *command_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(families); i++)
                for (const Command *command = families[i]; command->name; command++)
                        if (str_eq(command->name, name))
                                return command;
        return NULL;
}

const char *command_group_title(CommandGroup group)
{
        return groups[group].title;
}

const char *command_group_keyword(CommandGroup group)
{
        return groups[group].keyword;
}

static int compare_names(const void *a, const void *b)
{
        const Command *const *left = a, *const *right = b;

        return strcmp((*left)->name, (*right)->name);
}

const Command *command_next(CommandGroup group, size_t *at)
{
        const Command *found[MOST_COMMANDS];
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_LEN(families); i++)
                for (const Command *command = families[i]; command->name; command++)
                        if (command->group == group && !command->hidden && n < MOST_COMMANDS)
                                found[n++] = command;
        if (*at >= n)
                return NULL;
        qsort(found, n, sizeof(found[0]), compare_names);
        return found[(*at)++];
}

const char *command_hint(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(hints); i++)
                if (str_eq(hints[i].name, name))
                        return hints[i].hint;
        return NULL;
}
