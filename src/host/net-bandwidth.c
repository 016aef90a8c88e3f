/*
 * host/net-bandwidth.c - limits on what a link sends and receives
 */
#include "host/net-bandwidth.h"

#include "base/str.h"
#include "host/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <net/if.h>

enum {
        ROOT = 0x10000,       /* 1:0 */
        CLASS = 0x10001,      /* 1:1, all that is sent */
        OTHERS = 0x10002,     /* 1:2, where receivers have floors: what goes to others */
        INGRESS = 0xffff0000, /* ffff:0 */
        CELL_LOG = 8,         /* a rate table has 256 entries, for packets up to 64 KiB */
        N_CELLS = 256,
        NS_PER_TICK = 64,
        LINKLAYER = 1, /* Ethernet */
        SMALLEST_BURST = 4096,
};

static uint64_t rate_bytes(uint64_t kilobytes)
{
        return MIN(kilobytes, UINT64_MAX / 1000) * 1000;
}

/* How long a number of bytes below 2^32 takes at a rate, as the kernel counts time here. */
static uint32_t ticks(uint64_t bytes, uint64_t rate)
{
        uint64_t ns = bytes * 1000000000 / rate / NS_PER_TICK;

        return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* Without one given: what passes in 10 ms, but room for a few packets. */
static uint64_t burst_bytes(const NetRate *rate)
{
        return rate->burst ? MIN(rate->burst, UINT32_MAX / 1024) * 1024
                           : MIN(MAX(SMALLEST_BURST, rate_bytes(rate->average) / 100), (uint64_t)UINT32_MAX);
}

/* The old structs have 32 bits for a rate, 34 Gbit/s. A kernel takes the larger one of this and of what is beside it. */
static uint32_t old_rate(uint64_t rate)
{
        return rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
}

static void put_whole_rate(struct nlmsghdr *message, uint16_t type, uint64_t rate)
{
        if (rate > UINT32_MAX)
                mnl_attr_put_u64(message, type, rate);
}

static struct nlmsghdr *message_new(char *buffer, uint16_t type, uint16_t flags, const char *link, uint32_t parent,
                                    uint32_t handle, const char *kind, struct tcmsg **ret)
{
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct tcmsg *tc = mnl_nlmsg_put_extra_header(message, sizeof(*tc));

        message->nlmsg_type = type;
        message->nlmsg_flags = flags;
        tc->tcm_family = AF_UNSPEC;
        tc->tcm_ifindex = (int)if_nametoindex(link);
        tc->tcm_parent = parent;
        tc->tcm_handle = handle;
        if (kind)
                mnl_attr_put_strz(message, TCA_KIND, kind);
        if (ret)
                *ret = tc;
        return message;
}

static int explain(int errnum, const char *link, const char *what, Error *err)
{
        if (errnum == ENOENT || errnum == EOPNOTSUPP)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "the traffic of '%s' cannot be limited: this kernel lacks %s", link, what);
        return errnum ? err_errno(err, errnum, "cannot limit the traffic of '%s'", link) : 0;
}

/* The root of what a link sends; packets that no filter sends elsewhere are of the class `others`. */
static int add_tree(const char *link, uint32_t others, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct tc_htb_glob tree = { .version = 3, .rate2quantum = 10, .defcls = others & 0xffff };
        struct nlmsghdr *message = message_new(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, TC_H_ROOT, ROOT,
                                               "htb", NULL);
        struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);

        mnl_attr_put(message, TCA_HTB_INIT, sizeof(tree), &tree);
        mnl_attr_nest_end(message, options);
        return explain(netlink_ask(message), link, "the queueing discipline 'htb' (sch_htb)", err);
}

/* A class is sure of its average, and may have up to its peak of what its parent has left. */
static int add_class(const char *link, uint32_t parent, uint32_t class, const NetRate *rate, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        uint64_t average = rate_bytes(rate->average), peak = MAX(average, rate_bytes(rate->peak));
        struct tc_htb_opt leaf = { .rate = { .rate = old_rate(average), .linklayer = LINKLAYER },
                                   .ceil = { .rate = old_rate(peak), .linklayer = LINKLAYER },
                                   .buffer = ticks(burst_bytes(rate), average),
                                   .cbuffer = ticks(SMALLEST_BURST, peak) };
        struct nlmsghdr *message = message_new(buffer, RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_EXCL, link, parent, class,
                                               "htb", NULL);
        struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);

        mnl_attr_put(message, TCA_HTB_PARMS, sizeof(leaf), &leaf);
        put_whole_rate(message, TCA_HTB_RATE64, average);
        put_whole_rate(message, TCA_HTB_CEIL64, peak);
        mnl_attr_nest_end(message, options);
        return explain(netlink_ask(message), link, "classes of 'htb'", err);
}

static int limit_sending(const char *link, const NetRate *rate, Error *err)
{
        return add_tree(link, CLASS, err) < 0 ? -1 : add_class(link, ROOT, CLASS, rate, err);
}

