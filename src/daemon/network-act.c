/*
 * daemon/network-act.c - a call that changes a network
 */
#include "daemon/network-act.h"

#include "base/mem.h"
#include "daemon/daemon.h"

void network_act_end(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (failure)
                call_fail(act->call, failure);
        else if (act->replies_network) /* all replies that carry just a network look alike on the wire */
                call_reply(act->call, &(WireNetworkDefineXmlRet){ .net = wire_network(act->net) });
        else
                call_reply(act->call, NULL);
        job_claim_free(act->claim);
        network_unref(act->net);
        network_def_unref(act->def);
        network_def_unref(act->live);
        err_done(&act->failure);
        free(act);
}

static void on_turn(void *arg, const Error *refused)
{
        NetworkAct *act = arg;
        AUTO(Error) err = { 0 };

        if (refused) {
                network_act_end(act, refused);
                return;
        }
        if (call_daemon(act->call)->ending)
                err_set(&err, ERR_OPERATION_ABORTED, "droverd ends");
        else if (!act->net->listed)
                err_set(&err, ERR_NO_NETWORK, "network '%s' was removed meanwhile", act->net->name);
        else if (act->run(act, &err) == 0)
                return;
        network_act_end(act, &err);
}

int network_act_begin(Call *call, Network *net, NetworkDef *def, bool is_new, bool replies_network,
                      int (*run)(NetworkAct *act, Error *err))
{
        NetworkAct *act = mem_new(NetworkAct);

        *act = (NetworkAct){ .call = call,
                             .net = network_ref(net),
                             .def = def,
                             .is_new = is_new,
                             .replies_network = replies_network,
                             .run = run };
        job_claim(net->jobs, JOB_MODIFY, net->name, &act->claim, on_turn, act);
        return 0;
}

int network_act_on(Call *call, const WireNetwork *wire, int (*run)(NetworkAct *act, Error *err), Error *err)
{
        Network *net = find_network(call, wire, err);

        return net ? network_act_begin(call, net, NULL, false, false, run) : -1;
}
