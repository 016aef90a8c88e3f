/*
 * daemon/handle-network-lease.c - which addresses guests have, as the network's server gave them out
 */
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/handle-network.h"
#include "daemon/handlers.h"
#include "host/dnsmasq.h"
#include "host/neighbour.h"
#include "wire/constants.h"

#include <time.h>

bool lease_is_over(const DnsmasqLease *lease)
{
        return lease->expires_s && lease->expires_s < time(NULL);
}

static unsigned prefix_of(const NetworkDef *def, const NetAddress *address)
{
        for (uint32_t i = 0; i < def->n_ips; i++) {
                NetAddress net;
                unsigned prefix = network_ip_net(def->ips[i], &net);

                if (net_contains(&net, prefix, address))
                        return prefix;
        }
        return net_address_bits(address);
}

unsigned lease_prefix(const Network *net, const DnsmasqLease *lease)
{
        return prefix_of(net->live, &lease->address);
}

typedef struct Unknown {
        DnsmasqLease *leases;
        size_t n;
} Unknown;

static void see_neighbour(void *arg, const Mac *mac, int family, const char *text)
{
        Unknown *unknown = arg;
        NetAddress address;

        if (family != AF_INET6 || net_address_parse(text, &address) < 0)
                return;
        for (size_t i = 0; i < unknown->n; i++) {
                DnsmasqLease *lease = &unknown->leases[i];

                if (mac_is_null(&lease->mac) && lease->address.family == AF_INET6 &&
                    net_address_compare(&lease->address, &address) == 0)
                        lease->mac = *mac;
        }
}

/* A client of DHCPv6 names itself by what it likes. Where that tells no MAC, the kernel has seen who has the address. */
static const DnsmasqLease *know_macs(const DnsmasqLease *leases, size_t n, Arena *arena)
{
        Unknown unknown = { .leases = arena_new_array(arena, DnsmasqLease, n), .n = n };
        bool any = false;

        for (size_t i = 0; i < n; i++) {
                unknown.leases[i] = leases[i];
                any = any || mac_is_null(&leases[i].mac);
        }
        if (any)
                neighbours_walk(see_neighbour, &unknown, NULL);
        return unknown.leases;
}

static WireNetworkDhcpLease wire_lease(const Network *net, const DnsmasqLease *lease, Arena *arena)
{
        bool six = lease->address.family == AF_INET6;
        char address[NET_ADDRESS_TEXT_LEN + 1], mac[MAC_TEXT_LEN + 1];

        return (WireNetworkDhcpLease){
                .iface = net->live->bridge,
                .expirytime = lease->expires_s,
                .type = six ? VIR_IP_ADDR_TYPE_IPV6 : VIR_IP_ADDR_TYPE_IPV4,
                /* never NULL: stock virsh 9.0 sorts by it, and would crash */
                .mac = mac_is_null(&lease->mac) ? "" : arena_dup(arena, mac_format(&lease->mac, mac)),
                .iaid = lease->iaid,
                .ipaddr = arena_dup(arena, net_address_format(&lease->address, address)),
                .prefix = lease_prefix(net, lease),
                .hostname = lease->hostname,
                .clientid = lease->client_id,
        };
}

static void on_leases(void *arg, const DnsmasqLease *leases, size_t n, const Error *failure)
{
        Call *call = arg;
        const WireNetworkGetDhcpLeasesArgs *args = call_args(call);
        const Network *net = call_kept(call);
        WireNetworkGetDhcpLeasesRet ret = { 0 };
        Mac wanted = { 0 };

        if (failure) {
                call_fail(call, failure);
                return;
        }
        if (args->mac)
                mac_parse(args->mac, &wanted);
        leases = know_macs(leases, n, call_arena(call));
        ret.leases = arena_new_array(call_arena(call), WireNetworkDhcpLease, n);
        for (size_t i = 0; net->active && i < n; i++) {
                if (lease_is_over(&leases[i]) || (args->mac && !mac_eq(&wanted, &leases[i].mac)))
                        continue;
                if (args->need_results)
                        ret.leases[ret.n_leases++] = wire_lease(net, &leases[i], call_arena(call));
                ret.ret++;
        }
        call_reply(call, &ret);
}

static void drop_network(void *net)
{
        network_unref(net);
}

int handle_network_get_dhcp_leases(Call *call, const WireNetworkGetDhcpLeasesArgs *args, Error *err)
{
        Network *net;
        Mac mac;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(net = find_network(call, &args->net, err)))
                return -1;
        if (args->mac && mac_parse(args->mac, &mac) < 0)
                return err_set(err, ERR_INVALID_MAC, "'%s' is no MAC address", args->mac);
        call_keep(call, network_ref(net), drop_network);
        net->driver->ops->networks->leases(net, on_leases, call);
        return 0;
}
