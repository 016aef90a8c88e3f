/*
 * app/drover/cmd-network.c - virtual networks, as virsh has them
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/editor.h"
#include "app/drover/network.h"

#include "base/mac.h"
#include "base/str.h"

#include <strings.h>
#include <time.h>

enum { INFO_COLUMN = 16 };

int find_network(Session *s, const Args *args, WireNetwork *ret, Error *err)
{
        const char *text = arg_text(args, "network");
        WireNetworkLookupByNameRet found;
        WireNetworkLookupByUuidArgs by_uuid;

        if (session_open(s, err) < 0)
                return -1;
        if (uuid_parse(text, &by_uuid.uuid) == 0) {
                AUTO(Error) why = { 0 };
                WireNetworkLookupByUuidRet same;

                if (session_call(s, WIRE_PROC_NETWORK_LOOKUP_BY_UUID, &by_uuid, &same, &why) == 0) {
                        *ret = same.net;
                        return 0;
                }
        }
        if (session_call(s, WIRE_PROC_NETWORK_LOOKUP_BY_NAME, &(WireNetworkLookupByNameArgs){ text }, &found, err) <
            0)
                return fail(err, "failed to get network '%s'", text);
        *ret = found.net;
        return 0;
}

/* --- lists --- */

static const SwitchFlag filters[] = {
        { "persistent", VIR_CONNECT_LIST_NETWORKS_PERSISTENT },
        { "transient", VIR_CONNECT_LIST_NETWORKS_TRANSIENT },
        { "autostart", VIR_CONNECT_LIST_NETWORKS_AUTOSTART },
        { "no-autostart", VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART },
        { 0 },
};

static int compare_names(const void *a, const void *b)
{
        return strcasecmp(((const WireNetwork *)a)->name, ((const WireNetwork *)b)->name);
}

typedef struct State {
        bool active, persistent, autostart;
} State;

static int get_state(Session *s, const WireNetwork *net, State *ret, Error *err)
{
        WireNetworkIsActiveRet active;
        WireNetworkIsPersistentRet persistent;
        WireNetworkGetAutostartRet autostart;

        if (session_call(s, WIRE_PROC_NETWORK_IS_ACTIVE, &(WireNetworkIsActiveArgs){ *net }, &active, err) < 0 ||
            session_call(s, WIRE_PROC_NETWORK_IS_PERSISTENT, &(WireNetworkIsPersistentArgs){ *net }, &persistent,
                         err) < 0 ||
            session_call(s, WIRE_PROC_NETWORK_GET_AUTOSTART, &(WireNetworkGetAutostartArgs){ *net }, &autostart,
                         err) < 0)
                return -1;
        *ret = (State){ active.active == 1, persistent.persistent == 1, autostart.autostart == 1 };
        return 0;
}

static const char *yes_no(bool is)
{
        return is ? "yes" : "no";
}

static int print_table(Session *s, const WireNetwork *nets, uint32_t n, bool titles, Error *err)
{
        AUTO(Table) *table = table_new(titles ? TITLES("Name", "State", "Autostart?", "Persistent?", "Title")
                                              : TITLES("Name", "State", "Autostart?", "Persistent?"));

        for (uint32_t i = 0; i < n; i++) {
                AUTO(Error) why = { 0 };
                const char *title = NULL;
                State state;

                if (get_state(s, &nets[i], &state, &why) < 0 ||
                    (titles && !(title = network_words(s, &nets[i], VIR_NETWORK_METADATA_TITLE, 0, &why)))) {
                        if (why.code == ERR_NO_NETWORK)
                                continue; /* it went away in between */
                        return err_move(err, &why);
                }
                table_add(table, CELLS(nets[i].name, state.active ? "active" : "inactive", yes_no(state.autostart),
                                       yes_no(state.persistent), title));
        }
        out_table(s->out, table);
        return 0;
}

