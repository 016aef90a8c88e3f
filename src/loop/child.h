#pragma once
/*
 * loop/child.h - a process of our own, watched from the loop
 *
 * A child starts with closed descriptors (all but the ones passed), default
 * signals and its own process group. Its end is reported once. Freeing a Child
 * that still runs kills it, unless it was made to keep going; one that hangs in
 * the kernel is reaped when it ends, and nobody waits for it.
 */
#include "loop/loop.h"

#include <sys/types.h>

typedef struct Child Child;

typedef struct ChildFd {
        int fd; /* stays the caller's */
        int at; /* its number in the child */
} ChildFd;

typedef struct ChildSpec {
        const char *const *argv; /* argv[0] is looked up in PATH; ends with NULL */
        const char *const *env;  /* ends with NULL; NULL: a minimal one (PATH, LANG=C) */
        const ChildFd *fds;      /* what else it gets; 0, 1, 2 are /dev/null unless named here */
        size_t n_fds;
        const char *dir; /* working directory; NULL: / */
        /* Runs in the child between fork and exec: async-signal-safe calls only. Non-zero: give up. */
        int (*prepare)(void *arg);
        void *prepare_arg;
        bool keep_going; /* survives the daemon: own session, not killed when the Child is freed */
        /*
         * When set, child_new() does not wait for the exec, so that prepare may take its time: started()
         * comes later, with why when there was no exec; ended() does not follow then.
         */
        void (*started)(void *arg, const Error *why);
} ChildSpec;

/* status as from waitpid(). */
Child *child_new(Loop *loop, const ChildSpec *spec, void (*ended)(void *arg, int status), void *arg, Error *err);
pid_t child_pid(const Child *child);
void child_kill(Child *child, int signum);
Child *child_free(Child *child); /* returns NULL */
/* Killed ones that have not ended are left to init: the loop is about to be freed. */
void child_forget_killed(const Loop *loop);
/* "exited with status 3", "was killed by signal 9"; valid until the next call. */
const char *child_status_text(int status);

DEFINE_AUTO(Child, child_free)
