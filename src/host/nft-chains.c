/*
 * host/nft-chains.c - whose base chains of the packet filter drop what they do not know
 */
#include "host/nft-chains.h"

#include "base/str.h"
#include "base/vec.h"
#include "host/netlink.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

typedef struct Search {
        Arena *arena;
        VEC(NftChain) found;
} Search;

typedef struct Seen {
        const char *table, *name;
        uint32_t hook, policy;
} Seen;

static void read_hook(const struct nlattr *nest, Seen *ret)
{
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, nest)
        {
                if (mnl_attr_get_type(attr) == NFTA_HOOK_HOOKNUM && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
                        ret->hook = ntohl(mnl_attr_get_u32(attr));
        }
}

static Seen read_chain(const struct nlmsghdr *message)
{
        Seen seen = { .hook = UINT32_MAX, .policy = NF_ACCEPT };
        struct nlattr *attr;

        mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
        {
                int type = mnl_attr_get_type(attr);

                if (type == NFTA_CHAIN_TABLE && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
                        seen.table = mnl_attr_get_str(attr);
                else if (type == NFTA_CHAIN_NAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
                        seen.name = mnl_attr_get_str(attr);
                else if (type == NFTA_CHAIN_POLICY && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
                        seen.policy = ntohl(mnl_attr_get_u32(attr));
                else if (type == NFTA_CHAIN_HOOK)
                        read_hook(attr, &seen);
        }
        return seen;
}

static const char *family_name(uint8_t family)
{
        return family == NFPROTO_INET   ? "inet"
               : family == NFPROTO_IPV4 ? "ip"
               : family == NFPROTO_IPV6 ? "ip6"
                                        : NULL;
}

static int see_chain(const struct nlmsghdr *message, void *arg)
{
        const struct nfgenmsg *info = mnl_nlmsg_get_payload(message);
        const char *family = family_name(info->nfgen_family);
        Seen seen = read_chain(message);
        Search *search = arg;

        if (family && seen.table && seen.name && seen.policy == NF_DROP && !str_starts(seen.table, "drover") &&
            (seen.hook == NF_INET_FORWARD || seen.hook == NF_INET_LOCAL_IN))
                vec_push(&search->found, ((NftChain){ .family = family,
                                                      .table = arena_dup(search->arena, seen.table),
                                                      .name = arena_dup(search->arena, seen.name),
                                                      .forwards = seen.hook == NF_INET_FORWARD }));
        return MNL_CB_OK;
}

static void forget_chains(void *arg)
{
        ((Search *)arg)->found.len = 0;
}

int nft_dropping_chains(Arena *arena, NftChain **ret, size_t *ret_n, Error *err)
{
        Search search = { .arena = arena };
        int errnum = netlink_dump_filter(NFT_MSG_GETCHAIN, forget_chains, see_chain, &search);

        if (!errnum) {
                *ret_n = search.found.len;
                *ret = arena_new_array(arena, NftChain, search.found.len + 1);
                for (size_t i = 0; i < search.found.len; i++)
                        (*ret)[i] = search.found.items[i];
        }
        vec_done(&search.found);
        return errnum ? err_errno(err, errnum, "cannot ask the kernel about the packet filter") : 0;
}

typedef struct TableSearch {
        uint8_t family; /* NFPROTO_* */
        const char *name;
        bool found;
} TableSearch;

static int see_table(const struct nlmsghdr *message, void *arg)
{
        const struct nfgenmsg *info = mnl_nlmsg_get_payload(message);
        TableSearch *search = arg;
        struct nlattr *attr;

        mnl_attr_for_each(attr, message, sizeof(*info))
        {
                if (info->nfgen_family == search->family && mnl_attr_get_type(attr) == NFTA_TABLE_NAME &&
                    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0 && str_eq(mnl_attr_get_str(attr), search->name))
                        search->found = true;
        }
        return MNL_CB_OK;
}

bool nft_has_table(uint8_t family, const char *name)
{
        TableSearch search = { .family = family, .name = name };

        netlink_dump_filter(NFT_MSG_GETTABLE, NULL, see_table, &search);
        return search.found;
}
