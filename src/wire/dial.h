#pragma once
/*
 * wire/dial.h - reach the daemon that a URI names
 *
 * Sockets are tried in turn, names are looked up by a child (getent), ssh and
 * ext are children at the end of a socket pair. The result is one connected
 * stream. The Dial stays until the connection ends, because it owns the child;
 * freeing it earlier gives up.
 */
#include "base/fd.h"
#include "loop/loop.h"
#include "wire/uri.h"

typedef struct Dial Dial;

typedef struct DialOptions {
        bool readonly;
        bool interactive; /* ssh may ask on the terminal of this program */
} DialOptions;

/*
 * uri must outlive the Dial. done() comes once and not from within dial_new(): with the stream, which is the
 * receiver's, or with -1 and the reason.
 */
Dial *dial_new(Loop *loop, const Uri *uri, const DialOptions *options,
               void (*done)(void *arg, Fd fd, const Error *failure), void *arg);
/* Name the program of ssh and ext in the sentence, and say what it last wrote to its standard error. */
void dial_explain(Dial *dial, Error *err);
Dial *dial_free(Dial *dial); /* returns NULL */

DEFINE_AUTO(Dial, dial_free)
