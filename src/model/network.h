#pragma once
/*
 * model/network.h - the definition of a virtual network
 *
 * Like a DomainDef: immutable once shared, in an arena of its own, counted; a
 * change is made on a copy. Pure: nothing here touches the host.
 */
#include "base/net-address.h"
#include "model/domain-def.h"

/* The caller gets the one reference. Warnings are added to; NULL: thrown away. */
int network_def_parse(const char *xml, size_t len, unsigned flags, NetworkDef **ret, Warnings *warnings, Error *err);
/* XML ending with a newline. */
void network_def_format(const NetworkDef *def, unsigned flags, Buf *ret);
NetworkDef *network_def_new(void);                   /* an empty one with its defaults, to be filled in */
NetworkDef *network_def_copy(const NetworkDef *def); /* mutable until it is shared */
NetworkDef *network_def_ref(const NetworkDef *def);  /* the loop thread's: the count is not atomic */
NetworkDef *network_def_unref(NetworkDef *def);      /* returns NULL */

/* What is left open: identity, address of the bridge, its settings - but not the bridge's name. Twice changes nothing. */
void network_def_complete(NetworkDef *def);

/* The network has a bridge that is made for it: isolated, NAT, routed, open. */
bool network_has_own_bridge(const NetworkDef *def);
/* Its bridge is one of the host that is there already: mode bridge with a bridge's name. */
bool network_uses_host_bridge(const NetworkDef *def);
bool network_forwards(const NetworkDef *def);                    /* NAT or routed: the host must forward */
bool network_needs_forwarding(const NetworkDef *def, bool ipv6); /* and has addresses of that family */
bool network_uses_vlans(const NetworkDef *def);                  /* it or one of its portgroups says which */
/* Guests of one family ask us for addresses. */
bool network_has_dhcp(const NetworkDef *def, int family);
/* The address of an <ip> or the network of a <route>, and the length of its prefix. Checked definitions have both. */
unsigned network_ip_net(const NetworkIpDef *ip, NetAddress *ret);
unsigned network_route_net(const NetworkRouteDef *route, NetAddress *ret);

/* Settings that an interface of this portgroup has (NULL: the default one); NULL: none. */
const PortgroupDef *network_portgroup(const NetworkDef *def, const char *name);

typedef enum NetworkUpdateCommand { /* as VIR_NETWORK_UPDATE_COMMAND_* */
                                    NETWORK_UPDATE_MODIFY = 1,
                                    NETWORK_UPDATE_DELETE = 2,
                                    NETWORK_UPDATE_ADD_LAST = 3,
                                    NETWORK_UPDATE_ADD_FIRST = 4,
} NetworkUpdateCommand;

/*
 * Change one section (VIR_NETWORK_SECTION_*) of def, which nobody shares yet, by an element in XML. parent: which <ip>
 * for sections below one, -1: the one that has it, or the first. The result has been checked.
 */
int network_def_update(NetworkDef *def, unsigned command, unsigned section, int parent, const char *xml, Error *err);

/* One element alone; every one that was read has passed. */
int network_ip_check(const NetworkIpDef *ip, Error *err);
int network_route_check(const NetworkRouteDef *route, Error *err);
/* Across members and elements; every definition has passed. For the hook, and for what an update made. */
int network_def_check(const NetworkDef *def, Error *err);

static inline Arena *network_def_arena(const NetworkDef *def)
{
        return def->head.arena;
}

DEFINE_AUTO(NetworkDef, network_def_unref)
