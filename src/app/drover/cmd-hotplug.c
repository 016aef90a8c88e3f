/*
 * app/drover/cmd-hotplug.c - add, change and remove devices
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/hotplug.h"
#include "app/drover/xml.h"

#include "base/str.h"

#include <strings.h>
#include <sys/stat.h>

typedef struct DeviceCall {
        uint32_t proc;
        uint32_t flags;
        const char *done, *failed;
} DeviceCall;

static const DeviceCall attach = { WIRE_PROC_DOMAIN_ATTACH_DEVICE_FLAGS, 0, "attached successfully",
                                   "Failed to attach" };
static const DeviceCall detach = { WIRE_PROC_DOMAIN_DETACH_DEVICE_FLAGS, 0, "detached successfully",
                                   "Failed to detach" };

/* The three calls take the same arguments. "what" begins the confirmation ("Disk") and, in lower case, the failure. */
static int send_device(Session *s, const Args *args, const DeviceCall *call, const WireDomain *dom, const char *xml,
                       const char *what, const char *failed_what, Error *err)
{
        WireDomainAttachDeviceFlagsArgs message = { .dom = *dom, .xml = xml, .flags = call->flags };

        if (affect_flags_persistent(s, args, dom, &message.flags, err) < 0)
                return -1;
        if (session_call(s, call->proc, &message, NULL, err) < 0)
                return fail(err, "%s %s", call->failed, failed_what);
        out_done(s->out, "%s %s", what, call->done);
        return 0;
}

void hotplug_print_xml(Session *s, const char *xml)
{
        out_print(s->out, "%s", xml);
        out_set_text(s->out, "xml", xml);
}

static int send_device_file(Session *s, const Args *args, const DeviceCall *call, Error *err)
{
        const char *path = arg_text(args, "file");
        AUTOFREE char *xml = NULL;
        AUTOFREE char *what = str_format("device from %s", path);
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        xml = read_text_file(path, err);
        return xml ? send_device(s, args, call, &dom, xml, "Device", what, err) : -1;
}

static int attach_device(Session *s, const Args *args, Error *err)
{
        return send_device_file(s, args, &attach, err);
}

static int detach_device(Session *s, const Args *args, Error *err)
{
        return send_device_file(s, args, &detach, err);
}

static int update_device(Session *s, const Args *args, Error *err)
{
        DeviceCall update = { WIRE_PROC_DOMAIN_UPDATE_DEVICE_FLAGS,
                              arg_has(args, "force") ? VIR_DOMAIN_DEVICE_MODIFY_FORCE : 0, "updated successfully",
                              "Failed to update" };

        return send_device_file(s, args, &update, err);
}

static int detach_device_alias(Session *s, const Args *args, Error *err)
{
        WireDomainDetachDeviceAliasArgs call = { .alias = arg_text(args, "alias") };

        if (affect_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_DETACH_DEVICE_ALIAS, &call, NULL, err) < 0)
                return fail(err, "Failed to detach device with alias %s", call.alias);
        out_done(s->out, "Device detach request sent successfully");
        return 0;
}

/* Disks */

static void put_attribute(Buf *to, const char *name, const char *value)
{
        if (!value)
                return;
        buf_format(to, " %s='", name);
        xml_escape(value, to);
        buf_put_char(to, '\'');
}

bool hotplug_is_block_device(const char *path)
{
        struct stat is;

        return stat(path, &is) == 0 && S_ISBLK(is.st_mode);
}

