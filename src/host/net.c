/*
 * host/net.c - links of this machine: taps for guests, bridges they join
 */
#include "host/net.h"

#include "base/file.h"
#include "base/str.h"
#include "host/netlink.h"
#include "host/node-read.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct nlmsghdr *netlink_link_message(char *buffer, uint16_t type, const char *name, struct ifinfomsg **ret)
{
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct ifinfomsg *info;

        message->nlmsg_type = type;
        info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
        info->ifi_family = AF_UNSPEC;
        if (name)
                mnl_attr_put_strz(message, IFLA_IFNAME, name);
        if (ret)
                *ret = info;
        return message;
}

int net_link_check_name(const char *name, Error *err)
{
        if (name[0] == '\0' || strlen(name) >= IFNAMSIZ || strchr(name, '/') || strchr(name, ' '))
                return err_set(err, ERR_INVALID_ARG, "'%s' cannot be the name of an interface", name);
        return 0;
}

int net_tap_open(const char *name, unsigned n_queues, Fd *ret, char ret_name[IFNAMSIZ], Error *err)
{
        struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

        if (name && net_link_check_name(name, err) < 0)
                return -1;
        if (n_queues > 1)
                request.ifr_flags |= IFF_MULTI_QUEUE;
        snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name ?: "vnet%d");
        for (unsigned i = 0; i < n_queues; i++) {
                ret[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
                if (ret[i] < 0 || ioctl(ret[i], TUNSETIFF, &request) < 0) {
                        int errnum = errno;

                        for (unsigned j = 0; j <= i; j++)
                                fd_close(&ret[j]);
                        return err_errno(err, errnum, "cannot make the tap '%s'", name ?: "vnetN");
                }
        }
        memcpy(ret_name, request.ifr_name, IFNAMSIZ);
        return 0;
}

bool net_link_exists(const char *name)
{
        return if_nametoindex(name) != 0;
}

int net_link_set_up(const char *name, bool up, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct ifinfomsg *info;
        struct nlmsghdr *message = netlink_link_message(buffer, RTM_NEWLINK, name, &info);
        int errnum;

        info->ifi_change = IFF_UP;
        info->ifi_flags = up ? IFF_UP : 0;
        errnum = netlink_ask(message);
        return errnum ? err_errno(err, errnum, "cannot set '%s' %s", name, up ? "up" : "down") : 0;
}

int net_link_set_mtu(const char *name, uint32_t mtu, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *message = netlink_link_message(buffer, RTM_NEWLINK, name, NULL);
        int errnum;

        mnl_attr_put_u32(message, IFLA_MTU, mtu);
        errnum = netlink_ask(message);
        return errnum ? err_errno(err, errnum, "cannot set the MTU of '%s' to %u", name, mtu) : 0;
}

int net_link_set_mac(const char *name, const uint8_t mac[6], Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *message = netlink_link_message(buffer, RTM_NEWLINK, name, NULL);
        int errnum;

        mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
        errnum = netlink_ask(message);
        return errnum ? err_errno(err, errnum, "cannot set the MAC address of '%s'", name) : 0;
}

int net_link_set_master(const char *name, const char *bridge, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *message = netlink_link_message(buffer, RTM_NEWLINK, name, NULL);
        unsigned index = bridge ? if_nametoindex(bridge) : 0;
        int errnum;

        if (bridge && index == 0)
                return err_set(err, ERR_OPERATION_FAILED, "the bridge '%s' does not exist on this host", bridge);
        mnl_attr_put_u32(message, IFLA_MASTER, index);
        errnum = netlink_ask(message);
        return errnum ? err_errno(err, errnum, "cannot put '%s' into the bridge '%s'", name, bridge ?: "none") : 0;
}

int net_link_delete(const char *name, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        int errnum = netlink_ask(netlink_link_message(buffer, RTM_DELLINK, name, NULL));

        return errnum && errnum != ENODEV ? err_errno(err, errnum, "cannot remove '%s'", name) : 0;
}

static int read_number(const char *name, const char *file, uint64_t *ret, Error *err)
{
        AUTOFREE char *path = NULL;

        if (net_link_check_name(name, err) < 0)
                return -1;
        if (!net_link_exists(name))
                return err_set(err, ERR_INVALID_ARG, "there is no interface '%s' on this host", name);
        path = str_format("/sys/class/net/%s/%s", name, file);
        return node_read_number("", path, ret, err);
}

int net_link_mtu(const char *name, uint32_t *ret, Error *err)
{
        uint64_t mtu;

        if (read_number(name, "mtu", &mtu, err) < 0)
                return -1;
        *ret = (uint32_t)mtu;
        return 0;
}

