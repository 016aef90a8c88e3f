/*
 * daemon/handle-addresses.c - which addresses a guest has, by whoever knows: its agent, our leases, the ARP table
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/handle-network.h"
#include "daemon/handlers.h"
#include "daemon/qemu-agent.h"
#include "host/dnsmasq.h"
#include "host/neighbour.h"
#include "qemu/agent-commands.h"
#include "wire/constants.h"

#include <sys/socket.h>

enum { MOST = 2048 };

/* --- its agent --- */

static void on_interfaces(void *arg, const AgentInterface *list, size_t n, const Error *failure)
{
        Arena *arena = call_arena(arg);
        WireDomainInterfaceAddressesRet ret = { .n_ifaces = (uint32_t)MIN(n, (size_t)MOST) };

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        ret.ifaces = arena_new_array(arena, WireDomainInterface, ret.n_ifaces);
        for (uint32_t i = 0; i < ret.n_ifaces; i++) {
                WireDomainInterface *iface = &ret.ifaces[i];

                iface->name = list[i].name;
                iface->hwaddr = list[i].hardware_address;
                iface->n_addrs = (uint32_t)MIN(list[i].n_ip_addresses, (size_t)MOST);
                iface->addrs = arena_new_array(arena, WireDomainIpAddr, iface->n_addrs);
                for (uint32_t a = 0; a < iface->n_addrs; a++) {
                        const AgentIpAddress *from = &list[i].ip_addresses[a];

                        iface->addrs[a] = (WireDomainIpAddr){ .type = str_eq(from->ip_address_type, "ipv6"),
                                                              .addr = from->ip_address,
                                                              .prefix = (uint32_t)from->prefix };
                }
        }
        call_reply(arg, &ret);
}

static int get_addresses(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_network_get_interfaces(agent, on_interfaces, call), 0) : -1;
}

/* --- the ARP table --- */

typedef struct Seen {
        Arena *arena;
        const DomainDef *def;
        WireDomainInterface *ifaces; /* one for each interface of def */
} Seen;

static void on_neighbour(void *arg, const Mac *mac, int family, const char *address)
{
        Seen *seen = arg;

        for (uint32_t i = 0; i < seen->def->n_interfaces; i++) {
                WireDomainInterface *iface = &seen->ifaces[i];
                WireDomainIpAddr *more;

                if (!mac_eq(&seen->def->interfaces[i]->mac, mac) || iface->n_addrs == MOST)
                        continue;
                more = arena_new_array(seen->arena, WireDomainIpAddr, (size_t)iface->n_addrs + 1);
                for (uint32_t a = 0; a < iface->n_addrs; a++)
                        more[a] = iface->addrs[a];
                more[iface->n_addrs++] = (WireDomainIpAddr){ .type = family == AF_INET6 ? VIR_IP_ADDR_TYPE_IPV6
                                                                                        : VIR_IP_ADDR_TYPE_IPV4,
                                                             .addr = arena_dup(seen->arena, address) };
                iface->addrs = more;
        }
}

/* Interfaces of which an address was seen. The table knows no prefixes. */
static int answer_seen(Call *call, const Domain *dom, Error *err)
{
        Arena *arena = call_arena(call);
        Seen seen = { .arena = arena, .def = dom->live };
        WireDomainInterfaceAddressesRet ret = { 0 };
        char text[MAC_TEXT_LEN + 1];

        seen.ifaces = arena_new_array(arena, WireDomainInterface, dom->live->n_interfaces);
        if (neighbours_walk(on_neighbour, &seen, err) < 0)
                return -1;
        ret.ifaces = arena_new_array(arena, WireDomainInterface, dom->live->n_interfaces);
        for (uint32_t i = 0; i < dom->live->n_interfaces && ret.n_ifaces < MOST; i++) {
                const InterfaceDef *interface = dom->live->interfaces[i];

                if (!seen.ifaces[i].n_addrs)
                        continue;
                seen.ifaces[i].name = interface->target_dev ?: interface->info.alias;
                seen.ifaces[i].hwaddr = arena_dup(arena, mac_format(&interface->mac, text));
                ret.ifaces[ret.n_ifaces++] = seen.ifaces[i];
        }
        call_reply(call, &ret);
        return 0;
}

