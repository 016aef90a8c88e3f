#pragma once
/*
 * daemon/migrate-promise.h - the pause that was announced for a moving guest, or allowed, and the one that it was
 */
#include "base/buf.h"

#include <stdbool.h>

typedef struct Promise {
        uint64_t pause_ms;    /* at most; 0: nothing was promised */
        uint64_t left;        /* bytes that were to be sent in it */
        uint64_t bytes_per_s; /* at this rate; 0: not known */
        bool allowed;         /* somebody set it as the longest; else it is what we announced */
} Promise;

/*
 * Appends what became of it: that it was kept, or how much longer the pause was and why. sent: bytes that went in it, 0: not
 * known. Returns whether it was kept. Nothing where nothing was promised.
 */
bool promise_explain(const Promise *promise, uint64_t paused_ms, uint64_t sent, Buf *to);
