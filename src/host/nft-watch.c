/*
 * host/nft-watch.c - who touches our table of packet filter rules
 */
#include "host/nft-watch.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct NftWatch {
        struct mnl_socket *socket;
        Watch *watch;
        char *table;
        bool in_transaction; /* a message of it was about our table */
        void (*touched)(void *arg);
        void *arg;
};

static bool is_ours(const NftWatch *w, const struct nlmsghdr *message)
{
        /* all of their messages have the table's name in the attribute of this number */
        enum { ATTR_TABLE = NFTA_TABLE_NAME };
        struct nlattr *attr;

        mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
        {
                if (mnl_attr_get_type(attr) == ATTR_TABLE && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
                        return str_eq(mnl_attr_get_str(attr), w->table);
        }
        return false;
}

static int see_message(const struct nlmsghdr *message, void *arg)
{
        NftWatch *w = arg;

        if (NFNL_SUBSYS_ID(message->nlmsg_type) != NFNL_SUBSYS_NFTABLES)
                return MNL_CB_OK;
        /* a transaction ends with the new generation */
        if (NFNL_MSG_TYPE(message->nlmsg_type) != NFT_MSG_NEWGEN) {
                w->in_transaction = w->in_transaction || is_ours(w, message);
                return MNL_CB_OK;
        }
        if (w->in_transaction) {
                w->in_transaction = false;
                w->touched(w->arg);
        }
        return MNL_CB_OK;
}

void nft_watch_drain(NftWatch *w)
{
        char message[65536];

        for (;;) {
                ssize_t n = recv(mnl_socket_get_fd(w->socket), message, sizeof(message), MSG_DONTWAIT);

                if (n < 0 && errno == ENOBUFS)
                        w->touched(w->arg); /* perhaps: something was lost */
                else if (n < 0 && errno != EINTR)
                        return;
                else if (n > 0)
                        mnl_cb_run(message, (size_t)n, 0, 0, see_message, w);
        }
}

static void on_message(void *arg, uint32_t revents UNUSED)
{
        nft_watch_drain(arg);
}

NftWatch *nft_watch_new(Loop *loop, const char *table, void (*touched)(void *arg), void *arg, Error *err)
{
        AUTO(NftWatch) *w = mem_new(NftWatch);
        int group = NFNLGRP_NFTABLES, size = 4 * 1024 * 1024;

        w->table = str_dup(table);
        w->touched = touched;
        w->arg = arg;
        w->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (!w->socket || mnl_socket_bind(w->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
            mnl_socket_setsockopt(w->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
                err_errno(err, errno, "cannot watch the packet filter");
                return NULL;
        }
        setsockopt(mnl_socket_get_fd(w->socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        w->watch = watch_new(loop, mnl_socket_get_fd(w->socket), EPOLLIN, on_message, w);
        return TAKE(w);
}

NftWatch *nft_watch_free(NftWatch *w)
{
        if (!w)
                return NULL;
        watch_free(w->watch);
        if (w->socket)
                mnl_socket_close(w->socket);
        free(w->table);
        free(w);
        return NULL;
}
