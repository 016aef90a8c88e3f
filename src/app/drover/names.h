#pragma once
/*
 * app/drover/names.h - what a word can be completed to when only the daemon knows
 */
#include "app/drover/args.h"
#include "app/drover/session.h"

/* "domain" where a guest's name stands, "pool" where a storage pool's does; NULL: the daemon does not know what stands there. */
const char *names_kind(const ArgDef *def);
/* All names of that kind: owned, ends with NULL; NULL when there is no telling. Says nothing. */
char **names_of_kind(Session *session, const char *kind);
