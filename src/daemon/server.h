#pragma once
/*
 * daemon/server.h - the sockets droverd listens on, and who is let in
 *
 * All sockets together admit max_clients; of these, max_anonymous_clients may
 * not have said yet who they are, and have anonymous_timeout to do so. At a limit the sockets are not accepted from:
 * those who connect wait in the kernel's queue (CFG-02, CFG-03, CFG-04).
 */
#include "daemon/daemon.h"
#include "daemon/server-client.h"

/*
 * Take the places of the sockets that the configuration names, or the sockets that systemd passes. Nobody is let in
 * before server_start().
 */
Server *server_new(Daemon *daemon, Error *err);
int server_start(Server *server, Error *err);
Server *server_free(Server *server); /* and all clients; returns NULL */

void server_client_left(Server *server, ServerClient *client); /* frees it */
void server_client_authenticated(Server *server, ServerClient *client);
/* Room in the budget for large frames became free. */
void server_retry_large_frames(Server *server);
size_t server_n_clients(const Server *server);
/* SIGUSR1: who is there, which calls are worked on, and the limits go to the log (MIG-63, CFG-05). */
void server_report(const Server *server);

DEFINE_AUTO(Server, server_free)
