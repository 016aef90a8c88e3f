/*
 * daemon/network-rules.c - the packet filter rules of all virtual networks
 */
#include "daemon/network-rules.h"

#include "base/mem.h"
#include "host/net-rules.h"

struct NetRules {
        NftTable *table;
        NetRulesAll *all;
        void *arg;
};

static bool put_everything(void *arg, Buf *ret)
{
        const NetRules *r = arg;
        AUTO(Arena) *arena = arena_new();
        const NetworkDef **defs;
        size_t n = r->all(r->arg, arena, &defs);

        net_rules_put(defs, n, NULL, true, ret);
        return n > 0;
}

void net_rules_add(NetRules *r, const NetworkDef *def, NftTableDone *done, void *arg)
{
        Buf text = { 0 };

        net_rules_put(&def, 1, NULL, false, &text);
        nft_table_change(r->table, buf_take(&text), done, arg);
}

void net_rules_remove(NetRules *r, const NetworkDef *def, NftTableDone *done, void *arg)
{
        AUTO(Arena) *arena = arena_new();
        const NetworkDef **others;
        Buf text = { 0 };

        if (r->all(r->arg, arena, &others) == 0) { /* the last one: nothing of us stays */
                nft_table_rebuild(r->table, done, arg);
                return;
        }
        net_rules_put(NULL, 0, def, false, &text);
        nft_table_change(r->table, buf_take(&text), done, arg);
}

void net_rules_rebuild(NetRules *r, NftTableDone *done, void *arg)
{
        nft_table_rebuild(r->table, done, arg);
}

NetRules *net_rules_new(Loop *loop, NetRulesAll *all, void *arg)
{
        NetRules *r = mem_new(NetRules);

        *r = (NetRules){ .all = all, .arg = arg };
        r->table = nft_table_new(loop, "inet " NET_RULES_TABLE, "virtual networks", put_everything, r);
        return r;
}

NetRules *net_rules_free(NetRules *r)
{
        if (!r)
                return NULL;
        nft_table_free(r->table);
        free(r);
        return NULL;
}