static void put_source(Buf *to, const Args *args, const char *type)
{
        const char *source = arg_text(args, "source");
        bool network = str_eq(type, "network");
        bool host = arg_has(args, "source-host-name") || arg_has(args, "source-host-transport") ||
                    arg_has(args, "source-host-socket");

        if (!*source)
                return;
        buf_put_text(to, "  <source");
        put_attribute(to, "protocol", arg_text(args, "source-protocol"));
        put_attribute(to, network ? "name" : str_eq(type, "file") ? "file" : "dev", source);
        if (!host) {
                buf_put_text(to, "/>\n");
                return;
        }
        const char *name = arg_text(args, "source-host-name");
        const char *colon = name ? strchr(name, ':') : NULL;
        AUTOFREE char *alone = colon ? str_dup_n(name, (size_t)(colon - name)) : str_dup(name);

        buf_put_text(to, ">\n    <host");
        put_attribute(to, "transport", arg_text(args, "source-host-transport"));
        put_attribute(to, "socket", arg_text(args, "source-host-socket"));
        put_attribute(to, "name", alone);
        put_attribute(to, "port", colon ? colon + 1 : NULL);
        buf_put_text(to, "/>\n  </source>\n");
}

/* The guides write 'file', as Xen has it, for a CD of QEMU's (LIFE-42). */
static const char *driver_word(const Args *args, const char *option)
{
        const char *text = arg_text(args, option), *type = arg_text(args, "type");
        bool is_drive = str_eq(type, "cdrom") || str_eq(type, "floppy");

        return is_drive && str_eq(option, "driver") && str_eq(text, "file") ? "qemu" : text;
}

static void put_driver(Buf *to, const Args *args)
{
        static const char *const attributes[][2] = {
                { "name", "driver" }, { "type", "subdriver" }, { "iothread", "iothread" },
                { "cache", "cache" }, { "io", "io" },
        };
        size_t before = to->len;

        for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
                put_attribute(to, attributes[i][0], driver_word(args, attributes[i][1]));
        if (to->len == before)
                return;
        AUTOFREE char *found = str_dup(to->data + before);

        to->len = before;
        to->data[before] = '\0';
        buf_format(to, "  <driver%s/>\n", found);
}

/* "pci:0000.00.03.0", "scsi:0.0.1", "ccw:fe.0.0000", "usb:1.2", "ide:0.0.0" ... as <address>. */
static int put_address(Buf *to, const Args *args, Error *err)
{
        static const struct {
                const char *type, *written;
                const char *fields[4];
                bool hex;
        } kinds[] = {
                { "pci", "pci", { "domain", "bus", "slot", "function" }, true },
                { "scsi", "drive", { "controller", "bus", "unit", NULL }, false },
                { "ide", "drive", { "controller", "bus", "unit", NULL }, false },
                { "sata", "drive", { "controller", "bus", "unit", NULL }, false },
                { "ccw", "ccw", { "cssid", "ssid", "devno", NULL }, true },
                { "usb", "usb", { "bus", "port", NULL, NULL }, false },
        };
        const char *text = arg_text(args, "address");
        const char *colon = text ? strchr(text, ':') : NULL;

        if (!text)
                return 0;
        for (size_t i = 0; colon && i < ARRAY_LEN(kinds); i++) {
                AUTO_STRLIST parts = NULL;

                if (strncmp(text, kinds[i].type, (size_t)(colon - text)) != 0 ||
                    strlen(kinds[i].type) != (size_t)(colon - text))
                        continue;
                parts = str_split(colon + 1, ".:");
                buf_format(to, "  <address type='%s'", kinds[i].written);
                for (size_t j = 0; j < 4 && kinds[i].fields[j]; j++) {
                        if (str_list_len(parts) <= j)
                                return err_set(err, ERR_INVALID_ARG, "Invalid address: '%s' lacks its %s", text,
                                               kinds[i].fields[j]);
                        AUTOFREE char *value = str_format(
                                "%s%s", kinds[i].hex && !str_starts(parts[j], "0x") ? "0x" : "", parts[j]);

                        put_attribute(to, kinds[i].fields[j], value);
                }
                if (arg_has(args, "multifunction"))
                        buf_put_text(to, " multifunction='on'");
                buf_put_text(to, "/>\n");
                return 0;
        }
        return err_set(err, ERR_INVALID_ARG, "Invalid address '%s': TYPE:PARTS, as pci:0000.00.03.0 or scsi:0.0.1",
                       text);
}

