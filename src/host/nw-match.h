#pragma once
/*
 * host/nw-match.h - what packets a rule is about, as an expression for nft
 */
#include "host/nw-collect.h"

typedef struct NwMatch {
        bool swapped; /* as seen from the other end: sources are destinations */
} NwMatch;

/* ' ether saddr ... ip daddr ...', appended. -1: a value is none of its kind, or nft cannot look at that. */
int nw_match_put(const NwFound *found, const NwBound *bound, const NwMatch *how, Buf *ret, Error *err);
