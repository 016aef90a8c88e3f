#pragma once
/*
 * daemon/nft-table.h - one table of packet filter rules that is ours
 *
 * Changes are given to nft in a child, each atomic, one at a time. When somebody
 * else touches the table, or a change finds it otherwise than it should be, all
 * of it is written anew.
 */
#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

typedef struct NftTable NftTable;

/* The text that makes the whole table as it should be now, or removes it; false: there is nothing in it. */
typedef bool NftTableAll(void *arg, Buf *ret);

/* name ('inet drover') and what is in it, for people, are not copied. */
NftTable *nft_table_new(Loop *loop, const char *name, const char *what, NftTableAll *all, void *arg);
NftTable *nft_table_free(NftTable *table); /* the rules stay; returns NULL */

typedef void NftTableDone(void *arg, const Error *failure);
/* One transaction; the text is taken. done may be NULL. What all() says must have the change in it from now on. */
void nft_table_change(NftTable *table, char *text, NftTableDone *done, void *arg);
/* All of it anew; done may be NULL. */
void nft_table_rebuild(NftTable *table, NftTableDone *done, void *arg);

DEFINE_AUTO(NftTable, nft_table_free)
