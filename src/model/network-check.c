/*
 * model/network-check.c - which networks cannot be
 *
 * What ends up in the configuration of dnsmasq, one line each, must not hold a
 * line break or what would begin another word there; so every text that gets
 * there is checked here, once, and the writers rely on it.
 */
#include "model/network.h"

#include "base/map.h"
#include "base/str.h"
#include "model/vlan.h"

#include <ctype.h>
#include <net/if.h>

enum {
        LONGEST_NAME = 200,
        MOST_IPS = 256, /* each is compared with all others, and with the gateway of each route */
        MOST_ROUTES = 1024,
};

/* Letters, digits and the marks that occur in names of hosts and services. */
static bool is_dns_name(const char *text)
{
        size_t n = strlen(text);

        if (n == 0 || n > 253)
                return false;
        for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
                if (!isalnum(*c) && !strchr("-._", *c))
                        return false;
        }
        return true;
}

static bool is_one_line(const char *text)
{
        for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
                if (*c < ' ' || *c == 0x7f)
                        return false;
        }
        return true;
}

static int check_link_name(const char *what, const char *name, Error *err)
{
        if (strlen(name) >= IFNAMSIZ || !*name || !is_one_line(name) || strpbrk(name, "/ *\"\\") ||
            str_eq(name, ".") || str_eq(name, ".."))
                return err_set(err, ERR_XML, "'%s': '%s' cannot be the name of an interface", what, name);
        return 0;
}

/* The rules of a network have the name of its own bridge in those of their chains; "%d" asks for a number. */
static int check_bridge(const NetworkDef *def, Error *err)
{
        if (!def->bridge)
                return 0;
        if (check_link_name("bridge/@name", def->bridge, err) < 0)
                return -1;
        for (const unsigned char *c = (const unsigned char *)def->bridge; network_has_own_bridge(def) && *c; c++) {
                if (!isalnum(*c) && !strchr("-_.%", *c))
                        return err_set(
                                err, ERR_XML,
                                "'bridge/@name': a network's own bridge cannot be called '%s': letters, digits, "
                                "'-', '_' and '.' make up its name",
                                def->bridge);
        }
        return 0;
}

static int parse_address(const char *what, const char *text, int family, NetAddress *ret, Error *err)
{
        if (net_address_parse(text, ret) < 0)
                return err_set(err, ERR_XML, "'%s': '%s' is no address", what, text);
        if (family && ret->family != family)
                return err_set(err, ERR_XML, "'%s': '%s' is of another family than its network", what, text);
        return 0;
}

static int check_dns_name(const char *what, const char *name, Error *err)
{
        if (name && !is_dns_name(name))
                return err_set(err, ERR_XML, "'%s': '%s' cannot be a name in DNS", what, name);
        return 0;
}

/* --- forward --- */

static int check_nat(const NatDef *nat, Error *err)
{
        NetAddress first, last;

        if (nat->ports && nat->ports->start > nat->ports->end)
                return err_set(err, ERR_XML, "'forward/nat/port': the range %u - %u is reversed", nat->ports->start,
                               nat->ports->end);
        if (!nat->address)
                return 0;
        if (parse_address("forward/nat/address/@start", nat->address->start, AF_INET, &first, err) < 0 ||
            parse_address("forward/nat/address/@end", nat->address->end ?: nat->address->start, AF_INET, &last, err) <
                    0)
                return -1;
        if (net_address_compare(&first, &last) > 0)
                return err_set(err, ERR_XML, "'forward/nat/address': the range %s - %s is reversed",
                               nat->address->start, nat->address->end);
        return 0;
}

static int check_forward(const NetworkDef *def, Error *err)
{
        const ForwardDef *forward = def->forward;
        bool own_bridge = network_has_own_bridge(def);
        const char *mode = forward ? forward_mode_text(forward->mode) : NULL;

        if (!forward)
                return 0;
        for (uint32_t i = 0; i < forward->n_interfaces; i++) {
                if (check_link_name("forward/interface/@dev", forward->interfaces[i]->dev, err) < 0)
                        return -1;
        }
        if (forward->dev && check_link_name("forward/@dev", forward->dev, err) < 0)
                return -1;
        if (forward->nat && check_nat(forward->nat, err) < 0)
                return -1;
        if (forward->mode == FORWARD_MODE_OPEN && forward->dev)
                return err_set(err, ERR_XML, "'forward/@dev' has no meaning with mode 'open'");
        if (own_bridge && (forward->n_interfaces > 1 || forward->n_pfs))
                return err_set(err, ERR_XML, "mode '%s' takes one device of the host at most", mode);
        if (network_forwards(def) && !def->n_ips)
                return err_set(err, ERR_XML, "%s forwarding requested, but no IP address provided for network '%s'",
                               mode, def->name);
        if (!own_bridge && (def->n_ips || def->dns || def->domain_name))
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "Unsupported <%s> element in network %s with forward mode='%s'",
                               def->n_ips ? "ip"
                               : def->dns ? "dns"
                                          : "domain",
                               def->name, mode);
        if (def->bridge && !own_bridge && (forward->mode != FORWARD_MODE_BRIDGE || forward->n_interfaces))
                return err_set(err, ERR_XML, "a bridge cannot be given with forward mode '%s'%s in network %s", mode,
                               forward->n_interfaces ? " and devices" : "", def->name);
        return 0;
}

