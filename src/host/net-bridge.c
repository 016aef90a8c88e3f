/*
 * host/net-bridge.c - bridges that drover makes, their addresses and routes, and what is in their way
 */
#include "host/net-bridge.h"

#include "base/str.h"
#include "base/vec.h"
#include "host/net.h"
#include "host/netlink.h"
#include "host/node-read.h"

#include <errno.h>
#include <linux/if_link.h>

void netlink_bridge_message(BridgeMessage *ret, const char *name)
{
        ret->header = netlink_link_message(ret->buffer, RTM_NEWLINK, name, NULL);
        ret->link = mnl_attr_nest_start(ret->header, IFLA_LINKINFO);
        mnl_attr_put_strz(ret->header, IFLA_INFO_KIND, "bridge");
        ret->data = mnl_attr_nest_start(ret->header, IFLA_INFO_DATA);
}

int netlink_bridge_ask(BridgeMessage *m)
{
        mnl_attr_nest_end(m->header, m->data);
        mnl_attr_nest_end(m->header, m->link);
        return netlink_ask(m->header);
}

int net_bridge_create(const char *name, const uint8_t mac[6], Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *message = netlink_link_message(buffer, RTM_NEWLINK, name, NULL);
        struct nlattr *nested;
        int errnum;

        if (net_link_check_name(name, err) < 0)
                return -1;
        message->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
        mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
        nested = mnl_attr_nest_start(message, IFLA_LINKINFO);
        mnl_attr_put_strz(message, IFLA_INFO_KIND, "bridge");
        mnl_attr_nest_end(message, nested);
        errnum = netlink_ask(message);
        return errnum ? err_errno(err, errnum, "cannot make the bridge '%s'", name) : 0;
}

int net_bridge_set(const char *name, bool stp, uint32_t delay_s, Error *err)
{
        enum { TICKS_PER_S = 100 };
        BridgeMessage m;
        int errnum;

        netlink_bridge_message(&m, name);
        mnl_attr_put_u32(m.header, IFLA_BR_FORWARD_DELAY, delay_s * TICKS_PER_S);
        mnl_attr_put_u32(m.header, IFLA_BR_STP_STATE, stp);
        errnum = netlink_bridge_ask(&m);
        return errnum ? err_errno(err, errnum, "cannot set up the bridge '%s'", name) : 0;
}

int net_port_set_isolated(const char *link, bool isolated, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct ifinfomsg *info;
        struct nlmsghdr *message = netlink_link_message(buffer, RTM_SETLINK, link, &info);
        struct nlattr *nested;
        int errnum;

        info->ifi_family = AF_BRIDGE;
        info->ifi_index = (int)if_nametoindex(link);
        nested = mnl_attr_nest_start(message, IFLA_PROTINFO);
        mnl_attr_put_u8(message, IFLA_BRPORT_ISOLATED, isolated);
        mnl_attr_nest_end(message, nested);
        errnum = netlink_ask(message);
        return errnum ? err_errno(err, errnum, "cannot isolate '%s' in its bridge", link) : 0;
}

typedef struct Ports {
        Arena *arena;
        uint32_t bridge;
        VEC(const char *) names;
} Ports;

static int see_link(const struct nlmsghdr *message, void *arg)
{
        const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
        Ports *ports = arg;
        const char *name = NULL;
        uint32_t master = 0;
        struct nlattr *attr;

        mnl_attr_for_each(attr, message, sizeof(*info))
        {
                if (mnl_attr_get_type(attr) == IFLA_MASTER && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
                        master = mnl_attr_get_u32(attr);
                if (mnl_attr_get_type(attr) == IFLA_IFNAME)
                        name = mnl_attr_get_str(attr);
        }
        if (name && master == ports->bridge)
                vec_push(&ports->names, arena_dup(ports->arena, name));
        return MNL_CB_OK;
}

static void forget_ports(void *arg)
{
        ((Ports *)arg)->names.len = 0;
}

int net_bridge_ports(const char *name, Arena *arena, const char ***ret, size_t *ret_n, Error *err)
{
        Ports ports = { .arena = arena, .bridge = if_nametoindex(name) };

        if (!ports.bridge)
                return err_set(err, ERR_INVALID_ARG, "there is no interface '%s' on this host", name);
        if (netlink_dump(RTM_GETLINK, AF_UNSPEC, forget_ports, see_link, &ports, err) < 0) {
                vec_done(&ports.names);
                return -1;
        }
        *ret = arena_new_array(arena, const char *, ports.names.len + 1);
        for (size_t i = 0; i < ports.names.len; i++)
                (*ret)[i] = ports.names.items[i];
        *ret_n = ports.names.len;
        vec_done(&ports.names);
        return 0;
}

/* --- addresses and routes --- */

static void put_address(struct nlmsghdr *message, uint16_t type, const NetAddress *address)
{
        mnl_attr_put(message, type, net_address_bits(address) / 8, address->bytes);
}

int net_link_add_address(const char *link, const NetAddress *address, unsigned prefix, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE], text[NET_ADDRESS_TEXT_LEN + 1];
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
        NetAddress broadcast = net_last(address, prefix);
        int errnum;

        message->nlmsg_type = RTM_NEWADDR;
        message->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
        info->ifa_family = (uint8_t)address->family;
        info->ifa_prefixlen = (uint8_t)prefix;
        info->ifa_index = if_nametoindex(link);
        put_address(message, IFA_LOCAL, address);
        put_address(message, IFA_ADDRESS, address);
        if (address->family == AF_INET6)
                mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
        else if (prefix < 31)
                put_address(message, IFA_BROADCAST, &broadcast);
        errnum = netlink_ask(message);
        return errnum ? err_errno(err, errnum, "cannot give '%s' the address %s/%u", link,
                                  net_address_format(address, text), prefix)
                      : 0;
}

