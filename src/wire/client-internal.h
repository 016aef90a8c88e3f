#pragma once
/*
 * wire/client-internal.h - what client.c, client-call.c and client-stream.c share
 *
 * A callback may free the client. `busy` counts the functions on the stack that
 * still use it; the last one out releases the memory.
 */
#include "base/vec.h"
#include "wire/client.h"
#include "wire/conn.h"
#include "wire/dial.h"

typedef enum ClientState {
        CLIENT_OPENING,
        CLIENT_OPEN,
        CLIENT_ENDED,
} ClientState;

struct ClientCall {
        Client *client;
        const WireProc *proc;
        uint32_t serial;
        ClientDone *done;
        void *arg;
        Arena *arena; /* the caller's, or NULL: one is made for the reply */
        void *ret;    /* the caller's, or NULL */
        Timer *deadline;
        Idle *failing; /* it could not even be sent */
        Error failure;
};

struct Client {
        Loop *loop;
        Uri *uri;
        ClientOptions options;
        const ClientHooks *hooks;
        void *arg;
        ClientState state;
        unsigned step; /* of opening */
        Dial *dial;
        Conn *conn;
        Timer *open_timeout;
        char *chosen_uri; /* by the server, for an empty one */
        uint32_t next_serial;
        VEC(ClientCall *) calls;
        VEC(ClientStream *) streams;
        Error ended; /* why */
        unsigned busy;
        bool freed;
};

void client_enter(Client *client);
void client_leave(Client *client);
/* Without asking whether the client is open. */
ClientCall *client_call_start(Client *client, const WireProc *proc, const void *args, const Fd *fds, size_t n_fds,
                              ClientDone *done, void *arg);
void client_call_answer(Client *client, const Frame *frame);
/* All calls, with this reason. */
void client_calls_fail(Client *client, const Error *why);
void client_calls_drop(Client *client);
void client_stream_take(Client *client, const Frame *frame);
void client_streams_fail(Client *client, const Error *why);
void client_streams_drop(Client *client);
void client_streams_room(Client *client);
/* What an error reply or packet says; always -1. */
int client_read_error(const uint8_t *payload, size_t len, Error *err);
