#pragma once
/*
 * daemon/nwfilter-learn.h - finding out a guest's address (NET-37)
 */
#include "daemon/nwfilter.h"

/* Begin to listen on the binding's device, with what an earlier daemon knew; -1 with err. changed: nw_binding_renew(). */
NwLearner *nw_learner_new(NwBinding *binding, Error *err);
NwLearner *nw_learner_free(NwLearner *learner); /* returns NULL */
bool nw_learner_has_device(
        const NwLearner *learner); /* false: the one that it listens on is gone, or called otherwise */
/* What was learned is forgotten on the disk too: the interface is gone. */
void nw_learned_forget(const NwBinding *binding);
/* What it learned is added to the list; and what a learner on another host did is believed, as the lease was that it saw. */
void nw_learner_list(const NwLearner *learner, NwLearnedList *ret);
void nw_learner_take(NwLearner *learner, const NwLearned *learned);
/* The addresses it has now, as text that the learner owns. */
size_t nw_learner_addresses(const NwLearner *learner, const char *const **ret);
