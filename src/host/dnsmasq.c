/*
 * host/dnsmasq.c - the configuration of a dnsmasq for one virtual network
 */
#include "host/dnsmasq.h"

#include "base/str.h"

bool dnsmasq_is_needed(const NetworkDef *def)
{
        return def->n_ips > 0;
}

static bool has_dns(const NetworkDef *def)
{
        return !(def->dns && def->dns->enable == SWITCH_OFF);
}

/* --- DNS --- */

static bool asks_named_servers(const NetworkDnsDef *dns)
{
        for (uint32_t i = 0; dns && i < dns->n_forwarders; i++) {
                if (!dns->forwarders[i]->domain)
                        return true;
        }
        return false;
}

static void put_forwarders(const NetworkDnsDef *dns, Buf *ret)
{
        for (uint32_t i = 0; i < dns->n_forwarders; i++) {
                const DnsForwarderDef *f = dns->forwarders[i];

                buf_put_text(ret, "server=");
                if (f->domain)
                        buf_format(ret, "/%s/", f->domain);
                /* a domain without a server has the usual ones; '#' says so */
                buf_format(ret, "%s\n", f->addr ?: "#");
        }
}

/* As one word, whatever is in it: dnsmasq reads quotes and the backslashes in them, commas, and '#' behind a blank. */
static void put_quoted(const char *text, Buf *ret)
{
        buf_put_char(ret, '"');
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        buf_put_char(ret, '\\');
                buf_put_char(ret, *text);
        }
        buf_put_char(ret, '"');
}

static void put_word(const char *text, Buf *ret)
{
        if (strpbrk(text, " \t#\"\\,"))
                put_quoted(text, ret);
        else
                buf_put_text(ret, text);
}

static void put_records(const NetworkDnsDef *dns, Buf *ret)
{
        for (uint32_t i = 0; i < dns->n_txts; i++) {
                buf_format(ret, "txt-record=%s,", dns->txts[i]->name);
                put_quoted(dns->txts[i]->value, ret);
                buf_put_char(ret, '\n');
        }
        for (uint32_t i = 0; i < dns->n_srvs; i++) {
                const DnsSrvDef *s = dns->srvs[i];

                buf_format(ret, "srv-host=_%s._%s", s->service, s->protocol);
                if (s->domain)
                        buf_format(ret, ".%s", s->domain);
                if (s->target)
                        buf_format(ret, ",%s", s->target);
                if (s->target && (s->port || s->has_priority || s->has_weight))
                        buf_format(ret, ",%u", s->port ?: 1);
                if (s->has_priority || s->has_weight)
                        buf_format(ret, ",%u", s->priority);
                if (s->has_weight)
                        buf_format(ret, ",%u", s->weight);
                buf_put_char(ret, '\n');
        }
}

/* Names of addresses in our networks that nobody here has are nobody's. */
static void put_local_pointers(const NetworkDef *def, Buf *ret)
{
        for (uint32_t i = 0; i < def->n_ips; i++) {
                NetAddress net;
                unsigned prefix = network_ip_net(def->ips[i], &net);

                if (def->ips[i]->local_ptr != SWITCH_ON)
                        continue;
                buf_put_text(ret, "local=/");
                if (net.family == AF_INET) {
                        for (unsigned b = prefix / 8; b-- > 0;)
                                buf_format(ret, "%u.", net.bytes[b]);
                        buf_put_text(ret, "in-addr.arpa/\n");
                        continue;
                }
                for (unsigned n = prefix / 4; n-- > 0;)
                        buf_format(ret, "%x.", n % 2 ? net.bytes[n / 2] & 15 : net.bytes[n / 2] >> 4);
                buf_put_text(ret, "ip6.arpa/\n");
        }
}

static void put_dns(const NetworkDef *def, const DnsmasqFiles *files, Buf *ret)
{
        const NetworkDnsDef *dns = def->dns;

        if (!has_dns(def)) {
                buf_put_text(ret, "port=0\n");
                return;
        }
        buf_put_text(ret, "strict-order\n");
        /* an isolated network tells nothing about the outside, not even names */
        if (asks_named_servers(dns) || !def->forward)
                buf_put_text(ret, "no-resolv\n");
        if (dns && dns->forward_plain_names == SWITCH_OFF)
                buf_put_text(ret, "domain-needed\nlocal=//\n");
        if (dns) {
                put_forwarders(dns, ret);
                put_records(dns, ret);
        }
        put_local_pointers(def, ret);
        buf_format(ret, "addn-hosts=%s\n", files->hosts);
}

