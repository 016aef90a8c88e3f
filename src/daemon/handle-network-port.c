/*
 * daemon/handle-network-port.c - which interfaces are on a network
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/handle-network.h"
#include "daemon/handlers.h"
#include "daemon/network-port.h"
#include "daemon/tune-interface.h"
#include "daemon/tune-reply.h"
#include "daemon/tune.h"
#include "model/def.h"
#include "wire/constants.h"

enum { LIST_MOST = 16384 };

int handle_network_list_all_ports(Call *call, const WireNetworkListAllPortsArgs *args, Error *err)
{
        const Network *net;
        WireNetworkListAllPortsRet ret = { 0 };
        NetworkPort *ports;
        size_t n;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(net = find_network(call, &args->network, err)) ||
            network_must_be_active(net, err) < 0)
                return -1;
        n = MIN(network_ports(net, call_arena(call), &ports), (size_t)LIST_MOST);
        ret.ports = arena_new_array(call_arena(call), WireNetworkPort, n);
        for (; ret.ret < n; ret.ret++)
                ret.ports[ret.ret] = (WireNetworkPort){ .net = wire_network(net), .uuid = ports[ret.ret].id };
        ret.n_ports = args->need_results ? ret.ret : 0;
        call_reply(call, &ret);
        return 0;
}

static int find_port(Call *call, const WireNetwork *wire, const Uuid *id, const Network **ret_net, NetworkPort *ret,
                     Error *err)
{
        const Network *net = find_network(call, wire, err);
        char text[UUID_TEXT_LEN + 1];
        NetworkPort *ports;
        size_t n;

        if (!net)
                return -1;
        n = network_ports(net, call_arena(call), &ports);
        for (size_t i = 0; i < n; i++) {
                if (!uuid_eq(&ports[i].id, id))
                        continue;
                *ret = ports[i];
                *ret_net = net;
                return 0;
        }
        return err_set(err, ERR_NO_NETWORK_PORT, "Network port with UUID %s does not exist", uuid_format(id, text));
}

int handle_network_port_lookup_by_uuid(Call *call, const WireNetworkPortLookupByUuidArgs *args, Error *err)
{
        const Network *net;
        NetworkPort port;

        if (find_port(call, &args->network, &args->uuid, &net, &port, err) < 0)
                return -1;
        call_reply(call, &(WireNetworkPortLookupByUuidRet){ .port = { .net = wire_network(net), .uuid = port.id } });
        return 0;
}

int handle_network_port_get_xml_desc(Call *call, const WireNetworkPortGetXmlDescArgs *args, Error *err)
{
        const Network *net;
        AUTO(Buf) text = { 0 };
        NetworkPort port;

        if (call_check_flags(call, args->flags, 0, err) < 0 ||
            find_port(call, &args->port.net, &args->port.uuid, &net, &port, err) < 0)
                return -1;
        network_port_format(net, &port, &text);
        call_reply(call, &(WireNetworkPortGetXmlDescRet){ .xml = buf_text(&text) });
        return 0;
}

/* --- ports that clients make --- */

typedef enum PortDoing {
        PORT_MAKE,
        PORT_LIMIT, /* its definition is replaced by one with other limits */
        PORT_DELETE,
} PortDoing;

typedef struct PortAct {
        Call *call;
        Network *net;
        JobClaim *claim;
        NetworkPortDef *def; /* to be put in place; once that is done, the one that was taken away */
        Uuid id;
        PortDoing doing;
} PortAct;

static void act_end(PortAct *act, const Error *failure)
{
        if (failure)
                call_fail(act->call, failure);
        else if (act->doing == PORT_MAKE)
                call_reply(act->call, &(WireNetworkPortCreateXmlRet){
                                              .port = { .net = wire_network(act->net), .uuid = act->id } });
        else
                call_reply(act->call, NULL);
        job_claim_free(act->claim);
        network_unref(act->net);
        network_port_def_unref(act->def);
        free(act);
}

static int make(PortAct *act, Error *err)
{
        if (network_port_make(act->net, act->def, err) < 0)
                return -1;
        act->id = TAKE(act->def)->uuid;
        return 0;
}

static int unmake(PortAct *act, Error *err)
{
        act->def = network_port_unmake(act->net, &act->id, err);
        return act->def ? 0 : -1;
}

static int replace(PortAct *act, Error *err)
{
        NetworkPortDef *old;

        if (network_port_replace(act->net, act->def, &old, err) < 0)
                return -1;
        act->def = old;
        return 0;
}

static int limit(PortAct *act, Error *err)
{
        const WireNetworkPortSetParametersArgs *args = call_args(act->call);
        const NetworkPortDef *now = network_port_made(act->net, &act->id);
        char text[UUID_TEXT_LEN + 1];

        if (!now)
                return err_set(err, ERR_NO_NETWORK_PORT, "the port %s was deleted meanwhile",
                               uuid_format(&act->id, text));
        act->def = network_port_def_copy(now);
        if (interface_limits_set(&act->def->bandwidth, act->def->head.arena, args->params, args->n_params, err) < 0)
                return -1;
        return replace(act, err);
}

