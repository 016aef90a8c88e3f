#pragma once
/*
 * qemu/qmp-out.h - commands on their way to QEMU
 *
 * What a socket does not take waits here, in order. A command of which nothing has left can be taken back.
 */
#include "base/fd.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct QmpOutgoing {
        uint64_t id;
        char *text;
        size_t len, sent;
        Fd fd; /* goes with the first of the bytes; -1: none */
} QmpOutgoing;

typedef struct QmpOut {
        VEC(QmpOutgoing) list;
} QmpOut;

/* text is taken, and wiped when it goes: it may be a key. fd (-1: none) stays the caller's. */
void qmp_out_put(QmpOut *out, uint64_t id, char *text, int fd);
/* False: it has left, or a part of it. */
bool qmp_out_take_back(QmpOut *out, uint64_t id);
/* Write what the socket takes now. A broken connection shows on the reading side. */
void qmp_out_flush(QmpOut *out, int socket);
void qmp_out_clear(QmpOut *out);

static inline bool qmp_out_is_empty(const QmpOut *out)
{
        return out->list.len == 0;
}
