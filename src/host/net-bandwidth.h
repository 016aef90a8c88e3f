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

/* What one receiver behind a link is sure of, in kilobytes per second. */
typedef struct NetFloor {
        uint8_t mac[6];
        uint64_t rate;
} NetFloor;

/*
 * Replace the limits of a link: what it sends (towards a guest, seen from its tap) and what it receives. The error
 * says which part of traffic control the kernel lacks.
 */
int net_set_bandwidth(const char *link, const NetRate *send, const NetRate *receive, Error *err);

/*
 * Replace what a link sends by a tree in which each of n receivers is sure of its floor, and may have what the others
 * leave of send. The floors together are at most send's average; what is in the queues at this moment is lost.
 */
int net_set_floors(const char *link, const NetRate *send, const NetFloor *floors, size_t n, Error *err);
