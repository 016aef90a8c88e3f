#pragma once
/*
 * app/drover-nbd/listen.h - the sockets that clients connect to
 */
#include "app/drover-nbd/options.h"
#include "base/fd.h"

typedef struct Sockets {
        VEC(int) fds; /* owned, listening */
        bool is_file; /* a UNIX socket of ours, to be removed */
} Sockets;

/* As the options say: a UNIX socket, TCP, or what systemd passed in. Looks names up. */
int sockets_open(Sockets *sockets, const ServeOptions *options, Error *err);
void sockets_done(Sockets *sockets, const ServeOptions *options);
