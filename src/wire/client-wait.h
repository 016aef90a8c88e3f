#pragma once
/*
 * wire/client-wait.h - calls that wait, for programs that do one thing at a time
 *
 * Each function runs the loop until the answer is there, so hooks of the client
 * (events) come meanwhile. Not for code that is itself called from the loop.
 */
#include "wire/client.h"

/* Connect and open; NULL on failure. hooks (only closed and event are used) and arg may be NULL. */
Client *client_open_wait(Loop *loop, const char *uri, const ClientOptions *options, const ClientHooks *hooks,
                         void *arg, Error *err);
/* Call and decode into *ret, whose texts and lists live in the arena. args, ret and arena NULL where there is nothing. */
int client_call_wait(Client *client, const WireProc *proc, const void *args, Arena *arena, void *ret, Error *err);
/* Run the loop until *flag is set or the connection ends. */
int client_run_until(Client *client, const bool *flag, Error *err);
