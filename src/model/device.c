/*
 * model/device.c - one device, alone or in a definition
 */
#include "model/device.h"

#include "base/str.h"
#include "model/complete.h"

static void ***list_of(const DomainDef *def, DeviceKind kind)
{
        return (void ***)((char *)def + device_lists[kind].list);
}

static uint32_t *count_of(const DomainDef *def, DeviceKind kind)
{
        return (uint32_t *)((char *)def + device_lists[kind].count);
}

unsigned domain_def_n_devices(const DomainDef *def, DeviceKind kind)
{
        return *count_of(def, kind);
}

void *domain_def_device(const DomainDef *def, DeviceKind kind, unsigned i)
{
        return (*list_of(def, kind))[i];
}

DeviceInfo *device_info(DeviceKind kind, void *device)
{
        uint16_t offset = device_lists[kind].info;

        return offset == NO_DEVICE_INFO ? NULL : (DeviceInfo *)((char *)device + offset);
}

int device_def_parse(const char *xml, size_t len, unsigned flags, DeviceDef *ret, Warnings *warnings, Error *err)
{
        AUTO(Warnings) own = { 0 };
        AUTO(XmlDoc) doc = { 0 };
        AUTO(DeviceDef) device = { 0 };
        FieldsReader reader = { .flags = flags, .warnings = warnings ?: &own, .err = err };

        if (xml_parse(xml, len, "device definition", &doc, err) < 0)
                return -1;
        for (device.kind = 0; device.kind < N_DEVICE_KINDS; device.kind++) {
                if (str_eq(device_lists[device.kind].element, doc.root->name))
                        break;
        }
        if (device.kind == N_DEVICE_KINDS)
                return err_set(err, ERR_XML, "(device definition) <%s> is not a device", doc.root->qname);
        device.arena = reader.arena = arena_new();
        device.any = fields_new(device.arena, device_lists[device.kind].of);
        if (fields_parse(device_lists[device.kind].of, doc.root, device.any, &reader) < 0 ||
            fields_report_unknown(doc.root, &reader) < 0)
                return -1;
        *ret = device;
        device.arena = NULL;
        return 0;
}

void device_def_done(DeviceDef *device)
{
        arena_free(device->arena);
        *device = (DeviceDef){ 0 };
}

void device_def_format(DeviceKind kind, const void *device, unsigned depth, unsigned flags, Buf *ret)
{
        fields_format(device_lists[kind].of, device, device_lists[kind].element, NULL, depth, flags, ret);
}

/* Disks stay in the order of bus and target, as guests number them; others are put behind. */
static uint32_t place_for(const DomainDef *def, DeviceKind kind, const void *device)
{
        const DiskDef *new = device;
        uint32_t at = *count_of(def, kind);

        if (kind != DEVICE_DISK)
                return at;
        while (at > 0) {
                const DiskDef *before = def->disks[at - 1];

                if (before->target_bus != new->target_bus ||
                    disk_target_index(before->target_dev) <= disk_target_index(new->target_dev))
                        break;
                at--;
        }
        return at;
}

void *domain_def_add_device(DomainDef *def, DeviceKind kind, const void *device)
{
        uint32_t n = *count_of(def, kind), at = place_for(def, kind, device);
        void **items = arena_new_array(def->head.arena, void *, (size_t)n + 1), **old = *list_of(def, kind);

        for (uint32_t i = 0; i < at; i++)
                items[i] = old[i];
        for (uint32_t i = at; i < n; i++)
                items[i + 1] = old[i];
        items[at] = fields_copy(device_lists[kind].of, device, def->head.arena);
        *list_of(def, kind) = items;
        *count_of(def, kind) = n + 1;
        return items[at];
}

void domain_def_remove_device(DomainDef *def, DeviceKind kind, unsigned i)
{
        void **items = *list_of(def, kind);
        uint32_t n = --*count_of(def, kind);

        memmove(items + i, items + i + 1, (n - i) * sizeof(*items));
}