static int list(Session *s, const Args *args, Error *err)
{
        uint32_t flags = VIR_CONNECT_LIST_NETWORKS_ACTIVE;
        bool names = arg_has(args, "name"), uuids = arg_has(args, "uuid");
        WireConnectListAllNetworksRet found;

        if (arg_has(args, "table") + names + uuids > 1)
                return err_set(err, ERR_INVALID_ARG,
                               "Only one argument from --table, --name and --uuid may be specified.");
        if (arg_has(args, "inactive"))
                flags = VIR_CONNECT_LIST_NETWORKS_INACTIVE;
        if (arg_has(args, "all"))
                flags = VIR_CONNECT_LIST_NETWORKS_ACTIVE | VIR_CONNECT_LIST_NETWORKS_INACTIVE;
        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_NETWORKS,
                         &(WireConnectListAllNetworksArgs){ 1, flags | switch_flags(args, filters) }, &found,
                         err) < 0)
                return fail(err, "Failed to list networks");
        if (found.n_nets)
                qsort(found.nets, found.n_nets, sizeof(found.nets[0]), compare_names);
        if (!names && !uuids)
                return print_table(s, found.nets, found.n_nets, arg_has(args, "title"), err);
        out_list(s->out);
        for (uint32_t i = 0; i < found.n_nets; i++) {
                char text[UUID_TEXT_LEN + 1];
                const char *word = names ? found.nets[i].name : uuid_format(&found.nets[i].uuid, text);
                struct json_object *object = json_object_new_object();

                out_print(s->out, "%s\n", word);
                json_object_object_add(object, names ? "name" : "uuid", json_object_new_string(word));
                out_add(s->out, object);
        }
        return 0;
}

static int info(Session *s, const Args *args, Error *err)
{
        WireNetworkGetBridgeNameRet bridge;
        char text[UUID_TEXT_LEN + 1];
        WireNetwork net;
        State state;

        if (find_network(s, args, &net, err) < 0 || get_state(s, &net, &state, err) < 0)
                return -1;
        out_field(s->out, INFO_COLUMN, "Name", "%s", net.name);
        out_field(s->out, INFO_COLUMN, "UUID", "%s", uuid_format(&net.uuid, text));
        out_yes_no(s->out, INFO_COLUMN, "Active", state.active);
        out_yes_no(s->out, INFO_COLUMN, "Persistent", state.persistent);
        out_yes_no(s->out, INFO_COLUMN, "Autostart", state.autostart);
        if (session_call(s, WIRE_PROC_NETWORK_GET_BRIDGE_NAME, &(WireNetworkGetBridgeNameArgs){ net }, &bridge,
                         NULL) == 0)
                out_field(s->out, INFO_COLUMN, "Bridge", "%s", bridge.name);
        return 0;
}

static int name(Session *s, const Args *args, Error *err)
{
        WireNetwork net;

        if (find_network(s, args, &net, err) < 0)
                return -1;
        out_value(s->out, "name", net.name);
        return 0;
}

static int uuid(Session *s, const Args *args, Error *err)
{
        char text[UUID_TEXT_LEN + 1];
        WireNetwork net;

        if (find_network(s, args, &net, err) < 0)
                return -1;
        out_value(s->out, "uuid", uuid_format(&net.uuid, text));
        return 0;
}

/* --- definitions --- */

static const char *get_xml(Session *s, const WireNetwork *net, uint32_t flags, Error *err)
{
        WireNetworkGetXmlDescRet ret;

        return session_call(s, WIRE_PROC_NETWORK_GET_XML_DESC, &(WireNetworkGetXmlDescArgs){ *net, flags }, &ret,
                            err) < 0
                       ? NULL
                       : ret.xml;
}

static int dumpxml(Session *s, const Args *args, Error *err)
{
        WireNetwork net;
        const char *xml;

        if (find_network(s, args, &net, err) < 0 ||
            !(xml = get_xml(s, &net, arg_has(args, "inactive") ? VIR_NETWORK_XML_INACTIVE : 0, err)))
                return -1;
        return print_xml(s, args, xml, err);
}

