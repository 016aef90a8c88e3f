#pragma once
/*
 * daemon/save-helper.h - a drover-save process
 */
#include "daemon/helper.h"
#include "daemon/qemu-driver.h"

typedef struct SaveHelperSpec {
        const char *verb, *path;
        const char *const *argv; /* another program than drover-save; NULL: that one */
        bool direct;
        unsigned patience_ms;      /* as a helper's */
        int in, out, head, commit; /* descriptors it gets, the caller's; -1: none. out -1: it is collected */
} SaveHelperSpec;

/* A Helper with drover-save's arguments. */
Helper *save_helper_new(QemuDriver *qemu, const SaveHelperSpec *spec,
                        void (*done)(void *arg, Buf *said, const Error *failure), void *arg, Error *err);
