/*
 * daemon/network-links.c - bridge, addresses and switches of the kernel for a virtual network
 */
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/network-floors.h"
#include "daemon/network-host.h"
#include "daemon/network-port.h"
#include "daemon/nic-vlan.h"
#include "daemon/registry.h"
#include "host/net-bandwidth.h"
#include "host/net-bridge.h"
#include "host/net-vlan.h"
#include "host/net.h"
#include "model/domain.h"

#include <unistd.h>

/* --- what is in the way --- */

static int check_other_networks(const Network *net, const NetworkIpDef *ip, const NetAddress *address,
                                unsigned prefix, Error *err)
{
        const Registry *all = net->driver->networks;

        for (size_t i = 0; i < registry_len(all); i++) {
                const Network *other = registry_at(all, i);

                for (uint32_t o = 0; other != net && other->live && o < other->live->n_ips; o++) {
                        NetAddress theirs;
                        unsigned their_prefix = network_ip_net(other->live->ips[o], &theirs);

                        if (net_overlaps(address, prefix, &theirs, their_prefix))
                                return err_set(err, ERR_OPERATION_INVALID,
                                               "network '%s' (%s/%u) overlaps with the active network '%s' (%s/%u)",
                                               net->name, ip->address, prefix, other->name,
                                               other->live->ips[o]->address, their_prefix);
                }
        }
        return 0;
}

static int check_addresses(const Network *net, const NetworkDef *def, Error *err)
{
        for (uint32_t i = 0; i < def->n_ips; i++) {
                NetAddress address;
                unsigned prefix = network_ip_net(def->ips[i], &address);
                char link[IFNAMSIZ];
                int clash;

                if (check_other_networks(net, def->ips[i], &address, prefix, err) < 0)
                        return -1;
                clash = net_find_route_clash(&address, prefix, def->bridge, link, err);
                if (clash > 0)
                        return err_set(err, ERR_INTERNAL,
                                       "Network is already in use by interface %s: '%s' (%s/%u) overlaps with what "
                                       "this host reaches there",
                                       link, net->name, def->ips[i]->address, prefix);
                if (clash < 0)
                        return -1;
        }
        return 0;
}

/* A host that forwards IPv6 does not listen to advertisements any more, unless told to. */
static int check_advertised_routes(const NetworkDef *def, Error *err)
{
        AUTOFREE char *name = NULL;
        char link[IFNAMSIZ];
        uint64_t accept = 2;
        bool six = false;

        for (uint32_t i = 0; i < def->n_ips; i++)
                six = six || def->ips[i]->family == IP_FAMILY_IPV6;
        if (!six || !network_forwards(def) || net_find_advertised_route(link, NULL) <= 0)
                return 0;
        name = str_format("ipv6/conf/%s/accept_ra", link);
        if (net_sysctl_get(name, &accept, NULL) < 0 || accept == 2)
                return 0;
        return err_set(err, ERR_INTERNAL,
                       "this host has its IPv6 default route from router advertisements on '%s' and would lose it by "
                       "forwarding; set net.ipv6.conf.%s.accept_ra=2 first",
                       link, link);
}

static int check_bridge(const Network *net, const NetworkDef *def, Error *err)
{
        const Registry *all = net->driver->networks;

        for (size_t i = 0; i < registry_len(all); i++) {
                const Network *other = registry_at(all, i);

                if (other != net && other->live && network_has_own_bridge(other->live) &&
                    str_eq(other->live->bridge, def->bridge))
                        return err_set(err, ERR_INTERNAL, "bridge name '%s' already in use by network '%s'",
                                       def->bridge, other->name);
        }
        if (net_link_exists(def->bridge))
                return err_set(
                        err, ERR_INTERNAL,
                        "bridge name '%s' already in use: this host has an interface of that name, which is not "
                        "of network '%s'; remove it or give the network another bridge",
                        def->bridge, net->name);
        return 0;
}