static int define(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *xml = read_text_file(arg_text(args, "file"), err);
        WireNetworkDefineXmlFlagsRet ret;
        uint32_t flags = arg_has(args, "validate") ? VIR_NETWORK_DEFINE_VALIDATE : 0;

        if (!xml || session_open(s, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_DEFINE_XML_FLAGS, &(WireNetworkDefineXmlFlagsArgs){ xml, flags }, &ret,
                         err) < 0)
                return fail(err, "Failed to define network from %s", arg_text(args, "file"));
        out_done(s->out, "Network %s defined from %s", ret.net.name, arg_text(args, "file"));
        return 0;
}

static int create(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *xml = read_text_file(arg_text(args, "file"), err);
        WireNetworkCreateXmlFlagsRet ret;
        uint32_t flags = arg_has(args, "validate") ? VIR_NETWORK_CREATE_VALIDATE : 0;

        if (!xml || session_open(s, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_CREATE_XML_FLAGS, &(WireNetworkCreateXmlFlagsArgs){ xml, flags }, &ret,
                         err) < 0)
                return fail(err, "Failed to create network from %s", arg_text(args, "file"));
        out_done(s->out, "Network %s created from %s", ret.net.name, arg_text(args, "file"));
        return 0;
}

static const char *fetch_definition(Session *s, void *arg, Error *err)
{
        return get_xml(s, arg, VIR_NETWORK_XML_INACTIVE, err);
}

static int apply_definition(Session *s, void *arg UNUSED, const char *text, Error *err)
{
        WireNetworkDefineXmlRet ret;

        return session_call(s, WIRE_PROC_NETWORK_DEFINE_XML, &(WireNetworkDefineXmlArgs){ text }, &ret, err);
}

static int edit_definition(Session *s, const Args *args, Error *err)
{
        WireNetwork net;
        Edit what = { .fetch = fetch_definition, .apply = apply_definition, .arg = &net };

        if (find_network(s, args, &net, err) < 0)
                return -1;
        switch (edit(s, &what, err)) {
        case EDIT_FAILED:
                return -1;
        case EDIT_UNCHANGED:
                out_done(s->out, "Network %s XML configuration not changed.", net.name);
                return 0;
        case EDIT_APPLIED:
                out_done(s->out, "Network %s XML configuration edited.", net.name);
                return 0;
        }
        return -1;
}

/* --- acts --- */

static int start(Session *s, const Args *args, Error *err)
{
        WireNetworkCreateArgs call;

        if (find_network(s, args, &call.net, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_CREATE, &call, NULL, err) < 0)
                return fail(err, "Failed to start network %s", call.net.name);
        out_done(s->out, "Network %s started", call.net.name);
        return 0;
}

static int destroy(Session *s, const Args *args, Error *err)
{
        WireNetworkDestroyArgs call;

        if (find_network(s, args, &call.net, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_DESTROY, &call, NULL, err) < 0)
                return fail(err, "Failed to destroy network %s", call.net.name);
        out_done(s->out, "Network %s destroyed", call.net.name);
        return 0;
}

static int undefine(Session *s, const Args *args, Error *err)
{
        WireNetworkUndefineArgs call;

        if (find_network(s, args, &call.net, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_UNDEFINE, &call, NULL, err) < 0)
                return fail(err, "Failed to undefine network %s", call.net.name);
        out_done(s->out, "Network %s has been undefined", call.net.name);
        return 0;
}

static int autostart(Session *s, const Args *args, Error *err)
{
        bool off = arg_has(args, "disable");
        WireNetworkSetAutostartArgs call = { .autostart = !off };

        if (find_network(s, args, &call.net, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_SET_AUTOSTART, &call, NULL, err) < 0)
                return fail(err, "failed to %smark network %s as autostarted", off ? "un" : "", call.net.name);
        out_done(s->out, "Network %s %smarked as autostarted", call.net.name, off ? "un" : "");
        return 0;
}

/* --- updates --- */

typedef struct Word {
        const char *word;
        uint32_t number;
} Word;

