/*
 * daemon/handle-network.c - networks looked up, listed and described
 */
#include "daemon/handle-network.h"

#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/network-port.h"
#include "daemon/registry.h"
#include "wire/constants.h"

enum {
        LIST_ACTIVITY = VIR_CONNECT_LIST_NETWORKS_ACTIVE | VIR_CONNECT_LIST_NETWORKS_INACTIVE,
        LIST_PERSISTENCE = VIR_CONNECT_LIST_NETWORKS_PERSISTENT | VIR_CONNECT_LIST_NETWORKS_TRANSIENT,
        LIST_AUTOSTART = VIR_CONNECT_LIST_NETWORKS_AUTOSTART | VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART,
        LIST_MOST = 16384,
};

Network *find_network(const Call *call, const WireNetwork *wire, Error *err)
{
        Network *net = registry_find_uuid(call_driver(call)->networks, &wire->uuid);
        char text[UUID_TEXT_LEN + 1];

        if (!net)
                err_set(err, ERR_NO_NETWORK, "no network with matching uuid '%s' (%s)",
                        uuid_format(&wire->uuid, text), wire->name);
        return net;
}

WireNetwork wire_network(const Network *net)
{
        return (WireNetwork){ .name = net->name, .uuid = net->uuid };
}

int network_must_be_active(const Network *net, Error *err)
{
        return net->active ? 0 : err_set(err, ERR_OPERATION_INVALID, "network '%s' is not active", net->name);
}

int handle_network_lookup_by_name(Call *call, const WireNetworkLookupByNameArgs *args, Error *err)
{
        const Network *net = network_find(call_driver(call), args->name);

        if (!net)
                return err_set(err, ERR_NO_NETWORK, "no network with matching name '%s'", args->name);
        call_reply(call, &(WireNetworkLookupByNameRet){ .net = wire_network(net) });
        return 0;
}

int handle_network_lookup_by_uuid(Call *call, const WireNetworkLookupByUuidArgs *args, Error *err)
{
        const Network *net = registry_find_uuid(call_driver(call)->networks, &args->uuid);
        char text[UUID_TEXT_LEN + 1];

        if (!net)
                return err_set(err, ERR_NO_NETWORK, "no network with matching uuid '%s'",
                               uuid_format(&args->uuid, text));
        call_reply(call, &(WireNetworkLookupByUuidRet){ .net = wire_network(net) });
        return 0;
}

/* --- lists --- */

static uint32_t count(const Call *call, bool active)
{
        const Registry *all = call_driver(call)->networks;
        uint32_t n = 0;

        for (size_t i = 0; i < registry_len(all); i++)
                n += ((const Network *)registry_at(all, i))->active == active;
        return n;
}

int handle_connect_num_of_networks(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfNetworksRet){ .num = (int32_t)count(call, true) });
        return 0;
}

int handle_connect_num_of_defined_networks(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfDefinedNetworksRet){ .num = (int32_t)count(call, false) });
        return 0;
}

