#pragma once
/*
 * daemon/server-client.h - a client that is connected to droverd
 *
 * Its connection, who it is, what it opened, and what dies with it: event
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
        pid_t pid; /* of a UNIX client, like uid and gid; -1 else */
        uid_t uid;
        gid_t gid;
        char *address;    /* "127.0.0.1:5000" of a TCP client; NULL else */
        uint64_t since_s; /* wall clock */
        Driver *driver;   /* NULL until connect_open */
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
/* A call was answered: there may be room to read on. */
void server_client_answered(ServerClient *client, Call *call);

/* fn(arg) is called when the client leaves, unless it is forgotten before. */
void server_client_watch(ServerClient *client, void (*fn)(void *arg), void *arg);
void server_client_forget(ServerClient *client, const void *arg);
/* One reason more (1) or less (-1) not to read its socket. */
void server_client_hold(ServerClient *client, int change);

DEFINE_AUTO(ServerClient, server_client_free)
