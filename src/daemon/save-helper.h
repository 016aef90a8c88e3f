#pragma once
/*
 * daemon/save-helper.h - a drover-save process, and what it says
 */
#include "base/buf.h"
#include "daemon/qemu-driver.h"

typedef struct SaveHelper SaveHelper;

typedef struct SaveHelperSpec {
        const char *verb, *path;
        const char *const *argv; /* another program than drover-save; NULL: that one */
        bool direct;
        int in, out, head, commit; /* descriptors it gets, the caller's; -1: none. out -1: it is collected */
} SaveHelperSpec;

/* done() once, when the process ended; said is its output and its own. The helper may be freed there. */
SaveHelper *save_helper_new(QemuDriver *qemu, const SaveHelperSpec *spec,
                            void (*done)(void *arg, Buf *said, const Error *failure), void *arg, Error *err);
pid_t save_helper_pid(const SaveHelper *helper);
SaveHelper *save_helper_free(SaveHelper *helper); /* kills it; returns NULL */

/* A descriptor with these bytes, to be read from its start. */
int save_head_fd(const Buf *head, Fd *ret, Error *err);
