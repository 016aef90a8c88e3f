/*
 * model/hooks.c - the irregular rules of single elements
 *
 * What a row cannot say: rules across members, and what is shown of members
 * that drover fills in while a guest runs.
 */
#include "model/hooks.h"

#include "model/complete.h"

#include "base/str.h"

#include <ctype.h>

/* CON-12: a common slip that would give the guest a single CPU. */
static void warn_of_vcpus(const XmlNode *node, FieldsReader *reader)
{
        XmlNode *vcpus = xml_next(node->first, "vcpus");

        if (!vcpus || xml_next(vcpus->first, "vcpu"))
                return;
        warnings_add(reader->warnings,
                     "line %d: /domain/vcpus does not set the number of CPUs: write <vcpu>%s</vcpu>", vcpus->line,
                     vcpus->text ?: "N");
        xml_mark_all(vcpus);
}

int domain_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        DomainDef *def = at;

        warn_of_vcpus(node, reader);
        if (strchr(def->name, '/') || strchr(def->name, '\n'))
                return fields_refuse(node, reader, "a name cannot contain '/' or a line break: '%s'", def->name);
        if (def->title && strchr(def->title, '\n'))
                return fields_refuse(node, reader, "a title is one line");
        if (reader->flags & DEF_PARSE_INACTIVE || def->id < 0)
                def->id = 0;
        if (def->vcpu_current > def->vcpus_max)
                return fields_refuse(node, reader, "'vcpu/@current' (%u) is more than all CPUs (%u)",
                                     def->vcpu_current, def->vcpus_max);
        if (def->current_memory_kib > def->memory_kib && !(def->cpu && def->cpu->n_cells))
                return fields_refuse(node, reader, "'currentMemory' (%llu KiB) is more than 'memory' (%llu KiB)",
                                     (unsigned long long)def->current_memory_kib,
                                     (unsigned long long)def->memory_kib);
        return 0;
}

int disk_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        DiskDef *disk = at;

        if (disk->serial && strlen(disk->serial) > 255)
                return fields_refuse(node, reader, "'serial' is longer than 255 characters");
        if (disk->wwn && (strlen(disk->wwn) != 16 || strspn(disk->wwn, "0123456789abcdefABCDEF") != 16))
                return fields_refuse(node, reader, "'wwn' must be 16 hex digits, not '%s'", disk->wwn);
        if (disk->vendor && strlen(disk->vendor) > 8)
                return fields_refuse(node, reader, "'vendor' is longer than 8 characters");
        if (disk->product && strlen(disk->product) > 16)
                return fields_refuse(node, reader, "'product' is longer than 16 characters");
        if (disk->type == DISK_TYPE_NETWORK && !disk->source.protocol && disk->device != DISK_DEVICE_CDROM)
                return fields_refuse(node, reader, "'source/@protocol' is missing");
        /* A CD-ROM is read-only whether the definition says so or not. */
        if (disk->device == DISK_DEVICE_CDROM)
                disk->readonly = true;
        return 0;
}

static const char *missing_source(const InterfaceDef *interface)
{
        switch (interface->type) {
        case INTERFACE_TYPE_NETWORK:
                return interface->network ? NULL : "source/@network";
        case INTERFACE_TYPE_BRIDGE:
                return interface->bridge ? NULL : "source/@bridge";
        case INTERFACE_TYPE_DIRECT:
        case INTERFACE_TYPE_VDPA:
                return interface->source_dev ? NULL : "source/@dev";
        case INTERFACE_TYPE_VHOSTUSER:
                return interface->source_path ? NULL : "source/@path";
        case INTERFACE_TYPE_HOSTDEV:
                return interface->host_address ? NULL : "source/address";
        default:
                return NULL;
        }
}

int interface_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        const InterfaceDef *interface = at;
        const char *missing = missing_source(interface);

        if (missing)
                return fields_refuse(node, reader, "'%s' is missing", missing);
        if (mac_is_multicast(&interface->mac))
                return fields_refuse(node, reader, "'mac/@address' is a multicast address");
        return 0;
}

