/*
 * daemon/nic-vlan.c - interfaces of guests in their bridges and VLANs
 *
 * The kernel's bridge tags and filters when it was told to: drover tells the
 * bridges that it makes, and only asks those of the host.
 */
#include "daemon/nic-vlan.h"

#include "base/arena.h"
#include "host/net-bridge.h"
#include "host/net-vlan.h"
#include "host/net.h"
#include "model/domain.h"
#include "model/vlan.h"

int nic_vlan_check(const char *bridge, const VlanDef *vlan, Error *err)
{
        if (!vlan)
                return 0;
        if (vlan_def_check(vlan, err) < 0)
                return -1;
        if (!net_bridge_filters_vlans(bridge))
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "interface: VLANs of a guest need a bridge that filters them, which '%s' does not: give its "
                        "network or a portgroup a <vlan>, or say 'ip link set %s type bridge vlan_filtering 1' for a "
                        "bridge of the host",
                        bridge, bridge);
        return 0;
}

int nic_vlan_set(const char *link, const char *bridge, const VlanDef *vlan, Error *err)
{
        NetVlan usual = { .id = net_bridge_usual_vlan(bridge), .native = true, .untagged = true };
        AUTO(Arena) *arena = arena_new();
        NetVlan *all;

        if (!vlan)
                return net_port_set_vlans(link, false, &usual, usual.id != 0, err);
        all = arena_new_array(arena, NetVlan, vlan->n_tags);
        for (uint32_t i = 0; i < vlan->n_tags; i++)
                all[i] = (NetVlan){ .id = (uint16_t)vlan->tags[i]->id,
                                    .native = vlan_def_native(vlan) == vlan->tags[i]->id,
                                    .untagged = vlan_tag_is_untagged(vlan, vlan->tags[i]) };
        return net_port_set_vlans(link, false, all, vlan->n_tags, err);
}

int nic_vlan_set_host(const char *bridge, const VlanDef *vlan, Error *err)
{
        NetVlan own = { .id = (uint16_t)vlan_def_native(vlan), .native = true, .untagged = true };

        return own.id ? net_port_set_vlans(bridge, true, &own, 1, err) : 0;
}

/* A port that joins is a new one to its bridge, and has nothing of what it was told elsewhere. */
int nic_join_bridge(const char *link, const char *bridge, const InterfaceDef *nic, Error *err)
{
        if (net_link_set_master(link, bridge, err) < 0 ||
            (nic->vlan && nic_vlan_set(link, bridge, nic->vlan, err) < 0))
                return -1;
        return nic->port_isolated == SWITCH_ON ? net_port_set_isolated(link, true, err) : 0;
}