void *domain_def_replace_device(DomainDef *def, DeviceKind kind, unsigned i, const void *device)
{
        void **items = *list_of(def, kind);

        items[i] = fields_copy(device_lists[kind].of, device, def->head.arena);
        return items[i];
}

static bool same_address(const DeviceInfo *a, const DeviceInfo *b)
{
        return a->address && b->address && fields_equal(&device_address_info, a->address, b->address);
}

/* Whether device of a definition is what wanted describes. */
static bool fits(const DeviceDef *wanted, void *device)
{
        const DeviceInfo *want = device_info(wanted->kind, wanted->any), *have = device_info(wanted->kind, device);

        if (wanted->kind == DEVICE_DISK)
                return str_eq(wanted->disk->target_dev, ((const DiskDef *)device)->target_dev);
        if (want && want->alias)
                return str_eq(want->alias, have->alias);
        if (wanted->kind == DEVICE_INTERFACE) {
                const InterfaceDef *a = wanted->interface, *b = device;

                return (mac_is_null(&a->mac) || mac_eq(&a->mac, &b->mac)) &&
                       (!want->address || same_address(want, have));
        }
        if (wanted->kind == DEVICE_CONTROLLER) {
                const ControllerDef *a = wanted->controller, *b = device;

                return a->type == b->type && a->index == b->index;
        }
        if (wanted->kind == DEVICE_CHANNEL && wanted->chardev->target_name)
                return str_eq(wanted->chardev->target_name, ((const ChardevDef *)device)->target_name);
        if ((wanted->kind == DEVICE_SERIAL || wanted->kind == DEVICE_CONSOLE) && wanted->chardev->target_type &&
            !str_eq(wanted->chardev->target_type, ((const ChardevDef *)device)->target_type))
                return false;
        if (wanted->kind == DEVICE_GRAPHICS)
                return wanted->graphics->type == ((const GraphicsDef *)device)->type;
        if (want && want->address)
                return same_address(want, have);
        return true;
}

int domain_def_find_device(const DomainDef *def, const DeviceDef *wanted, unsigned *ret, Error *err)
{
        unsigned n = domain_def_n_devices(def, wanted->kind), found = 0, at = 0;
        const char *element = device_lists[wanted->kind].element;
        AUTO(Buf) text = { 0 };

        for (unsigned i = 0; i < n; i++) {
                if (!fits(wanted, domain_def_device(def, wanted->kind, i)))
                        continue;
                found++;
                at = i;
        }
        if (found == 1) {
                *ret = at;
                return 0;
        }
        device_def_format(wanted->kind, wanted->any, 0, 0, &text);
        if (found)
                return err_set(err, ERR_OPERATION_FAILED,
                               "%u <%s> devices fit; say which one by its alias or address:\n%s", found, element,
                               buf_text(&text));
        return err_set(err, ERR_DEVICE_MISSING, "'%s' has no <%s> like this:\n%s", def->name ?: "the guest", element,
                       buf_text(&text));
}

DiskDef *domain_def_find_disk(const DomainDef *def, const char *target_or_path)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (str_eq(def->disks[i]->target_dev, target_or_path))
                        return def->disks[i];
        }
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (def->disks[i]->source.path && str_eq(def->disks[i]->source.path, target_or_path))
                        return def->disks[i];
        }
        return NULL;
}

InterfaceDef *domain_def_find_interface(const DomainDef *def, const char *target_or_mac)
{
        Mac mac = { { 0 } };
        bool by_mac = mac_parse(target_or_mac, &mac) == 0;

        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                InterfaceDef *interface = def->interfaces[i];

                if (by_mac ? mac_eq(&interface->mac, &mac) : str_eq(interface->target_dev, target_or_mac))
                        return interface;
        }
        return NULL;
}

void *domain_def_find_alias(const DomainDef *def, const char *alias, DeviceKind *ret_kind)
{
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        void *device = domain_def_device(def, kind, i);
                        const DeviceInfo *info = device_info(kind, device);

                        if (!info || !str_eq(info->alias, alias))
                                continue;
                        if (ret_kind)
                                *ret_kind = kind;
                        return device;
                }
        }
        return NULL;
}
