/*
 * daemon/handle-network-port.c - which interfaces of guests are on a network
 *
 * Ports are not kept: they are what the live definitions of guests say.
 */
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/handle-network.h"
#include "daemon/handlers.h"
#include "model/domain.h"

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

static void put_port(const Network *net, const NetworkPort *port, Buf *ret)
{
        const InterfaceDef *interface = port->interface;
        char text[UUID_TEXT_LEN + 1], mac[MAC_TEXT_LEN + 1];

        buf_format(ret, "<networkport>\n  <uuid>%s</uuid>\n  <owner>\n    <name>", uuid_format(&port->id, text));
        xml_put_escaped(ret, port->dom->name);
        buf_format(ret, "</name>\n    <uuid>%s</uuid>\n  </owner>\n  <mac address='%s'/>\n",
                   uuid_format(&port->dom->uuid, text), mac_format(&interface->mac, mac));
        if (interface->portgroup) {
                buf_put_text(ret, "  <group>");
                xml_put_escaped(ret, interface->portgroup);
                buf_put_text(ret, "</group>\n");
        }
        if (interface->bandwidth)
                fields_format(&bandwidth_def_info, interface->bandwidth, "bandwidth", NULL, 1, 0, ret);
        buf_format(ret, "  <rxfilters trustGuest='%s'/>\n",
                   interface->trust_guest_rx_filters == SWITCH_ON ? "yes" : "no");
        if (interface->port_isolated)
                buf_format(ret, "  <port isolated='%s'/>\n", interface->port_isolated == SWITCH_ON ? "yes" : "no");
        if (interface->source_dev)
                buf_format(ret, "  <plug type='direct' dev='%s' mode='%s'/>\n", interface->source_dev,
                           direct_mode_text(interface->direct_mode) ?: "vepa");
        else
                buf_format(ret, "  <plug type='%s' bridge='%s'/>\n",
                           network_has_own_bridge(net->live) ? "network" : "bridge", interface->bridge ?: "");
        buf_put_text(ret, "</networkport>\n");
}

int handle_network_port_get_xml_desc(Call *call, const WireNetworkPortGetXmlDescArgs *args, Error *err)
{
        const Network *net;
        AUTO(Buf) text = { 0 };
        NetworkPort port;

        if (call_check_flags(call, args->flags, 0, err) < 0 ||
            find_port(call, &args->port.net, &args->port.uuid, &net, &port, err) < 0)
                return -1;
        put_port(net, &port, &text);
        call_reply(call, &(WireNetworkPortGetXmlDescRet){ .xml = buf_text(&text) });
        return 0;
}