static int check_disk_words(const Args *args, Error *err)
{
        const char *mode = arg_text(args, "mode"), *type = arg_text(args, "type");

        if (need_other(args, "source-host-name", "source-protocol", err) < 0 ||
            need_other(args, "source-host-transport", "source-protocol", err) < 0 ||
            need_other(args, "source-host-socket", "source-protocol", err) < 0)
                return -1;
        if (mode && !str_eq(mode, "readonly") && !str_eq(mode, "shareable"))
                return err_set(err, ERR_INVALID_ARG, "No support for %s in command 'attach-disk'", mode);
        if (str_eq(type, "hdd"))
                return err_set(
                        err, ERR_INVALID_ARG,
                        "a disk's type is 'disk', 'cdrom', 'floppy' or 'lun', not 'hdd'; for a CD use 'cdrom'");
        return 0;
}

static int disk_xml(const Args *args, Buf *to, Error *err)
{
        const char *source = arg_text(args, "source"), *type = arg_text(args, "sourcetype");
        const char *mode = arg_text(args, "mode");

        if (!type)
                type = arg_has(args, "source-protocol")  ? "network"
                       : hotplug_is_block_device(source) ? "block"
                                                         : "file";
        if (!str_eq(type, "file") && !str_eq(type, "block") && !str_eq(type, "network"))
                return err_set(err, ERR_INVALID_ARG, "Unknown source type: '%s'", type);
        buf_put_text(to, "<disk");
        put_attribute(to, "type", type);
        put_attribute(to, "device", arg_text(args, "type"));
        if (arg_has(args, "rawio"))
                buf_put_text(to, " rawio='yes'");
        buf_put_text(to, ">\n");
        put_driver(to, args);
        put_source(to, args, type);
        buf_put_text(to, "  <target");
        put_attribute(to, "dev", arg_text(args, "target"));
        put_attribute(to, "bus", arg_text(args, "targetbus"));
        buf_put_text(to, "/>\n");
        if (mode)
                buf_format(to, "  <%s/>\n", mode);
        for (size_t i = 0; i < 2; i++) {
                const char *name = i ? "wwn" : "serial";

                if (!arg_has(args, name))
                        continue;
                buf_format(to, "  <%s>", name);
                xml_escape(arg_text(args, name), to);
                buf_format(to, "</%s>\n", name);
        }
        if (arg_has(args, "alias")) {
                buf_put_text(to, "  <alias");
                put_attribute(to, "name", arg_text(args, "alias"));
                buf_put_text(to, "/>\n");
        }
        if (put_address(to, args, err) < 0)
                return -1;
        buf_put_text(to, "</disk>\n");
        return 0;
}

XmlNode *hotplug_find_disk(Xml *xml, const char *target)
{
        XmlNode *disks[MOST_NODES];
        size_t n = xml_nodes(xml, NULL, "devices/disk", disks, ARRAY_LEN(disks));

        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *dev = xml_text(xml, disks[i], "target/@dev");
                AUTOFREE char *source = xml_text(xml, disks[i], "source/@file|source/@dev|source/@dir|source/@name");

                if (str_eq(dev, target) || (source && str_eq(source, target)))
                        return disks[i];
        }
        return NULL;
}

/* Attaching to a CD or floppy drive that is there puts a medium in (LIFE-42). */
static bool has_drive(Session *s, const Args *args, const WireDomain *dom)
{
        const char *type = arg_text(args, "type");
        const char *text;
        AUTO(Xml) *xml = NULL;

        if (!str_eq(type, "cdrom") && !str_eq(type, "floppy"))
                return false;
        text = domain_xml(s, dom, 0, NULL);
        xml = text ? xml_read(text, NULL) : NULL;
        return xml && hotplug_find_disk(xml, arg_text(args, "target"));
}

