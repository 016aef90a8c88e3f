#pragma once
/*
 * daemon/path-dial.h - connect to a unix socket at a path that a user named
 *
 * The path may lie on a file system that hangs, so a child connects: the socket is shared with it.
 */
#include "base/err.h"
#include "base/fd.h"
#include "loop/loop.h"

typedef struct PathDial PathDial;

/* done() once, on a later turn: fd is the caller's, -1 on failure. The dial may be freed there; before it cancels. */
PathDial *path_dial_new(Loop *loop, const char *path, void (*done)(void *arg, Fd fd, const Error *failure), void *arg,
                        Error *err);
/* The same for a path of our own, which cannot hang: connected at once, done() still comes later. */
PathDial *path_dial_own(Loop *loop, const char *path, void (*done)(void *arg, Fd fd, const Error *failure), void *arg,
                        Error *err);
PathDial *path_dial_free(PathDial *dial); /* returns NULL */

DEFINE_AUTO(PathDial, path_dial_free)
