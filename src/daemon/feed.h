#pragma once
/*
 * daemon/feed.h - bytes held in memory, read from a descriptor that can be polled
 *
 * A memfd cannot be watched, a stream needs what can: a Feed pushes the one
 * through a socket as fast as its reader takes it.
 */
#include "base/err.h"
#include "base/fd.h"
#include "loop/loop.h"

typedef struct Feed Feed;

/* Takes memory and gives it out from its start. *reader is the caller's; it ends after the last byte. */
Feed *feed_new(Loop *loop, Fd memory, Fd *reader, Error *err);
Feed *feed_free(Feed *feed); /* returns NULL */
