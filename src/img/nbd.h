#pragma once
/*
 * img/nbd.h - an ImageFile that an NBD server holds
 *
 * libnbd is loaded when the first one is opened: nothing that works on files
 * pays for it at start. image_file_open() comes here by itself for names of
 * the kinds nbd:host:port, nbd:unix:path, nbd://, nbds://, nbd+unix:// and
 * nbds+unix://.
 */
#include "img/file.h"

bool nbd_is_name(const char *name);
/* Connects, which may wait for the server. flags: FILE_WRITE. */
ImageFile *nbd_file_open(const char *name, unsigned flags, Error *err);
/* Where an export is. */
typedef struct NbdPlace {
        const char *host, *port;      /* host NULL: a unix socket at path; port NULL: the usual one */
        const char *path, *name;      /* name NULL: "" */
        bool tls;                     /* and nothing in the clear */
        const char *tls_certificates; /* a directory; NULL: none */
        const char *tls_psk_file, *tls_user;
        bool tls_unverified; /* whoever it is */
} NbdPlace;
/* A URI of its parts, each of them escaped. Owned. */
char *nbd_uri(const NbdPlace *place);
