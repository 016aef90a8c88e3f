/*
 * model/network-update.c - one element of a network added, changed or removed
 *
 * A section is a list of elements of one kind. What identifies an element is
 * its kind's own business: for removing, everything that was given must be the
 * same; for adding, nothing that must be unique may be there already.
 */
#include "model/network.h"

#include "base/str.h"

#include <strings.h>

/* As VIR_NETWORK_SECTION_*. */
enum {
        SECTION_BRIDGE = 1,
        SECTION_DOMAIN = 2,
        SECTION_IP = 3,
        SECTION_IP_DHCP_HOST = 4,
        SECTION_IP_DHCP_RANGE = 5,
        SECTION_FORWARD = 6,
        SECTION_FORWARD_INTERFACE = 7,
        SECTION_FORWARD_PF = 8,
        SECTION_PORTGROUP = 9,
        SECTION_DNS_HOST = 10,
        SECTION_DNS_TXT = 11,
        SECTION_DNS_SRV = 12,
};

typedef enum Likeness {
        LIKE_EXACTLY, /* is this the element that is to go? */
        LIKE_TAKEN,   /* does it use what the new one needs for itself? */
        LIKE_SAME,    /* is it the one whose new content is given? */
} Likeness;

typedef struct List {
        void ***items;
        uint32_t *n;
} List;

typedef struct Section {
        const char *element;
        const StructInfo *of;
        bool (*is_like)(const void *have, const void *given, Likeness how);
        /* The list in def; made when missing. Below <ip>: the one that parent says. */
        int (*find)(NetworkDef *def, const void *given, int parent, List *ret, Error *err);
        bool can_be_modified;
} Section;

static bool same_or_not_given(const char *have, const char *given)
{
        return !given || str_eq(have, given);
}

static bool both_same(const char *a, const char *b)
{
        return a && b && strcasecmp(a, b) == 0;
}

static bool dhcp_host_is_like(const void *a, const void *b, Likeness how)
{
        const DhcpHostDef *have = a, *given = b;

        if (how == LIKE_EXACTLY)
                return (!given->mac || both_same(have->mac, given->mac)) &&
                       same_or_not_given(have->name, given->name) && same_or_not_given(have->ip, given->ip) &&
                       same_or_not_given(have->id, given->id);
        return both_same(have->mac, given->mac) || both_same(have->id, given->id) ||
               both_same(have->name, given->name) || (how == LIKE_TAKEN && both_same(have->ip, given->ip));
}

static bool dhcp_range_is_like(const void *a, const void *b, Likeness how UNUSED)
{
        const DhcpRangeDef *have = a, *given = b;

        return str_eq(have->start, given->start) && str_eq(have->end, given->end);
}

static bool forward_interface_is_like(const void *a, const void *b, Likeness how UNUSED)
{
        return str_eq(((const ForwardInterfaceDef *)a)->dev, ((const ForwardInterfaceDef *)b)->dev);
}

static bool portgroup_is_like(const void *a, const void *b, Likeness how UNUSED)
{
        return str_eq(((const PortgroupDef *)a)->name, ((const PortgroupDef *)b)->name);
}

static bool has_hostname(const DnsHostDef *host, const char *name)
{
        for (uint32_t i = 0; i < host->n_hostnames; i++) {
                if (both_same(host->hostnames[i]->name, name))
                        return true;
        }
        return false;
}

static bool dns_host_is_like(const void *a, const void *b, Likeness how)
{
        const DnsHostDef *have = a, *given = b;
        bool all = true, any = false;

        for (uint32_t i = 0; i < given->n_hostnames; i++) {
                bool has = has_hostname(have, given->hostnames[i]->name);

                all = all && has;
                any = any || has;
        }
        return how == LIKE_EXACTLY ? str_eq(have->ip, given->ip) && all : str_eq(have->ip, given->ip) || any;
}

static bool dns_txt_is_like(const void *a, const void *b, Likeness how)
{
        const DnsTxtDef *have = a, *given = b;

        return str_eq(have->name, given->name) &&
               (how != LIKE_EXACTLY || same_or_not_given(have->value, given->value));
}

static bool dns_srv_is_like(const void *a, const void *b, Likeness how)
{
        const DnsSrvDef *have = a, *given = b;

        if (!str_eq(have->service, given->service) || !str_eq(have->protocol, given->protocol))
                return false;
        if (how == LIKE_EXACTLY)
                return same_or_not_given(have->domain, given->domain) &&
                       same_or_not_given(have->target, given->target);
        return str_eq(have->domain, given->domain) && str_eq(have->target, given->target);
}

