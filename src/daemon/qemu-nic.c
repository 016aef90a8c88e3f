/*
 * daemon/qemu-nic.c - the host's side of a guest's network interfaces
 *
 * An interface of type network is what its network says: a port of the
 * network's bridge, or one of its devices. What that came to is in the live
 * definition, where clients and the next daemon find it.
 */
#include "daemon/qemu-nic.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/network-floors.h"
#include "daemon/network-port.h"
#include "daemon/nic-vlan.h"
#include "daemon/nwfilter.h"
#include "host/net-bandwidth.h"
#include "host/net.h"
#include "model/domain.h"

enum { USUAL_MTU = 1500 };

/* --- where it goes --- */

static int join_network(const Domain *dom, InterfaceDef *nic, Arena *arena, Error *err)
{
        const Network *net = network_find(dom->driver, nic->network);
        char text[UUID_TEXT_LEN + 1];
        Uuid port;

        if (!net)
                return err_set(err, ERR_NO_NETWORK, "no network with matching name '%s'", nic->network);
        if (!net->active)
                return err_set(err, ERR_OPERATION_INVALID, "network '%s' is not active", net->name);
        if (network_port_place(net, nic, arena, err) < 0)
                return -1;
        uuid_new_random(&port);
        nic->portid = arena_dup(arena, uuid_format(&port, text));
        return 0;
}

static bool is_direct(const InterfaceDef *nic)
{
        return nic->type == INTERFACE_TYPE_DIRECT || (nic->type == INTERFACE_TYPE_NETWORK && nic->source_dev);
}

static int check_place(const InterfaceDef *nic, Error *err)
{
        if (!is_direct(nic) && nic->type != INTERFACE_TYPE_ETHERNET && !net_link_is_bridge(nic->bridge))
                return err_set(err, ERR_OPERATION_FAILED, "interface: there is no bridge '%s' on this host",
                               nic->bridge);
        if (nic->vlan && (is_direct(nic) || nic->type == INTERFACE_TYPE_ETHERNET))
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "interface: VLANs of a guest need a bridge that filters them, and an interface on '%s' "
                        "has none",
                        nic->source_dev ?: "a tap of its own");
        if (nic->vlan && nic_vlan_check(nic->bridge, nic->vlan, err) < 0)
                return -1;
        if (nic->port_isolated == SWITCH_ON && (is_direct(nic) || nic->type == INTERFACE_TYPE_ETHERNET))
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "interface: 'port/@isolated' needs a bridge, which isolates ports, and an interface on '%s' "
                        "has none",
                        nic->source_dev ?: "a tap of its own");
        if (is_direct(nic) && nic->trust_guest_rx_filters == SWITCH_ON)
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "interface: '@trustGuestRxFilters' cannot be had: drover tells '%s' nothing of addresses "
                        "that the guest gives itself",
                        nic->source_dev);
        return 0;
}

/* --- what it is sure to receive --- */

static const Network *network_of(const Domain *dom, const InterfaceDef *nic)
{
        return nic && nic->type == INTERFACE_TYPE_NETWORK ? network_find(dom->driver, nic->network) : NULL;
}

/* gone or come may be NULL. */
static int change_floors(const Domain *dom, const InterfaceDef *gone, const InterfaceDef *come, Error *err)
{
        const Network *left = network_of(dom, gone), *joined = network_of(dom, come);

        if (come && !joined && come->bandwidth && come->bandwidth->inbound_floor)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "Invalid use of 'floor' on an interface of type '%s': only a virtual network with a "
                               "bridge of its own can promise anything",
                               interface_type_text(come->type));
        if (joined && network_floors_change(joined, left == joined ? gone : NULL, come, err) < 0)
                return -1;
        return left && left != joined ? network_floors_change(left, gone, NULL, err) : 0;
}

/* --- its device on the host --- */

static int set_limits(const InterfaceDef *nic, Error *err)
{
        const BandwidthDef *b = nic->bandwidth;
        NetRate in = { 0 }, out = { 0 };

        if (!nic->target_dev || nic->type == INTERFACE_TYPE_USER)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "an interface of type '%s' has no device on this host that could be limited",
                               interface_type_text(nic->type));
        if (b) {
                in = (NetRate){ b->inbound_average, b->inbound_peak, b->inbound_burst };
                out = (NetRate){ b->outbound_average, b->outbound_peak, b->outbound_burst };
        }
        return net_set_bandwidth(nic->target_dev, &in, &out, err);
}

static bool is_same_limit(const BandwidthDef *a, const BandwidthDef *b)
{
        return a == b || (a && b && fields_equal(&bandwidth_def_info, a, b));
}

