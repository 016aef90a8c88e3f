#pragma once
/*
 * app/drover/commands.h - the families of commands, each a table ending with an empty entry
 */
#include "app/drover/command.h"

enum { MOST_COMMANDS = 320 };

extern const Command list_commands[];
extern const Command info_commands[];
extern const Command lifecycle_commands[];
extern const Command define_commands[];
extern const Command save_commands[];
extern const Command stats_commands[];
extern const Command devices_commands[];
extern const Command vcpu_commands[];
extern const Command tuning_commands[];
extern const Command hotplug_commands[];
extern const Command agent_commands[];
extern const Command metadata_commands[];
extern const Command console_commands[];
extern const Command qemu_commands[];
extern const Command host_commands[];
extern const Command host_memory_commands[];
extern const Command host_check_commands[];
extern const Command import_commands[];
extern const Command migrate_limit_commands[];
extern const Command evacuate_commands[];
extern const Command media_commands[];
extern const Command cpu_commands[];
extern const Command events_commands[];
extern const Command job_commands[];
extern const Command migrate_commands[];
extern const Command pool_commands[];
extern const Command pool_as_commands[];
extern const Command pool_sources_commands[];
extern const Command volume_commands[];
extern const Command volume_data_commands[];
extern const Command network_commands[];
extern const Command network_notes_commands[];
extern const Command network_port_commands[];
extern const Command net_check_commands[];
extern const Command nwfilter_commands[];
extern const Command interface_commands[];
extern const Command secret_commands[];
extern const Command nodedev_commands[];
extern const Command native_commands[];
extern const Command block_commands[];
extern const Command confidential_commands[];
extern const Command object_events_commands[];
extern const Command shell_commands[];