bool net_link_is_bridge(const char *name)
{
        AUTOFREE char *path = str_format("/sys/class/net/%s/bridge", name);

        return net_link_check_name(name, NULL) == 0 && access(path, F_OK) == 0;
}

static int macvtap_create(const char *name, unsigned lower, uint32_t mode, const uint8_t mac[6])
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *message = netlink_link_message(buffer, RTM_NEWLINK, name, NULL);
        struct nlattr *link, *data;

        message->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
        mnl_attr_put_u32(message, IFLA_LINK, lower);
        mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
        link = mnl_attr_nest_start(message, IFLA_LINKINFO);
        mnl_attr_put_strz(message, IFLA_INFO_KIND, "macvtap");
        data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
        mnl_attr_put_u32(message, IFLA_MACVLAN_MODE, mode);
        mnl_attr_nest_end(message, data);
        mnl_attr_nest_end(message, link);
        return netlink_ask(message);
}

/* Where no udev makes the node of a new tap, we do. */
static Fd open_tap_node(const char *name, unsigned index)
{
        AUTOFREE char *node = str_format("/dev/tap%u", index);
        AUTOFREE char *number = str_format("/sys/class/net/%s/tap%u/dev", name, index);
        AUTO(Buf) text = { 0 };
        unsigned major, minor;
        Fd fd = open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK);

        if (fd >= 0 || errno != ENOENT)
                return fd;
        if (file_read(number, 64, &text, NULL) < 0 || sscanf(buf_text(&text), "%u:%u", &major, &minor) != 2 ||
            mknod(node, S_IFCHR | 0600, makedev(major, minor)) < 0)
                return -1;
        fd = open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        unlink(node);
        return fd;
}

int net_macvtap_open(const char *name, const char *lower, const char *mode, const uint8_t mac[6], Fd *ret,
                     char ret_name[IFNAMSIZ], Error *err)
{
        static const struct {
                const char *word;
                uint32_t mode;
        } modes[] = { { "vepa", MACVLAN_MODE_VEPA },
                      { "bridge", MACVLAN_MODE_BRIDGE },
                      { "private", MACVLAN_MODE_PRIVATE },
                      { "passthru", MACVLAN_MODE_PASSTHRU } };
        struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
        enum { MOST_NAMES = 32768 };
        static unsigned next_number; /* those below are mostly taken: not asked for one by one each time */
        unsigned index = if_nametoindex(lower);
        AUTO(Fd) fd = -1;
        uint32_t value = 0;
        int errnum = EEXIST;

        if (name && net_link_check_name(name, err) < 0)
                return -1;
        for (size_t i = 0; i < ARRAY_LEN(modes); i++)
                value = str_eq(mode, modes[i].word) ? modes[i].mode : value;
        if (value == 0)
                return err_set(err, ERR_INVALID_ARG, "'%s' is no mode of a direct interface", mode);
        if (index == 0)
                return err_set(err, ERR_OPERATION_FAILED, "the interface '%s' does not exist on this host", lower);
        for (int i = 0; i < MOST_NAMES && errnum == EEXIST; i++) {
                if (name)
                        snprintf(ret_name, IFNAMSIZ, "%s", name);
                else
                        snprintf(ret_name, IFNAMSIZ, "macvtap%u", next_number++ % MOST_NAMES);
                errnum = macvtap_create(ret_name, index, value, mac);
                if (name)
                        break;
        }
        if (errnum)
                return err_errno(err, errnum, "cannot attach a guest directly to '%s'", lower);
        fd = open_tap_node(ret_name, if_nametoindex(ret_name));
        if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
                err_errno(err, errno, "cannot open the tap of '%s'", ret_name);
        else if (net_link_set_up(ret_name, true, err) == 0) {
                *ret = fd_take(&fd);
                return 0;
        }
        /* unlike other taps it does not go with its last descriptor */
        net_link_delete(ret_name, NULL);
        return -1;
}

int net_link_stats(const char *name, NetStats *ret, Error *err)
{
        NetStats stats;
        const struct {
                const char *file;
                uint64_t *slot;
        } rows[] = {
                { "statistics/rx_bytes", &stats.rx_bytes }, { "statistics/rx_packets", &stats.rx_packets },
                { "statistics/rx_errors", &stats.rx_errs }, { "statistics/rx_dropped", &stats.rx_drop },
                { "statistics/tx_bytes", &stats.tx_bytes }, { "statistics/tx_packets", &stats.tx_packets },
                { "statistics/tx_errors", &stats.tx_errs }, { "statistics/tx_dropped", &stats.tx_drop },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (read_number(name, rows[i].file, rows[i].slot, err) < 0)
                        return -1;
        }
        *ret = stats;
        return 0;
}
