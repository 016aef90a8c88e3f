/*
 * daemon/network-port.c - who is on a network
 */
#include "daemon/network-port.h"

#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/network-floors.h"
#include "model/domain.h"
#include "model/network.h"

/* --- all of them --- */

static bool read_port(const Network *net, const Domain *dom, const InterfaceDef *interface, NetworkPort *ret)
{
        *ret = (NetworkPort){ .dom = dom, .interface = interface };
        return interface->type == INTERFACE_TYPE_NETWORK && str_eq(interface->network, net->name) &&
               interface->portid && uuid_parse(interface->portid, &ret->id) == 0;
}

/* The interface that a port would be of, as far as it says. */
static InterfaceDef *interface_of(const Network *net, const NetworkPortDef *def, Arena *arena)
{
        InterfaceDef *nic = arena_new_one(arena, InterfaceDef);
        char text[UUID_TEXT_LEN + 1];

        *nic = (InterfaceDef){ .type = INTERFACE_TYPE_NETWORK,
                               .mac = def->mac,
                               .network = net->name,
                               .portid = arena_dup(arena, uuid_format(&def->uuid, text)),
                               .portgroup = def->group,
                               .bandwidth = def->bandwidth,
                               .vlan = def->vlan,
                               .trust_guest_rx_filters = def->trust_guest_rx_filters,
                               .port_isolated = def->isolated,
                               .bridge = def->bridge,
                               .source_dev = def->dev,
                               .direct_mode = def->direct_mode };
        return nic;
}

size_t network_ports(const Network *net, Arena *arena, NetworkPort **ret)
{
        const DomainList *all = net->driver->domains;
        size_t n = 0, most = net->made.len;

        for (size_t i = 0; i < domain_list_len(all); i++) {
                const Domain *dom = domain_list_at(all, i);

                most += dom->live ? dom->live->n_interfaces : 0;
        }
        *ret = arena_new_array(arena, NetworkPort, most);
        for (size_t i = 0; net->active && i < domain_list_len(all); i++) {
                const Domain *dom = domain_list_at(all, i);

                for (uint32_t d = 0; dom->live && d < dom->live->n_interfaces; d++)
                        n += read_port(net, dom, dom->live->interfaces[d], &(*ret)[n]);
        }
        for (size_t i = 0; net->active && i < net->made.len; i++) {
                const NetworkPortDef *def = net->made.items[i];

                (*ret)[n++] =
                        (NetworkPort){ .made = def, .id = def->uuid, .interface = interface_of(net, def, arena) };
        }
        return n;
}

/* --- a place --- */

/* The device of a network that the fewest use; passthrough devices have one user. */
static const char *choose_device(const Network *net, Error *err)
{
        const ForwardDef *forward = net->live->forward;
        AUTO(Arena) *arena = arena_new();
        NetworkPort *ports;
        size_t n = network_ports(net, arena, &ports), fewest = SIZE_MAX;
        const char *best = NULL;

        for (uint32_t i = 0; i < forward->n_interfaces; i++) {
                size_t users = 0;

                for (size_t p = 0; p < n; p++)
                        users += str_eq(ports[p].interface->source_dev, forward->interfaces[i]->dev);
                if (users < fewest) {
                        fewest = users;
                        best = forward->interfaces[i]->dev;
                }
        }
        if (!best || (forward->mode == FORWARD_MODE_PASSTHROUGH && fewest > 0)) {
                err_set(err, ERR_OPERATION_FAILED,
                        "network '%s' requires exclusive access to interfaces, but none are available", net->name);
                return NULL;
        }
        return best;
}

static DirectMode direct_mode_of(ForwardMode mode)
{
        switch (mode) {
        case FORWARD_MODE_BRIDGE:
                return DIRECT_MODE_BRIDGE;
        case FORWARD_MODE_PRIVATE:
                return DIRECT_MODE_PRIVATE;
        case FORWARD_MODE_PASSTHROUGH:
                return DIRECT_MODE_PASSTHROUGH;
        default:
                return DIRECT_MODE_VEPA;
        }
}

