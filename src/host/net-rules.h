#pragma once
/*
 * host/net-rules.h - what the packets of virtual networks may do, as text for nft
 *
 * All of it stands in one table of our own, 'inet drover'. Base chains hand a
 * packet over to the chains of its network through verdict maps, so a network
 * comes and goes by a few elements and chains, and others are not touched. A
 * chain refuses what its network does not allow and returns the rest: what one
 * network sends into another must pass the rules of both, and other tables have
 * their say too. Pure text: nft runs in a child (daemon/network-rules.c).
 */
#include "base/buf.h"
#include "model/network.h"

#define NET_RULES_TABLE "drover"

/*
 * One transaction. whole: everything of ours is written anew, as it is for exactly these networks; else they are added
 * to what is there (a network that is there already is replaced). gone (NULL: none) is taken out, whether it is there
 * or not. Each has a bridge of its own. whole without networks: the table goes.
 */
void net_rules_put(const NetworkDef *const *defs, size_t n, const NetworkDef *gone, bool whole, Buf *ret);
