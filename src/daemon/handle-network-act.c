/*
 * daemon/handle-network-act.c - networks defined, started, changed and stopped
 *
 * Acts on one network follow one another: each waits for the network's slot and
 * holds it until the call is answered. What was answered is on the disk.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/handle-network.h"
#include "daemon/handlers.h"
#include "daemon/network-define.h"
#include "wire/constants.h"

typedef struct NetworkAct NetworkAct;

struct NetworkAct {
        Call *call;
        Network *net;
        JobClaim *claim;
        NetworkDef *def, *live; /* new ones, or NULL */
        bool is_new;
        bool replies_network; /* the answer says which network it is */
        int (*run)(NetworkAct *act, Error *err);
};

static void act_end(void *arg, const Error *failure)
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
        free(act);
}

static void on_turn(void *arg, const Error *refused)
{
        NetworkAct *act = arg;
        AUTO(Error) err = { 0 };

        if (refused) {
                act_end(act, refused);
                return;
        }
        if (!act->net->listed)
                err_set(&err, ERR_NO_NETWORK, "network '%s' was removed meanwhile", act->net->name);
        else if (act->run(act, &err) == 0)
                return;
        act_end(act, &err);
}

/* def is taken; NULL: none. */
static int act_begin(Call *call, Network *net, NetworkDef *def, bool is_new, bool replies_network,
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

static int act_on(Call *call, const WireNetwork *wire, int (*run)(NetworkAct *act, Error *err), Error *err)
{
        Network *net = find_network(call, wire, err);

        return net ? act_begin(call, net, NULL, false, false, run) : -1;
}

static const NetworkOps *ops_of(const NetworkAct *act)
{
        return act->net->driver->ops->networks;
}

/* --- define --- */

static void on_defined(void *arg, const Error *failure)
{
        NetworkAct *act = arg;
        Network *net = act->net;

        if (failure && act->is_new) {
                net->persistent = false;
                network_set_config(net, NULL);
                if (!net->active)
                        network_remove(net);
        } else if (!failure) {
                if (!act->is_new)
                        network_set_config(net, network_def_ref(act->def));
                network_tell(net, VIR_NETWORK_EVENT_DEFINED);
        }
        act_end(act, failure);
}

static int run_define(NetworkAct *act, Error *err UNUSED)
{
        Network *net = act->net;

        act->is_new = !net->persistent || act->is_new;
        if (act->is_new) {
                net->persistent = true;
                network_set_config(net, network_def_ref(act->def));
        }
        ops_of(act)->save_config(net, act->def, on_defined, act);
        return 0;
}

static int define(Call *call, const char *xml, bool validate, Error *err)
{
        Driver *driver = call_driver(call);
        AUTO(NetworkDef) *def = network_define_parse(driver, xml, validate, err);
        Network *net;
        bool is_new;

        if (!def || network_define_find(driver, def, &net, err) < 0)
                return -1;
        is_new = !net;
        if (is_new) { /* in the list from the start, so that nobody takes its name meanwhile */
                net = network_add(driver, def->name, &def->uuid);
                network_set_config(net, network_def_ref(def));
        }
        return act_begin(call, net, TAKE(def), is_new, true, run_define);
}

int handle_network_define_xml(Call *call, const WireNetworkDefineXmlArgs *args, Error *err)
{
        return define(call, args->xml, false, err);
}

int handle_network_define_xml_flags(Call *call, const WireNetworkDefineXmlFlagsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_NETWORK_DEFINE_VALIDATE, err) < 0)
                return -1;
        return define(call, args->xml, args->flags & VIR_NETWORK_DEFINE_VALIDATE, err);
}

/* --- start and stop --- */

static int run_start(NetworkAct *act, Error *err)
{
        Network *net = act->net;

        if (net->active)
                return err_set(err, ERR_OPERATION_INVALID, "network is already active");
        network_set_live(net, network_def_copy(act->def ?: net->config));
        network_start(net, act_end, act);
        return 0;
}

int handle_network_create(Call *call, const WireNetworkCreateArgs *args, Error *err)
{
        return act_on(call, &args->net, run_start, err);
}

/* A definition for this one run; of a defined network it is used in place of the defined one. */
static int create(Call *call, const char *xml, bool validate, Error *err)
{
        Driver *driver = call_driver(call);
        AUTO(NetworkDef) *def = network_define_parse(driver, xml, validate, err);
        Network *net;

        if (!def || network_define_find(driver, def, &net, err) < 0)
                return -1;
        if (net && net->active)
                return err_set(err, ERR_OPERATION_INVALID, "network is already active as '%s'", net->name);
        if (!net) {
                net = network_add(driver, def->name, &def->uuid);
                network_set_live(net, network_def_ref(def)); /* it is shown as that while it starts */
        }
        return act_begin(call, net, TAKE(def), false, true, run_start);
}

