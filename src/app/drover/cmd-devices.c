/*
 * app/drover/cmd-devices.c - which disks and interfaces a guest has
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/xml.h"

#include "base/str.h"

enum { LABEL_WIDTH = 16 };

#define DISK_SOURCE "source/@file|source/@dev|source/@dir|source/@name|source/@volume"
#define NIC_SOURCE  "source/@bridge|source/@dev|source/@network|source/@name|source/@path"

static Xml *parse_definition(Session *s, const Args *args, uint32_t flags, WireDomain *dom, Error *err)
{
        const char *text;

        if (find_domain(s, args, dom, err) < 0)
                return NULL;
        text = domain_xml(s, dom, flags, err);
        return text ? xml_read(text, err) : NULL;
}

static int domblklist(Session *s, const Args *args, Error *err)
{
        bool details = arg_has(args, "details");
        uint32_t flags = arg_has(args, "inactive") ? VIR_DOMAIN_XML_INACTIVE : 0;
        WireDomain dom;
        AUTO(Xml) *xml = parse_definition(s, args, flags, &dom, err);
        AUTO(Table) *table = table_new(details ? TITLES("Type", "Device", "Target", "Source~")
                                               : TITLES("Target", "Source~"));
        XmlNode *disks[MOST_NODES];
        size_t n;

        if (!xml)
                return -1;
        n = xml_nodes(xml, NULL, "devices/disk", disks, ARRAY_LEN(disks));
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *target = xml_text(xml, disks[i], "target/@dev");
                AUTOFREE char *source = xml_text(xml, disks[i], DISK_SOURCE);
                AUTOFREE char *type = xml_text(xml, disks[i], "@type");
                AUTOFREE char *device = xml_text(xml, disks[i], "@device");

                if (!target)
                        return err_set(err, ERR_XML, "unable to query block list: a disk has no target");
                if (details)
                        table_add(table, CELLS(type ?: "", device ?: "", target, source ?: "-"));
                else
                        table_add(table, CELLS(target, source ?: "-"));
        }
        out_table(s->out, table);
        return 0;
}

static int domiflist(Session *s, const Args *args, Error *err)
{
        uint32_t flags = arg_has(args, "inactive") ? VIR_DOMAIN_XML_INACTIVE : 0;
        WireDomain dom;
        AUTO(Xml) *xml = parse_definition(s, args, flags, &dom, err);
        AUTO(Table) *table = table_new(TITLES("Interface~", "Type~", "Source~", "Model~", "MAC~"));
        XmlNode *nics[MOST_NODES];
        size_t n;

        if (!xml)
                return -1;
        n = xml_nodes(xml, NULL, "devices/interface", nics, ARRAY_LEN(nics));
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *target = xml_text(xml, nics[i], "target/@dev");
                AUTOFREE char *type = xml_text(xml, nics[i], "@type");
                AUTOFREE char *source = xml_text(xml, nics[i], NIC_SOURCE);
                AUTOFREE char *model = xml_text(xml, nics[i], "model/@type");
                AUTOFREE char *mac = xml_text(xml, nics[i], "mac/@address");

                table_add(table, CELLS(target ?: "-", type ?: "-", source ?: "-", model ?: "-", mac ?: "-"));
        }
        out_table(s->out, table);
        return 0;
}

/* An amount as domblkinfo prints it. */
static char *amount(uint64_t bytes, bool human)
{
        const char *unit;
        double value;

        if (!human)
                return str_format("%llu", (unsigned long long)bytes);
        value = pretty_size(bytes, &unit);
        return str_format("%.3lf %s", value, unit);
}

/* Programs are given exact numbers. */
static bool in_words(const Session *s, const Args *args)
{
        return arg_has(args, "human") && !output_is_json(s->out);
}

static void add_block_info(Table *table, const char *target, const WireDomainGetBlockInfoRet *info, bool human)
{
        AUTOFREE char *capacity = info ? amount(info->capacity, human) : str_dup("-");
        AUTOFREE char *allocation = info ? amount(info->allocation, human) : str_dup("-");
        AUTOFREE char *physical = info ? amount(info->physical, human) : str_dup("-");

        table_add(table, CELLS(target, capacity, allocation, physical));
}

