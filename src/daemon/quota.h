#pragma once
/*
 * daemon/quota.h - how many calls may wait for something at a time
 *
 * Calls that are answered from memory count against nothing. The others take a
 * place: max_workers (and max_requests) for all, prio_workers more for calls of
 * high priority, so that destroy gets through when everything else hangs
 * (CFG-06, CFG-08, CFG-09, CON-67). One over the limit waits its turn.
 */
#include "base/auto.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Quota Quota;

typedef struct QuotaPlace {
        bool held, high; /* a place is held; it is one of the extra ones */
        bool high_priority;
        void (*granted)(void *arg);
        void *arg;
        struct QuotaPlace *next;
} QuotaPlace;

Quota *quota_new(unsigned ordinary, unsigned high);
Quota *quota_free(Quota *quota);

/* granted(arg) is called when the place is held: at once, or when others leave. place stays the caller's. */
void quota_enter(Quota *quota, QuotaPlace *place, bool high_priority, void (*granted)(void *arg), void *arg);
/* Give the place back, or stop waiting. Fine for one that never entered. */
void quota_leave(Quota *quota, QuotaPlace *place);
unsigned quota_in_flight(const Quota *quota);
unsigned quota_waiting(const Quota *quota);

DEFINE_AUTO(Quota, quota_free)