/* --- where the lists are --- */

/* The address that says which <ip> a DHCP element belongs to. */
static NetworkIpDef *find_ip(NetworkDef *def, int parent, const char *text)
{
        NetAddress address = { 0 }, net;

        if (parent >= 0)
                return (uint32_t)parent < def->n_ips ? def->ips[parent] : NULL;
        if (text)
                net_address_parse(text, &address);
        for (uint32_t i = 0; address.family && i < def->n_ips; i++) {
                unsigned prefix = network_ip_net(def->ips[i], &net);

                if (net_contains(&net, prefix, &address))
                        return def->ips[i];
        }
        for (uint32_t i = 0; i < def->n_ips; i++) {
                if (def->ips[i]->dhcp)
                        return def->ips[i];
        }
        return def->n_ips ? def->ips[0] : NULL;
}

static NetworkDhcpDef *find_dhcp(NetworkDef *def, int parent, const char *text, Error *err)
{
        NetworkIpDef *ip = find_ip(def, parent, text);

        if (!ip) {
                err_set(err, ERR_OPERATION_INVALID,
                        "couldn't update dhcp element - no <ip> element found at index %d in network '%s'", parent,
                        def->name);
                return NULL;
        }
        if (!ip->dhcp)
                ip->dhcp = fields_new(def->head.arena, &network_dhcp_def_info);
        return ip->dhcp;
}

static int find_dhcp_hosts(NetworkDef *def, const void *given, int parent, List *ret, Error *err)
{
        NetworkDhcpDef *dhcp = find_dhcp(def, parent, ((const DhcpHostDef *)given)->ip, err);

        if (!dhcp)
                return -1;
        *ret = (List){ (void ***)&dhcp->hosts, &dhcp->n_hosts };
        return 0;
}

static int find_dhcp_ranges(NetworkDef *def, const void *given, int parent, List *ret, Error *err)
{
        NetworkDhcpDef *dhcp = find_dhcp(def, parent, ((const DhcpRangeDef *)given)->start, err);

        if (!dhcp)
                return -1;
        *ret = (List){ (void ***)&dhcp->ranges, &dhcp->n_ranges };
        return 0;
}

static int find_forward_interfaces(NetworkDef *def, const void *given UNUSED, int parent UNUSED, List *ret,
                                   Error *err)
{
        if (network_has_own_bridge(def) || network_uses_host_bridge(def) ||
            def->forward->mode == FORWARD_MODE_HOSTDEV)
                return err_set(err, ERR_OPERATION_INVALID, "network '%s' has no pool of devices", def->name);
        *ret = (List){ (void ***)&def->forward->interfaces, &def->forward->n_interfaces };
        return 0;
}

static int find_portgroups(NetworkDef *def, const void *given UNUSED, int parent UNUSED, List *ret, Error *err UNUSED)
{
        *ret = (List){ (void ***)&def->portgroups, &def->n_portgroups };
        return 0;
}

static NetworkDnsDef *dns_of(NetworkDef *def)
{
        if (!def->dns)
                def->dns = fields_new(def->head.arena, &network_dns_def_info);
        return def->dns;
}

static int find_dns_hosts(NetworkDef *def, const void *given UNUSED, int parent UNUSED, List *ret, Error *err UNUSED)
{
        *ret = (List){ (void ***)&dns_of(def)->hosts, &def->dns->n_hosts };
        return 0;
}

static int find_dns_txts(NetworkDef *def, const void *given UNUSED, int parent UNUSED, List *ret, Error *err UNUSED)
{
        *ret = (List){ (void ***)&dns_of(def)->txts, &def->dns->n_txts };
        return 0;
}

static int find_dns_srvs(NetworkDef *def, const void *given UNUSED, int parent UNUSED, List *ret, Error *err UNUSED)
{
        *ret = (List){ (void ***)&dns_of(def)->srvs, &def->dns->n_srvs };
        return 0;
}

static const Section sections[] = {
        [SECTION_BRIDGE] = { .element = "bridge" },
        [SECTION_DOMAIN] = { .element = "domain" },
        [SECTION_IP] = { .element = "ip" },
        [SECTION_IP_DHCP_HOST] = { "host", &dhcp_host_def_info, dhcp_host_is_like, find_dhcp_hosts, true },
        [SECTION_IP_DHCP_RANGE] = { "range", &dhcp_range_def_info, dhcp_range_is_like, find_dhcp_ranges, false },
        [SECTION_FORWARD] = { .element = "forward" },
        [SECTION_FORWARD_INTERFACE] = { "interface", &forward_interface_def_info, forward_interface_is_like,
                                        find_forward_interfaces, false },
        [SECTION_FORWARD_PF] = { .element = "pf" },
        [SECTION_PORTGROUP] = { "portgroup", &portgroup_def_info, portgroup_is_like, find_portgroups, true },
        [SECTION_DNS_HOST] = { "host", &dns_host_def_info, dns_host_is_like, find_dns_hosts, false },
        [SECTION_DNS_TXT] = { "txt", &dns_txt_def_info, dns_txt_is_like, find_dns_txts, false },
        [SECTION_DNS_SRV] = { "srv", &dns_srv_def_info, dns_srv_is_like, find_dns_srvs, false },
};

