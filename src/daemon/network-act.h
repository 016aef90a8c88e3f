#pragma once
/*
 * daemon/network-act.h - a call that changes a network
 *
 * Acts on one network follow one another: each waits for the network's slot and
 * holds it until the call is answered. What was answered is on the disk.
 */
#include "daemon/driver.h"
#include "daemon/handle-network.h"

typedef struct NetworkAct NetworkAct;

struct NetworkAct {
        Call *call;
        Network *net;
        JobClaim *claim;
        NetworkDef *def, *live; /* new ones, or NULL */
        Error failure;          /* what the call is answered with when its change was taken back */
        bool is_new;
        bool replies_network; /* the answer says which network it is */
        int (*run)(NetworkAct *act, Error *err);
};

/* Take the slot of net, then run(). def is taken; NULL: none. Returns 0. */
int network_act_begin(Call *call, Network *net, NetworkDef *def, bool is_new, bool replies_network,
                      int (*run)(NetworkAct *act, Error *err));
/* The same for the network that an argument names; -1 when there is none. */
int network_act_on(Call *call, const WireNetwork *wire, int (*run)(NetworkAct *act, Error *err), Error *err);
/* Answer, with the failure if there is one, and let the slot go. arg is the act, which is freed. */
void network_act_end(void *arg, const Error *failure);

static inline const NetworkOps *network_act_ops(const NetworkAct *act)
{
        return act->net->driver->ops->networks;
}