/* --- addresses --- */

static int check_lease(const LeaseDef *lease, Error *err)
{
        /* dnsmasq gives nothing out for less than two minutes */
        if (lease && lease->has_expiry && lease->expiry && lease->unit == LEASE_UNIT_SECONDS && lease->expiry < 120)
                return err_set(err, ERR_XML, "'lease/@expiry': a lease lasts two minutes at least, not %u seconds",
                               lease->expiry);
        return 0;
}

static int check_range(const DhcpRangeDef *range, const NetAddress *net, unsigned prefix, Error *err)
{
        NetAddress first, last, whole_first = net_first(net, prefix), whole_last = net_last(net, prefix);

        if (parse_address("dhcp/range/@start", range->start, net->family, &first, err) < 0 ||
            parse_address("dhcp/range/@end", range->end, net->family, &last, err) < 0 ||
            check_lease(range->lease, err) < 0)
                return -1;
        if (net_address_compare(&first, &last) > 0)
                return err_set(err, ERR_INTERNAL, "range %s - %s is reversed", range->start, range->end);
        if (!net_contains(net, prefix, &first) || !net_contains(net, prefix, &last)) {
                char text[NET_ADDRESS_TEXT_LEN + 1];

                return err_set(err, ERR_INTERNAL, "range %s - %s is not entirely within network %s/%u", range->start,
                               range->end, net_address_format(net, text), prefix);
        }
        if (net->family == AF_INET && prefix < 31 &&
            (net_address_compare(&first, &whole_first) == 0 || net_address_compare(&last, &whole_last) == 0))
                return err_set(err, ERR_INTERNAL,
                               "range %s - %s holds the network's own address or its broadcast address", range->start,
                               range->end);
        if (net_address_count(&first, &last) > 65535)
                return err_set(err, ERR_INTERNAL, "range %s - %s is too large (65535 addresses at most)",
                               range->start, range->end);
        return 0;
}

static bool is_identity(const char *id)
{
        return *id && strlen(id) <= 255 && strspn(id, "0123456789abcdefABCDEF:") == strlen(id);
}

static int check_dhcp_host(const NetworkDef *def, const DhcpHostDef *host, const NetAddress *net, unsigned prefix,
                           Error *err)
{
        NetAddress address;
        Mac mac;

        if (net->family == AF_INET6 && host->mac)
                return err_set(err, ERR_XML,
                               "Invalid to specify MAC address '%s' in network '%s' IPv6 static host definition",
                               host->mac, def->name);
        if (host->mac && (mac_parse(host->mac, &mac) < 0 || mac_is_multicast(&mac)))
                return err_set(err, ERR_XML, "Cannot use MAC address '%s' in network '%s'", host->mac, def->name);
        if (host->id && !is_identity(host->id))
                return err_set(err, ERR_XML, "Invalid character in id '%s' of network '%s'", host->id, def->name);
        if (host->name && !isalpha((unsigned char)host->name[0]))
                return err_set(err, ERR_XML, "Cannot use host name '%s' in network '%s'", host->name, def->name);
        /* words of its own to dnsmasq: no address is given, or one for ever */
        if (host->name && (str_eq(host->name, "ignore") || str_eq(host->name, "infinite")))
                return err_set(err, ERR_XML,
                               "Cannot use host name '%s' in network '%s': dnsmasq has another use for it",
                               host->name, def->name);
        if (check_dns_name("dhcp/host/@name", host->name, err) < 0 || check_lease(host->lease, err) < 0)
                return -1;
        if (!host->mac && !host->name && !host->id)
                return err_set(err, ERR_XML, "Static host definition in %s network '%s' must have %s",
                               net->family == AF_INET6 ? "IPv6" : "IPv4", def->name,
                               net->family == AF_INET6 ? "id or name attribute" : "mac or name attribute");
        if (!host->ip)
                return host->mac && host->name
                               ? 0
                               : err_set(err, ERR_XML,
                                         "Missing IP address in static host definition for network '%s'", def->name);
        if (parse_address("dhcp/host/@ip", host->ip, net->family, &address, err) < 0)
                return -1;
        if (!net_contains(net, prefix, &address))
                return err_set(err, ERR_XML, "'dhcp/host/@ip': '%s' is not within its network", host->ip);
        return 0;
}

