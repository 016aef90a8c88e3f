/*
 * app/drover/help.c - help texts, in virsh's layout
 */
#include "app/drover/help.h"

#include "base/str.h"

#include <ctype.h>

static void put_synopsis_item(const ArgDef *def, Buf *to)
{
        const char *value = def->kind == ARG_NUMBER ? "number" : "string";

        switch (def->kind) {
        case ARG_SWITCH:
                buf_format(to, " [--%s]", def->name);
                break;
        case ARG_REST:
                buf_format(to, def->needed ? " {[--%s] <string>}..." : " [[--%s] <string>]...", def->name);
                break;
        case ARG_TEXT:
        case ARG_NUMBER:
                if (!def->needed)
                        buf_format(to, " [--%s <%s>]", def->name, value);
                else if (def->is_positional)
                        buf_format(to, " <%s>", def->name);
                else
                        buf_format(to, " --%s <%s>", def->name, value);
                break;
        }
}

void help_synopsis(const Command *command, const Grammar *grammar, Buf *to)
{
        buf_put_text(to, command->name);
        for (size_t i = 0; i < grammar_len(grammar); i++)
                put_synopsis_item(grammar_get(grammar, i), to);
}

void help_choices(const ArgDef *def, Buf *to)
{
        if (!def->choices)
                return;
        buf_put_text(to, ": one of ");
        for (const char *c = def->choices; *c; c++)
                buf_format(to, "%c%s", *c, *c == ',' ? " " : "");
}

void help_sentence(const char *text, Buf *to)
{
        buf_put_char(to, (char)toupper((unsigned char)text[0]));
        buf_format(to, "%s%s", text + 1, ".");
}

static void put_option(const ArgDef *def, Buf *to)
{
        AUTOFREE char *shown = NULL;
        bool bracket = def->kind == ARG_REST || (def->is_positional && def->needed);

        if (def->kind == ARG_SWITCH)
                shown = str_format("--%s", def->name);
        else
                shown = str_format("%s--%s%s <%s>", bracket ? "[" : "", def->name, bracket ? "]" : "",
                                   def->kind == ARG_NUMBER ? "number" : "string");
        buf_format(to, "    %-15s  %s", shown, def->doc);
        help_choices(def, to);
        buf_put_char(to, '\n');
}

static void put_options_left_out(const Command *command, Buf *to)
{
        const Omission *omission;
        bool first = true;

        for (size_t at = 0; (omission = omission_next(command->name, true, &at)); first = false)
                buf_format(to, "%s    --%s of virsh: %s\n", first ? "\n  NOT HERE\n" : "", omission->option,
                           omission->why);
}

void help_command(const Command *command, Buf *to)
{
        AUTO(Grammar) *grammar = grammar_new(command->args);

        buf_format(to, "  NAME\n    %s - %s\n\n  SYNOPSIS\n    ", command->name, command->summary);
        help_synopsis(command, grammar, to);
        buf_put_text(to, "\n\n  DESCRIPTION\n    ");
        help_sentence(command->summary, to);
        buf_put_char(to, '\n');
        if (command->text) {
                AUTO_STRLIST lines = str_split(command->text, "\n");

                for (char **line = lines; *line; line++)
                        buf_format(to, "    %s\n", *line);
        }
        if (grammar_len(grammar))
                buf_put_text(to, "\n  OPTIONS\n");
        for (size_t i = 0; i < grammar_len(grammar); i++)
                put_option(grammar_get(grammar, i), to);
        put_options_left_out(command, to);
        buf_put_char(to, '\n');
}

void help_omitted(const char *name, Buf *to)
{
        buf_format(to, "  NAME\n    %s - a command of virsh that is not here\n\n  DESCRIPTION\n    %s.\n\n", name,
                   command_omitted(name));
}

void help_group(CommandGroup group, bool with_colon, Buf *to)
{
        const Command *command;

        buf_format(to, " %s (help keyword '%s')%s\n", command_group_title(group), command_group_keyword(group),
                   with_colon ? ":" : "");
        for (size_t at = 0; (command = command_next(group, &at));)
                buf_format(to, "    %-30s %s\n", command->name, command->summary);
        buf_put_char(to, '\n');
}

void help_all(Buf *to)
{
        buf_put_text(to, "Grouped commands:\n\n");
        for (int group = 0; group < GROUP_LAST; group++)
                help_group(group, true, to);
}

const ProgramOption program_options[] = {
        { 'c', "connect", "URI", "the hypervisor to talk to, for example qemu+ssh://host2/system" },
        { 'd', "debug", "NUM", "debug level, 0 (all) to 4 (errors only)" },
        { 'e', "escape", "CHAR", "the key that leaves a console, ^] unless given" },
        { 'h', "help", NULL, "this help" },
        { 'k', "keepalive-interval", "NUM",
          "seconds of silence before the daemon is asked for a sign of life; 0: never" },
        { 'K', "keepalive-count", "NUM", "unanswered questions before the connection counts as dead" },
        { 'l', "log", "FILE", "write the log to this file" },
        { 'o', "output", "FORMAT", "table (as virsh prints) or json" },
        { 'q', "quiet", NULL, "no headers, confirmations or empty lines" },
        { 'r', "readonly", NULL, "connect for reading only" },
        { 't', "timing", NULL, "say how long each command took" },
        { 'v', NULL, NULL, "print the version" },
        { 'V', NULL, NULL, "print the version and what the program can do" },
        { 0, "version", "[=TYPE]", "print the version, short or long" },
        { 0 },
};

static void put_program_option(const ProgramOption *option, Buf *to)
{
        AUTO(Buf) shown = { 0 };

        if (option->letter)
                buf_format(&shown, "-%c", option->letter);
        if (option->letter && option->name)
                buf_put_text(&shown, " | ");
        if (option->name)
                buf_format(&shown, "--%s", option->name);
        if (option->value)
                buf_format(&shown, "%s%s", option->value[0] == '[' ? "" : "=", option->value);
        if (shown.len <= 26)
                buf_format(to, "    %-26s %s\n", buf_text(&shown), option->doc);
        else
                buf_format(to, "    %s\n    %-26s %s\n", buf_text(&shown), "", option->doc);
}

void help_program(Buf *to)
{
        buf_put_text(to, "\ndrover [options]... [<command_string>]\ndrover [options]... <command> [args...]\n\n"
                         "  options:\n");
        for (const ProgramOption *option = program_options; option->doc; option++)
                put_program_option(option, to);
        buf_put_text(to, "\n  commands (non interactive mode):\n\n");
        for (int group = 0; group < GROUP_LAST; group++)
                help_group(group, false, to);
        buf_put_text(to, "  (specify help <group> for details about the commands in the group)\n"
                         "\n  (specify help <command> for details about the command)\n\n");
}
