#pragma once
/*
 * app/drover-nbd/tls.h - TLS of the NBD server, by GnuTLS
 *
 * Credentials are loaded once, before anything is given up; each session takes
 * over the channel of a client. Who is let in is decided here: a client without
 * a certificate that the authority signed, or with a name that is not allowed,
 * sees its connection closed.
 */
#include "app/drover-img/command.h"
#include "nbd/channel.h"

typedef struct NbdTls NbdTls;

/* A client's distinguished name, or its PSK user name. */
typedef struct NbdTlsName {
        const char *text; /* the caller's */
        bool is_pattern;  /* of fnmatch(); else this very name */
} NbdTlsName;

/* allowed: a client must be any of these; none: it may be anybody. They stay the caller's. */
NbdTls *nbd_tls_new(const TlsCreds *creds, const NbdTlsName *allowed, size_t n_allowed, Error *err);
NbdTls *nbd_tls_free(NbdTls *tls);
/* A function for NbdSession.start_tls; tls is an NbdTls. */
int nbd_tls_start(void *tls, NbdChannel **channel, Error *err);

DEFINE_AUTO(NbdTls, nbd_tls_free)