static int check_devices(const Network *net, const NetworkDef *def, Error *err)
{
        if (network_uses_host_bridge(def) && !net_link_is_bridge(def->bridge))
                return err_set(err, ERR_OPERATION_FAILED,
                               "network '%s' uses the bridge '%s', which is not on this host", net->name,
                               def->bridge);
        for (uint32_t i = 0; !network_has_own_bridge(def) && i < def->forward->n_interfaces; i++) {
                if (!net_link_exists(def->forward->interfaces[i]->dev))
                        return err_set(err, ERR_OPERATION_FAILED, "network '%s' uses '%s', which is not on this host",
                                       net->name, def->forward->interfaces[i]->dev);
        }
        return 0;
}

int network_links_check(const Network *net, const NetworkDef *def, Error *err)
{
        if (fields_check_met(&network_def_info, def, err) < 0)
                return -1;
        if (def->forward && def->forward->mode == FORWARD_MODE_HOSTDEV)
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "networks that give out devices of the host (mode 'hostdev') cannot be started so far");
        if (!network_has_own_bridge(def))
                return check_devices(net, def, err);
        if (check_bridge(net, def, err) < 0 || check_addresses(net, def, err) < 0)
                return -1;
        return check_advertised_routes(def, err);
}

/* --- forwarding --- */

static const char *const forward_switches[] = { "ipv4/ip_forward", "ipv6/conf/all/forwarding" };

static char *forward_mark(const NetworkHost *host, size_t which)
{
        return str_format("%s/%s-was-off", host->run_dir, which ? "ipv6-forwarding" : "ip-forward");
}

static int switch_on_forwarding(NetworkHost *host, const NetworkDef *def, Error *err)
{
        for (size_t i = 0; i < ARRAY_LEN(forward_switches); i++) {
                AUTOFREE char *mark = forward_mark(host, i);
                uint64_t is;

                if (!network_needs_forwarding(def, i == 1))
                        continue;
                if (net_sysctl_get(forward_switches[i], &is, err) < 0)
                        return -1;
                if (is)
                        continue;
                /* the mark first: a daemon that dies in between leaves the switch to be put back */
                if (file_write_atomic(mark, "", 0, 0600, err) < 0 || net_sysctl_set(forward_switches[i], 1, err) < 0)
                        return -1;
                log_info("the host forwards packets now, for virtual networks: %s is 1", forward_switches[i]);
        }
        return 0;
}

void network_links_settle_forwarding(NetworkHost *host)
{
        const Registry *all = host->driver->networks;

        for (size_t i = 0; !host->loading && i < ARRAY_LEN(forward_switches); i++) {
                AUTOFREE char *mark = forward_mark(host, i);
                AUTO(Error) err = { 0 };
                bool needed = false;

                for (size_t n = 0; n < registry_len(all); n++) {
                        const Network *net = registry_at(all, n);
                        const NetworkRun *run = network_run(net);

                        needed = needed || (run && run->has_bridge && network_needs_forwarding(net->live, i == 1));
                }
                if (needed || access(mark, F_OK) < 0)
                        continue;
                if (net_sysctl_set(forward_switches[i], 0, &err) < 0)
                        log_error("%s", err.text);
                unlink(mark);
        }
}

/* --- the bridge --- */

static int set_ipv6(const NetworkDef *def, Error *err)
{
        AUTOFREE char *off = str_format("ipv6/conf/%s/disable_ipv6", def->bridge);
        AUTOFREE char *listen = str_format("ipv6/conf/%s/accept_ra", def->bridge);
        AUTOFREE char *invent = str_format("ipv6/conf/%s/autoconf", def->bridge);
        uint64_t is;
        bool six = false;

        if (net_sysctl_get(off, &is, NULL) < 0)
                return 0; /* a kernel without IPv6 */
        for (uint32_t i = 0; i < def->n_ips; i++)
                six = six || def->ips[i]->family == IP_FAMILY_IPV6;
        /* guests must not configure the host */
        if (net_sysctl_set(listen, 0, err) < 0 || net_sysctl_set(invent, 0, err) < 0)
                return -1;
        return net_sysctl_set(off, !six, err);
}

static NetRate rate_of(uint64_t average, uint64_t peak, uint64_t burst)
{
        return (NetRate){ .average = average, .peak = peak, .burst = burst };
}

