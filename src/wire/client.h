#pragma once
/*
 * wire/client.h - the client side of the protocol, on the loop
 *
 * A Client connects, goes through the opening calls and then carries any number
 * of calls, streams and events at once. All functions return at once and answers
 * come through callbacks from the loop, never from within the function that asked.
 * Freeing a client from any of its callbacks is allowed.
 *
 * Typed functions for all procedures are generated into wire/client-calls.h;
 * wire/client-wait.h has the blocking form for programs that do one thing.
 */
#include "base/arena.h"
#include "base/fd.h"
#include "loop/loop.h"
#include "wire/proc.h"

typedef struct Client Client;
typedef struct ClientCall ClientCall;
typedef struct ClientStream ClientStream;

typedef struct ClientOptions {
        bool readonly;
        bool interactive;         /* ssh may ask on the terminal */
        bool close_callback;      /* tell the server that we want to hear when its own link goes away */
        int keepalive_interval_s; /* <= 0: neither ask for keepalive nor send questions */
        unsigned keepalive_count;
        unsigned open_timeout_ms; /* to connect and open; 0: none */
} ClientOptions;

typedef struct ClientHooks {
        /* Once, unless the client is freed before: it is open (NULL), or it will never be. May be NULL. */
        void (*opened)(void *arg, const Error *failure);
        /* Once, after opened() without failure: the connection ended. All calls have failed before. May be NULL. */
        void (*closed)(void *arg, const Error *why);
        /* msg is the event's message struct, which lives until the hook returns. May be NULL. */
        void (*event)(void *arg, const WireEvent *event, const void *msg);
} ClientHooks;

/* NULL only when the URI cannot be parsed. uri may be NULL: a local daemon, which chooses the driver. */
Client *client_new(Loop *loop, const char *uri, const ClientOptions *options, const ClientHooks *hooks, void *arg,
                   Error *err);
/* Over a stream that is connected already; it becomes the client's. */
Client *client_new_fd(Loop *loop, Fd fd, const char *uri, const ClientOptions *options, const ClientHooks *hooks,
                      void *arg, Error *err);
Client *client_free(Client *client); /* calls and streams that are left just end, without a callback; returns NULL */
bool client_is_open(const Client *client);
/* Why it will never be open, or is open no more; NULL while it opens or is open. */
const Error *client_failure(const Client *client);
Loop *client_loop(const Client *client);
bool client_is_local(const Client *client); /* reached over a UNIX socket of this host */
/* The URI that the server goes by, once open: what was asked for, or what it chose. */
const char *client_uri(const Client *client);

/* What a call brought. */
typedef struct ClientReply {
        const Error *failure; /* NULL: it worked */
        const void *ret;      /* the procedure's reply struct, NULL where that is empty */
        Arena *arena;         /* everything in ret lives here; TAKE() it to keep ret */
        Fd *fds;              /* fd_take() those to keep */
        size_t n_fds;
} ClientReply;

/* Once for each call, unless it was freed before. The call is gone by then. */
typedef void ClientDone(void *arg, ClientReply *reply);

/* args is read before this returns; NULL where the procedure has none. */
ClientCall *client_call(Client *client, const WireProc *proc, const void *args, ClientDone *done, void *arg);
/* With descriptors, which are taken; the server must be on the same host. */
ClientCall *client_call_fds(Client *client, const WireProc *proc, const void *args, const Fd *fds, size_t n_fds,
                            ClientDone *done, void *arg);
/*
 * Decode into *ret, zeroed, with texts and lists in arena; both are the caller's and outlive the call. ret may
 * be NULL. reply->arena is NULL then.
 */
ClientCall *client_call_into(Client *client, const WireProc *proc, const void *args, Arena *arena, void *ret,
                             ClientDone *done, void *arg);
/* Fail the call with ERR_OPERATION_TIMEOUT when its answer takes longer. What becomes of it on the server is unknown. */
void client_call_set_deadline(ClientCall *call, uint64_t ms);
/* Give up waiting; the server still does the work. Only before done(). Returns NULL. */
ClientCall *client_call_free(ClientCall *call);

typedef struct ClientStreamHooks {
        /* What the server sends, holes in their places. All but finished may be NULL. */
        void (*data)(void *arg, const void *data, size_t len);
        void (*hole)(void *arg, uint64_t length);
        void (*end)(void *arg);  /* it sends no more; finish now */
        void (*room)(void *arg); /* more can be sent */
        /*
         * Once, after the opening call succeeded: the server confirmed the end (NULL), or the stream broke. An abort
         * is confirmed too.
         */
        void (*finished)(void *arg, const Error *failure);
} ClientStreamHooks;

/* Call a procedure that opens a stream; opened() as done() of a call. If it fails the stream is dead. */
ClientStream *client_stream_new(Client *client, const WireProc *proc, const void *args,
                                const ClientStreamHooks *hooks, ClientDone *opened, void *arg);
/* Whether more should be sent now; when not, room() comes. What is sent nevertheless is queued, up to 4 MiB. */
bool client_stream_has_room(ClientStream *stream);
void client_stream_send(ClientStream *stream, const void *data, size_t len);
void client_stream_send_hole(ClientStream *stream, uint64_t length); /* only when the call's flags allow holes */
void client_stream_finish(ClientStream *stream);
void client_stream_abort(ClientStream *stream);
/* Aborts what still goes on; finished() will not come. Also from its hooks. Returns NULL. */
ClientStream *client_stream_free(ClientStream *stream);

DEFINE_AUTO(Client, client_free)
