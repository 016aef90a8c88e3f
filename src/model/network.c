/*
 * model/network.c - the definition of a virtual network
 */
#include "model/network.h"

#include "base/str.h"
#include "model/def.h"
#include "model/hooks.h"

NetworkDef *network_def_new(void)
{
        return def_new(&network_def_info);
}

NetworkDef *network_def_copy(const NetworkDef *def)
{
        return def_copy(&network_def_info, def);
}

NetworkDef *network_def_ref(const NetworkDef *def)
{
        return def_ref(def);
}

NetworkDef *network_def_unref(NetworkDef *def)
{
        return def_unref(def);
}

int network_def_parse(const char *xml, size_t len, unsigned flags, NetworkDef **ret, Warnings *warnings, Error *err)
{
        void *def;

        if (def_parse(&network_def_info, "network definition", xml, len, flags, &def, warnings, err) < 0)
                return -1;
        *ret = def;
        return 0;
}

void network_def_format(const NetworkDef *def, unsigned flags, Buf *ret)
{
        const char *namespaces = def->dnsmasq_options && def->dnsmasq_options->n_options
                                         ? " xmlns:dnsmasq='" XML_NS_DNSMASQ "'"
                                         : NULL;

        fields_format(&network_def_info, def, "network", namespaces, 0, flags, ret);
}

/* CON-31: 'forwardDelay' is what old definitions say for 'delay'. */
static int read_old_delay(NetworkDef *def, const XmlNode *node, FieldsReader *reader)
{
        const XmlNode *bridge = xml_find(node, "bridge");
        const char *delay = bridge ? xml_attr(bridge, "forwardDelay") : NULL;

        if (!delay || def->has_bridge_delay)
                return 0;
        if (str_to_u32(delay, &def->bridge_delay) < 0)
                return fields_refuse(bridge, reader, "'bridge/@forwardDelay' cannot be '%s'", delay);
        def->has_bridge_delay = true;
        return 0;
}

/* The first device is written in two places; both always say the same. */
static void align_devices(ForwardDef *forward, Arena *arena)
{
        if (forward->dev && !forward->n_interfaces && !forward->n_pfs) {
                forward->interfaces = arena_new_array(arena, ForwardInterfaceDef *, 1);
                forward->interfaces[0] = fields_new(arena, &forward_interface_def_info);
                forward->interfaces[0]->dev = forward->dev;
                forward->n_interfaces = 1;
        } else if (!forward->dev && forward->n_interfaces) {
                forward->dev = forward->interfaces[0]->dev;
        }
}

int network_ip_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        AUTO(Error) why = { 0 };

        return network_ip_check(at, &why) < 0 ? fields_refuse(node, reader, "%s", why.text) : 0;
}

int network_route_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        AUTO(Error) why = { 0 };

        return network_route_check(at, &why) < 0 ? fields_refuse(node, reader, "%s", why.text) : 0;
}

int network_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        NetworkDef *def = at;
        AUTO(Error) why = { 0 };

        if (read_old_delay(def, node, reader) < 0)
                return -1;
        if (def->forward)
                align_devices(def->forward, reader->arena);
        if (reader->flags & DEF_PARSE_INACTIVE)
                def->connections = 0;
        if (network_def_check(def, &why) < 0) {
                /* some codes say more to clients than that the XML is wrong */
                err_set(reader->err, why.code, "(network definition) line %d: %s", node->line, why.text);
                return -1;
        }
        return 0;
}

void network_def_complete(NetworkDef *def)
{
        static const uint8_t prefix[3] = { 0x52, 0x54, 0x00 };

        if (uuid_is_null(&def->uuid))
                uuid_new_random(&def->uuid);
        if (!network_has_own_bridge(def))
                return;
        if (!def->bridge_stp)
                def->bridge_stp = SWITCH_ON;
        def->has_bridge_delay = true;
        if (mac_is_null(&def->mac))
                mac_new_random(prefix, &def->mac);
}

static ForwardMode mode_of(const NetworkDef *def)
{
        return def->forward ? def->forward->mode : FORWARD_MODE_UNSET;
}

bool network_has_own_bridge(const NetworkDef *def)
{
        ForwardMode mode = mode_of(def);

        return mode == FORWARD_MODE_UNSET || mode == FORWARD_MODE_NAT || mode == FORWARD_MODE_ROUTE ||
               mode == FORWARD_MODE_OPEN;
}

bool network_uses_host_bridge(const NetworkDef *def)
{
        return mode_of(def) == FORWARD_MODE_BRIDGE && def->bridge;
}

bool network_forwards(const NetworkDef *def)
{
        ForwardMode mode = mode_of(def);

        return mode == FORWARD_MODE_NAT || mode == FORWARD_MODE_ROUTE;
}

bool network_needs_forwarding(const NetworkDef *def, bool ipv6)
{
        for (uint32_t i = 0; network_forwards(def) && i < def->n_ips; i++) {
                if ((def->ips[i]->family == IP_FAMILY_IPV6) == ipv6)
                        return true;
        }
        return false;
}

bool network_uses_vlans(const NetworkDef *def)
{
        bool uses = def->vlan;

        for (uint32_t i = 0; i < def->n_portgroups; i++)
                uses = uses || def->portgroups[i]->vlan;
        return uses;
}

bool network_has_dhcp(const NetworkDef *def, int family)
{
        for (uint32_t i = 0; i < def->n_ips; i++) {
                const NetworkIpDef *ip = def->ips[i];
                NetAddress address;

                network_ip_net(ip, &address);
                if (address.family == family && ip->dhcp && (ip->dhcp->n_ranges || ip->dhcp->n_hosts))
                        return true;
        }
        return false;
}

static unsigned prefix_of(const NetAddress *address, const char *netmask, bool has_prefix, unsigned prefix)
{
        if (netmask)
                return (unsigned)MAX(0, net_mask_prefix(netmask));
        /* the default route; no host has this address */
        if (has_prefix || !memcmp(address->bytes, (const uint8_t[16]){ 0 }, sizeof(address->bytes)))
                return prefix;
        if (address->family == AF_INET6)
                return 64;
        /* what the first bits of an address meant before there were masks */
        return address->bytes[0] < 128 ? 8 : address->bytes[0] < 192 ? 16 : 24;
}

unsigned network_ip_net(const NetworkIpDef *ip, NetAddress *ret)
{
        *ret = (NetAddress){ 0 };
        if (net_address_parse(ip->address, ret) < 0)
                return 0;
        return prefix_of(ret, ip->netmask, ip->prefix != 0, ip->prefix);
}

unsigned network_route_net(const NetworkRouteDef *route, NetAddress *ret)
{
        *ret = (NetAddress){ 0 };
        if (net_address_parse(route->address, ret) < 0)
                return 0;
        return prefix_of(ret, route->netmask, route->has_prefix, route->prefix);
}

const PortgroupDef *network_portgroup(const NetworkDef *def, const char *name)
{
        for (uint32_t i = 0; i < def->n_portgroups; i++) {
                const PortgroupDef *group = def->portgroups[i];

                if (name ? str_eq(group->name, name) : group->is_default == SWITCH_ON)
                        return group;
        }
        return NULL;
}
