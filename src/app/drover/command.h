#pragma once
/*
 * app/drover/command.h - one command, as data
 *
 * Each file of commands ends with a table of these. What a command is called,
 * takes and says about itself is written there and nowhere else: the parser,
 * help, manual page and completion all read it.
 */
#include "app/drover/args.h"
#include "app/drover/output.h"

typedef struct Session Session;

typedef enum CommandGroup {
        GROUP_DOMAIN,
        GROUP_MONITOR,
        GROUP_EVENTS,
        GROUP_HOST,
        GROUP_STORAGE,
        GROUP_NETWORK,
        GROUP_NWFILTER,
        GROUP_INTERFACE,
        GROUP_NODEDEV,
        GROUP_SECRET,
        GROUP_SHELL,
        GROUP_LAST,
} CommandGroup;

typedef struct Command {
        const char *name;
        CommandGroup group;
        const char *args;    /* the grammar of args.h; NULL: takes nothing */
        const char *summary; /* one line, no full stop */
        const char *text;    /* more for the manual and `help CMD`, or NULL */
        bool hidden;         /* not listed: for scripts of our own */
        /* 0, or -1; -1 without an error set: the answer is a plain no. */
        int (*run)(Session *session, const Args *args, Error *err);
} Command;

const Command *command_find(const char *name); /* NULL */
const char *command_group_title(CommandGroup group);
const char *command_group_keyword(CommandGroup group);
/* Those of one group, hidden ones left out, by name: for (size_t at = 0; (c = command_next(group, &at));) */
const Command *command_next(CommandGroup group, size_t *at);
/* What virsh has and drover has not. */
typedef struct Omission {
        const char *names;  /* of commands, a blank between them */
        const char *option; /* of theirs; NULL: the commands themselves */
        const char *why;
} Omission;
/*
 * Those of commands, or of commands' options, that concern this command; NULL: any of them. For (size_t at = 0; (o =
 * omission_next(name, false, &at));)
 */
const Omission *omission_next(const char *name, bool of_options, size_t *at);
bool omission_names(const Omission *omission, const char *name);
const char *command_omitted(const char *name); /* why virsh's command is not here; NULL: it has none of this name */
/* For a word that is no command: what was probably meant, or NULL (CON-51). */
const char *command_hint(const char *name);
