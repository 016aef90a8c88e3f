#pragma once
/*
 * daemon/server-client.h - a client that is connected to droverd
 *
 * Its connection, what it may do, what it opened, and what dies with it: event
 * registrations, streams, guests started with autodestroy. Calls that are in
 * flight when it leaves run to their end.
 */
#include "base/vec.h"
#include "daemon/daemon.h"
#include "wire/conn.h"

typedef struct Call Call;
typedef struct EventRegistration EventRegistration;
typedef struct Stream Stream;
struct sockaddr_storage;

/* Somebody who wants to know that a client left. */
typedef struct ClientWatcher {
        void (*fn)(void *arg);
        void *arg;
} ClientWatcher;

typedef struct ServerClient {
        Daemon *daemon;
        Conn *conn;
        uint64_t id;
        bool readonly;
        bool is_unix;
        bool authenticated;
        bool knows_keepalive;
        uint64_t since_ms; /* as the loop counts */
        Driver *driver;    /* NULL until connect_open */
        bool wants_close_callback;
        unsigned unanswered; /* calls, against max_client_requests */
        unsigned holders;    /* reasons for which its socket is not read */
        VEC(Call *) calls;
        VEC(EventRegistration *) registrations;
        VEC(Stream *) streams;
        VEC(ClientWatcher) watchers;
} ServerClient;

/* Takes fd, which comes from peer. The server is told through server_client_left() when the client is gone. */
ServerClient *server_client_new(Daemon *daemon, Fd fd, const struct sockaddr_storage *peer, bool readonly);
/* Drops the connection and all that dies with it; calls in flight lose their client. Returns NULL. */
ServerClient *server_client_free(ServerClient *client);
/* Who it is: "process 17 of user 0", "127.0.0.1:5000". */
void server_client_describe(const ServerClient *client, Buf *buf);
/* A call was answered: there may be room to read on. */
void server_client_answered(ServerClient *client, Call *call);

/* fn(arg) is called when the client leaves, unless it is forgotten before. */
void server_client_watch(ServerClient *client, void (*fn)(void *arg), void *arg);
void server_client_forget(ServerClient *client, const void *arg);
/* One reason more (1) or less (-1) not to read its socket. */
void server_client_hold(ServerClient *client, int change);

DEFINE_AUTO(ServerClient, server_client_free)
