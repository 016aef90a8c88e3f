#pragma once
/*
 * nbd/session.h - one client: what was agreed on, and its requests
 *
 * nbd_haggle() runs the phase of options to its end, then nbd_transmit() the
 * phase of requests. What a client sends before it is encrypted counts for
 * nothing afterwards.
 */
#include "nbd/channel.h"
#include "nbd/export.h"

typedef struct NbdSession {
        NbdExport *export;
        NbdChannel *channel; /* owned; replaced when it becomes encrypted */
        /*
         * Encrypt: take the channel and give another one in its place, or fail, which ends the session. NULL: there is
         * no TLS here. With it, nothing but STARTTLS is answered in the clear.
         */
        int (*start_tls)(void *arg, NbdChannel **channel, Error *err);
        void *tls_arg;

        /* what was agreed on */
        bool encrypted, structured, no_zeroes;
        uint64_t contexts; /* bits of ids */
} NbdSession;

typedef enum NbdHaggled {
        NBD_GONE,  /* it wanted no export, and left in peace */
        NBD_READY, /* requests follow */
} NbdHaggled;

/* -1: the client broke the rules, or was not let in; the connection is to be closed. */
int nbd_haggle(NbdSession *session, NbdHaggled *ret, Error *err);
/* Until the client leaves (0) or breaks the rules (-1), in so many threads (1: only this one). */
int nbd_transmit(NbdSession *session, unsigned threads, Error *err);