int network_port_settings(const NetworkDef *def, InterfaceDef *nic, Arena *arena, Error *err)
{
        const PortgroupDef *group = network_portgroup(def, nic->portgroup);

        if (nic->portgroup && !group)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "network '%s' has no portgroup '%s'", def->name,
                               nic->portgroup);
        if (!nic->bandwidth && group && group->bandwidth)
                nic->bandwidth = fields_copy(&bandwidth_def_info, group->bandwidth, arena);
        if (!nic->vlan && (group && group->vlan ? group->vlan : def->vlan))
                nic->vlan = fields_copy(&vlan_def_info, group && group->vlan ? group->vlan : def->vlan, arena);
        if (!nic->port_isolated)
                nic->port_isolated = def->port_isolated;
        if (!nic->mtu)
                nic->mtu = def->mtu;
        if (!nic->trust_guest_rx_filters)
                nic->trust_guest_rx_filters = group && group->trust_guest_rx_filters ? group->trust_guest_rx_filters
                                                                                     : def->trust_guest_rx_filters;
        return 0;
}

int network_port_place(const Network *net, InterfaceDef *nic, Arena *arena, Error *err)
{
        const char *device;

        if (network_port_settings(net->live, nic, arena, err) < 0)
                return -1;
        nic->bridge = arena_dup(arena, net->live->bridge);
        nic->source_dev = NULL;
        if (network_has_own_bridge(net->live) || network_uses_host_bridge(net->live))
                return 0;
        device = choose_device(net, err);
        if (!device)
                return -1;
        nic->source_dev = arena_dup(arena, device);
        nic->direct_mode = direct_mode_of(net->live->forward->mode);
        return 0;
}

/* --- as they are shown --- */

static void put_place(const Network *net, const InterfaceDef *nic, NetworkPortDef *ret)
{
        if (nic->source_dev) {
                ret->plug_type = PLUG_TYPE_DIRECT;
                ret->dev = nic->source_dev;
                ret->direct_mode = nic->direct_mode ?: DIRECT_MODE_VEPA;
        } else {
                ret->plug_type = network_has_own_bridge(net->live) ? PLUG_TYPE_NETWORK : PLUG_TYPE_BRIDGE;
                ret->bridge = nic->bridge;
        }
        ret->bandwidth = nic->bandwidth;
        ret->vlan = nic->vlan;
        ret->isolated = nic->port_isolated;
        ret->trust_guest_rx_filters = nic->trust_guest_rx_filters == SWITCH_ON ? SWITCH_ON : SWITCH_OFF;
}

void network_port_format(const Network *net, const NetworkPort *port, Buf *ret)
{
        AUTO(NetworkPortDef) *def = NULL;

        if (port->made) {
                network_port_def_format(port->made, ret);
                return;
        }
        def = network_port_def_new();
        def->uuid = port->id;
        def->owner_name = port->dom->name;
        def->owner_uuid = port->dom->uuid;
        def->mac = port->interface->mac;
        def->group = port->interface->portgroup;
        put_place(net, port->interface, def);
        network_port_def_format(def, ret);
}

/* --- those that clients make --- */

/* A place that is asked for must be one that the network gives out; the others use it already. */
static int check_plug(const Network *net, const NetworkPortDef *def, Error *err)
{
        const NetworkDef *live = net->live;
        bool bridged = network_has_own_bridge(live) || network_uses_host_bridge(live);
        bool fits = bridged && (def->plug_type == PLUG_TYPE_NETWORK || def->plug_type == PLUG_TYPE_BRIDGE) &&
                    str_eq(def->bridge, live->bridge);

        for (uint32_t i = 0; !bridged && i < live->forward->n_interfaces; i++)
                fits = fits ||
                       (def->plug_type == PLUG_TYPE_DIRECT && str_eq(def->dev, live->forward->interfaces[i]->dev));
        return fits ? 0
                    : err_set(err, ERR_CONFIG_UNSUPPORTED,
                              "network '%s' has no place like the <plug> of this port; without one it chooses",
                              net->name);
}