static int attach_disk(Session *s, const Args *args, Error *err)
{
        DeviceCall call = attach;
        AUTO(Buf) xml = { 0 };
        WireDomain dom;

        if (check_disk_words(args, err) < 0 || disk_xml(args, &xml, err) < 0)
                return -1;
        if (arg_has(args, "print-xml")) {
                hotplug_print_xml(s, buf_text(&xml));
                return 0;
        }
        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (has_drive(s, args, &dom))
                call.proc = WIRE_PROC_DOMAIN_UPDATE_DEVICE_FLAGS;
        return send_device(s, args, &call, &dom, buf_text(&xml), "Disk", "disk", err);
}

static int detach_disk(Session *s, const Args *args, Error *err)
{
        const char *target = arg_text(args, "target");
        uint32_t flags = arg_has(args, "config") && !arg_has(args, "live") ? VIR_DOMAIN_XML_INACTIVE : 0;
        AUTO(Xml) *xml = NULL;
        AUTOFREE char *device = NULL;
        const char *text;
        XmlNode *disk, *backing;
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        text = domain_xml(s, &dom, flags, err);
        xml = text ? xml_read(text, err) : NULL;
        if (!xml)
                return -1;
        disk = hotplug_find_disk(xml, target);
        if (!disk)
                return err_set(err, ERR_INVALID_ARG, "No disk found whose source path or target is %s", target);
        backing = xml_find_one(xml, disk, "backingStore");
        if (backing)
                xml_remove(backing); /* which images lie below says nothing about which disk it is */
        device = xml_format_node(xml, disk);
        if (arg_has(args, "print-xml")) {
                hotplug_print_xml(s, device);
                return 0;
        }
        return send_device(s, args, &detach, &dom, device, "Disk", "disk", err);
}

/* Interfaces */

static int put_bandwidth(Buf *to, const char *direction, const char *text, Error *err)
{
        static const char *const names[] = { "average", "peak", "burst", "floor" };
        AUTO_STRLIST parts = str_split(text, ",");

        if (str_list_len(parts) == 0 || str_list_len(parts) > ARRAY_LEN(names))
                return err_set(err, ERR_INVALID_ARG, "%s format is incorrect", direction);
        buf_format(to, "    <%s", direction);
        for (size_t i = 0; parts[i]; i++) {
                uint64_t value;

                if (str_to_u64(parts[i], &value) < 0)
                        return err_set(err, ERR_INVALID_ARG, "%s format is incorrect", direction);
                put_attribute(to, names[i], parts[i]);
        }
        buf_put_text(to, "/>\n");
        return 0;
}

static int put_interface_source(Buf *to, const Args *args, const char *type, Error *err)
{
        const char *source = arg_text(args, "source");
        AUTO_STRLIST parts = NULL;

        if (str_eq(type, "network") || str_eq(type, "bridge")) {
                buf_put_text(to, "  <source");
                put_attribute(to, type, source);
                buf_put_text(to, "/>\n");
        } else if (str_eq(type, "direct")) {
                buf_put_text(to, "  <source");
                put_attribute(to, "dev", source);
                put_attribute(to, "mode", arg_text(args, "source-mode"));
                buf_put_text(to, "/>\n");
        } else if (str_eq(type, "hostdev")) {
                parts = str_split(source, ":.");
                if (str_list_len(parts) != 4)
                        return err_set(err, ERR_INVALID_ARG, "cannot parse pci address '%s'", source);
                buf_format(to,
                           "  <source>\n    <address type='pci' domain='0x%s' bus='0x%s' slot='0x%s' "
                           "function='0x%s'/>\n  </source>\n",
                           parts[0], parts[1], parts[2], parts[3]);
        } else if (!str_eq(type, "user") && !str_eq(type, "ethernet")) {
                return err_set(err, ERR_INVALID_ARG, "No support for %s in command 'attach-interface'", type);
        }
        return 0;
}

static void put_interface_element(Buf *to, const Args *args, const char *option, const char *element,
                                  const char *attribute)
{
        if (!arg_has(args, option))
                return;
        buf_format(to, "  <%s", element);
        put_attribute(to, attribute, arg_text(args, option));
        buf_put_text(to, "/>\n");
}