/* --- the acts --- */

static void *parse_element(const Section *section, NetworkDef *def, const char *xml, Error *err)
{
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Warnings) warnings = { 0 };
        FieldsReader reader = { .arena = def->head.arena, .warnings = &warnings, .err = err };
        void *element;

        if (xml_parse(xml, strlen(xml), "update of a network", &doc, err) < 0)
                return NULL;
        if (!str_eq(doc.root->name, section->element)) {
                err_set(err, ERR_XML, "(update of a network) the root element is <%s>, not <%s>", doc.root->qname,
                        section->element);
                return NULL;
        }
        element = fields_new(def->head.arena, section->of);
        if (fields_parse(section->of, doc.root, element, &reader) < 0 || fields_report_unknown(doc.root, &reader) < 0)
                return NULL;
        return element;
}

static int find_like(const Section *section, const List *list, const void *given, Likeness how)
{
        for (uint32_t i = 0; i < *list->n; i++) {
                if (section->is_like((*list->items)[i], given, how))
                        return (int)i;
        }
        return -1;
}

static int refuse(const Section *section, const void *given, const NetworkDef *def, const char *how, Error *err)
{
        AUTO(Buf) text = { 0 };

        fields_format(section->of, given, section->element, NULL, 0, 0, &text);
        return err_set(err, ERR_OPERATION_INVALID, "%s <%s> in network '%s' like %s", how, section->element,
                       def->name, buf_text(&text));
}

static void insert(NetworkDef *def, const List *list, void *element, bool first)
{
        void **items = arena_new_array(def->head.arena, void *, *list->n + 1);

        if (*list->n)
                memcpy(items + first, *list->items, *list->n * sizeof(*items));
        items[first ? 0 : *list->n] = element;
        *list->items = items;
        ++*list->n;
}

static int apply(const Section *section, NetworkDef *def, const List *list, void *given, unsigned command, Error *err)
{
        int at;

        switch (command) {
        case NETWORK_UPDATE_ADD_FIRST:
        case NETWORK_UPDATE_ADD_LAST:
                if (find_like(section, list, given, LIKE_TAKEN) >= 0)
                        return refuse(section, given, def, "there is an existing", err);
                insert(def, list, given, command == NETWORK_UPDATE_ADD_FIRST);
                return 0;
        case NETWORK_UPDATE_DELETE:
                at = find_like(section, list, given, LIKE_EXACTLY);
                if (at < 0)
                        return refuse(section, given, def, "couldn't locate a matching", err);
                memmove(*list->items + at, *list->items + at + 1, (*list->n - (uint32_t)at - 1) * sizeof(void *));
                --*list->n;
                return 0;
        case NETWORK_UPDATE_MODIFY:
                if (!section->can_be_modified)
                        return err_set(err, ERR_OPERATION_INVALID, "a <%s> cannot be modified, only added or deleted",
                                       section->element);
                at = find_like(section, list, given, LIKE_SAME);
                if (at < 0)
                        return refuse(section, given, def, "couldn't locate an existing", err);
                (*list->items)[at] = given;
                return 0;
        default:
                return err_set(err, ERR_INVALID_ARG, "unrecognized network update command code %u", command);
        }
}

int network_def_update(NetworkDef *def, unsigned command, unsigned number, int parent, const char *xml, Error *err)
{
        const Section *section = number < ARRAY_LEN(sections) ? &sections[number] : NULL;
        void *given;
        List list;

        if (!section || !section->element)
                return err_set(err, ERR_INVALID_ARG, "unrecognized section %u of a network", number);
        if (!section->of)
                return err_set(err, ERR_NO_SUPPORT, "can't update '%s' section of network '%s'", section->element,
                               def->name);
        given = parse_element(section, def, xml, err);
        if (!given || section->find(def, given, parent, &list, err) < 0 ||
            apply(section, def, &list, given, command, err) < 0)
                return -1;
        return network_def_check(def, err);
}
