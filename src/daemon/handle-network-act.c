/*
 * daemon/handle-network-act.c - networks defined, started and stopped
 */
#include "daemon/handlers.h"
#include "daemon/network-act.h"
#include "daemon/network-define.h"
#include "wire/constants.h"

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
        network_act_end(act, failure);
}

static int run_define(NetworkAct *act, Error *err UNUSED)
{
        Network *net = act->net;

        act->is_new = !net->persistent || act->is_new;
        if (act->is_new) {
                net->persistent = true;
                network_set_config(net, network_def_ref(act->def));
        }
        network_act_ops(act)->save_config(net, act->def, on_defined, act);
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
        return network_act_begin(call, net, TAKE(def), is_new, true, run_define);
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
        network_start(net, network_act_end, act);
        return 0;
}

int handle_network_create(Call *call, const WireNetworkCreateArgs *args, Error *err)
{
        return network_act_on(call, &args->net, run_start, err);
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
        return network_act_begin(call, net, TAKE(def), false, true, run_start);
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
        network_stop(act->net, network_act_end, act);
        return 0;
}

int handle_network_destroy(Call *call, const WireNetworkDestroyArgs *args, Error *err)
{
        return network_act_on(call, &args->net, run_stop, err);
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
        network_act_end(act, failure);
}

/* NET-15: an active network stays, as a transient one. */
static int run_undefine(NetworkAct *act, Error *err)
{
        if (!act->net->persistent)
                return err_set(err, ERR_OPERATION_INVALID,
                               "network '%s' is transient: it has no definition to remove", act->net->name);
        network_act_ops(act)->remove_config(act->net, on_undefined, act);
        return 0;
}

int handle_network_undefine(Call *call, const WireNetworkUndefineArgs *args, Error *err)
{
        return network_act_on(call, &args->net, run_undefine, err);
}

static void on_marked(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (!failure)
                act->net->autostart = ((const WireNetworkSetAutostartArgs *)call_args(act->call))->autostart;
        network_act_end(act, failure);
}

static int run_autostart(NetworkAct *act, Error *err)
{
        bool wanted = ((const WireNetworkSetAutostartArgs *)call_args(act->call))->autostart;

        if (!act->net->persistent)
                return err_set(err, ERR_OPERATION_INVALID, "cannot set autostart for transient network");
        if (act->net->autostart == wanted)
                network_act_end(act, NULL);
        else
                network_act_ops(act)->save_autostart(act->net, wanted, on_marked, act);
        return 0;
}

int handle_network_set_autostart(Call *call, const WireNetworkSetAutostartArgs *args, Error *err)
{
        return network_act_on(call, &args->net, run_autostart, err);
}
