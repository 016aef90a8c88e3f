/*
 * host/netlink.c - one request to the kernel's network, and its answer
 */
#include "host/netlink.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>

/* mnl_cb_run() says how it went in errno. */
static int await_answer(struct mnl_socket *socket, mnl_cb_t see, void *arg)
{
        char reply[32768]; /* as large as a part of a dump gets */

        for (;;) {
                ssize_t n = mnl_socket_recvfrom(socket, reply, sizeof(reply));
                int more = n < 0 ? -1 : mnl_cb_run(reply, (size_t)n, 1, mnl_socket_get_portid(socket), see, arg);

                if (more < 0)
                        return errno;
                if (more == MNL_CB_STOP)
                        return 0;
        }
}

static int exchange(int with, struct nlmsghdr *message, mnl_cb_t see, void *arg)
{
        struct mnl_socket *socket = mnl_socket_open2(with, SOCK_CLOEXEC);
        int errnum;

        if (!socket)
                return errno;
        message->nlmsg_seq = 1;
        if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
            mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
                errnum = errno;
        else
                errnum = await_answer(socket, see, arg);
        mnl_socket_close(socket);
        return errnum;
}

int netlink_ask(struct nlmsghdr *message)
{
        message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
        return exchange(NETLINK_ROUTE, message, NULL, NULL);
}

/* A table that changes all the time is not asked about for ever. */
static int dump(int with, struct nlmsghdr *message, NetlinkBegin *begin, mnl_cb_t see, void *arg)
{
        enum { TRIES = 20 };
        int errnum = EINTR;

        for (unsigned i = 0; errnum == EINTR && i < TRIES; i++) {
                if (i > 0 && begin)
                        begin(arg);
                errnum = exchange(with, message, see, arg);
        }
        return errnum;
}

int netlink_dump(uint16_t type, uint8_t family, NetlinkBegin *begin, mnl_cb_t see, void *arg, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct rtgenmsg *general = mnl_nlmsg_put_extra_header(message, sizeof(struct rtmsg));
        int errnum;

        message->nlmsg_type = type;
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        general->rtgen_family = family;
        errnum = dump(NETLINK_ROUTE, message, begin, see, arg);
        return errnum ? err_errno(err, errnum, "cannot ask the kernel about its network") : 0;
}

int netlink_dump_filter(uint8_t type, NetlinkBegin *begin, mnl_cb_t see, void *arg)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct nfgenmsg *general = mnl_nlmsg_put_extra_header(message, sizeof(*general));

        message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        general->nfgen_family = AF_UNSPEC;
        general->version = NFNETLINK_V0;
        return dump(NETLINK_NETFILTER, message, begin, see, arg);
}
