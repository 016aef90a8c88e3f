#pragma once
/*
 * app/drover/session.h - one run of drover: its options, its connection, its output
 *
 * The connection is opened by the first command that needs it.
 */
#include "app/drover/command.h"
#include "app/drover/line.h"

struct Session {
        Output *out;
        char *uri; /* NULL: what the daemon says */
        bool readonly;
        bool quiet;
        bool timing;
        bool interactive; /* commands come from a shell, not from the program's arguments */
        bool quit;
        char escape; /* leaves a console: ^] unless -e says otherwise */
        int keepalive_interval_s;
        int keepalive_count;
};

/* Forget the connection and use this URI from now on; NULL: the default one. */
int session_reconnect(Session *session, const char *uri, bool readonly, Error *err);
/* Names of all guests for completion: owned, ends with NULL; NULL when there is no telling. Says nothing. */
char **session_guest_names(Session *session);
/* Serve the connection until standard input can be read or a moment has passed: libedit's idle hook. */
int session_wait_for_input(void);
void session_done(Session *session);

/* Run one command: 0, or -1 after telling the user why. */
int session_run_words(Session *session, const char *const *words, size_t n);
/* Run all commands of a text in order; the result is the last one's, as in virsh. */
int session_run_text(Session *session, const char *text);
/* Commands from standard input, until its end or `quit`. 0, or -1 when one of a script's commands failed. */
int session_run_shell(Session *session);

/* Each line of the error with "error: " before it, on standard error. */
void session_tell_error(const Error *err);