int qemu_nic_limit(const Domain *dom, const InterfaceDef *old, const InterfaceDef *new, Error *err)
{
        if (change_floors(dom, old, new, err) < 0)
                return -1;
        return is_same_limit(old->bandwidth, new->bandwidth) ? 0 : set_limits(new, err);
}

/* A bridge takes the lowest address of its ports: none of ours shall be that. */
static int set_tap_mac(const char *name, const Mac *guest, Error *err)
{
        Mac mac = *guest;

        mac.bytes[0] = 0xfe;
        return net_link_set_mac(name, mac.bytes, err);
}

/* One port of a bridge with less than it has would lower it for all, so what nobody asked for is the bridge's (NET-25). */
static int set_tap_mtu(const char *tap, const InterfaceDef *nic, Error *err)
{
        uint32_t mtu = nic->mtu;

        if (!mtu && nic->type != INTERFACE_TYPE_ETHERNET && net_link_mtu(nic->bridge, &mtu, err) < 0)
                return -1;
        return mtu ? net_link_set_mtu(tap, mtu, err) : 0;
}

/* A guest that has not seen its card yet is told what its bridge carries. */
static int follow_bridge(InterfaceDef *nic, Error *err)
{
        uint32_t mtu;

        if (nic->mtu || nic->type == INTERFACE_TYPE_ETHERNET || is_direct(nic))
                return 0;
        if (net_link_mtu(nic->bridge, &mtu, err) < 0)
                return -1;
        if (mtu != USUAL_MTU)
                nic->mtu = mtu;
        return 0;
}

static int plug_tap(const InterfaceDef *nic, Error *err)
{
        const char *name = nic->target_dev;

        if (set_tap_mac(name, &nic->mac, err) < 0 || set_tap_mtu(name, nic, err) < 0 ||
            (nic->bandwidth && set_limits(nic, err) < 0))
                return -1;
        if (nic->type != INTERFACE_TYPE_ETHERNET && nic_join_bridge(name, nic->bridge, nic, err) < 0)
                return -1;
        return net_link_set_up(name, nic->link_state != LINK_STATE_DOWN, err);
}

static int open_direct(InterfaceDef *nic, const char *wanted, NicFds *fds, char name[IFNAMSIZ], Error *err)
{
        const char *mode = direct_mode_text(nic->direct_mode) ?: "vepa";

        if (nic->queues > 1)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "a direct interface has one queue here");
        if (net_macvtap_open(wanted, nic->source_dev, str_eq(mode, "passthrough") ? "passthru" : mode, nic->mac.bytes,
                             &fds->taps[0], name, err) < 0)
                return -1;
        fds->n_taps = 1;
        return 0;
}

static bool is_generated(const char *name)
{
        return str_starts(name, "vnet") || str_starts(name, "macvtap");
}

int qemu_nic_open(const Domain *dom, InterfaceDef *nic, bool seen, Arena *arena, NicFds *fds, Error *err)
{
        unsigned queues = MAX(1U, nic->queues);
        /* a generated name of an earlier run is not a wish */
        const char *wanted = nic->target_dev && !is_generated(nic->target_dev) ? nic->target_dev : NULL;
        char name[IFNAMSIZ];

        if (nic->type == INTERFACE_TYPE_USER)
                return 0;
        if (nic->type != INTERFACE_TYPE_NETWORK && nic->type != INTERFACE_TYPE_BRIDGE &&
            nic->type != INTERFACE_TYPE_ETHERNET && nic->type != INTERFACE_TYPE_DIRECT)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "interfaces of type '%s' are not supported yet",
                               interface_type_text(nic->type));
        if (queues > COMMAND_LINE_MOST_QUEUES)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "an interface has at most %d queues",
                               COMMAND_LINE_MOST_QUEUES);
        if ((nic->type == INTERFACE_TYPE_NETWORK && join_network(dom, nic, arena, err) < 0) ||
            check_place(nic, err) < 0 || (!seen && follow_bridge(nic, err) < 0) ||
            change_floors(dom, NULL, nic, err) < 0)
                return -1;
        if (is_direct(nic)) {
                if (open_direct(nic, wanted, fds, name, err) < 0)
                        return -1;
                nic->target_dev = arena_dup(arena, name);
                return 0;
        }
        if (net_tap_open(wanted, queues, fds->taps, name, err) < 0)
                return -1;
        fds->n_taps = queues;
        nic->target_dev = arena_dup(arena, name);
        return plug_tap(nic, err);
}

void qemu_nic_close(NicFds *fds)
{
        for (size_t q = 0; q < fds->n_taps; q++)
                fd_close(&fds->taps[q]);
        for (size_t q = 0; q < fds->n_vhosts; q++)
                fd_close(&fds->vhosts[q]);
        fds->n_taps = fds->n_vhosts = 0;
}

