#pragma once
/*
 * app/drover/line.h - command lines as a person types them
 *
 * Words are separated by blanks; commands by ';' or a newline. Quotes and
 * backslash work as in a shell, '#' at the start of a word begins a comment.
 */
#include "base/err.h"
#include "base/vec.h"

typedef struct Line {
        VEC(char *) words;
} Line;

typedef struct Script {
        VEC(Line) lines; /* none is empty */
} Script;

int script_parse(const char *text, Script *ret, Error *err);
void script_done(Script *script);
DEFINE_AUTO_VALUE(Script, script_done)

/* The words before the end of an unfinished line, and whether it ends inside a word. For completion. */
bool line_is_inside_word(const char *text);