static int check_dhcp(const NetworkDef *def, const NetworkDhcpDef *dhcp, const NetAddress *net, unsigned prefix,
                      Error *err)
{
        NetAddress server;

        for (uint32_t i = 0; i < dhcp->n_ranges; i++) {
                if (check_range(dhcp->ranges[i], net, prefix, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < dhcp->n_hosts; i++) {
                if (check_dhcp_host(def, dhcp->hosts[i], net, prefix, err) < 0)
                        return -1;
        }
        if (!dhcp->bootp)
                return 0;
        if (!is_one_line(dhcp->bootp->file) || strchr(dhcp->bootp->file, ','))
                return err_set(err, ERR_XML, "'dhcp/bootp/@file' cannot be '%s'", dhcp->bootp->file);
        return dhcp->bootp->server
                       ? parse_address("dhcp/bootp/@server", dhcp->bootp->server, net->family, &server, err)
                       : 0;
}

static int check_family(const char *what, IpFamily family, const NetAddress *address, const char *text, Error *err)
{
        if (family && (family == IP_FAMILY_IPV6) != (address->family == AF_INET6))
                return err_set(err, ERR_XML, "'%s': '%s' is no address of the family '%s'", what, text,
                               ip_family_text(family));
        if (!family && address->family == AF_INET6)
                return err_set(err, ERR_XML, "'%s': no family specified for non-IPv4 address '%s'", what, text);
        return 0;
}

static int check_mask(const char *what, const NetAddress *address, const char *netmask, unsigned prefix, Error *err)
{
        if (netmask && address->family == AF_INET6)
                return err_set(err, ERR_XML, "'%s': netmask '%s' is for IPv4; give a prefix", what, netmask);
        if (netmask && net_mask_prefix(netmask) < 0)
                return err_set(err, ERR_XML, "'%s': '%s' is no netmask", what, netmask);
        if (netmask && prefix)
                return err_set(err, ERR_XML, "'%s' has both netmask and prefix; one of them is enough", what);
        if (prefix > net_address_bits(address))
                return err_set(err, ERR_XML, "'%s': a prefix has at most %u bits, not %u", what,
                               net_address_bits(address), prefix);
        return 0;
}

/* Why no guest could reach a host that has this address; NULL: it could. */
static const char *unreachable_because(const NetAddress *address, unsigned prefix)
{
        static const uint8_t none[16], six_loopback[16] = { [15] = 1 };
        NetAddress first = net_first(address, prefix), last = net_last(address, prefix);
        bool six = address->family == AF_INET6;

        if (memcmp(address->bytes, none, sizeof(none)) == 0)
                return "stands for no address";
        if (six ? memcmp(address->bytes, six_loopback, sizeof(six_loopback)) == 0 : address->bytes[0] == 127)
                return "is a loopback address, which stays within a host";
        if (six ? address->bytes[0] == 0xff : address->bytes[0] >= 224 && address->bytes[0] < 240)
                return "is a multicast address";
        /* the first of IPv6 is that of its routers, and networks of one or two addresses have neither */
        if (six || prefix >= 31)
                return NULL;
        if (net_address_compare(address, &last) == 0)
                return "is the broadcast address of its network";
        return net_address_compare(address, &first) == 0 ? "is that of its network itself" : NULL;
}

int network_ip_check(const NetworkIpDef *ip, Error *err)
{
        NetAddress address;
        const char *why;
        unsigned prefix;

        if (parse_address("ip/@address", ip->address, 0, &address, err) < 0 ||
            check_family("ip/@family", ip->family, &address, ip->address, err) < 0 ||
            check_mask("ip", &address, ip->netmask, ip->prefix, err) < 0)
                return -1;
        prefix = network_ip_net(ip, &address);
        why = unreachable_because(&address, prefix);
        return why ? err_set(err, ERR_XML, "'ip/@address': '%s' (/%u) %s", ip->address, prefix, why) : 0;
}

static int check_ip(const NetworkDef *def, const NetworkIpDef *ip, Error *err)
{
        NetAddress address;
        unsigned prefix = network_ip_net(ip, &address);

        if (ip->local_ptr == SWITCH_ON && prefix % (address.family == AF_INET6 ? 4 : 8) != 0)
                return err_set(err, ERR_XML, "'ip/@localPtr' needs a prefix of whole %s, not %u",
                               address.family == AF_INET6 ? "digits" : "bytes", prefix);
        if (ip->tftp_root && (ip->tftp_root[0] != '/' || !is_one_line(ip->tftp_root)))
                return err_set(err, ERR_XML, "'ip/tftp/@root' must be an absolute path, not '%s'", ip->tftp_root);
        return ip->dhcp ? check_dhcp(def, ip->dhcp, &address, prefix, err) : 0;
}

static int check_ips(const NetworkDef *def, Error *err)
{
        unsigned with_dhcp[2] = { 0 };

        if (def->n_ips > MOST_IPS || def->n_routes > MOST_ROUTES)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "network '%s' has %u addresses and %u routes; at most %d and %d are allowed",
                               def->name, def->n_ips, def->n_routes, MOST_IPS, MOST_ROUTES);
        for (uint32_t i = 0; i < def->n_ips; i++) {
                NetAddress address, other;
                unsigned prefix;

                if (check_ip(def, def->ips[i], err) < 0)
                        return -1;
                prefix = network_ip_net(def->ips[i], &address);
                with_dhcp[address.family == AF_INET6] += def->ips[i]->dhcp != NULL;
                for (uint32_t j = 0; j < i; j++) {
                        unsigned other_prefix = network_ip_net(def->ips[j], &other);

                        if (net_overlaps(&address, prefix, &other, other_prefix))
                                return err_set(err, ERR_XML, "the addresses '%s' and '%s' of network '%s' overlap",
                                               def->ips[j]->address, def->ips[i]->address, def->name);
                }
        }
        for (unsigned six = 0; six < 2; six++) {
                if (with_dhcp[six] > 1)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "Multiple IPv%c dhcp sections found -- dhcp is supported only for a single "
                                       "IPv%c address on each network",
                                       six ? '6' : '4', six ? '6' : '4');
        }
        return 0;
}

