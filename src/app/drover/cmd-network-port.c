/*
 * app/drover/cmd-network-port.c - who is on a network
 */
#include "app/drover/commands.h"
#include "app/drover/network.h"

static int only_one(const Args *args, Error *err)
{
        if (arg_has(args, "table") && arg_has(args, "uuid"))
                return err_set(err, ERR_INVALID_ARG, "Only one argument from --table and --uuid may be specified.");
        return 0;
}

static int port_list(Session *s, const Args *args, Error *err)
{
        AUTO(Table) *table = table_new(TITLES("UUID"));
        WireNetworkListAllPortsArgs call = { .need_results = 1 };
        WireNetworkListAllPortsRet ret;

        if (only_one(args, err) < 0 || find_network(s, args, &call.network, err) < 0 ||
            session_call(s, WIRE_PROC_NETWORK_LIST_ALL_PORTS, &call, &ret, err) < 0)
                return -1;
        for (uint32_t i = 0; i < ret.n_ports; i++) {
                char text[UUID_TEXT_LEN + 1];

                uuid_format(&ret.ports[i].uuid, text);
                table_add(table, CELLS(text));
                if (arg_has(args, "uuid"))
                        out_print(s->out, "%s\n", text);
        }
        if (!arg_has(args, "uuid") || output_is_json(s->out))
                out_table(s->out, table);
        return 0;
}

static int port_dumpxml(Session *s, const Args *args, Error *err)
{
        WireNetworkPortGetXmlDescArgs call = { 0 };
        WireNetworkPortGetXmlDescRet ret;

        if (uuid_parse(arg_text(args, "port"), &call.port.uuid) < 0)
                return err_set(err, ERR_INVALID_ARG, "'%s' is no UUID", arg_text(args, "port"));
        if (find_network(s, args, &call.port.net, err) < 0 ||
            session_call(s, WIRE_PROC_NETWORK_PORT_GET_XML_DESC, &call, &ret, err) < 0)
                return -1;
        return print_xml(s, args, ret.xml, err);
}

static int port_create(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *xml = read_text_file(arg_text(args, "file"), err);
        WireNetworkPortCreateXmlArgs call = { .xml = xml };
        WireNetworkPortCreateXmlRet ret;
        char text[UUID_TEXT_LEN + 1];

        call.flags = arg_has(args, "validate") ? VIR_NETWORK_PORT_CREATE_VALIDATE : 0;
        if (!xml || find_network(s, args, &call.network, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_PORT_CREATE_XML, &call, &ret, err) < 0)
                return fail(err, "Failed to create network from %s", arg_text(args, "file"));
        out_done(s->out, "Network port %s created from %s", uuid_format(&ret.port.uuid, text),
                 arg_text(args, "file"));
        return 0;
}

static int port_delete(Session *s, const Args *args, Error *err)
{
        WireNetworkPortDeleteArgs call = { 0 };
        char text[UUID_TEXT_LEN + 1];

        if (uuid_parse(arg_text(args, "port"), &call.port.uuid) < 0)
                return err_set(err, ERR_INVALID_ARG, "'%s' is no UUID", arg_text(args, "port"));
        if (find_network(s, args, &call.port.net, err) < 0)
                return -1;
        uuid_format(&call.port.uuid, text);
        if (session_call(s, WIRE_PROC_NETWORK_PORT_DELETE, &call, NULL, err) < 0)
                return fail(err, "Failed to delete network port %s", text);
        out_done(s->out, "Network port %s deleted", text);
        return 0;
}

const Command network_port_commands[] = {
        { .name = "net-port-list",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "[--uuid]   print UUIDs only\n"
                              "[--table]  print a table, as without",
          .summary = "list the interfaces of guests on a network",
          .run = port_list },
        { .name = "net-port-create",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "FILE          description of the port, an XML file\n"
                              "[--validate]  refuse what the schema does not know",
          .summary = "make a port for somebody else on a network",
          .text = "Guests' ports come with their interfaces. This is for others: the port counts as one of the network, and is "
                  "promised what it asks for, until it is deleted or the network is stopped.",
          .run = port_create },
        { .name = "net-port-delete",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "PORT  UUID of the port",
          .summary = "delete a port that net-port-create made",
          .run = port_delete },
        { .name = "net-port-dumpxml",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "PORT  UUID of the port\n" ARGS_XML,
          .summary = "print a port of a network as XML",
          .run = port_dumpxml },
        { 0 },
};