/* CLK-11, CLK-12: conditions of rows only warn; for timers the wrong place is an error. */
int timer_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        const TimerDef *timer = at;

        if (timer->name != TIMER_NAME_TSC && xml_attr(node, "frequency"))
                return fields_refuse(node, reader, "'frequency' is for the timer 'tsc' only, not '%s'",
                                     timer_name_text(timer->name));
        if (timer->name != TIMER_NAME_TSC && xml_attr(node, "mode"))
                return fields_refuse(node, reader, "'mode' is for the timer 'tsc' only, not '%s'",
                                     timer_name_text(timer->name));
        return 0;
}

/* The path of a pseudo terminal belongs to one run. */
static bool is_run_path(const ChardevDef *chardev)
{
        return chardev->type == CHARDEV_TYPE_PTY;
}

int chardev_def_parsed(void *at, const XmlNode *node UNUSED, FieldsReader *reader)
{
        ChardevDef *chardev = at;

        if (reader->flags & DEF_PARSE_INACTIVE && is_run_path(chardev))
                chardev->source.n_endpoints = 0;
        if (is_run_path(chardev) && !chardev->tty && chardev->source.n_endpoints)
                chardev->tty = chardev->source.endpoints[0]->path;
        return 0;
}

void chardev_def_shown(void *at, unsigned flags)
{
        ChardevDef *chardev = at;

        if (flags & DEF_FORMAT_INACTIVE && is_run_path(chardev))
                chardev->source.n_endpoints = 0;
}

/* DOM-29: a port that is found at the start is -1 in the definition. */
static void forget_ports(GraphicsDef *graphics)
{
        if (graphics->autoport == SWITCH_ON && graphics->port)
                graphics->port = -1;
        if (graphics->autoport == SWITCH_ON && graphics->tls_port)
                graphics->tls_port = -1;
        if (graphics->websocket_generated == SWITCH_ON)
                graphics->websocket = -1;
}

int graphics_def_parsed(void *at, const XmlNode *node UNUSED, FieldsReader *reader)
{
        GraphicsDef *graphics = at;

        if (graphics->port == -1 && !graphics->autoport)
                graphics->autoport = SWITCH_ON;
        if (reader->flags & DEF_PARSE_INACTIVE)
                forget_ports(graphics);
        return 0;
}

void graphics_def_shown(void *at, unsigned flags)
{
        if (flags & DEF_FORMAT_INACTIVE)
                forget_ports(at);
}

void seclabel_def_shown(void *at, unsigned flags)
{
        SeclabelDef *seclabel = at;

        if (flags & DEF_FORMAT_INACTIVE && seclabel->type == SECLABEL_TYPE_DYNAMIC)
                seclabel->label = NULL;
}

static bool is_any_or_number(const char *text, unsigned long long max)
{
        uint64_t value;

        if (!text || str_eq(text, "-1"))
                return true;
        if (str_starts(text, "0x") || str_starts(text, "0X"))
                return str_to_u64_hex(text, &value) == 0 && value <= max;
        return str_to_u64(text, &value) == 0 && value <= max;
}

/* DOM-34: N.N, at most two digits on each side, is BCD. */
static bool is_version(const char *text)
{
        const char *dot = text ? strchr(text, '.') : NULL;

        if (!text || str_eq(text, "-1"))
                return true;
        if (!dot || dot == text || dot - text > 2 || !dot[1] || strlen(dot + 1) > 2)
                return false;
        for (const char *c = text; *c; c++) {
                if (c != dot && !isdigit((unsigned char)*c))
                        return false;
        }
        return true;
}

int usbdev_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        const UsbdevDef *rule = at;

        if (!is_any_or_number(rule->class, 0xff))
                return fields_refuse(node, reader, "'class' cannot be '%s'", rule->class);
        if (!is_any_or_number(rule->vendor, 0xffff))
                return fields_refuse(node, reader, "'vendor' cannot be '%s'", rule->vendor);
        if (!is_any_or_number(rule->product, 0xffff))
                return fields_refuse(node, reader, "'product' cannot be '%s'", rule->product);
        if (!is_version(rule->version))
                return fields_refuse(node, reader, "'version' cannot be '%s' (it is like 2.0)", rule->version);
        return 0;
}