void dnsmasq_put_hosts(const NetworkDef *def, Buf *ret)
{
        for (uint32_t i = 0; def->dns && i < def->dns->n_hosts; i++) {
                const DnsHostDef *host = def->dns->hosts[i];

                buf_put_text(ret, host->ip);
                for (uint32_t n = 0; n < host->n_hostnames; n++)
                        buf_format(ret, "%c%s", n ? ' ' : '\t', host->hostnames[n]->name);
                buf_put_char(ret, '\n');
        }
}

/* --- DHCP --- */

static void put_lease_time(const LeaseDef *lease, Buf *ret)
{
        if (!lease || !lease->has_expiry)
                return;
        if (lease->expiry == 0)
                buf_put_text(ret, ",infinite");
        else
                buf_format(ret, ",%u%s", lease->expiry,
                           lease->unit == LEASE_UNIT_SECONDS ? ""
                           : lease->unit == LEASE_UNIT_HOURS ? "h"
                                                             : "m");
}

static void put_range4(const DhcpRangeDef *range, unsigned prefix, Buf *ret)
{
        NetAddress ones = { .family = AF_INET, .bytes = { 255, 255, 255, 255 } };
        NetAddress mask = net_first(&ones, prefix);
        char text[NET_ADDRESS_TEXT_LEN + 1];

        buf_format(ret, "dhcp-range=%s,%s,%s", range->start, range->end, net_address_format(&mask, text));
        put_lease_time(range->lease, ret);
        buf_put_char(ret, '\n');
}

/* How many leases there can be: as many as addresses. */
static uint32_t count_addresses(const NetworkDhcpDef *dhcp)
{
        uint32_t n = dhcp->n_hosts;

        for (uint32_t i = 0; i < dhcp->n_ranges; i++) {
                NetAddress first = { 0 }, last = { 0 };

                if (net_address_parse(dhcp->ranges[i]->start, &first) == 0 &&
                    net_address_parse(dhcp->ranges[i]->end, &last) == 0)
                        n += MIN(net_address_count(&first, &last), 65536U);
        }
        return n;
}

static uint32_t put_dhcp4(const NetworkIpDef *ip, const NetAddress *net, unsigned prefix, Buf *ret)
{
        const NetworkDhcpDef *dhcp = ip->dhcp;
        char first[NET_ADDRESS_TEXT_LEN + 1];
        NetAddress whole = net_first(net, prefix);

        for (uint32_t i = 0; i < dhcp->n_ranges; i++)
                put_range4(dhcp->ranges[i], prefix, ret);
        if (!dhcp->n_ranges && dhcp->n_hosts)
                buf_format(ret, "dhcp-range=%s,static\n", net_address_format(&whole, first));
        if (dhcp->bootp) {
                buf_put_text(ret, "dhcp-boot=");
                put_word(dhcp->bootp->file, ret);
                if (dhcp->bootp->server)
                        buf_format(ret, ",,%s", dhcp->bootp->server);
                buf_put_char(ret, '\n');
        }
        return count_addresses(dhcp);
}

static uint32_t put_dhcp6(const NetworkIpDef *ip, const NetAddress *net, unsigned prefix, Buf *ret)
{
        const NetworkDhcpDef *dhcp = ip->dhcp;
        char first[NET_ADDRESS_TEXT_LEN + 1];
        NetAddress whole = net_first(net, prefix);

        for (uint32_t i = 0; i < dhcp->n_ranges; i++) {
                buf_format(ret, "dhcp-range=%s,%s,%u", dhcp->ranges[i]->start, dhcp->ranges[i]->end, prefix);
                put_lease_time(dhcp->ranges[i]->lease, ret);
                buf_put_char(ret, '\n');
        }
        if (!dhcp->n_ranges && dhcp->n_hosts)
                buf_format(ret, "dhcp-range=%s,static,%u\n", net_address_format(&whole, first), prefix);
        return count_addresses(dhcp);
}

