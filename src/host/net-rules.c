/*
 * host/net-rules.c - what the packets of virtual networks may do, as text for nft
 */
#include "host/net-rules.h"

#include "base/str.h"

#include <stdio.h>

#define TABLE "inet " NET_RULES_TABLE

/* Which map leads to which chain of a network; the chain's name is the map's with the bridge's behind it. */
static const char *const maps[] = { "from_guests", "to_guests", "into_host", "out_of_host" };

static const char *const chains[] = { "from_guests", "to_guests", "into_host", "out_of_host", "nat" };

static void put_base(Buf *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(maps); i++)
                buf_format(ret, "add map " TABLE " %s { type ifname : verdict ; }\n", maps[i]);
        buf_put_text(ret,
                     "add map " TABLE " nat4 { type ipv4_addr : verdict ; flags interval ; }\n"
                     "add map " TABLE " nat6 { type ipv6_addr : verdict ; flags interval ; }\n"
                     "add chain " TABLE " forward { type filter hook forward priority filter ; policy accept ; }\n"
                     "add chain " TABLE " input { type filter hook input priority filter ; policy accept ; }\n"
                     "add chain " TABLE " output { type filter hook output priority filter ; policy accept ; }\n"
                     "add chain " TABLE
                     " postrouting { type nat hook postrouting priority srcnat ; policy accept ; }\n"
                     "flush chain " TABLE " forward\n"
                     "flush chain " TABLE " input\n"
                     "flush chain " TABLE " output\n"
                     "flush chain " TABLE " postrouting\n"
                     "add rule " TABLE " forward iifname vmap @from_guests\n"
                     "add rule " TABLE " forward oifname vmap @to_guests\n"
                     "add rule " TABLE " input iifname vmap @into_host\n"
                     "add rule " TABLE " output oifname vmap @out_of_host\n"
                     "add rule " TABLE " postrouting ip saddr vmap @nat4\n"
                     "add rule " TABLE " postrouting ip6 saddr vmap @nat6\n");
}

static const char *ip_word(int family)
{
        return family == AF_INET6 ? "ip6" : "ip";
}

static void put_chains(const NetworkDef *def, Buf *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(chains); i++)
                buf_format(ret, "add chain " TABLE " %s_%s\nflush chain " TABLE " %s_%s\n", chains[i], def->bridge,
                           chains[i], def->bridge);
}

static void put_rule(const char *map, const NetworkDef *def, Buf *ret)
{
        buf_format(ret, "add rule " TABLE " %s_%s ", map, def->bridge);
}

static void put_net(const NetworkIpDef *ip, int *ret_family, char text[NET_ADDRESS_TEXT_LEN + 8])
{
        char address[NET_ADDRESS_TEXT_LEN + 1];
        NetAddress net;
        unsigned prefix = network_ip_net(ip, &net);

        net = net_first(&net, prefix);
        *ret_family = net.family;
        snprintf(text, NET_ADDRESS_TEXT_LEN + 8, "%s/%u", net_address_format(&net, address), prefix);
}

/* Is this address translated? IPv6 only where it was asked for. */
static bool is_translated(const NetworkDef *def, int family)
{
        return def->forward && def->forward->mode == FORWARD_MODE_NAT &&
               (family == AF_INET || (def->forward->nat && def->forward->nat->ipv6 == SWITCH_ON));
}

/* ' oifname "eth0"' where the network is bound to one device of the host (NET-19). */
static char *bound_to(const NetworkDef *def, const char *word)
{
        return def->forward && def->forward->dev ? str_format(" %s \"%s\"", word, def->forward->dev) : str_dup("");
}

/* --- what goes through the host --- */

static void put_routed(const NetworkDef *def, Buf *ret)
{
        AUTOFREE char *out = bound_to(def, "oifname"), *in = bound_to(def, "iifname");

        for (uint32_t i = 0; i < def->n_ips; i++) {
                char net[NET_ADDRESS_TEXT_LEN + 8];
                int family;

                put_net(def->ips[i], &family, net);
                put_rule("from_guests", def, ret);
                buf_format(ret, "%s saddr %s%s return\n", ip_word(family), net, out);
                put_rule("to_guests", def, ret);
                buf_format(ret, "%s daddr %s%s%s return\n", ip_word(family), net, in,
                           is_translated(def, family) ? " ct state established,related" : "");
        }
        for (uint32_t i = 0; i < def->n_routes; i++) {
                char address[NET_ADDRESS_TEXT_LEN + 1];
                NetAddress net;
                unsigned prefix = network_route_net(def->routes[i], &net);

                net = net_first(&net, prefix);
                put_rule("from_guests", def, ret);
                buf_format(ret, "%s saddr %s/%u%s return\n", ip_word(net.family), net_address_format(&net, address),
                           prefix, out);
                put_rule("to_guests", def, ret);
                buf_format(ret, "%s daddr %s/%u%s return\n", ip_word(net.family), net_address_format(&net, address),
                           prefix, in);
        }
}

static void put_forward(const NetworkDef *def, Buf *ret)
{
        /* a bridge that the kernel shows to these chains too: guests of one network */
        put_rule("from_guests", def, ret);
        buf_format(ret, "oifname \"%s\" return\n", def->bridge);
        put_rule("to_guests", def, ret);
        buf_format(ret, "iifname \"%s\" return\n", def->bridge);
        if (network_forwards(def))
                put_routed(def, ret);
        put_rule("from_guests", def, ret);
        buf_put_text(ret, "reject with icmpx port-unreachable\n");
        put_rule("to_guests", def, ret);
        buf_put_text(ret, "reject with icmpx port-unreachable\n");
}

