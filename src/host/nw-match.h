#pragma once
/*
 * host/nw-match.h - what packets a rule is about, as an expression for nft
 */
#include "host/nw-collect.h"

typedef struct NwMatch {
        bool swapped; /* as seen from the other end: sources are destinations */
} NwMatch;

/*
 * A rule that limits how many connections there are counts those of each source by itself, in a set of nft: 4 or 6, the
 * version of the addresses in it; 0: the rule has no limit.
 */
unsigned nw_match_limits(const NwRule *rule);
/* ' add @set { ... }', appended: matches above the limit. */
int nw_match_put_limit(const NwFound *found, const NwBound *bound, const char *set, Buf *ret, Error *err);

/* ' ether saddr ... ip daddr ...', appended, without such a limit. -1: a value is none of its kind, or nft cannot look at that. */
int nw_match_put(const NwFound *found, const NwBound *bound, const NwMatch *how, Buf *ret, Error *err);
