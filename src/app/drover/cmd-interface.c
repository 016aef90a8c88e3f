/*
 * app/drover/cmd-interface.c - network interfaces of the host
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/xml.h"

#include "base/mac.h"
#include "base/str.h"

#include <strings.h>

#define ARG_INTERFACE "INTERFACE:IFACE  interface of the host: name or MAC address\n"

static int find_interface(Session *s, const char *text, WireInterface *ret, Error *err)
{
        WireInterfaceLookupByMacStringRet by_mac;
        WireInterfaceLookupByNameRet by_name;
        Mac mac;

        if (session_open(s, err) < 0)
                return -1;
        if (mac_parse(text, &mac) == 0) {
                if (session_call(s, WIRE_PROC_INTERFACE_LOOKUP_BY_MAC_STRING,
                                 &(WireInterfaceLookupByMacStringArgs){ text }, &by_mac, err) < 0)
                        return fail(err, "failed to get interface '%s'", text);
                *ret = by_mac.iface;
                return 0;
        }
        if (session_call(s, WIRE_PROC_INTERFACE_LOOKUP_BY_NAME, &(WireInterfaceLookupByNameArgs){ text }, &by_name,
                         err) < 0)
                return fail(err, "failed to get interface '%s'", text);
        *ret = by_name.iface;
        return 0;
}

static int compare_names(const void *a, const void *b)
{
        return strcasecmp(((const WireInterface *)a)->name, ((const WireInterface *)b)->name);
}

static int list(Session *s, const Args *args, Error *err)
{
        AUTO(Table) *table = table_new(TITLES("Name", "State", "MAC Address"));
        uint32_t flags = arg_has(args, "all")
                                 ? VIR_CONNECT_LIST_INTERFACES_ACTIVE | VIR_CONNECT_LIST_INTERFACES_INACTIVE
                         : arg_has(args, "inactive") ? VIR_CONNECT_LIST_INTERFACES_INACTIVE
                                                     : VIR_CONNECT_LIST_INTERFACES_ACTIVE;
        WireConnectListAllInterfacesRet found;

        if (refuse_both(args, "all", "inactive", err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_INTERFACES, &(WireConnectListAllInterfacesArgs){ 1, flags },
                         &found, err) < 0)
                return fail(err, "Failed to list interfaces");
        if (found.n_ifaces)
                qsort(found.ifaces, found.n_ifaces, sizeof(found.ifaces[0]), compare_names);
        for (uint32_t i = 0; i < found.n_ifaces; i++) {
                WireInterfaceIsActiveRet is;

                if (session_call(s, WIRE_PROC_INTERFACE_IS_ACTIVE, &(WireInterfaceIsActiveArgs){ found.ifaces[i] },
                                 &is, err) < 0)
                        return -1;
                table_add(table,
                          CELLS(found.ifaces[i].name, is.active == 1 ? "active" : "inactive", found.ifaces[i].mac));
        }
        out_table(s->out, table);
        return 0;
}

static int dumpxml(Session *s, const Args *args, Error *err)
{
        WireInterfaceGetXmlDescArgs call = { .flags = arg_has(args, "inactive") ? VIR_INTERFACE_XML_INACTIVE : 0 };
        WireInterfaceGetXmlDescRet ret;

        if (find_interface(s, arg_text(args, "interface"), &call.iface, err) < 0 ||
            session_call(s, WIRE_PROC_INTERFACE_GET_XML_DESC, &call, &ret, err) < 0)
                return -1;
        return print_xml(s, args, ret.xml, err);
}

static int name(Session *s, const Args *args, Error *err)
{
        WireInterface iface;

        if (find_interface(s, arg_text(args, "interface"), &iface, err) < 0)
                return -1;
        out_value(s->out, "name", iface.name);
        return 0;
}

static int mac(Session *s, const Args *args, Error *err)
{
        WireInterface iface;

        if (find_interface(s, arg_text(args, "interface"), &iface, err) < 0)
                return -1;
        out_value(s->out, "mac", iface.mac);
        return 0;
}

/* What `brctl show` said; the daemon's reports have it all. */
static int add_bridge(Session *s, const WireInterface *iface, Table *table, Error *err)
{
        WireInterfaceGetXmlDescRet ret;
        XmlNode *nodes[MOST_NODES];
        AUTOFREE char *id = NULL, *stp = NULL;
        AUTO(Buf) members = { 0 };
        AUTO(Xml) *xml = NULL;
        size_t n;

        if (session_call(s, WIRE_PROC_INTERFACE_GET_XML_DESC, &(WireInterfaceGetXmlDescArgs){ .iface = *iface }, &ret,
                         err) < 0 ||
            !(xml = xml_read(ret.xml, err)))
                return -1;
        if (!xml_has(xml, NULL, "/interface/bridge"))
                return 0;
        n = xml_nodes(xml, NULL, "/interface/bridge/interface", nodes, MOST_NODES);
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *member = xml_text(xml, nodes[i], "@name");

                buf_format(&members, "%s%s", i ? " " : "", member ?: "?");
        }
        id = xml_text(xml, NULL, "/interface/bridge/@id");
        stp = xml_text(xml, NULL, "/interface/bridge/@stp");
        table_add(table, CELLS(iface->name, id ?: "-", stp ?: "-", n ? buf_text(&members) : "-"));
        return 0;
}

static int bridges(Session *s, const Args *args UNUSED, Error *err)
{
        AUTO(Table) *table = table_new(TITLES("Name", "Bridge ID~", "STP~", "Members~"));
        WireConnectListAllInterfacesRet found;

        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_INTERFACES, &(WireConnectListAllInterfacesArgs){ 1, 0 },
                         &found, err) < 0)
                return fail(err, "Failed to list interfaces");
        if (found.n_ifaces)
                qsort(found.ifaces, found.n_ifaces, sizeof(found.ifaces[0]), compare_names);
        for (uint32_t i = 0; i < found.n_ifaces; i++) {
                AUTO(Error) why = { 0 };

                if (add_bridge(s, &found.ifaces[i], table, &why) < 0 && why.code != ERR_NO_INTERFACE)
                        return err_move(err, &why);
        }
        out_table(s->out, table);
        return 0;
}

const Command interface_commands[] = {
        { .name = "iface-list",
          .group = GROUP_INTERFACE,
          .args = "[--inactive]  interfaces whose link is down\n"
                  "[--all]       all of them",
          .summary = "list network interfaces of the host",
          .text = "Parts of a bridge or bond are shown in its definition.",
          .run = list },
        { .name = "iface-bridges",
          .group = GROUP_INTERFACE,
          .summary = "list bridges of the host with their members",
          .text = "A daemon that is not drover does not say which identity a bridge has.",
          .run = bridges },
        { .name = "iface-dumpxml",
          .group = GROUP_INTERFACE,
          .args = ARG_INTERFACE "[--inactive]    as it would be without its link\n"
                                "[--xpath=EXPR]  only what this XPath expression finds\n"
                                "[--wrap]        in one root element",
          .summary = "print an interface of the host as XML",
          .run = dumpxml },
        { .name = "iface-name",
          .group = GROUP_INTERFACE,
          .args = ARG_INTERFACE,
          .summary = "print the name of an interface of the host",
          .run = name },
        { .name = "iface-mac",
          .group = GROUP_INTERFACE,
          .args = ARG_INTERFACE,
          .summary = "print the MAC address of an interface of the host",
          .run = mac },
        { 0 },
};
