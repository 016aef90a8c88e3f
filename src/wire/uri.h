#pragma once
/*
 * wire/uri.h - connection URIs
 *
 *      driver[+transport]://[user@][host][:port]/[path][?name=value&...]
 *
 * Parameters that only concern the way to the daemon are taken out; what is left is the name the daemon gets.
 * Parsing looks at the text only.
 */
#include "base/err.h"

#include <stdint.h>

typedef enum UriTransport {
        URI_UNIX, /* without a host, unless the URI says otherwise */
        URI_TLS,  /* with a host, unless the URI says otherwise */
        URI_TCP,
        URI_SSH,
        URI_EXT,
} UriTransport;

/* How the far end of ssh finds the daemon's socket. */
typedef enum UriProxy {
        URI_PROXY_AUTO,
        URI_PROXY_NETCAT,
        URI_PROXY_NATIVE,
} UriProxy;

/* Which of libvirt's sockets: the one of the driver's own daemon or the one of all drivers. */
typedef enum UriMode {
        URI_MODE_AUTO,
        URI_MODE_LEGACY,
        URI_MODE_DIRECT,
} UriMode;

typedef struct Uri {
        char *driver; /* "qemu"; NULL: the empty URI, the daemon chooses */
        UriTransport transport;
        char *user;    /* these three may be NULL */
        char *host;    /* without brackets; never NULL for TLS, TCP and ssh */
        char *path;    /* "/system" */
        uint16_t port; /* 0: the transport's own */
        char *name;    /* for connect_open */
        char *command; /* the rest: parameters, NULL when not given */
        char *socket;
        char *netcat;
        char *keyfile;
        UriProxy proxy;
        UriMode mode;
        bool no_tty;
        bool no_verify;
} Uri;

/* text may be NULL or empty: a local daemon, which chooses the driver. */
Uri *uri_parse(const char *text, Error *err);
Uri *uri_free(Uri *uri); /* returns NULL */
const char *uri_transport_name(UriTransport transport);

DEFINE_AUTO(Uri, uri_free)
