#pragma once
/*
 * daemon/stream.h - bytes between a client and a descriptor, under an open call
 *
 * A stream is opened by a call and carries packets under that call's serial:
 * a console, a screenshot, a tunnelled migration. Both ends are non-blocking;
 * whichever is slow holds up the other through its own buffer, no further.
 */
#include "base/err.h"
#include "base/fd.h"
#include "wire/conn.h"

#include <stdbool.h>

typedef struct Call Call;
typedef struct ServerClient ServerClient;
typedef struct Stream Stream;

/*
 * Open one for this call, which is answered afterwards. fd is taken. reads: what comes from fd goes to the client;
 * writes: what the client sends goes to fd. ended(arg, failure) is called once, when the client finished (NULL), when
 * it aborted or left, or when fd failed; fd is closed before. ended may be NULL.
 */
Stream *stream_new(Call *call, Fd fd, bool reads, bool writes, void (*ended)(void *arg, const Error *failure),
                   void *arg, Error *err);
/*
 * The same for one that can carry holes: through fd go the pieces of host/storage/volume.h. One that writes ends with
 * stream_complete(), when its owner has all of it in place, or stream_fail(); that fd was closed is left to the owner
 * to explain.
 */
Stream *stream_new_pieces(Call *call, Fd fd, bool writes, void (*ended)(void *arg, const Error *failure), void *arg,
                          Error *err);
void stream_complete(Stream *stream);
/* End it without a word to the client: it left. Returns NULL. */
Stream *stream_free(Stream *stream);
/* Tell the client that the stream failed; the stream is gone then. */
void stream_fail(Stream *stream, const Error *failure);

/* A stream packet or hole came in. */
void stream_receive(ServerClient *client, const Frame *frame);
/* The client's connection has room again. arg is the ServerClient. */
void streams_drained(ServerClient *client);
