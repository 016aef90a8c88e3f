#pragma once
/*
 * wire/transport.h - what a URI means on the way to the daemon: sockets to try, programs to run
 *
 * Text only; wire/dial.h acts on it. Lists end with NULL and are released with str_list_free().
 */
#include "wire/uri.h"

enum { TRANSPORT_TCP_PORT = 16509 };

/* The sockets to try, in this order. Session URIs look below runtime_dir ($XDG_RUNTIME_DIR; NULL: there is none). */
char **transport_sockets(const Uri *uri, bool readonly, const char *runtime_dir);
/* The program for ssh and ext, with its arguments. as_root: who asks, for session URIs. */
char **transport_argv(const Uri *uri, bool readonly, bool as_root);
/* A word that a shell takes as it is; owned. */
char *transport_shell_quote(const char *word);
