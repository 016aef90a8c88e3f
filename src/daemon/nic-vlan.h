#pragma once
/*
 * daemon/nic-vlan.h - interfaces of guests in their bridges and VLANs
 */
#include "base/err.h"
#include "model/domain-def.h"

/* Could a card on this bridge be in these VLANs (NULL: it says nothing)? Nothing is changed. */
int nic_vlan_check(const char *bridge, const VlanDef *vlan, Error *err);
/* The port `link` of a bridge is in these VLANs, or in what the bridge gives to ports that say nothing. */
int nic_vlan_set(const char *link, const char *bridge, const VlanDef *vlan, Error *err);
/* The host's own way into the bridge is in the network's native VLAN, so guests there reach it. */
int nic_vlan_set_host(const char *bridge, const VlanDef *vlan, Error *err);
/* link joins the bridge, as the card wants to be there: in its VLANs, and isolated if it is. */
int nic_join_bridge(const char *link, const char *bridge, const InterfaceDef *nic, Error *err);
