#pragma once
/*
 * app/drover/help.h - what the commands' entries say, as help, manual page and completion script
 */
#include "app/drover/command.h"
#include "base/buf.h"

/* NAME, SYNOPSIS, DESCRIPTION, OPTIONS. */
void help_command(const Command *command, Buf *to);
void help_omitted(const char *name, Buf *to); /* command_omitted() knows it */
void help_synopsis(const Command *command, const Grammar *grammar, Buf *to);
void help_group(CommandGroup group, bool with_colon, Buf *to);
void help_all(Buf *to);
void help_program(Buf *to);                    /* drover --help */
void help_choices(const ArgDef *def, Buf *to); /* ": one of a, b", where it has choices */
void help_sentence(const char *text, Buf *to); /* with a capital letter and a full stop */

void man_page(Buf *to);          /* troff */
void completion_script(Buf *to); /* bash */

/* The program's own options; shared by --help and the manual page. */
typedef struct ProgramOption {
        char letter;       /* 0: none */
        const char *name;  /* NULL: none */
        const char *value; /* NULL: a switch */
        const char *doc;
} ProgramOption;
extern const ProgramOption program_options[]; /* ends with an empty entry */

/* What the process returns; documented in the manual, used by main. */
typedef enum ExitCode {
        EXIT_DONE = 0,
        EXIT_COMMAND_FAILED = 1,
} ExitCode;
