#pragma once
/*
 * host/netlink.h - one request to the kernel's network, and its answer
 *
 * For the other files of this room. Each request has a socket of its own; the
 * kernel answers at once, so none of these waits for anybody.
 */
#include "base/fd.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

enum { NETLINK_MESSAGE_SIZE = 8192 };

/* 0, or a positive errno. */
int netlink_ask(struct nlmsghdr *message);
/*
 * Everything of one type (RTM_GETROUTE, ...) and family; see() gets each message. What changes meanwhile makes the kernel's
 * answer worthless: it is asked again, after begin(arg), which forgets what was seen. begin may be NULL.
 */
typedef void NetlinkBegin(void *arg);
int netlink_dump(uint16_t type, uint8_t family, NetlinkBegin *begin, mnl_cb_t see, void *arg, Error *err);
/* Everything of one type (NFT_MSG_GETCHAIN, ...) of the packet filter: 0, or a positive errno. */
int netlink_dump_filter(uint8_t type, NetlinkBegin *begin, mnl_cb_t see, void *arg);

/* A message about a link, with its name; ret (may be NULL) is its header. */
struct nlmsghdr *netlink_link_message(char *buffer, uint16_t type, const char *name, struct ifinfomsg **ret);

/* A message that sets what only a bridge has (IFLA_BR_...): begun, its attributes put into header, and asked. */
typedef struct BridgeMessage {
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *header;
        struct nlattr *link, *data;
} BridgeMessage;

void netlink_bridge_message(BridgeMessage *ret, const char *name);
int netlink_bridge_ask(BridgeMessage *message); /* 0, or a positive errno */