static int interface_xml(const Args *args, Buf *to, Error *err)
{
        const char *type = arg_text(args, "type");
        const char *inbound = arg_text(args, "inbound"), *outbound = arg_text(args, "outbound");

        buf_put_text(to, "<interface");
        put_attribute(to, "type", type);
        if (arg_has(args, "managed"))
                buf_put_text(to, " managed='yes'");
        buf_put_text(to, ">\n");
        if (put_interface_source(to, args, type, err) < 0)
                return -1;
        put_interface_element(to, args, "target", "target", "dev");
        put_interface_element(to, args, "mac", "mac", "address");
        put_interface_element(to, args, "script", "script", "path");
        put_interface_element(to, args, "model", "model", "type");
        put_interface_element(to, args, "alias", "alias", "name");
        if (inbound || outbound) {
                buf_put_text(to, "  <bandwidth>\n");
                if ((inbound && put_bandwidth(to, "inbound", inbound, err) < 0) ||
                    (outbound && put_bandwidth(to, "outbound", outbound, err) < 0))
                        return -1;
                buf_put_text(to, "  </bandwidth>\n");
        }
        buf_put_text(to, "</interface>\n");
        return 0;
}

static int attach_interface(Session *s, const Args *args, Error *err)
{
        AUTO(Buf) xml = { 0 };
        WireDomain dom;

        if (interface_xml(args, &xml, err) < 0)
                return -1;
        if (arg_has(args, "print-xml")) {
                hotplug_print_xml(s, buf_text(&xml));
                return 0;
        }
        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        return send_device(s, args, &attach, &dom, buf_text(&xml), "Interface", "interface", err);
}

static XmlNode *find_interface(Xml *xml, const char *type, const char *mac, Error *err)
{
        XmlNode *nics[MOST_NODES], *found = NULL;
        size_t n = xml_nodes(xml, NULL, "devices/interface", nics, ARRAY_LEN(nics)), matching = 0;

        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *is = xml_text(xml, nics[i], "@type");
                AUTOFREE char *address = xml_text(xml, nics[i], "mac/@address");

                if (!str_eq(is, type) || (mac && (!address || strcasecmp(address, mac) != 0)))
                        continue;
                found = nics[i];
                matching++;
        }
        if (matching == 0 && mac)
                err_set(err, ERR_INVALID_ARG, "No interface with MAC address %s was found", mac);
        else if (matching == 0)
                err_set(err, ERR_INVALID_ARG, "No interface found whose type is %s", type);
        else if (matching > 1)
                err_set(err, ERR_INVALID_ARG,
                        "Domain has %zu interfaces. Please specify which one to detach using --mac", matching);
        return matching == 1 ? found : NULL;
}

static int detach_interface(Session *s, const Args *args, Error *err)
{
        uint32_t flags = arg_has(args, "config") && !arg_has(args, "live") ? VIR_DOMAIN_XML_INACTIVE : 0;
        AUTO(Xml) *xml = NULL;
        AUTOFREE char *device = NULL;
        const char *text;
        XmlNode *nic;
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        text = domain_xml(s, &dom, flags, err);
        xml = text ? xml_read(text, err) : NULL;
        if (!xml)
                return -1;
        nic = find_interface(xml, arg_text(args, "type"), arg_text(args, "mac"), err);
        if (!nic)
                return err_set(err, err->code, "%s\nFailed to detach interface", err->text);
        device = xml_format_node(xml, nic);
        if (arg_has(args, "print-xml")) {
                hotplug_print_xml(s, device);
                return 0;
        }
        return send_device(s, args, &detach, &dom, device, "Interface", "interface", err);
}

#define ARGS_CHANGE ARGS_PERSISTENT ARGS_AFFECT

