#pragma once
/*
 * host/net.h - links of this machine: taps for guests, bridges they join
 *
 * Requests go to the kernel over netlink and are answered at once.
 */
#include "base/fd.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct NetStats {
        uint64_t rx_bytes, rx_packets, rx_errs, rx_drop, tx_bytes, tx_packets, tx_errs, tx_drop;
} NetStats;

/*
 * Make a tap that lives as long as its descriptor is open somewhere. name: as wanted, or NULL for the
 * first free vnetN; ret_name says what it became. With more than one queue, ret has that many.
 */
int net_tap_open(const char *name, unsigned n_queues, Fd *ret, char ret_name[IFNAMSIZ], Error *err);

int net_link_check_name(const char *name, Error *err); /* could an interface have it? */
bool net_link_exists(const char *name);
int net_link_set_up(const char *name, bool up, Error *err);
int net_link_set_mtu(const char *name, uint32_t mtu, Error *err);
int net_link_set_mac(const char *name, const uint8_t mac[6], Error *err);
/* bridge NULL: leave the one it is in. */
int net_link_set_master(const char *name, const char *bridge, Error *err);
int net_link_delete(const char *name, Error *err); /* one that is gone is fine */
int net_link_mtu(const char *name, uint32_t *ret, Error *err);
bool net_link_is_bridge(const char *name);
/* mode: bridge, private, vepa, passthru. The descriptor is of its /dev/tapN (DOM-42). */
int net_macvtap_open(const char *name, const char *lower, const char *mode, const uint8_t mac[6], Fd *ret,
                     char ret_name[IFNAMSIZ], Error *err);
/* As the machine counts: what it receives, the guest sent. */
int net_link_stats(const char *name, NetStats *ret, Error *err);
