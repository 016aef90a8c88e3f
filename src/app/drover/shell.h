#pragma once
/*
 * app/drover/shell.h - commands typed by a person, or fed by a script
 */
#include "app/drover/session.h"

/* What may stand at the end of the line: owned, ends with NULL. */
char **shell_complete(Session *session, const char *line, const char *prefix);
