#pragma once
/*
 * daemon/migrate-tunnel.h - a guest's memory over the connection of the two daemons (MIG-35)
 *
 * QEMU here writes to a socket of ours. What it writes goes to the other daemon
 * as packets of a stream, and from there to the QEMU that waits. No more than a
 * fixed amount is under way: QEMU waits when the connection does.
 */
#include "daemon/migrate.h"
#include "wire/client.h"
#include "wire/codec.h"

typedef struct Tunnel Tunnel;

/* Ask the peer to make the guest ready at the other end. opened() as of client_stream_new(). The migration outlives it. */
Tunnel *tunnel_new(Client *client, const Migration *migration, const WireDomainMigratePrepareTunnel3ParamsArgs *args,
                   ClientDone *opened, void *arg);
/* The end that QEMU writes to, which is the caller's then. Once, after opened() without failure. */
int tunnel_open(Tunnel *tunnel, Fd *ret, Error *err);
/* QEMU has sent everything. done(arg, failure) comes once, when the peer has confirmed all of it, or never will. */
void tunnel_finish(Tunnel *tunnel, void (*done)(void *arg, const Error *failure), void *arg);
/* Why it broke; NULL while it has not. */
const Error *tunnel_failure(const Tunnel *tunnel);
/* What is under way is given up; done() does not come any more. Returns NULL. */
Tunnel *tunnel_free(Tunnel *tunnel);

/* A connected pair for QEMU (blocking) and for us. */
int tunnel_pair(Fd *ret_qemu, Fd *ret_ours, Error *err);
