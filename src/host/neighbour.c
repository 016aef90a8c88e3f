/*
 * host/neighbour.c - which addresses this machine has seen behind which MAC
 *
 * The kernel's neighbour tables for IPv4 (ARP) and IPv6, dumped over netlink.
 */
#include "host/neighbour.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum { DUMP_SIZE = 32768, REACHED = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT };

typedef struct Walk {
        void (*fn)(void *arg, const Mac *mac, int family, const char *address);
        void *arg;
} Walk;

static int on_neighbour(const struct nlmsghdr *message, void *arg)
{
        const Walk *walk = arg;
        const struct ndmsg *neighbour = mnl_nlmsg_get_payload(message);
        const struct nlattr *attr, *address = NULL, *link = NULL;
        char text[INET6_ADDRSTRLEN];
        size_t length;
        Mac mac;

        if (message->nlmsg_type != RTM_NEWNEIGH || !(neighbour->ndm_state & REACHED))
                return MNL_CB_OK;
        length = neighbour->ndm_family == AF_INET ? 4 : neighbour->ndm_family == AF_INET6 ? 16 : 0;
        mnl_attr_for_each(attr, message, sizeof(*neighbour))
        {
                if (mnl_attr_get_type(attr) == NDA_DST && mnl_attr_get_payload_len(attr) == length)
                        address = attr;
                if (mnl_attr_get_type(attr) == NDA_LLADDR && mnl_attr_get_payload_len(attr) == sizeof(mac.bytes))
                        link = attr;
        }
        if (!length || !address || !link ||
            !inet_ntop(neighbour->ndm_family, mnl_attr_get_payload(address), text, sizeof(text)))
                return MNL_CB_OK;
        memcpy(mac.bytes, mnl_attr_get_payload(link), sizeof(mac.bytes));
        walk->fn(walk->arg, &mac, neighbour->ndm_family, text);
        return MNL_CB_OK;
}

static int dump(struct mnl_socket *socket, Walk *walk)
{
        char buffer[DUMP_SIZE];
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct ndmsg *request = mnl_nlmsg_put_extra_header(message, sizeof(*request));
        ssize_t n;
        int more = 1;

        message->nlmsg_type = RTM_GETNEIGH;
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        message->nlmsg_seq = 1;
        request->ndm_family = AF_UNSPEC;
        if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
            mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
                return -1;
        while (more > 0) {
                n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
                more = n < 0 ? -1
                             : mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(socket), on_neighbour, walk);
        }
        return more;
}

int neighbours_walk(void (*fn)(void *arg, const Mac *mac, int family, const char *address), void *arg, Error *err)
{
        struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
        Walk walk = { fn, arg };
        int rc, errnum;

        if (!socket)
                return err_errno(err, errno, "cannot ask the kernel for neighbours");
        rc = dump(socket, &walk);
        errnum = errno;
        mnl_socket_close(socket);
        return rc < 0 ? err_errno(err, errnum, "cannot read the kernel's neighbours") : 0;
}
