#pragma once
/*
 * app/drover/session.h - one run of drover: its options, its connection, its output
 *
 * The connection is opened by the first command that needs it.
 */
#include "app/drover/command.h"
#include "app/drover/line.h"
#include "base/arena.h"
#include "wire/client.h"

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

        Loop *loop;     /* NULL until needed */
        Client *client; /* NULL until needed */
        bool lost;      /* the connection ended by itself */
        Arena *arena;   /* of the command that runs */
        /* What a command does with events while it waits. */
        void (*on_event)(void *arg, const WireEvent *event, const void *msg);
        void *on_event_arg;
};

/* Connect unless connected. */
int session_open(Session *session, Error *err);
/*
 * Call a procedure (WIRE_PROC_*) of the general or the QEMU program and wait for its answer; connects first where that
 * is needed. args and ret may be NULL; what ret points to lives until the command ends.
 */
int session_call(Session *session, uint32_t proc, const void *args, void *ret, Error *err);
int session_call_qemu(Session *session, uint32_t proc, const void *args, void *ret, Error *err);
/* Put the sentence of its code around an error that the client library gave; err may be NULL. */
void session_spell_out(Error *err);
Arena *session_arena(Session *session);    /* dropped when the command ends */
const char *session_uri(Session *session); /* as given, else as the daemon calls it; once open */
Loop *session_loop(Session *session, Error *err);

/* Another connection on the session's loop, the caller's: the other side of a migration. */
Client *session_connect(Session *session, const char *uri, bool readonly, Error *err);
/* Owned: "host2" becomes "qemu+ssh://host2/system", a URI stays as it is (MIG-11). NULL gives NULL. */
char *session_expand_uri(const char *text);
/* Drop the connection and open one to this URI; NULL: the default one. */
int session_reconnect(Session *session, const char *uri, bool readonly, Error *err);

/*
 * Do what waits for a person or another program, and serve the connection meanwhile: a daemon closes one whose client does
 * not answer. fn(arg) is called by another thread.
 */
int session_meanwhile(Session *session, void (*fn)(void *arg), void *arg, Error *err);

/* libedit's idle hook: serve the connection of the session at the prompt until standard input can be read. */
int session_wait_for_input(void);
void session_at_prompt(Session *session);

void session_end_command(Session *session);
void session_done(Session *session);

/* Run one command: 0, or -1 after telling the user why. */
int session_run_words(Session *session, const char *const *words, size_t n);
/* Run all commands of a text in order; the result is the last one's, as in virsh. */
int session_run_text(Session *session, const char *text);
/* Commands from standard input, until its end or `quit`. 0, or -1 when one of a script's commands failed. */
int session_run_shell(Session *session);

/* Each line of the error with "error: " before it, on standard error. */
void session_tell_error(const Error *err);
