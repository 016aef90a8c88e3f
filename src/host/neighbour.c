/*
 * host/neighbour.c - which addresses this machine has seen behind which MAC
 *
 * The kernel's neighbour tables for IPv4 (ARP) and IPv6, dumped over netlink.
 */
#include "host/neighbour.h"

#include "base/vec.h"
#include "host/netlink.h"

#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <string.h>

enum { REACHED = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT };

typedef struct Neighbour {
        Mac mac;
        int family;
        char address[INET6_ADDRSTRLEN];
} Neighbour;

typedef struct Seen {
        VEC(Neighbour) list;
} Seen;

static int see_neighbour(const struct nlmsghdr *message, void *arg)
{
        const struct ndmsg *info = mnl_nlmsg_get_payload(message);
        const struct nlattr *attr, *address = NULL, *link = NULL;
        Neighbour found = { .family = info->ndm_family };
        Seen *seen = arg;
        size_t length;

        if (message->nlmsg_type != RTM_NEWNEIGH || !(info->ndm_state & REACHED))
                return MNL_CB_OK;
        length = info->ndm_family == AF_INET ? 4 : info->ndm_family == AF_INET6 ? 16 : 0;
        mnl_attr_for_each(attr, message, sizeof(*info))
        {
                if (mnl_attr_get_type(attr) == NDA_DST && mnl_attr_get_payload_len(attr) == length)
                        address = attr;
                if (mnl_attr_get_type(attr) == NDA_LLADDR &&
                    mnl_attr_get_payload_len(attr) == sizeof(found.mac.bytes))
                        link = attr;
        }
        if (!length || !address || !link ||
            !inet_ntop(info->ndm_family, mnl_attr_get_payload(address), found.address, sizeof(found.address)))
                return MNL_CB_OK;
        memcpy(found.mac.bytes, mnl_attr_get_payload(link), sizeof(found.mac.bytes));
        vec_push(&seen->list, found);
        return MNL_CB_OK;
}

static void forget(void *arg)
{
        ((Seen *)arg)->list.len = 0;
}

int neighbours_walk(void (*fn)(void *arg, const Mac *mac, int family, const char *address), void *arg, Error *err)
{
        Seen seen = { 0 };
        int rc = netlink_dump(RTM_GETNEIGH, AF_UNSPEC, forget, see_neighbour, &seen, err);

        for (size_t i = 0; rc == 0 && i < seen.list.len; i++)
                fn(arg, &seen.list.items[i].mac, seen.list.items[i].family, seen.list.items[i].address);
        vec_done(&seen.list);
        return rc;
}
