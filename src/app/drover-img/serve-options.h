#pragma once
/*
 * app/drover-img/serve-options.h - the options of serve: parsed by drover-nbd, told about by both programs
 */
#include <stddef.h>

/* Letters of options that have only a long name begin here. */
enum {
        SERVE_FORK = 256,
        SERVE_PID_FILE,
        SERVE_STDIN,
        SERVE_CACHE,
        SERVE_AIO,
        SERVE_DISCARD,
        SERVE_DETECT_ZEROES,
        SERVE_TLS_CREDS,
        SERVE_TLS_AUTHZ,
        SERVE_TLS_ALLOW,
        SERVE_THREADS,
        SERVE_UNTRUSTED,
        SERVE_OBJECT,
        SERVE_IMAGE_OPTS,
        SERVE_FORCE_SHARE,
        SERVE_STALL_TIMEOUT,
};

typedef struct ServeRow {
        int letter;
        const char *name, *value, *help; /* value NULL: it takes none */
} ServeRow;

enum { SERVE_ROWS = 33 };
extern const ServeRow serve_rows[SERVE_ROWS];