void dnsmasq_put_fixed(const NetworkDef *def, Buf *ret)
{
        for (uint32_t i = 0; i < def->n_ips; i++) {
                const NetworkDhcpDef *dhcp = def->ips[i]->dhcp;
                bool six = def->ips[i]->family == IP_FAMILY_IPV6;

                for (uint32_t h = 0; dhcp && h < dhcp->n_hosts; h++) {
                        const DhcpHostDef *host = dhcp->hosts[h];
                        const char *between = "";

                        if (host->mac) {
                                buf_format(ret, "%s", host->mac);
                                between = ",";
                        }
                        if (host->id) {
                                buf_format(ret, "%sid:%s", between, host->id);
                                between = ",";
                        }
                        if (host->name) {
                                buf_format(ret, "%s%s", between, host->name);
                                between = ",";
                        }
                        if (host->ip)
                                buf_format(ret, six ? "%s[%s]" : "%s%s", between, host->ip);
                        put_lease_time(host->lease, ret);
                        buf_put_char(ret, '\n');
                }
        }
}

static void put_dhcp(const NetworkDef *def, const DnsmasqFiles *files, Buf *ret)
{
        uint32_t most = 0;
        bool four = network_has_dhcp(def, AF_INET), six = network_has_dhcp(def, AF_INET6), any6 = false;

        for (uint32_t i = 0; i < def->n_ips; i++) {
                char text[NET_ADDRESS_TEXT_LEN + 1];
                NetAddress net;
                unsigned prefix = network_ip_net(def->ips[i], &net);
                NetAddress whole = net_first(&net, prefix);
                const NetworkDhcpDef *dhcp = def->ips[i]->dhcp;
                bool gives = dhcp && (dhcp->n_ranges || dhcp->n_hosts);

                any6 = any6 || net.family == AF_INET6;
                if (gives)
                        most += net.family == AF_INET ? put_dhcp4(def->ips[i], &net, prefix, ret)
                                                      : put_dhcp6(def->ips[i], &net, prefix, ret);
                else if (net.family == AF_INET6)
                        buf_format(ret, "dhcp-range=%s,ra-only\n", net_address_format(&whole, text));
        }
        if (any6)
                buf_put_text(ret, "enable-ra\n");
        /* who goes nowhere is told no way out */
        if (any6 && !def->forward)
                buf_put_text(ret, "ra-param=*,0,0\n");
        if (four && !def->forward)
                buf_put_text(ret, "dhcp-option=3\n");
        if (four || six)
                buf_format(ret,
                           "dhcp-no-override\ndhcp-authoritative\ndhcp-lease-max=%u\ndhcp-leasefile=%s\n"
                           "dhcp-hostsfile=%s\n",
                           MAX(most, 1U), files->leases, files->fixed);
}

static void put_domain(const NetworkDef *def, Buf *ret)
{
        if (!def->domain_name)
                return;
        if (def->domain_local_only == SWITCH_ON)
                buf_format(ret, "local=/%s/\n", def->domain_name);
        buf_format(ret, "domain=%s\nexpand-hosts\n", def->domain_name);
}

void dnsmasq_put_config(const NetworkDef *def, const DnsmasqFiles *files, Buf *ret)
{
        buf_format(ret,
                   "# Written by droverd for a virtual network at each start; changes made here are lost.\n"
                   "user=%s\npid-file=%s\ninterface=%s\nexcept-interface=lo\nbind-dynamic\n",
                   files->user, files->pid, def->bridge);
        put_domain(def, ret);
        put_dns(def, files, ret);
        put_dhcp(def, files, ret);
        for (uint32_t i = 0; i < def->n_ips; i++) {
                if (!def->ips[i]->tftp_root)
                        continue;
                buf_put_text(ret, "enable-tftp\ntftp-root=");
                put_word(def->ips[i]->tftp_root, ret);
                buf_put_char(ret, '\n');
        }
        for (uint32_t i = 0; def->dnsmasq_options && i < def->dnsmasq_options->n_options; i++)
                buf_format(ret, "%s\n", def->dnsmasq_options->options[i]->value);
}

const char *dnsmasq_advice(const char *complaint)
{
        /* each has one, and a user has 128 unless told otherwise */
        if (strstr(complaint, "inotify"))
                return "; this host gives a user too few of them for so many networks: raise the sysctl "
                       "fs.inotify.max_user_instances";
        if (strstr(complaint, "Address already in use"))
                return "; another DNS or DHCP server of this host serves all its interfaces: let it leave out the "
                       "network's bridge";
        return "";
}
