#pragma once
/*
 * host/net-vlan.h - VLANs on bridges of the kernel
 *
 * Requests go to the kernel over netlink and are answered at once.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct NetVlan {
        uint16_t id;
        bool native;   /* what comes without a tag belongs to it */
        bool untagged; /* and leaves without one */
} NetVlan;

/* The bridge tells VLANs apart from now on, or not; without that what follows has no effect. */
int net_bridge_filter_vlans(const char *bridge, bool on, Error *err);
bool net_bridge_filters_vlans(const char *bridge);
/* The VLAN that the bridge gives to new ports; 0: none. */
uint16_t net_bridge_usual_vlan(const char *bridge);
/* A port of a bridge is in these VLANs and no others. is_bridge: it is the bridge itself, the host's way into it. */
int net_port_set_vlans(const char *link, bool is_bridge, const NetVlan *vlans, size_t n, Error *err);