int net_link_add_route(const char *link, const NetAddress *net, unsigned prefix, const NetAddress *gateway,
                       uint32_t metric, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE], text[NET_ADDRESS_TEXT_LEN + 1];
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct rtmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
        NetAddress first = net_first(net, prefix);
        int errnum;

        message->nlmsg_type = RTM_NEWROUTE;
        /* the host's own route to there is not taken from it: nobody would put it back */
        message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
        *info = (struct rtmsg){ .rtm_family = (uint8_t)net->family,
                                .rtm_dst_len = (uint8_t)prefix,
                                .rtm_table = RT_TABLE_MAIN,
                                .rtm_protocol = RTPROT_STATIC,
                                .rtm_scope = RT_SCOPE_UNIVERSE,
                                .rtm_type = RTN_UNICAST };
        put_address(message, RTA_DST, &first);
        put_address(message, RTA_GATEWAY, gateway);
        mnl_attr_put_u32(message, RTA_OIF, if_nametoindex(link));
        if (metric)
                mnl_attr_put_u32(message, RTA_PRIORITY, metric);
        errnum = netlink_ask(message);
        if (errnum == EEXIST)
                return err_set(err, ERR_OPERATION_FAILED,
                               "cannot route %s/%u through '%s': this host has another route to there with the same "
                               "metric",
                               net_address_format(net, text), prefix, link);
        return errnum ? err_errno(err, errnum, "cannot route %s/%u through '%s'", net_address_format(net, text),
                                  prefix, link)
                      : 0;
}

typedef struct RouteSearch {
        NetAddress net;
        unsigned prefix, except;
        bool advertised; /* look for a default route by advertisement instead */
        unsigned found;  /* index of a link; 0: none */
} RouteSearch;

typedef struct Route {
        NetAddress net;
        unsigned prefix, link;
        bool has_gateway;
} Route;

static Route read_route(const struct nlmsghdr *message)
{
        const struct rtmsg *info = mnl_nlmsg_get_payload(message);
        Route route = { .net.family = info->rtm_family, .prefix = info->rtm_dst_len };
        struct nlattr *attr;

        mnl_attr_for_each(attr, message, sizeof(*info))
        {
                if (mnl_attr_get_type(attr) == RTA_DST)
                        memcpy(route.net.bytes, mnl_attr_get_payload(attr),
                               MIN(mnl_attr_get_payload_len(attr), sizeof(route.net.bytes)));
                else if (mnl_attr_get_type(attr) == RTA_OIF)
                        route.link = mnl_attr_get_u32(attr);
                else if (mnl_attr_get_type(attr) == RTA_GATEWAY)
                        route.has_gateway = true;
        }
        return route;
}

static int see_route(const struct nlmsghdr *message, void *arg)
{
        const struct rtmsg *info = mnl_nlmsg_get_payload(message);
        RouteSearch *search = arg;
        Route route = read_route(message);

        if (info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST || search->found)
                return MNL_CB_OK;
        if (search->advertised) {
                if (info->rtm_protocol == RTPROT_RA && route.prefix == 0)
                        search->found = route.link;
                return MNL_CB_OK;
        }
        if (route.prefix == 0 || route.link == search->except ||
            !net_overlaps(&route.net, route.prefix, &search->net, search->prefix))
                return MNL_CB_OK;
        /* a wide route through a gateway stays as good as it was for the rest of its network */
        if (!route.has_gateway || route.prefix >= search->prefix)
                search->found = route.link;
        return MNL_CB_OK;
}

static void forget_route(void *arg)
{
        ((RouteSearch *)arg)->found = 0;
}

static int search_routes(RouteSearch *search, char link[IFNAMSIZ], Error *err)
{
        if (netlink_dump(RTM_GETROUTE, (uint8_t)search->net.family, forget_route, see_route, search, err) < 0)
                return -1;
        return search->found && if_indextoname(search->found, link) ? 1 : 0;
}

int net_find_route_clash(const NetAddress *net, unsigned prefix, const char *except, char link[IFNAMSIZ], Error *err)
{
        RouteSearch search = { .net = *net, .prefix = prefix, .except = except ? if_nametoindex(except) : 0 };

        return search_routes(&search, link, err);
}

int net_find_advertised_route(char link[IFNAMSIZ], Error *err)
{
        RouteSearch search = { .net.family = AF_INET6, .advertised = true };

        return search_routes(&search, link, err);
}

/* --- switches --- */

int net_sysctl_get(const char *name, uint64_t *ret, Error *err)
{
        return node_read_number("/proc/sys/net/", name, ret, err);
}

int net_sysctl_set(const char *name, uint64_t value, Error *err)
{
        return node_write_number("/proc/sys/net/", name, value, err);
}
