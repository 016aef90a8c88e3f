/*
 * host/net-vlan.c - VLANs on bridges of the kernel
 */
#include "host/net-vlan.h"

#include "base/str.h"
#include "host/netlink.h"
#include "host/node-read.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <net/if.h>

enum { FIRST_VLAN = 1, LAST_VLAN = 4094 };

int net_bridge_filter_vlans(const char *bridge, bool on, Error *err)
{
        BridgeMessage m;
        int errnum;

        netlink_bridge_message(&m, bridge);
        mnl_attr_put_u8(m.header, IFLA_BR_VLAN_FILTERING, on);
        errnum = netlink_bridge_ask(&m);
        return errnum ? err_errno(err, errnum, "this host's kernel does not tell VLANs apart on the bridge '%s'",
                                  bridge)
                      : 0;
}

static uint64_t number_of(const char *bridge, const char *what)
{
        AUTOFREE char *path = str_format("/sys/class/net/%s/bridge/%s", bridge, what);
        uint64_t is = 0;

        node_read_number("", path, &is, NULL);
        return is;
}

bool net_bridge_filters_vlans(const char *bridge)
{
        return number_of(bridge, "vlan_filtering");
}

uint16_t net_bridge_usual_vlan(const char *bridge)
{
        return (uint16_t)number_of(bridge, "default_pvid");
}

static struct nlmsghdr *port_message(char *buffer, uint16_t type, const char *link, bool is_bridge,
                                     struct nlattr **ret)
{
        struct ifinfomsg *info;
        struct nlmsghdr *message = netlink_link_message(buffer, type, link, &info);

        info->ifi_family = AF_BRIDGE;
        info->ifi_index = (int)if_nametoindex(link);
        *ret = mnl_attr_nest_start(message, IFLA_AF_SPEC);
        mnl_attr_put_u16(message, IFLA_BRIDGE_FLAGS, is_bridge ? BRIDGE_FLAGS_SELF : BRIDGE_FLAGS_MASTER);
        return message;
}

static void put_vlan(struct nlmsghdr *message, uint16_t id, uint16_t flags)
{
        struct bridge_vlan_info info = { .vid = id, .flags = flags };

        mnl_attr_put(message, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info);
}

static uint16_t flags_of(const NetVlan *vlan)
{
        return (uint16_t)((vlan->native ? BRIDGE_VLAN_INFO_PVID : 0) |
                          (vlan->untagged ? BRIDGE_VLAN_INFO_UNTAGGED : 0));
}

int net_port_set_vlans(const char *link, bool is_bridge, const NetVlan *vlans, size_t n, Error *err)
{
        enum { MOST_IN_A_MESSAGE = 256 };
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlattr *spec;
        struct nlmsghdr *message = port_message(buffer, RTM_DELLINK, link, is_bridge, &spec);
        int errnum;

        put_vlan(message, FIRST_VLAN, BRIDGE_VLAN_INFO_RANGE_BEGIN);
        put_vlan(message, LAST_VLAN, BRIDGE_VLAN_INFO_RANGE_END);
        mnl_attr_nest_end(message, spec);
        errnum = netlink_ask(message);
        for (size_t i = 0; !errnum && i < n;) {
                message = port_message(buffer, RTM_SETLINK, link, is_bridge, &spec);
                for (size_t end = MIN(n, i + MOST_IN_A_MESSAGE); i < end; i++)
                        put_vlan(message, vlans[i].id, flags_of(&vlans[i]));
                mnl_attr_nest_end(message, spec);
                errnum = netlink_ask(message);
        }
        return errnum ? err_errno(err, errnum, "cannot put '%s' into its VLANs", link) : 0;
}
