#pragma once
/*
 * host/nft-watch.h - who touches our table of packet filter rules
 *
 * The kernel tells about each change of any table. A change of ours that we did
 * not make means that somebody flushed or edited it.
 */
#include "loop/loop.h"

typedef struct NftWatch NftWatch;

/* table: which one is ours; touched(arg) is called for each transaction that changed it, and when we may have missed one. */
NftWatch *nft_watch_new(Loop *loop, const char *table, void (*touched)(void *arg), void *arg, Error *err);
/* Hear at once what the kernel has said until now. */
void nft_watch_drain(NftWatch *watch);
NftWatch *nft_watch_free(NftWatch *watch); /* returns NULL */

DEFINE_AUTO(NftWatch, nft_watch_free)