static int set_bandwidth(const NetworkDef *def, Error *err)
{
        const BandwidthDef *b = def->bandwidth;
        NetRate in, out;

        if (!b)
                return 0;
        in = rate_of(b->inbound_average, b->inbound_peak, b->inbound_burst);
        out = rate_of(b->outbound_average, b->outbound_peak, b->outbound_burst);
        return net_set_bandwidth(def->bridge, &in, &out, err);
}

static int add_addresses(const NetworkDef *def, Error *err)
{
        for (uint32_t i = 0; i < def->n_ips; i++) {
                NetAddress address;
                unsigned prefix = network_ip_net(def->ips[i], &address);

                if (net_link_add_address(def->bridge, &address, prefix, err) < 0)
                        return -1;
        }
        return 0;
}

static int add_routes(const NetworkDef *def, Error *err)
{
        for (uint32_t i = 0; i < def->n_routes; i++) {
                NetAddress net, gateway = { 0 };
                unsigned prefix = network_route_net(def->routes[i], &net);

                net_address_parse(def->routes[i]->gateway, &gateway);
                if (net_link_add_route(def->bridge, &net, prefix, &gateway, def->routes[i]->metric, err) < 0)
                        return -1;
        }
        return 0;
}

/* Packets of VLANs are told apart where the definition says which; the host is in that of the network. */
static int set_vlans(const NetworkDef *def, Error *err)
{
        if (!network_uses_vlans(def) || net_bridge_filters_vlans(def->bridge))
                return 0;
        if (net_bridge_filter_vlans(def->bridge, true, err) < 0)
                return -1;
        return def->vlan ? nic_vlan_set_host(def->bridge, def->vlan, err) : 0;
}

int network_links_change(const NetworkDef *def, Error *err)
{
        return network_has_own_bridge(def) ? set_vlans(def, err) : 0;
}

int network_links_make(NetworkRun *run, Error *err)
{
        const NetworkDef *def = run->net->live;

        if (!network_has_own_bridge(def))
                return 0;
        if (net_bridge_create(def->bridge, def->mac.bytes, err) < 0)
                return -1;
        run->has_bridge = true;
        if ((def->mtu && net_link_set_mtu(def->bridge, def->mtu, err) < 0) ||
            net_bridge_set(def->bridge, def->bridge_stp == SWITCH_ON, def->bridge_delay, err) < 0 ||
            set_vlans(def, err) < 0 || set_ipv6(def, err) < 0 || add_addresses(def, err) < 0 ||
            net_link_set_up(def->bridge, true, err) < 0 || add_routes(def, err) < 0 || set_bandwidth(def, err) < 0)
                return -1;
        return switch_on_forwarding(run->host, def, err);
}

void network_links_remove(NetworkRun *run)
{
        AUTO(Error) err = { 0 };

        if (run->has_bridge && net_link_delete(run->net->live->bridge, &err) < 0)
                log_error("%s", err.text);
        run->has_bridge = false;
        network_links_settle_forwarding(run->host);
}

bool network_links_are_there(const NetworkDef *def)
{
        AUTOFREE char *path = str_format("/sys/class/net/%s/address", def->bridge);
        char text[MAC_TEXT_LEN + 1];
        AUTO(Buf) is = { 0 };

        /* ours is told by its address, which was made for it */
        return net_link_is_bridge(def->bridge) && file_read(path, 64, &is, NULL) == 0 &&
               str_starts(buf_text(&is), mac_format(&def->mac, text));
}

void network_links_join_guests(const Network *net)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) why = { 0 };
        NetworkPort *ports;
        size_t n;

        if (!net->live->bridge)
                return;
        if (network_floors_forget(net, NULL, &why) < 0)
                log_warning("guests on the network '%s' receive what they can get: %s", net->name, why.text);
        n = network_ports(net, arena, &ports);
        for (size_t i = 0; i < n; i++) {
                AUTO(Error) err = { 0 };

                if (ports[i].interface->target_dev &&
                    nic_join_bridge(ports[i].interface->target_dev, net->live->bridge, ports[i].interface, &err) < 0)
                        log_warning("guest '%s' is not on the network '%s' again: %s", ports[i].dom->name, net->name,
                                    err.text);
        }
}
