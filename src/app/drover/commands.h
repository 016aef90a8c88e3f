#pragma once
/*
 * app/drover/commands.h - the families of commands, each a table ending with an empty entry
 */
#include "app/drover/command.h"

enum { MOST_COMMANDS = 256 };

extern const Command shell_commands[];