/* --- what is for the host: names, addresses, files --- */

static void put_services(const NetworkDef *def, const char *map, const char *word, Buf *ret)
{
        put_rule(map, def, ret);
        buf_format(ret, "udp %s { 53, %s } accept\n", word,
                   str_eq(word, "dport") ? "67, 69, 547" : "67, 69, 547, 546");
        put_rule(map, def, ret);
        buf_format(ret, "tcp %s 53 accept\n", word);
}

/* --- with the host's address --- */

static void put_source(const NetworkDef *def, int family, const char *net, const char *protocol, Buf *ret)
{
        const NatDef *nat = def->forward->nat;
        const AddressRangeDef *range = family == AF_INET && nat ? nat->address : NULL;
        unsigned first = nat && nat->ports ? nat->ports->start : 1024,
                 last = nat && nat->ports ? nat->ports->end : 65535;
        AUTOFREE char *out = bound_to(def, "oifname");

        put_rule("nat", def, ret);
        if (protocol)
                buf_format(ret, "meta l4proto %s ", protocol);
        buf_format(ret, "%s saddr %s %s daddr != %s%s ", ip_word(family), net, ip_word(family), net, out);
        if (range && range->end && !str_eq(range->start, range->end))
                buf_format(ret, "snat ip to %s-%s", range->start, range->end);
        else if (range)
                buf_format(ret, "snat ip to %s", range->start);
        else
                buf_put_text(ret, protocol ? "masquerade to " : "masquerade");
        if (protocol)
                buf_format(ret, ":%u-%u", first, last);
        buf_put_char(ret, '\n');
}

static void put_nat(const NetworkDef *def, Buf *ret)
{
        static const char *const kept4[] = { "224.0.0.0/24", "255.255.255.255" }, *const kept6[] = { "ff02::/16" };

        for (uint32_t i = 0; i < def->n_ips; i++) {
                char net[NET_ADDRESS_TEXT_LEN + 8];
                int family;

                put_net(def->ips[i], &family, net);
                if (!is_translated(def, family))
                        continue;
                /* what stays on the link keeps its address */
                for (size_t k = 0; k < (family == AF_INET ? ARRAY_LEN(kept4) : ARRAY_LEN(kept6)); k++) {
                        put_rule("nat", def, ret);
                        buf_format(ret, "%s saddr %s %s daddr %s return\n", ip_word(family), net, ip_word(family),
                                   family == AF_INET ? kept4[k] : kept6[k]);
                }
                put_source(def, family, net, "tcp", ret);
                put_source(def, family, net, "udp", ret);
                put_source(def, family, net, NULL, ret);
                buf_format(ret, "add element " TABLE " nat%c { %s : jump nat_%s }\n", family == AF_INET6 ? '6' : '4',
                           net, def->bridge);
        }
}

static void put_network(const NetworkDef *def, Buf *ret)
{
        /* the host's own rules decide: only what our services need is let in */
        if (!(def->forward && def->forward->mode == FORWARD_MODE_OPEN)) {
                put_forward(def, ret);
                for (size_t i = 0; i < 2; i++)
                        buf_format(ret, "add element " TABLE " %s { \"%s\" : jump %s_%s }\n", maps[i], def->bridge,
                                   maps[i], def->bridge);
        }
        put_services(def, "into_host", "dport", ret);
        put_services(def, "out_of_host", "sport", ret);
        for (size_t i = 2; i < 4; i++)
                buf_format(ret, "add element " TABLE " %s { \"%s\" : jump %s_%s }\n", maps[i], def->bridge, maps[i],
                           def->bridge);
        put_nat(def, ret);
}

/* Only what is there can be removed: each is put in first, which changes nothing where it is. */
static void put_removal(const NetworkDef *def, Buf *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(maps); i++)
                buf_format(ret,
                           "add element " TABLE " %s { \"%s\" : jump %s_%s }\n"
                           "delete element " TABLE " %s { \"%s\" }\n",
                           maps[i], def->bridge, maps[i], def->bridge, maps[i], def->bridge);
        for (uint32_t i = 0; i < def->n_ips; i++) {
                char net[NET_ADDRESS_TEXT_LEN + 8];
                int family;

                put_net(def->ips[i], &family, net);
                if (is_translated(def, family))
                        buf_format(ret,
                                   "add element " TABLE " nat%c { %s : jump nat_%s }\n"
                                   "delete element " TABLE " nat%c { %s }\n",
                                   family == AF_INET6 ? '6' : '4', net, def->bridge, family == AF_INET6 ? '6' : '4',
                                   net);
        }
        for (size_t i = 0; i < ARRAY_LEN(chains); i++)
                buf_format(ret, "delete chain " TABLE " %s_%s\n", chains[i], def->bridge);
}

void net_rules_put(const NetworkDef *const *defs, size_t n, const NetworkDef *gone, bool whole, Buf *ret)
{
        if (whole)
                buf_put_text(ret, "add table " TABLE "\ndelete table " TABLE "\n");
        if (whole && n == 0)
                return;
        buf_put_text(ret, "add table " TABLE " { comment \"virtual networks, kept by droverd\" ; }\n");
        /* nft hands elements to the kernel with the map that they are in, so chains come before maps */
        for (size_t i = 0; i < n; i++)
                put_chains(defs[i], ret);
        if (gone)
                put_chains(gone, ret);
        put_base(ret);
        if (gone)
                put_removal(gone, ret);
        for (size_t i = 0; i < n; i++)
                put_network(defs[i], ret);
}
