#pragma once
/*
 * app/drover-nbd/server.h - clients come, are served by threads of their own, and go
 */
#include "app/drover-nbd/listen.h"
#include "app/drover-nbd/tls.h"

/*
 * Until the last client has left, or a signal says so: SIGTERM, SIGINT and SIGHUP, which are blocked, come through
 * `signals`. Clients that are still there then are sent away once what they asked for is done.
 */
int serve_clients(ServeOptions *options, const Sockets *sockets, NbdTls *tls, int signals, Error *err);
/* A sentence for the log; ever the same from many clients is no news. */
void serve_tell(const ServeOptions *options, bool important, const Error *why);
