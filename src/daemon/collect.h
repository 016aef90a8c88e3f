#pragma once
/*
 * daemon/collect.h - figures of many guests at once
 *
 * All drivers are asked before the first answer is waited for. Whoever has not
 * answered by the deadline counts as having nothing to say: a guest that hangs
 * delays the others by that much, no longer.
 */
#include "daemon/domain.h"
#include "daemon/figures.h"
#include "loop/loop.h"

typedef struct Collection Collection;

Collection *collection_new(Loop *loop, unsigned what);
/* nowait: leave a guest alone that is busy with something. Guests that are shut off are added, not asked. */
void collection_add(Collection *collection, Domain *dom, bool nowait);
/* done(arg) comes once, perhaps at once; the collection's owner then reads, and frees it. */
void collection_start(Collection *collection, void (*done)(void *arg), void *arg);
size_t collection_len(const Collection *collection);
Domain *collection_domain(const Collection *collection, size_t i);
const Figures *collection_figures(const Collection *collection, size_t i); /* has is 0: nothing was measured */
/* Answers that are still out are thrown away when they come. Returns NULL. */
Collection *collection_free(Collection *collection);

DEFINE_AUTO(Collection, collection_free)