int network_route_check(const NetworkRouteDef *route, Error *err)
{
        char text[NET_ADDRESS_TEXT_LEN + 1];
        NetAddress net, gateway, first;
        unsigned prefix;

        if (parse_address("route/@address", route->address, 0, &net, err) < 0 ||
            check_family("route/@family", route->family, &net, route->address, err) < 0 ||
            check_mask("route", &net, route->netmask, route->prefix, err) < 0 ||
            parse_address("route/@gateway", route->gateway, net.family, &gateway, err) < 0)
                return -1;
        prefix = network_route_net(route, &net);
        first = net_first(&net, prefix);
        return net_address_compare(&net, &first) == 0
                       ? 0
                       : err_set(err, ERR_XML,
                                 "'route/@address': '%s' is not a network address with a prefix of %u bits: its "
                                 "network is '%s'",
                                 route->address, prefix, net_address_format(&first, text));
}

static int check_route(const NetworkDef *def, const NetworkRouteDef *route, Error *err)
{
        NetAddress gateway = { 0 }, host;

        net_address_parse(route->gateway, &gateway);
        for (uint32_t i = 0; i < def->n_ips; i++) {
                unsigned prefix = network_ip_net(def->ips[i], &host);

                if (net_contains(&host, prefix, &gateway))
                        return 0;
        }
        return err_set(err, ERR_XML, "unreachable static route gateway '%s' specified for network '%s'",
                       route->gateway, def->name);
}

/* --- names --- */

static int check_srv(const DnsSrvDef *srv, Error *err)
{
        if (check_dns_name("dns/srv/@service", srv->service, err) < 0 ||
            check_dns_name("dns/srv/@protocol", srv->protocol, err) < 0 ||
            check_dns_name("dns/srv/@domain", srv->domain, err) < 0 ||
            check_dns_name("dns/srv/@target", srv->target, err) < 0)
                return -1;
        if (!srv->target && (srv->port || srv->has_priority || srv->has_weight))
                return err_set(err, ERR_XML, "'dns/srv': port, priority and weight need a target");
        return 0;
}