/* The status file holds them all: one that got too large would be of no use to the next daemon. */
static int check_room(const Network *net, const NetworkPortDef *def, Error *err)
{
        enum { MOST_MADE = 1024, LARGEST = 4096 };
        AUTO(Buf) text = { 0 };

        if (net->made.len >= MOST_MADE)
                return err_set(err, ERR_OPERATION_INVALID,
                               "clients have made %d ports on network '%s', which is as many as can be", MOST_MADE,
                               net->name);
        network_port_def_format(def, &text);
        if (text.len > LARGEST)
                return err_set(err, ERR_INVALID_ARG,
                               "the description of a port has %d bytes at most, and this one would have %zu", LARGEST,
                               text.len);
        return 0;
}

int network_port_make(Network *net, NetworkPortDef *def, Error *err)
{
        AUTO(Arena) *arena = arena_new();
        char text[UUID_TEXT_LEN + 1];
        InterfaceDef *nic;
        NetworkPort *ports;
        size_t n = network_ports(net, arena, &ports);

        if (uuid_is_null(&def->uuid))
                uuid_new_random(&def->uuid);
        for (size_t i = 0; i < n; i++) {
                if (uuid_eq(&ports[i].id, &def->uuid))
                        return err_set(err, ERR_NETWORK_PORT_EXIST, "a port with UUID %s is on network '%s' already",
                                       uuid_format(&def->uuid, text), net->name);
        }
        if (check_room(net, def, err) < 0 || (def->plug_type && check_plug(net, def, err) < 0))
                return -1;
        nic = interface_of(net, def, def->head.arena);
        if ((def->plug_type ? network_port_settings(net->live, nic, def->head.arena, err)
                            : network_port_place(net, nic, def->head.arena, err)) < 0 ||
            network_floors_change(net, NULL, nic, err) < 0)
                return -1;
        put_place(net, nic, def);
        vec_push(&net->made, def);
        return 0;
}

static size_t find_made(const Network *net, const Uuid *id)
{
        size_t i = 0;

        while (i < net->made.len && !uuid_eq(&net->made.items[i]->uuid, id))
                i++;
        return i;
}

NetworkPortDef *network_port_unmake(Network *net, const Uuid *id, Error *err)
{
        size_t at = find_made(net, id);
        char text[UUID_TEXT_LEN + 1];
        NetworkPortDef *def;

        if (at == net->made.len) {
                err_set(err, ERR_NO_NETWORK_PORT, "no client made a port with UUID %s", uuid_format(id, text));
                return NULL;
        }
        def = net->made.items[at];
        if (network_floors_change(net, interface_of(net, def, def->head.arena), NULL, err) < 0)
                return NULL;
        vec_remove(&net->made, at);
        return def;
}

const NetworkPortDef *network_port_made(const Network *net, const Uuid *id)
{
        size_t at = find_made(net, id);

        return at < net->made.len ? net->made.items[at] : NULL;
}

int network_port_replace(Network *net, NetworkPortDef *def, NetworkPortDef **ret_old, Error *err)
{
        size_t at = find_made(net, &def->uuid);
        char text[UUID_TEXT_LEN + 1];
        NetworkPortDef *old;

        if (at == net->made.len)
                return err_set(err, ERR_NO_NETWORK_PORT, "no client made a port with UUID %s",
                               uuid_format(&def->uuid, text));
        old = net->made.items[at];
        if (network_floors_change(net, interface_of(net, old, old->head.arena),
                                  interface_of(net, def, def->head.arena), err) < 0)
                return -1;
        net->made.items[at] = def;
        *ret_old = old;
        return 0;
}