/* Both old calls answer with names only. */
static int list_names(Call *call, int32_t most, bool active, Error *err)
{
        const Registry *all = call_driver(call)->networks;
        WireConnectListNetworksRet ret = { 0 };

        if (most < 0 || most > LIST_MOST)
                return err_set(err, ERR_INVALID_ARG, "%d names do not fit an answer", most);
        ret.names = arena_new_array(call_arena(call), const char *, registry_len(all));
        for (size_t i = 0; i < registry_len(all) && ret.n_names < (uint32_t)most; i++) {
                const Network *net = registry_at(all, i);

                if (net->active == active)
                        ret.names[ret.n_names++] = net->name;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_networks(Call *call, const WireConnectListNetworksArgs *args, Error *err)
{
        return list_names(call, args->maxnames, true, err);
}

int handle_connect_list_defined_networks(Call *call, const WireConnectListDefinedNetworksArgs *args, Error *err)
{
        return list_names(call, args->maxnames, false, err);
}

static bool is_wanted(const Network *net, uint32_t flags)
{
        return list_passes(flags, LIST_ACTIVITY,
                           net->active ? VIR_CONNECT_LIST_NETWORKS_ACTIVE : VIR_CONNECT_LIST_NETWORKS_INACTIVE) &&
               list_passes(flags, LIST_PERSISTENCE,
                           net->persistent ? VIR_CONNECT_LIST_NETWORKS_PERSISTENT
                                           : VIR_CONNECT_LIST_NETWORKS_TRANSIENT) &&
               list_passes(flags, LIST_AUTOSTART,
                           net->autostart ? VIR_CONNECT_LIST_NETWORKS_AUTOSTART
                                          : VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART);
}

int handle_connect_list_all_networks(Call *call, const WireConnectListAllNetworksArgs *args, Error *err)
{
        const Registry *all = call_driver(call)->networks;
        WireConnectListAllNetworksRet ret = { 0 };

        if (call_check_flags(call, args->flags, LIST_ACTIVITY | LIST_PERSISTENCE | LIST_AUTOSTART, err) < 0)
                return -1;
        if (args->need_results)
                ret.nets = arena_new_array(call_arena(call), WireNetwork, registry_len(all));
        for (size_t i = 0; i < registry_len(all); i++) {
                const Network *net = registry_at(all, i);

                if (!is_wanted(net, args->flags))
                        continue;
                if (ret.ret++ < LIST_MOST && args->need_results)
                        ret.nets[ret.n_nets++] = wire_network(net);
        }
        if (args->need_results && ret.ret > LIST_MOST)
                return err_set(err, ERR_RPC, "there are %u networks; a list holds at most %d, so ask for fewer",
                               ret.ret, LIST_MOST);
        call_reply(call, &ret);
        return 0;
}

/* --- one --- */

int handle_network_is_active(Call *call, const WireNetworkIsActiveArgs *args, Error *err)
{
        const Network *net = find_network(call, &args->net, err);

        if (!net)
                return -1;
        call_reply(call, &(WireNetworkIsActiveRet){ .active = net->active });
        return 0;
}

int handle_network_is_persistent(Call *call, const WireNetworkIsPersistentArgs *args, Error *err)
{
        const Network *net = find_network(call, &args->net, err);

        if (!net)
                return -1;
        call_reply(call, &(WireNetworkIsPersistentRet){ .persistent = net->persistent });
        return 0;
}

int handle_network_get_autostart(Call *call, const WireNetworkGetAutostartArgs *args, Error *err)
{
        const Network *net = find_network(call, &args->net, err);

        if (!net)
                return -1;
        call_reply(call, &(WireNetworkGetAutostartRet){ .autostart = net->autostart });
        return 0;
}

int handle_network_get_bridge_name(Call *call, const WireNetworkGetBridgeNameArgs *args, Error *err)
{
        const Network *net = find_network(call, &args->net, err);

        if (!net)
                return -1;
        if (!network_def(net)->bridge)
                return err_set(err, ERR_INTERNAL, "network '%s' does not have a bridge name.", net->name);
        call_reply(call, &(WireNetworkGetBridgeNameRet){ .name = network_def(net)->bridge });
        return 0;
}

/* How many guests are on it stands in the description of an active network, and on each device it gives out. */
static void count_connections(const Network *net, Call *call, NetworkDef *def)
{
        NetworkPort *ports;
        size_t n = network_ports(net, call_arena(call), &ports);

        def->connections = (uint32_t)n;
        for (uint32_t i = 0; def->forward && i < def->forward->n_interfaces; i++) {
                ForwardInterfaceDef *device = def->forward->interfaces[i];

                for (size_t p = 0; p < n; p++)
                        device->connections += str_eq(ports[p].interface->source_dev, device->dev);
        }
}

int handle_network_get_xml_desc(Call *call, const WireNetworkGetXmlDescArgs *args, Error *err)
{
        const Network *net;
        bool inactive = args->flags & VIR_NETWORK_XML_INACTIVE;
        AUTO(NetworkDef) *def = NULL;
        AUTO(Buf) text = { 0 };

        if (call_check_flags(call, args->flags, VIR_NETWORK_XML_INACTIVE, err) < 0 ||
            !(net = find_network(call, &args->net, err)))
                return -1;
        def = network_def_copy(inactive && net->config ? net->config : network_def(net));
        if (net->active && !inactive)
                count_connections(net, call, def);
        network_def_format(def, inactive ? DEF_FORMAT_INACTIVE : 0, &text);
        call_reply(call, &(WireNetworkGetXmlDescRet){ .xml = buf_text(&text) });
        return 0;
}
