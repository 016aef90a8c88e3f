#pragma once
/*
 * host/net-bandwidth.h - limits on what a link sends and receives
 *
 * By the kernel's traffic control, over netlink: a token bucket tree (HTB) on
 * what leaves the link, a policer on what comes in.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Kilobytes per second; burst in KiB, 0: a default. average 0: no limit. */
typedef struct NetRate {
        uint64_t average, peak, burst;
} NetRate;

/*
 * Replace the limits of a link: what it sends (towards a guest, seen from its tap) and what it receives. The error
 * says which part of traffic control the kernel lacks.
 */
int net_set_bandwidth(const char *link, const NetRate *send, const NetRate *receive, Error *err);
