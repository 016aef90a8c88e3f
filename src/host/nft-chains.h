#pragma once
/*
 * host/nft-chains.h - whose base chains of the packet filter drop what they do not know
 *
 * An accept in one table does not help against a drop in another one, so these
 * decide over guests' packets too. The kernel answers at once.
 */
#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>

typedef struct NftChain {
        const char *family, *table, *name;
        bool forwards; /* it sees what the host forwards; else what is for the host itself */
} NftChain;

/*
 * All chains of others (not of a table of ours) on the forward and input hooks of IP whose policy is to drop; in the arena.
 * Only root may ask. Chains of the old iptables are not among them.
 */
int nft_dropping_chains(Arena *arena, NftChain **ret, size_t *ret_n, Error *err);
/* Is there a table of that name in the family NFPROTO_*? Who may not ask is told no. */
bool nft_has_table(uint8_t family, const char *name);