static void remove_link(const Domain *dom, const InterfaceDef *nic)
{
        nw_unbind(dom, nic);
        if (is_direct(nic) && nic->target_dev)
                net_link_delete(nic->target_dev, NULL);
}

void qemu_nic_remove(const Domain *dom, const InterfaceDef *nic)
{
        change_floors(dom, nic, NULL, NULL);
        remove_link(dom, nic);
}

void qemu_nic_remove_all(const Domain *dom)
{
        for (uint32_t i = 0; dom->live && i < dom->live->n_interfaces; i++) {
                const InterfaceDef *nic = dom->live->interfaces[i];
                const Network *net = network_of(dom, nic);

                if (net && nic->bandwidth && nic->bandwidth->inbound_floor)
                        network_floors_forget(net, dom, NULL);
                remove_link(dom, nic);
        }
}

/* --- while the guest runs --- */

static bool stays_on_network(const InterfaceDef *old, const InterfaceDef *new)
{
        return old->type == INTERFACE_TYPE_NETWORK &&
               new->type == INTERFACE_TYPE_NETWORK &&str_eq(new->network, old->network) &&
               str_eq(new->portgroup, old->portgroup);
}

static int keep_port(const Domain *dom, const InterfaceDef *old, InterfaceDef *new, Arena *arena, Error *err)
{
        const Network *net = network_find(dom->driver, new->network);

        new->bridge = arena_dup(arena, old->bridge);
        new->source_dev = arena_dup(arena, old->source_dev);
        new->direct_mode = old->direct_mode;
        new->portid = arena_dup(arena, old->portid);
        return net && net->active ? network_port_settings(net->live, new, arena, err) : 0;
}

static bool has_same_vlans(const InterfaceDef *a, const InterfaceDef *b)
{
        return a->vlan && b->vlan ? fields_equal(&vlan_def_info, a->vlan, b->vlan) : a->vlan == b->vlan;
}

/* Where it is already, on a bridge or on a device. */
static int change_vlans(const InterfaceDef *old, const InterfaceDef *new, Error *err)
{
        if (has_same_vlans(old, new))
                return 0;
        if (check_place(new, err) < 0)
                return -1;
        return nic_vlan_set(old->target_dev, new->bridge, new->vlan, err);
}

int qemu_nic_move(const Domain *dom, const InterfaceDef *old, InterfaceDef *new, Arena *arena, Error *err)
{
        bool bridged = old->type == INTERFACE_TYPE_BRIDGE || old->type == INTERFACE_TYPE_NETWORK;

        if (new->type != old->type &&
            (!bridged || (new->type != INTERFACE_TYPE_BRIDGE &&new->type != INTERFACE_TYPE_NETWORK)))
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'@type' of this <interface> of '%s' cannot change while it runs", dom->name);
        if (!bridged)
                return 0;
        if (stays_on_network(old, new))
                return keep_port(dom, old, new, arena, err) < 0 ? -1 : change_vlans(old, new, err);
        if (is_direct(old) || (new->type == INTERFACE_TYPE_NETWORK &&join_network(dom, new, arena, err) < 0))
                return is_direct(old) ? err_set(err, ERR_OPERATION_UNSUPPORTED,
                                                "a direct interface of '%s' cannot move while it runs", dom->name)
                                      : -1;
        if (is_direct(new))
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "an interface of '%s' cannot move to a device of the host while it runs", dom->name);
        if (check_place(new, err) < 0)
                return -1;
        if (str_eq(new->bridge, old->bridge))
                return change_vlans(old, new, err);
        return set_tap_mtu(old->target_dev, new, err) < 0 ? -1
                                                          : nic_join_bridge(old->target_dev, new->bridge, new, err);
}

void qemu_nic_move_back(const InterfaceDef *old, const InterfaceDef *new)
{
        AUTO(Error) err = { 0 };
        int rc = 0;

        if (is_direct(old) || (old->type != INTERFACE_TYPE_BRIDGE && old->type != INTERFACE_TYPE_NETWORK))
                return;
        if (!str_eq(old->bridge, new->bridge))
                rc = set_tap_mtu(old->target_dev, old, &err) < 0
                             ? -1
                             : nic_join_bridge(old->target_dev, old->bridge, old, &err);
        else if (!has_same_vlans(old, new))
                rc = nic_vlan_set(old->target_dev, old->bridge, old->vlan, &err);
        if (rc < 0)
                log_error("'%s' is not where its guest's definition says: %s", old->target_dev, err.text);
}