static int check_dns(const NetworkDnsDef *dns, Error *err)
{
        NetAddress address;

        for (uint32_t i = 0; i < dns->n_forwarders; i++) {
                const DnsForwarderDef *f = dns->forwarders[i];

                if (!f->addr && !f->domain)
                        return err_set(err, ERR_XML, "'dns/forwarder' needs an address, a domain, or both");
                if (check_dns_name("dns/forwarder/@domain", f->domain, err) < 0 ||
                    (f->addr && parse_address("dns/forwarder/@addr", f->addr, 0, &address, err) < 0))
                        return -1;
        }
        for (uint32_t i = 0; i < dns->n_txts; i++) {
                if (check_dns_name("dns/txt/@name", dns->txts[i]->name, err) < 0)
                        return -1;
                if (!is_one_line(dns->txts[i]->value) || strchr(dns->txts[i]->value, '"'))
                        return err_set(err, ERR_XML, "'dns/txt/@value' cannot be '%s'", dns->txts[i]->value);
        }
        for (uint32_t i = 0; i < dns->n_srvs; i++) {
                if (check_srv(dns->srvs[i], err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < dns->n_hosts; i++) {
                const DnsHostDef *host = dns->hosts[i];

                if (parse_address("dns/host/@ip", host->ip, 0, &address, err) < 0)
                        return -1;
                for (uint32_t j = 0; j < host->n_hostnames; j++) {
                        if (check_dns_name("dns/host/hostname", host->hostnames[j]->name, err) < 0)
                                return -1;
                }
        }
        return 0;
}

/* A floor is a share of what the network has, for one interface. */
static int check_bandwidth(const char *what, const BandwidthDef *bandwidth, Error *err)
{
        if (bandwidth && bandwidth->inbound_floor)
                return err_set(err, ERR_XML, "'%s/inbound/@floor' is for interfaces of guests", what);
        return 0;
}

static int check_portgroups(const NetworkDef *def, Error *err)
{
        AUTO(Map) *names = def->n_portgroups ? map_new() : NULL;
        const PortgroupDef *by_default = NULL;

        for (uint32_t i = 0; i < def->n_portgroups; i++) {
                const PortgroupDef *group = def->portgroups[i];

                if (check_bandwidth("portgroup/bandwidth", group->bandwidth, err) < 0 ||
                    vlan_def_check(group->vlan, err) < 0)
                        return -1;
                if (map_put_text(names, group->name, names))
                        return err_set(err, ERR_XML, "network '%s' has two portgroups named '%s'", def->name,
                                       group->name);
                if (group->is_default == SWITCH_ON && by_default)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "network '%s' has multiple default <portgroup> elements (%s and %s), but only "
                                       "one default is allowed",
                                       def->name, by_default->name, group->name);
                if (group->is_default == SWITCH_ON)
                        by_default = group;
        }
        return 0;
}

static int check_name(const char *name, Error *err)
{
        if (!*name || str_eq(name, ".") || str_eq(name, ".."))
                return err_set(err, ERR_XML, "'name': '%s' cannot be the name of a network", name);
        if (strlen(name) > LONGEST_NAME)
                return err_set(err, ERR_XML, "'name' has %zu bytes; at most %d are allowed", strlen(name),
                               LONGEST_NAME);
        if (strchr(name, '/') || !is_one_line(name))
                return err_set(err, ERR_XML, "invalid char in name: a name cannot hold '/' or control characters");
        return 0;
}

static int check_options(const NetworkDef *def, Error *err)
{
        for (uint32_t i = 0; def->dnsmasq_options && i < def->dnsmasq_options->n_options; i++) {
                if (!is_one_line(def->dnsmasq_options->options[i]->value))
                        return err_set(err, ERR_XML, "'dnsmasq:option/@value' must be one line");
        }
        return 0;
}

int network_def_check(const NetworkDef *def, Error *err)
{
        if (check_name(def->name, err) < 0 || check_bridge(def, err) < 0)
                return -1;
        if (def->title && strchr(def->title, '\n'))
                return err_set(err, ERR_XML, "'title' is one line");
        if (mac_is_multicast(&def->mac))
                return err_set(err, ERR_XML, "'mac/@address' is a multicast address");
        if (check_forward(def, err) < 0 || check_ips(def, err) < 0 || check_portgroups(def, err) < 0 ||
            check_bandwidth("bandwidth", def->bandwidth, err) < 0 || vlan_def_check(def->vlan, err) < 0 ||
            check_dns_name("domain/@name", def->domain_name, err) < 0 || check_options(def, err) < 0 ||
            (def->dns && check_dns(def->dns, err) < 0))
                return -1;
        for (uint32_t i = 0; i < def->n_routes; i++) {
                if (check_route(def, def->routes[i], err) < 0)
                        return -1;
        }
        return 0;
}