/* --- the servers of our networks --- */

/* One network after the other is asked for its leases. */
typedef struct LeaseWalk {
        Call *call;
        Domain *dom;
        uint32_t at; /* interface */
        Network *net;
        WireDomainInterfaceAddressesRet ret;
        uint32_t room; /* for as many interfaces; the guest may be given more meanwhile */
} LeaseWalk;

static void ask_next(LeaseWalk *walk);

static void on_leases(void *arg, const DnsmasqLease *leases, size_t n, const Error *failure)
{
        LeaseWalk *walk = arg;
        Arena *arena = call_arena(walk->call);
        const InterfaceDef *interface = walk->dom->live && walk->at < walk->dom->live->n_interfaces
                                                ? walk->dom->live->interfaces[walk->at]
                                                : NULL;
        WireDomainInterface iface = { .addrs = arena_new_array(arena, WireDomainIpAddr, MIN(n, (size_t)MOST)) };
        char text[MAC_TEXT_LEN + 1], address[NET_ADDRESS_TEXT_LEN + 1];

        for (size_t i = 0; interface && !failure && walk->net->active && i < n && iface.n_addrs < MOST; i++) {
                if (lease_is_over(&leases[i]) || !mac_eq(&leases[i].mac, &interface->mac))
                        continue;
                iface.addrs[iface.n_addrs++] = (WireDomainIpAddr){
                        .type = leases[i].address.family == AF_INET6 ? VIR_IP_ADDR_TYPE_IPV6 : VIR_IP_ADDR_TYPE_IPV4,
                        .addr = arena_dup(arena, net_address_format(&leases[i].address, address)),
                        .prefix = lease_prefix(walk->net, &leases[i]),
                };
        }
        if (iface.n_addrs) {
                iface.name = interface->target_dev ?: interface->info.alias;
                iface.hwaddr = arena_dup(arena, mac_format(&interface->mac, text));
                walk->ret.ifaces[walk->ret.n_ifaces++] = iface;
        }
        network_unref(walk->net);
        walk->at++;
        ask_next(walk);
}

static void ask_next(LeaseWalk *walk)
{
        const DomainDef *def = walk->dom->live;

        for (; def && walk->at < def->n_interfaces && walk->ret.n_ifaces < walk->room; walk->at++) {
                const InterfaceDef *interface = def->interfaces[walk->at];
                Network *net = interface->type == INTERFACE_TYPE_NETWORK
                                       ? network_find(walk->dom->driver, interface->network)
                                       : NULL;

                if (!net || !net->active)
                        continue;
                walk->net = network_ref(net);
                net->driver->ops->networks->leases(net, on_leases, walk);
                return;
        }
        call_reply(walk->call, &walk->ret);
        domain_unref(walk->dom);
        free(walk);
}

static void ask_servers(Call *call, Domain *dom)
{
        LeaseWalk *walk = mem_new(LeaseWalk);

        *walk = (LeaseWalk){ .call = call, .dom = domain_ref(dom) };
        walk->room = MIN(dom->live->n_interfaces, (uint32_t)MOST);
        walk->ret.ifaces = arena_new_array(call_arena(call), WireDomainInterface, walk->room);
        ask_next(walk);
}

int handle_domain_interface_addresses(Call *call, const WireDomainInterfaceAddressesArgs *args, Error *err)
{
        Domain *dom;

        if (args->source == VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
                return qemu_agent_ask(call, &args->dom, args->flags, 0, get_addresses, err);
        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            domain_must_be_active(dom, err) < 0)
                return -1;
        switch (args->source) {
        case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE:
                ask_servers(call, dom);
                return 0;
        case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP:
                return answer_seen(call, dom, err);
        default:
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "Unsupported IP address data source %u", args->source);
        }
}
