#pragma once
/*
 * daemon/socket.h - listening sockets: where they are, who may connect
 */
#include "base/err.h"
#include "base/fd.h"
#include "base/vec.h"
#include "daemon/daemon.h"

typedef struct ListenSocket {
        Fd fd;
        bool readonly;
        char *path; /* to remove at the end; NULL: TCP, or systemd's */
} ListenSocket;

typedef VEC(ListenSocket) ListenSockets;

/*
 * Every socket of the configuration is this daemon's from now on; who connects to one with a path is refused until it
 * listens. Blocks a little; start-up only.
 */
int listen_sockets_open(const Daemon *daemon, ListenSockets *ret, Error *err);
int listen_sockets_listen(const Daemon *daemon, const ListenSockets *sockets, Error *err);
void listen_sockets_close(ListenSockets *sockets); /* and removes the files */
