#pragma once
/*
 * daemon/migrate-p2p-parts.h - what the files that a move from peer to peer is written in share, and nobody else sees
 */
#include "base/mem.h"
#include "daemon/migrate-tunnel.h"
#include "daemon/migrate.h"
#include "wire/client-calls.h"
#include "wire/client.h"

enum {
        P2P_CONNECT_S = 60,
        P2P_CALL_S = 60, /* in which the destination answers a call */
};

struct PeerMove {
        Migration *migration; /* NULL for a definition only */
        Domain *dom;
        Call *call;
        Job *job;
        Client *client;
        ClientCall *pending;
        Tunnel *tunnel; /* NULL: the two QEMUs connect */
        char *uri, *nonce;
        uint32_t flags;
        Arena *arena; /* of what the peer answers and of the parameters */
        MigrateParams params;
        MigrateCookie peer; /* of prepare */
        const char *uri_out;
        bool prepared;     /* there is something to give up on the other side */
        char *objection;   /* owned: what the other side said when that was done; NULL: nothing against the guest */
        Buf cookie;        /* begin's */
        bool finished;     /* the peer has answered finish */
        bool unknown;      /* it has not, and cannot be asked, or does not answer that either */
        Timer *gone;       /* runs since the connection ended while the memory moves */
        uint64_t asked_ms; /* loop time of the first question; 0: none was asked */
        int64_t resumed_us;
};

/* What the destination is told: the source's own business is left out. */
uint32_t p2p_peer_flags(const PeerMove *p);
/* Nothing that the destination was asked is waited for any more. */
void p2p_drop_pending(PeerMove *p);
/* How long a destination may be silent: as long as on a connection that is kept alive. */
uint64_t p2p_patience_ms(const PeerMove *p);
/* QEMU is here, whether the guest stands still or not. */
bool p2p_runs_here(const PeerMove *p);
/* Calls finish there; cancelled: it is not to run there. Owned by the caller, who waits for done(p). */
ClientCall *p2p_call_finish(PeerMove *p, bool cancelled, ClientDone *done);

/* Steps of the job, in migrate-p2p-peer.c: a destination that can take the guest, and is let go of again. */
StepResult p2p_connect(void *state, Job *job, Error *err);
StepResult p2p_hang_up(void *state, Job *job, Error *err);
StepResult p2p_check_peer(void *state, Job *job, Error *err);
StepResult p2p_prepare_peer(void *state, Job *job, Error *err);
StepResult p2p_abort_peer(void *state, Job *job, Error *err);

/* And in migrate-p2p-finish.c: it runs there, or whoever knows better is asked. */
StepResult p2p_finish_peer(void *state, Job *job, Error *err);
StepResult p2p_ask_peer(void *state, Job *job, Error *err);