static const Word commands[] = {
        { "add", VIR_NETWORK_UPDATE_COMMAND_ADD_LAST },        { "add-last", VIR_NETWORK_UPDATE_COMMAND_ADD_LAST },
        { "add-first", VIR_NETWORK_UPDATE_COMMAND_ADD_FIRST }, { "delete", VIR_NETWORK_UPDATE_COMMAND_DELETE },
        { "modify", VIR_NETWORK_UPDATE_COMMAND_MODIFY },
};
static const Word sections[] = {
        { "bridge", VIR_NETWORK_SECTION_BRIDGE },
        { "domain", VIR_NETWORK_SECTION_DOMAIN },
        { "ip", VIR_NETWORK_SECTION_IP },
        { "ip-dhcp-host", VIR_NETWORK_SECTION_IP_DHCP_HOST },
        { "ip-dhcp-range", VIR_NETWORK_SECTION_IP_DHCP_RANGE },
        { "forward", VIR_NETWORK_SECTION_FORWARD },
        { "forward-interface", VIR_NETWORK_SECTION_FORWARD_INTERFACE },
        { "forward-pf", VIR_NETWORK_SECTION_FORWARD_PF },
        { "portgroup", VIR_NETWORK_SECTION_PORTGROUP },
        { "dns-host", VIR_NETWORK_SECTION_DNS_HOST },
        { "dns-txt", VIR_NETWORK_SECTION_DNS_TXT },
        { "dns-srv", VIR_NETWORK_SECTION_DNS_SRV },
};

static int number_of(const char *word, const Word *words, size_t n, const char *what, uint32_t *ret, Error *err)
{
        for (size_t i = 0; i < n; i++) {
                if (str_eq(words[i].word, word)) {
                        *ret = words[i].number;
                        return 0;
                }
        }
        return err_set(err, ERR_INVALID_ARG, "unrecognized %s name '%s'", what, word);
}

static int update(Session *s, const Args *args, Error *err)
{
        const char *given = arg_text(args, "xml");
        AUTOFREE char *xml = *given == '<' ? str_dup(given) : read_text_file(given, err);
        WireNetworkUpdateArgs call = { .parentIndex = -1, .xml = xml };
        bool live = arg_has(args, "live"), config = arg_has(args, "config");

        if (!xml || refuse_both(args, "current", "live", err) < 0 ||
            refuse_both(args, "current", "config", err) < 0 ||
            number_of(arg_text(args, "command"), commands, ARRAY_LEN(commands), "command", &call.command, err) < 0 ||
            number_of(arg_text(args, "section"), sections, ARRAY_LEN(sections), "section", &call.section, err) < 0 ||
            arg_i32(args, "parent-index", &call.parentIndex, err) < 0 || find_network(s, args, &call.net, err) < 0)
                return -1;
        call.flags = (live ? VIR_NETWORK_UPDATE_AFFECT_LIVE : 0) | (config ? VIR_NETWORK_UPDATE_AFFECT_CONFIG : 0);
        if (session_call(s, WIRE_PROC_NETWORK_UPDATE, &call, NULL, err) < 0)
                return fail(err, "Failed to update network %s", call.net.name);
        if (!live && !config) {
                WireNetworkIsActiveRet active;

                if (session_call(s, WIRE_PROC_NETWORK_IS_ACTIVE, &(WireNetworkIsActiveArgs){ call.net }, &active,
                                 err) < 0)
                        return -1;
                live = active.active == 1;
        }
        out_done(s->out, "Updated network %s %s", call.net.name,
                 live && config ? "persistent config and live state"
                 : live         ? "live state"
                                : "persistent config");
        return 0;
}

/* --- who is on it --- */

/* Programs are told when it ends in seconds since 1970. */
static void add_lease(const Session *s, Table *table, const WireNetworkDhcpLease *lease)
{
        AUTOFREE char *address = str_format("%s/%u", lease->ipaddr, lease->prefix);
        char expiry[32] = "-";
        time_t at = (time_t)lease->expirytime;
        struct tm parts;

        if (at > 0 && output_is_json(s->out))
                snprintf(expiry, sizeof(expiry), "%lld", (long long)at);
        else if (at > 0 && localtime_r(&at, &parts))
                strftime(expiry, sizeof(expiry), "%Y-%m-%d %H:%M:%S", &parts);
        table_add(table, CELLS(expiry, lease->mac ?: "-", lease->type == VIR_IP_ADDR_TYPE_IPV6 ? "ipv6" : "ipv4",
                               address, lease->hostname ?: "-", lease->clientid ?: "-"));
}