static int domblkinfo_all(Session *s, const Args *args, Error *err)
{
        WireDomain dom;
        AUTO(Xml) *xml = parse_definition(s, args, 0, &dom, err);
        AUTO(Table) *table = table_new(TITLES("Target", "Capacity#", "Allocation#", "Physical#"));
        XmlNode *disks[MOST_NODES];
        size_t n;

        if (!xml)
                return -1;
        n = xml_nodes(xml, NULL, "devices/disk", disks, ARRAY_LEN(disks));
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *target = xml_text(xml, disks[i], "target/@dev");
                WireDomainGetBlockInfoArgs call = { dom, target ?: "", 0 };
                WireDomainGetBlockInfoRet info;
                AUTO(Error) why = { 0 };
                bool known = xml_has(xml, disks[i], DISK_SOURCE) &&
                             session_call(s, WIRE_PROC_DOMAIN_GET_BLOCK_INFO, &call, &info, &why) == 0;

                /* An empty drive, or one whose server does not answer: the others are still worth showing. */
                if (!known && err_is_set(&why) && dom.id >= 0 && !xml_has(xml, disks[i], "source/@protocol"))
                        return err_move(err, &why);
                add_block_info(table, target ?: "", known ? &info : NULL, in_words(s, args));
        }
        out_table(s->out, table);
        return 0;
}

static void print_amount(Session *s, const char *label, uint64_t bytes, bool human)
{
        AUTOFREE char *text = amount(bytes, human);

        if (human)
                out_field(s->out, LABEL_WIDTH, label, "%s", text);
        else
                out_number(s->out, LABEL_WIDTH, label, bytes, NULL);
}

static int domblkinfo(Session *s, const Args *args, Error *err)
{
        WireDomainGetBlockInfoArgs call = { .path = arg_text(args, "device") };
        WireDomainGetBlockInfoRet info;
        bool human = in_words(s, args);

        if (refuse_both(args, "all", "device", err) < 0)
                return -1;
        if (arg_has(args, "all"))
                return domblkinfo_all(s, args, err);
        if (!call.path)
                return err_set(err, ERR_INVALID_ARG, "command 'domblkinfo' requires <device> option");
        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_BLOCK_INFO, &call, &info, err) < 0)
                return -1;
        print_amount(s, "Capacity", info.capacity, human);
        print_amount(s, "Allocation", info.allocation, human);
        print_amount(s, "Physical", info.physical, human);
        return 0;
}

/* The one interface with this target name or MAC address. */
static XmlNode *find_nic(Xml *xml, const char *name, Error *err)
{
        bool is_mac = strchr(name, ':') && strlen(name) == 17;
        AUTOFREE char *path = NULL;
        XmlNode *nic;

        if (strpbrk(name, "'\"[]")) {
                err_set(err, ERR_INVALID_ARG, "Interface (dev: %s) not found.", name);
                return NULL;
        }
        path = is_mac ? str_format("devices/interface[translate(mac/@address,'ABCDEF','abcdef')="
                                   "translate('%s','ABCDEF','abcdef')]",
                                   name)
                      : str_format("devices/interface[target/@dev='%s']", name);
        nic = xml_find_one(xml, NULL, path);
        if (!nic)
                err_set(err, ERR_INVALID_ARG, "Interface (%s: %s) not found.", is_mac ? "mac" : "dev", name);
        return nic;
}

static int domif_getlink(Session *s, const Args *args, Error *err)
{
        const char *name = arg_text(args, "interface");
        uint32_t flags = arg_has(args, "config") ? VIR_DOMAIN_XML_INACTIVE : 0;
        WireDomain dom;
        AUTO(Xml) *xml = parse_definition(s, args, flags, &dom, err);
        XmlNode *nic = xml ? find_nic(xml, name, err) : NULL;
        AUTOFREE char *state = nic ? xml_text(xml, nic, "link/@state") : NULL;

        if (!nic)
                return -1;
        out_print(s->out, "%s %s", name, state ?: "up");
        out_set_text(s->out, "interface", name);
        out_set_text(s->out, "state", state ?: "up");
        return 0;
}

static int domif_setlink(Session *s, const Args *args, Error *err)
{
        const char *state = arg_text(args, "state");
        bool config = arg_has(args, "config");
        WireDomainUpdateDeviceFlagsArgs call = { .flags = config ? VIR_DOMAIN_AFFECT_CONFIG
                                                                 : VIR_DOMAIN_AFFECT_LIVE };
        AUTO(Xml) *xml = NULL;
        AUTOFREE char *text = NULL;
        bool active = false;
        XmlNode *nic, *link;

        if (!str_eq(state, "up") && !str_eq(state, "down"))
                return err_set(err, ERR_INVALID_ARG, "invalid link state '%s'", state);
        xml = parse_definition(s, args, config ? VIR_DOMAIN_XML_INACTIVE : 0, &call.dom, err);
        nic = xml ? find_nic(xml, arg_text(args, "interface"), err) : NULL;
        if (!nic || domain_is_active(s, &call.dom, &active, err) < 0)
                return -1;
        if (!active)
                call.flags = VIR_DOMAIN_AFFECT_CONFIG;
        link = xml_find_one(xml, nic, "link") ?: xml_add(nic, "link");
        xml_set(link, "state", state);
        text = xml_format_node(xml, nic);
        if (arg_has(args, "print-xml")) {
                out_print(s->out, "%s", text);
                out_set_text(s->out, "xml", text);
                return 0;
        }
        call.xml = text;
        if (session_call(s, WIRE_PROC_DOMAIN_UPDATE_DEVICE_FLAGS, &call, NULL, err) < 0)
                return fail(err, "Failed to update interface link state");
        out_done(s->out, "Device updated successfully");
        return 0;
}