/* Packets to this address are of the class. The address is 14 bytes before where the kernel counts from. */
static int add_receiver(const char *link, uint32_t class, const uint8_t mac[6], Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        _Alignas(struct tc_u32_sel) char room[sizeof(struct tc_u32_sel) + 2 * sizeof(struct tc_u32_key)] = { 0 };
        struct tc_u32_sel *match = (void *)room; /* which ends in its keys */
        struct tcmsg *tc;
        struct nlmsghdr *message = message_new(buffer, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, link, ROOT, 0,
                                               "u32", &tc);
        struct nlattr *options;

        tc->tcm_info = 1u << 16 | __builtin_bswap16(ETH_P_ALL);
        match->flags = TC_U32_TERMINAL;
        match->nkeys = 2;
        /* words at multiples of four: the first has two bytes before the frame */
        match->keys[0] = (struct tc_u32_key){ .mask = htonl(0xffff), .off = -16 };
        match->keys[0].val = htonl((uint32_t)mac[0] << 8 | mac[1]);
        match->keys[1] = (struct tc_u32_key){ .mask = UINT32_MAX, .off = -12 };
        memcpy(&match->keys[1].val, mac + 2, sizeof(match->keys[1].val));
        options = mnl_attr_nest_start(message, TCA_OPTIONS);
        mnl_attr_put_u32(message, TCA_U32_CLASSID, class);
        mnl_attr_put(message, TCA_U32_SEL, sizeof(room), match);
        mnl_attr_nest_end(message, options);
        return explain(netlink_ask(message), link, "the classifier 'u32' (cls_u32)", err);
}

static void put_policer(struct nlmsghdr *message, const NetRate *rate)
{
        uint64_t average = rate_bytes(rate->average);
        uint32_t cells[N_CELLS];
        struct tc_police police = {
                .action = TC_POLICE_SHOT,
                .burst = ticks(burst_bytes(rate), average),
                .mtu = N_CELLS << CELL_LOG,
                .rate = { .rate = old_rate(average), .cell_log = CELL_LOG, .linklayer = LINKLAYER }
        };
        struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);
        struct nlattr *actions = mnl_attr_nest_start(message, TCA_MATCHALL_ACT);
        struct nlattr *first = mnl_attr_nest_start(message, 1);
        struct nlattr *parameters;

        for (uint32_t i = 0; i < N_CELLS; i++)
                cells[i] = ticks((uint64_t)(i + 1) << CELL_LOG, average);
        mnl_attr_put_strz(message, TCA_ACT_KIND, "police");
        parameters = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
        mnl_attr_put(message, TCA_POLICE_TBF, sizeof(police), &police);
        mnl_attr_put(message, TCA_POLICE_RATE, sizeof(cells), cells);
        put_whole_rate(message, TCA_POLICE_RATE64, average);
        mnl_attr_nest_end(message, parameters);
        mnl_attr_nest_end(message, first);
        mnl_attr_nest_end(message, actions);
        mnl_attr_nest_end(message, options);
}

static int limit_receiving(const char *link, const NetRate *rate, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];
        struct tcmsg *tc;
        int errnum = netlink_ask(message_new(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, TC_H_INGRESS,
                                             INGRESS, "ingress", NULL));
        struct nlmsghdr *message;

        if (errnum)
                return explain(errnum, link, "the queueing discipline 'ingress' (sch_ingress)", err);
        message = message_new(buffer, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, link, INGRESS, 0, "matchall", &tc);
        tc->tcm_info = 1u << 16 | __builtin_bswap16(ETH_P_ALL);
        put_policer(message, rate);
        return explain(netlink_ask(message), link, "the classifier 'matchall' or the action 'police'", err);
}

/* What is not there cannot be removed, and that is fine. */
static void remove_root(const char *link)
{
        char buffer[NETLINK_MESSAGE_SIZE];

        netlink_ask(message_new(buffer, RTM_DELQDISC, 0, link, TC_H_ROOT, ROOT, NULL, NULL));
}

int net_set_bandwidth(const char *link, const NetRate *send, const NetRate *receive, Error *err)
{
        char buffer[NETLINK_MESSAGE_SIZE];

        remove_root(link);
        netlink_ask(message_new(buffer, RTM_DELQDISC, 0, link, TC_H_INGRESS, INGRESS, NULL, NULL));
        if (send->average && limit_sending(link, send, err) < 0)
                return -1;
        return receive->average ? limit_receiving(link, receive, err) : 0;
}

int net_set_floors(const char *link, const NetRate *send, const NetFloor *floors, size_t n, Error *err)
{
        NetRate rest = { .average = send->average, .peak = MAX(send->average, send->peak) };

        for (size_t i = 0; i < n; i++)
                rest.average -= MIN(rest.average, floors[i].rate);
        rest.average = MAX(rest.average, 1U); /* nobody starves */
        remove_root(link);
        if (add_tree(link, OTHERS, err) < 0 || add_class(link, ROOT, CLASS, send, err) < 0 ||
            add_class(link, CLASS, OTHERS, &rest, err) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                NetRate sure = { .average = floors[i].rate, .peak = rest.peak };
                uint32_t class = OTHERS + 1 + (uint32_t)i;

                if (add_class(link, CLASS, class, &sure, err) < 0 ||
                    add_receiver(link, class, floors[i].mac, err) < 0)
                        return -1;
        }
        return 0;
}