typedef int PortStep(PortAct *act, Error *err);

static PortStep *const acts[] = { [PORT_MAKE] = make, [PORT_LIMIT] = limit, [PORT_DELETE] = unmake };
static PortStep *const undo[] = { [PORT_MAKE] = unmake, [PORT_LIMIT] = replace, [PORT_DELETE] = make };

/* What could not be saved is not done. */
static void on_saved(void *arg, const Error *failure)
{
        PortAct *act = arg;
        AUTO(Error) worse = { 0 };

        if (failure)
                undo[act->doing](act, &worse);
        act_end(act, failure);
}

static void on_turn(void *arg, const Error *refused)
{
        PortAct *act = arg;
        AUTO(Error) err = { 0 };

        if (refused)
                act_end(act, refused);
        else if (network_must_be_active(act->net, &err) < 0 || acts[act->doing](act, &err) < 0)
                act_end(act, &err);
        else
                act->net->driver->ops->networks->save_live(act->net, on_saved, act);
}

/* def is taken. */
static int act_begin(Call *call, Network *net, PortDoing doing, NetworkPortDef *def, const Uuid *id)
{
        PortAct *act = mem_new(PortAct);

        *act = (PortAct){ .call = call, .net = network_ref(net), .def = def, .id = *id, .doing = doing };
        job_claim(net->jobs, JOB_MODIFY, net->name, &act->claim, on_turn, act);
        return 0;
}

int handle_network_port_create_xml(Call *call, const WireNetworkPortCreateXmlArgs *args, Error *err)
{
        unsigned flags = args->flags & VIR_NETWORK_PORT_CREATE_VALIDATE ? DEF_PARSE_VALIDATE : 0;
        AUTO(NetworkPortDef) *def = NULL;
        Network *net;

        /* whoever takes a place again after a restart of ours says RECLAIM; we have not forgotten it */
        if (call_check_flags(call, args->flags, VIR_NETWORK_PORT_CREATE_RECLAIM | VIR_NETWORK_PORT_CREATE_VALIDATE,
                             err) < 0 ||
            !(net = find_network(call, &args->network, err)) || network_must_be_active(net, err) < 0 ||
            network_port_def_parse(args->xml, strlen(args->xml), flags, &def, NULL, err) < 0)
                return -1;
        return act_begin(call, net, PORT_MAKE, TAKE(def), &(Uuid){ { 0 } });
}

int handle_network_port_delete(Call *call, const WireNetworkPortDeleteArgs *args, Error *err)
{
        const Network *net;
        NetworkPort port;

        if (call_check_flags(call, args->flags, 0, err) < 0 ||
            find_port(call, &args->port.net, &args->port.uuid, &net, &port, err) < 0)
                return -1;
        if (port.dom)
                return err_set(err, ERR_OPERATION_INVALID,
                               "this port is an interface of the running guest '%s'; it goes when that is detached",
                               port.dom->name);
        return act_begin(call, find_network(call, &args->port.net, err), PORT_DELETE, NULL, &port.id);
}

/* --- what a port is promised --- */

int handle_network_port_get_parameters(Call *call, const WireNetworkPortGetParametersArgs *args, Error *err)
{
        AUTO(Params) params = { 0 };
        const Network *net;
        NetworkPort port;

        if (call_check_flags(call, args->flags, VIR_TYPED_PARAM_STRING_OKAY, err) < 0 ||
            find_port(call, &args->port.net, &args->port.uuid, &net, &port, err) < 0)
                return -1;
        tune_get(&param_group_interface, port.interface->bandwidth, true, &params);
        return tune_reply(call, &params, args->nparams, err);
}

/* A guest's port is its interface: the change is one of the running guest. */
static int edit_interface(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireNetworkPortSetParametersArgs *args = call_args(call);
        char text[UUID_TEXT_LEN + 1];

        uuid_format(&args->port.uuid, text);
        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                if (str_eq(def->interfaces[i]->portid, text))
                        return interface_limits_edit(def, def->interfaces[i], args->params, args->n_params, ret, err);
        }
        return err_set(err, ERR_NO_NETWORK_PORT, "the interface with port %s was detached meanwhile", text);
}

static const ChangeKind change_interface = { .edit = edit_interface };

int handle_network_port_set_parameters(Call *call, const WireNetworkPortSetParametersArgs *args, Error *err)
{
        const Network *net;
        NetworkPort port;

        if (call_check_flags(call, args->flags, VIR_TYPED_PARAM_STRING_OKAY, err) < 0 ||
            find_port(call, &args->port.net, &args->port.uuid, &net, &port, err) < 0)
                return -1;
        if (port.dom) {
                WireDomain guest = { .name = port.dom->name, .uuid = port.dom->uuid, .id = -1 };

                return change_start(call, &guest, VIR_DOMAIN_AFFECT_LIVE, 0, &change_interface, err);
        }
        return act_begin(call, find_network(call, &args->port.net, err), PORT_LIMIT, NULL, &port.id);
}
