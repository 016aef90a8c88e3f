#pragma once
/*
 * daemon/helper.h - a process of ours that does one thing, and what it says
 */
#include "base/buf.h"
#include "base/fd.h"
#include "loop/child.h"

typedef struct Helper Helper;

typedef struct HelperSpec {
        const char *const *argv; /* ends with NULL */
        const ChildFd *fds;      /* what it gets besides standard error; the caller's */
        size_t n_fds;
        size_t most_output; /* collect its output up to this; 0: fds say where it goes */
        /* How long it may say nothing; then it is killed and has failed with ERR_OPERATION_TIMEOUT. 0: for ever. */
        unsigned patience_ms;
        /* Lines on standard error are "NUMBER sentence", with the error's code. */
        bool numbered;
} HelperSpec;

/* done() once, when the process ended or was given up; said is its output and its own. The helper may be freed there. */
Helper *helper_new(Loop *loop, const HelperSpec *spec, void (*done)(void *arg, Buf *said, const Error *failure),
                   void *arg, Error *err);
pid_t helper_pid(const Helper *helper);
Helper *helper_free(Helper *helper); /* kills it; returns NULL */

/* A descriptor with these bytes, to be read from its start. */
int helper_text_fd(const Buf *text, Fd *ret, Error *err);
/* "55 sentence" as an error; what does not look so is the sentence of an operation that failed. */
void helper_error(const char *line, Error *ret);
/* The path of a helper program: beside droverd when it is run from a build, else where it is installed. Owned. */
char *helper_program(const char *name);

DEFINE_AUTO(Helper, helper_free)