/* Addresses */

static int address_source(const Args *args, uint32_t *ret, Error *err)
{
        static const char *const sources[] = { "lease", "agent", "arp" };
        const char *source = arg_text(args, "source") ?: "lease";

        for (*ret = 0; *ret < ARRAY_LEN(sources); ++*ret)
                if (str_eq(sources[*ret], source))
                        return 0;
        return err_set(err, ERR_INVALID_ARG, "Unknown data source '%s'", source);
}

static void print_addresses(Session *s, const WireDomainInterface *nic, bool full)
{
        const char *mac = nic->hwaddr ?: "N/A";
        struct json_object *object = json_object_new_object();
        struct json_object *list = json_object_new_array();

        json_object_object_add(object, "name", json_object_new_string(nic->name));
        json_object_object_add(object, "mac", nic->hwaddr ? json_object_new_string(nic->hwaddr) : NULL);
        if (!nic->n_addrs)
                out_print(s->out, " %-10s %-17s    %-12s %s\n", nic->name, mac, "N/A", "N/A");
        for (uint32_t i = 0; i < nic->n_addrs; i++) {
                const WireDomainIpAddr *addr = &nic->addrs[i];
                const char *type = addr->type == VIR_IP_ADDR_TYPE_IPV4   ? "ipv4"
                                   : addr->type == VIR_IP_ADDR_TYPE_IPV6 ? "ipv6"
                                                                         : "";
                AUTOFREE char *text = str_format("%s/%u", addr->addr, addr->prefix);

                out_print(s->out, " %-10s %-17s    %-12s %s\n", full || !i ? nic->name : "-", full || !i ? mac : "-",
                          type, text);
                json_object_array_add(list, json_object_new_string(text));
        }
        json_object_object_add(object, "addresses", list);
        out_add(s->out, object);
}

static int domifaddr(Session *s, const Args *args, Error *err)
{
        const char *only = arg_text(args, "interface");
        WireDomainInterfaceAddressesArgs call = { 0 };
        WireDomainInterfaceAddressesRet ret;

        if (address_source(args, &call.source, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_INTERFACE_ADDRESSES, &call, &ret, err) < 0)
                return fail(err, "Failed to query for interfaces addresses");
        if (!s->quiet)
                out_print(s->out, " %-10s %-20s %-8s     %s\n%s%s\n", "Name", "MAC address", "Protocol", "Address",
                          "-------------------------------------------------", "------------------------------");
        out_list(s->out);
        for (uint32_t i = 0; i < ret.n_ifaces; i++)
                if (!only || str_eq(only, ret.ifaces[i].name))
                        print_addresses(s, &ret.ifaces[i], arg_has(args, "full"));
        return 0;
}

const Command devices_commands[] = {
        { .name = "domblklist",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--inactive]  those of the definition\n"
                             "[--details]   with type and kind of device",
          .summary = "list a guest's disks",
          .run = domblklist },
        { .name = "domblkinfo",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--device DISK]  target or path of the disk\n"
                             "[--human]        with units\n"
                             "[--all]          of all disks",
          .summary = "show the sizes of a disk",
          .run = domblkinfo },
        { .name = "domiflist",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--inactive]  those of the definition",
          .summary = "list a guest's network interfaces",
          .run = domiflist },
        { .name = "domif-getlink",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "INTERFACE   target name or MAC address\n"
                             "[--config]  as the definition has it",
          .summary = "show whether an interface's link is up",
          .run = domif_getlink },
        { .name = "domif-setlink",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "INTERFACE      target name or MAC address\n"
                             "STATE{up,down}  what it is to be\n"
                             "[--config]     in the definition\n"
                             "[--print-xml]  print the XML instead of using it",
          .summary = "plug or unplug an interface's cable",
          .run = domif_setlink },
        { .name = "domifaddr",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--interface NAME]  of this one only\n"
                             "[--full]            name and MAC address on every line\n"
                             "[--source SOURCE{lease,agent,arp}]  who knows: the DHCP server, the guest, the host",
          .summary = "show a guest's network addresses",
          .run = domifaddr },
        { 0 },
};