const Command hotplug_commands[] = {
        { .name = "attach-device",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "FILE  the device's XML\n" ARGS_CHANGE,
          .summary = "add a device to a guest",
          .run = attach_device },
        { .name = "detach-device",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "FILE  the device's XML\n" ARGS_CHANGE,
          .summary = "remove a device from a guest",
          .run = detach_device },
        { .name = "detach-device-alias",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "ALIAS  the device's alias\n" ARGS_AFFECT,
          .summary = "remove a device from a guest by its alias",
          .run = detach_device_alias },
        { .name = "update-device",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "FILE  the device's new XML\n" ARGS_CHANGE "[--force]  also against the guest's will",
          .summary = "change a device of a guest",
          .run = update_device },
        { .name = "attach-disk",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN
          "SOURCE:FILE~  file or device on the host, or name of a network disk\n"
          "TARGET       what the guest is to call it: vda, sdb, hdc\n"
          "[--targetbus BUS{virtio,scsi,sata,ide,usb,fdc}]  kind of bus\n"
          "[--driver NAME]       driver, qemu\n"
          "[--subdriver FORMAT{raw,qcow2}]  format of the image\n"
          "[--iothread ID]   I/O thread that serves it\n"
          "[--cache MODE{none,writeback,writethrough,directsync,unsafe,default}]  how it is cached\n"
          "[--io POLICY{native,threads,io_uring}]  how requests are made\n"
          "[--type TYPE{disk,cdrom,floppy,lun}]  kind of device\n"
          "[--mode MODE{readonly,shareable}]  how it may be used\n"
          "[--sourcetype TYPE{file,block,network}]  kind of source\n"
          "[--serial TEXT]       serial number\n"
          "[--wwn TEXT]          world wide name\n"
          "[--alias NAME]        alias of the device\n"
          "[--rawio]             the guest may send any command to it\n"
          "[--address ADDRESS]   where it sits: pci:0000.00.03.0, scsi:0.0.1, usb:1.2\n"
          "[--multifunction]     that address has several functions\n" ARG_PRINT_XML
          "[--source-protocol NAME]  protocol of a network disk\n"
          "[--source-host-name HOST]  host, or host:port, of a network disk\n"
          "[--source-host-transport NAME{tcp,unix,rdma}]  how to reach it\n"
          "[--source-host-socket FILE]  socket to reach it by\n" ARGS_CHANGE,
          .summary = "add a disk to a guest",
          .text = "With --type cdrom or floppy and a drive that is there, its medium is changed.",
          .run = attach_disk },
        { .name = "detach-disk",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "TARGET  target or path of the disk\n" ARGS_CHANGE ARG_PRINT_XML,
          .summary = "remove a disk from a guest",
          .run = detach_disk },
        { .name = "attach-interface",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN
          "TYPE{network,bridge,direct,hostdev,user,ethernet}  kind of interface\n"
          "SOURCE  network, bridge, device or PCI address on the host\n"
          "[--target NAME]    name of the interface on the host\n"
          "[--mac ADDRESS]    MAC address\n"
          "[--script FILE]    script that sets it up\n"
          "[--model NAME{virtio,e1000,e1000e,rtl8139}]  what the guest sees\n"
          "[--alias NAME]     alias of the device\n"
          "[--inbound RATE]   average,peak,burst,floor: KiB/s and KiB, to the guest\n"
          "[--outbound RATE]  average,peak,burst: KiB/s and KiB, from the guest\n" ARGS_CHANGE ARG_PRINT_XML
          "[--managed]        take the PCI device from the host and give it back\n"
          "[--source-mode MODE{bridge,vepa,private,passthrough}]  of a direct interface",
          .summary = "add a network interface to a guest",
          .run = attach_interface },
        { .name = "detach-interface",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "TYPE{network,bridge,direct,hostdev,user,ethernet}  kind of interface\n"
                             "[--mac ADDRESS]  which, when there are several\n" ARGS_CHANGE ARG_PRINT_XML,
          .summary = "remove a network interface from a guest",
          .run = detach_interface },
        { 0 },
};