static int leases(Session *s, const Args *args, Error *err)
{
        AUTO(Table) *table = table_new(
                TITLES("Expiry Time#", "MAC address~", "Protocol", "IP address", "Hostname~", "Client ID or DUID~"));
        WireNetworkGetDhcpLeasesArgs call = { .mac = arg_text(args, "mac"), .need_results = 1 };
        WireNetworkGetDhcpLeasesRet ret;

        if (find_network(s, args, &call.net, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NETWORK_GET_DHCP_LEASES, &call, &ret, err) < 0)
                return fail(err, "Failed to get leases info for %s", call.net.name);
        for (uint32_t i = 0; i < ret.n_leases; i++)
                add_lease(s, table, &ret.leases[i]);
        out_table(s->out, table);
        return 0;
}

const Command network_commands[] = {
        { .name = "net-list",
          .group = GROUP_NETWORK,
          .args = "[--inactive]      networks that are not active\n"
                  "[--all]           active and inactive ones\n"
                  "[--persistent]    networks with a definition\n"
                  "[--transient]     networks without one\n"
                  "[--autostart]     networks that start with the host\n"
                  "[--no-autostart]  networks that do not\n"
                  "[--name]          print names only\n"
                  "[--uuid]          print UUIDs only\n"
                  "[--table]         print a table, as without any of these\n"
                  "[--title]         show each network's title",
          .summary = "list networks",
          .text = "Lists those that are active, unless told otherwise.",
          .run = list },
        { .name = "net-info",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK,
          .summary = "say how a network is",
          .run = info },
        { .name = "net-name",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK,
          .summary = "print the name of a network",
          .run = name },
        { .name = "net-uuid",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK,
          .summary = "print the UUID of a network",
          .run = uuid },
        { .name = "net-dumpxml",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "[--inactive]    the definition that the next start uses\n" ARGS_XML,
          .summary = "print a network's definition as XML",
          .run = dumpxml },
        { .name = "net-define",
          .group = GROUP_NETWORK,
          .args = "FILE          definition, an XML file\n"
                  "[--validate]  refuse what the schema does not know",
          .summary = "define a network, or change its definition",
          .text = "An active network sees the change when it is started the next time.",
          .run = define },
        { .name = "net-create",
          .group = GROUP_NETWORK,
          .args = "FILE          definition, an XML file\n"
                  "[--validate]  refuse what the schema does not know",
          .summary = "start a network without keeping its definition",
          .run = create },
        { .name = "net-edit",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK,
          .summary = "change a network's definition in an editor",
          .text = "Uses $VISUAL or $EDITOR, else vi.",
          .run = edit_definition },
        { .name = "net-start",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK,
          .summary = "start a network",
          .run = start },
        { .name = "net-destroy",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK,
          .summary = "stop a network",
          .text = "Guests on it run on without it, and are on it again when it is started.",
          .run = destroy },
        { .name = "net-undefine",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK,
          .summary = "remove a network's definition",
          .text = "An active network goes on until it is stopped.",
          .run = undefine },
        { .name = "net-autostart",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "[--disable]  do not start it with the host",
          .summary = "start a network with the host",
          .run = autostart },
        { .name = "net-update",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK
          "COMMAND{add,add-first,add-last,delete,modify}  what to do\n"
          "SECTION{ip-dhcp-host,ip-dhcp-range,forward-interface,portgroup,dns-host,dns-txt,dns-srv}  with what\n"
          "XML:FILE                 the element: XML, or a file\n"
          "[--parent-index NUMBER]  which <ip> it belongs to\n"
          "[--config]               affect the definition\n"
          "[--live]                 affect the active network\n"
          "[--current]              affect the network as it is: active or not",
          .summary = "change one element of a network",
          .run = update },
        { .name = "net-dhcp-leases",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "[--mac MAC]  of this MAC address only",
          .summary = "list the addresses that a network gave out",
          .run = leases },
        { 0 },
};
