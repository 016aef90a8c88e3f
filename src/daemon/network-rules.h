#pragma once
/*
 * daemon/network-rules.h - the packet filter rules of all virtual networks
 */
#include "daemon/nft-table.h"
#include "model/network.h"

typedef struct NetRules NetRules;

/* Every network that should have rules now: a list in the arena, and how many. */
typedef size_t NetRulesAll(void *arg, Arena *arena, const NetworkDef ***ret);

NetRules *net_rules_new(Loop *loop, NetRulesAll *all, void *arg);
NetRules *net_rules_free(NetRules *rules); /* the rules stay; returns NULL */

void net_rules_add(NetRules *rules, const NetworkDef *def, NftTableDone *done, void *arg);
void net_rules_remove(NetRules *rules, const NetworkDef *def, NftTableDone *done, void *arg);
/* All of them anew; done may be NULL. Without any network the table goes. */
void net_rules_rebuild(NetRules *rules, NftTableDone *done, void *arg);

DEFINE_AUTO(NetRules, net_rules_free)