int handle_network_create_xml(Call *call, const WireNetworkCreateXmlArgs *args, Error *err)
{
        return create(call, args->xml, false, err);
}

int handle_network_create_xml_flags(Call *call, const WireNetworkCreateXmlFlagsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_NETWORK_CREATE_VALIDATE, err) < 0)
                return -1;
        return create(call, args->xml, args->flags & VIR_NETWORK_CREATE_VALIDATE, err);
}

static int run_stop(NetworkAct *act, Error *err)
{
        if (network_must_be_active(act->net, err) < 0)
                return -1;
        network_stop(act->net, act_end, act);
        return 0;
}

int handle_network_destroy(Call *call, const WireNetworkDestroyArgs *args, Error *err)
{
        return act_on(call, &args->net, run_stop, err);
}

/* --- undefine, autostart --- */

static void on_undefined(void *arg, const Error *failure)
{
        NetworkAct *act = arg;
        Network *net = act->net;

        if (!failure) {
                net->persistent = net->autostart = false;
                network_tell(net, VIR_NETWORK_EVENT_UNDEFINED);
                network_set_config(net, NULL);
                if (!net->active)
                        network_remove(net);
        }
        act_end(act, failure);
}

/* NET-15: an active network stays, as a transient one. */
static int run_undefine(NetworkAct *act, Error *err)
{
        if (!act->net->persistent)
                return err_set(err, ERR_OPERATION_INVALID,
                               "network '%s' is transient: it has no definition to remove", act->net->name);
        ops_of(act)->remove_config(act->net, on_undefined, act);
        return 0;
}

int handle_network_undefine(Call *call, const WireNetworkUndefineArgs *args, Error *err)
{
        return act_on(call, &args->net, run_undefine, err);
}

static void on_marked(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (!failure)
                act->net->autostart = ((const WireNetworkSetAutostartArgs *)call_args(act->call))->autostart;
        act_end(act, failure);
}

static int run_autostart(NetworkAct *act, Error *err)
{
        bool wanted = ((const WireNetworkSetAutostartArgs *)call_args(act->call))->autostart;

        if (!act->net->persistent)
                return err_set(err, ERR_OPERATION_INVALID, "cannot set autostart for transient network");
        if (act->net->autostart == wanted)
                act_end(act, NULL);
        else
                ops_of(act)->save_autostart(act->net, wanted, on_marked, act);
        return 0;
}

int handle_network_set_autostart(Call *call, const WireNetworkSetAutostartArgs *args, Error *err)
{
        return act_on(call, &args->net, run_autostart, err);
}

/* --- update --- */

static void on_config_updated(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (!failure)
                network_set_config(act->net, TAKE(act->def));
        act_end(act, failure);
}

/* What is in force first, then what the next start uses: a change that is refused leaves both as they were. */
static void on_live_updated(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (!failure && act->live)
                network_set_live(act->net, TAKE(act->live));
        if (failure || !act->def)
                act_end(act, failure);
        else
                ops_of(act)->save_config(act->net, act->def, on_config_updated, act);
}

static int edit(const NetworkDef *from, const WireNetworkUpdateArgs *args, NetworkDef **ret, Error *err)
{
        *ret = network_def_copy(from);
        return network_def_update(*ret, args->command, args->section, args->parentIndex, args->xml, err);
}

static int run_update(NetworkAct *act, Error *err)
{
        const WireNetworkUpdateArgs *args = call_args(act->call);
        Network *net = act->net;
        bool live = args->flags & VIR_NETWORK_UPDATE_AFFECT_LIVE,
             config = args->flags & VIR_NETWORK_UPDATE_AFFECT_CONFIG;

        if (!live && !config)
                *(net->active ? &live : &config) = true;
        if (live && network_must_be_active(net, err) < 0)
                return -1;
        if (config && !net->config)
                return err_set(err, ERR_OPERATION_INVALID,
                               "network '%s' is transient: it has no definition to change", net->name);
        if ((live && edit(net->live, args, &act->live, err) < 0) ||
            (config && edit(net->config, args, &act->def, err) < 0))
                return -1;
        if (live)
                ops_of(act)->change(net, act->live, on_live_updated, act);
        else
                on_live_updated(act, NULL);
        return 0;
}

int handle_network_update(Call *call, const WireNetworkUpdateArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_NETWORK_UPDATE_AFFECT_LIVE | VIR_NETWORK_UPDATE_AFFECT_CONFIG,
                             err) < 0)
                return -1;
        return act_on(call, &args->net, run_update, err);
}
