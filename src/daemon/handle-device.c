/*
 * daemon/handle-device.c - devices come, go and change
 *
 * The configured definition is changed here; what a running guest needs is the
 * driver's act. A device that is detached from a running guest leaves its
 * definition when the guest has let go of it.
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/change.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "model/device.h"
#include "wire/constants.h"

#include <string.h>

static int parse(const Domain *dom, const char *xml, bool live, DeviceDef *ret, Error *err)
{
        AUTO(Warnings) warnings = { 0 };

        if (device_def_parse(xml, strlen(xml), live ? 0 : DEF_PARSE_INACTIVE, ret, &warnings, err) < 0)
                return -1;
        for (size_t i = 0; i < warnings.list.len; i++)
                log_warning("a device for guest '%s': %s", dom->name, warnings.list.items[i]);
        return 0;
}

/* --- what there is becomes another --- */

/* What the new device leaves open and only the old one knows. */
static void inherit(const DeviceDef *new, void *old)
{
        DeviceInfo *to = device_info(new->kind, new->any);
        const DeviceInfo *from = device_info(new->kind, old);

        if (to && !to->alias)
                to->alias = from->alias;
        if (to && !to->address)
                to->address = from->address;
        if (new->kind == DEVICE_INTERFACE && mac_is_null(&new->interface->mac))
                new->interface->mac = ((const InterfaceDef *)old)->mac;
        if (new->kind == DEVICE_INTERFACE && !new->interface->target_dev)
                new->interface->target_dev = ((const InterfaceDef *)old)->target_dev;
}

/* What its network or bridge said when the card came: the guest's own definition does not, so neither does a new one. */
static void inherit_from_place(InterfaceDef *new, const InterfaceDef *old)
{
        if (!new->mtu)
                new->mtu = old->mtu;
        if (!new->port_isolated)
                new->port_isolated = old->port_isolated;
        if (!new->trust_guest_rx_filters)
                new->trust_guest_rx_filters = old->trust_guest_rx_filters;
}

static bool is_medium(const DeviceDef *device)
{
        return device->kind == DEVICE_DISK &&
               (device->disk->device == DISK_DEVICE_CDROM || device->disk->device == DISK_DEVICE_FLOPPY);
}

/* Only what the model marks as live may differ; a removable medium may be any other. */
static int check_live_update(const DeviceDef *new, const void *old, const DomainDef *def, Error *err)
{
        const Field *fixed;

        if (is_medium(new) && new->disk->device == ((const DiskDef *)old)->device)
                return 0;
        fixed = fields_find_fixed(device_lists[new->kind].of, old, new->any);
        if (fixed)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'%s' of this <%s> of '%s' cannot change while it runs", fixed->path,
                               device_lists[new->kind].element, def->name);
        return 0;
}

/* What is there becomes what device says. */
static int replace(DomainDef *def, DeviceDef *device, bool live, bool force, LiveChange *ret, Error *err)
{
        unsigned index;
        void *old;

        if (domain_def_find_device(def, device, &index, err) < 0)
                return -1;
        old = domain_def_device(def, device->kind, index);
        inherit(device, old);
        if (device->kind == DEVICE_DISK && !device->disk->target_bus) /* the drive that is there is on one */
                device->disk->target_bus = ((const DiskDef *)old)->target_bus;
        if (live && device->kind == DEVICE_INTERFACE)
                inherit_from_place(device->interface, old);
        if (live && check_live_update(device, old, def, err) < 0)
                return -1;
        if (live)
                *ret = (LiveChange){ .kind = LIVE_UPDATE, .device = device->kind, .index = index, .force = force };
        old = domain_def_replace_device(def, device->kind, index, device->any);
        if (live)
                ret->subject = old;
        return 0;
}

/* --- attach --- */

static int check_new(const DomainDef *def, const DeviceDef *device, Error *err)
{
        const DeviceInfo *info = device_info(device->kind, device->any);
        const DeviceList *list = &device_lists[device->kind];

        if (list->most && domain_def_n_devices(def, device->kind) >= list->most)
                return err_set(err, ERR_OPERATION_INVALID, "'%s' can have only %u <%s>", def->name, list->most,
                               list->element);
        if (device->kind == DEVICE_DISK) {
                if (!device->disk->target_dev)
                        return err_set(err, ERR_XML, "the disk needs a <target dev='...'/>");
                for (uint32_t i = 0; i < def->n_disks; i++) {
                        if (str_eq(def->disks[i]->target_dev, device->disk->target_dev))
                                return err_set(err, ERR_OPERATION_FAILED, "target %s already exists in '%s'",
                                               device->disk->target_dev, def->name);
                }
        }
        if (device->kind == DEVICE_CONTROLLER) {
                for (uint32_t i = 0; i < def->n_controllers; i++) {
                        if (def->controllers[i]->type == device->controller->type &&
                            def->controllers[i]->index == device->controller->index)
                                return err_set(err, ERR_OPERATION_INVALID, "'%s' has this controller already",
                                               def->name);
                }
        }
        if (info && info->alias && domain_def_find_alias(def, info->alias, NULL))
                return err_set(err, ERR_OPERATION_INVALID, "'%s' has a device with alias '%s' already", def->name,
                               info->alias);
        return 0;
}

static unsigned index_of(const DomainDef *def, DeviceKind kind, const void *device)
{
        unsigned i = 0;

        while (domain_def_device(def, kind, i) != device)
                i++;
        return i;
}

/* An interface without an address gets one, the same in both definitions. */
static void give_mac(const Config *config, InterfaceDef *interface, LiveChange *change)
{
        uint8_t prefix[3];

        if (!mac_is_null(&interface->mac))
                return;
        config_mac_prefix(config, prefix);
        if (mac_is_null(&change->mac))
                mac_new_random(prefix, &change->mac);
        interface->mac = change->mac;
}

/* A CD for a drive that the running guest has changes its medium, as in libvirt (LIFE-42). */
static bool is_for_drive(const DomainDef *def, const DeviceDef *device)
{
        for (uint32_t i = 0; is_medium(device) && i < def->n_disks; i++) {
                if (str_eq(def->disks[i]->target_dev, device->disk->target_dev))
                        return def->disks[i]->device == device->disk->device;
        }
        return false;
}

static int edit_attach(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainAttachDeviceArgs *args = call_args(call); /* the call with flags begins alike */
        AUTO(DeviceDef) device = { 0 };
        void *added;

        if (parse(call_domain(call), args->xml, live, &device, err) < 0)
                return -1;
        if (live && is_for_drive(def, &device))
                return replace(def, &device, live, false, ret, err);
        if (device.kind == DEVICE_INTERFACE)
                give_mac(call_driver(call)->daemon->config, device.interface, ret);
        if (check_new(def, &device, err) < 0)
                return -1;
        added = domain_def_add_device(def, device.kind, device.any);
        if (live) {
                ret->kind = LIVE_ATTACH;
                ret->device = device.kind;
                ret->index = index_of(def, device.kind, added);
                ret->subject = added;
        }
        return 0;
}

static void attach_done(Call *call UNUSED, Domain *dom, const LiveChange *live)
{
        WireDomainEventCallbackDeviceAddedMsg msg = { .dom = call_wire_domain(dom) };
        const DeviceInfo *info;

        if (!live || live->kind != LIVE_ATTACH)
                return;
        info = device_info(live->device, live->subject);
        msg.devAlias = info ? info->alias : NULL;
        if (msg.devAlias)
                event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, &dom->uuid,
                           &msg);
}

static const ChangeKind change_attach = { .edit = edit_attach, .done = attach_done, .completes = true };

int handle_domain_attach_device(Call *call, const WireDomainAttachDeviceArgs *args, Error *err)
{
        return change_start(call, &args->dom, VIR_DOMAIN_AFFECT_LIVE, 0, &change_attach, err);
}

int handle_domain_attach_device_flags(Call *call, const WireDomainAttachDeviceFlagsArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_attach, err);
}

/* --- detach --- */

static int detach(DomainDef *def, bool live, DeviceKind kind, unsigned index, LiveChange *ret, Error *err)
{
        const DeviceInfo *info = device_info(kind, domain_def_device(def, kind, index));

        if (!live) {
                domain_def_remove_device(def, kind, index);
                return 0;
        }
        if (!info || !info->alias)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "a <%s> cannot be taken from a running guest",
                               device_lists[kind].element);
        *ret = (LiveChange){ .kind = LIVE_DETACH, .device = kind, .index = index };
        return 0;
}

static int edit_detach(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainDetachDeviceArgs *args = call_args(call); /* the call with flags begins alike */
        AUTO(DeviceDef) device = { 0 };
        unsigned index;

        if (parse(call_domain(call), args->xml, live, &device, err) < 0 ||
            domain_def_find_device(def, &device, &index, err) < 0)
                return -1;
        return detach(def, live, device.kind, index, ret, err);
}

static const ChangeKind change_detach = { .edit = edit_detach };

int handle_domain_detach_device(Call *call, const WireDomainDetachDeviceArgs *args, Error *err)
{
        return change_start(call, &args->dom, VIR_DOMAIN_AFFECT_LIVE, 0, &change_detach, err);
}

int handle_domain_detach_device_flags(Call *call, const WireDomainDetachDeviceFlagsArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_detach, err);
}

static int edit_detach_alias(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainDetachDeviceAliasArgs *args = call_args(call);
        DeviceKind kind;
        const void *device = domain_def_find_alias(def, args->alias, &kind);

        if (!device)
                return err_set(err, ERR_DEVICE_MISSING, "'%s' has no device with alias '%s'", def->name, args->alias);
        return detach(def, live, kind, index_of(def, kind, device), ret, err);
}

static const ChangeKind change_detach_alias = { .edit = edit_detach_alias };

int handle_domain_detach_device_alias(Call *call, const WireDomainDetachDeviceAliasArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_detach_alias, err);
}

/* --- update --- */

static int edit_update(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainUpdateDeviceFlagsArgs *args = call_args(call);
        AUTO(DeviceDef) device = { 0 };

        if (parse(call_domain(call), args->xml, live, &device, err) < 0)
                return -1;
        return replace(def, &device, live, args->flags & VIR_DOMAIN_DEVICE_MODIFY_FORCE, ret, err);
}

static const ChangeKind change_update = { .edit = edit_update, .completes = true };

int handle_domain_update_device_flags(Call *call, const WireDomainUpdateDeviceFlagsArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, VIR_DOMAIN_DEVICE_MODIFY_FORCE, &change_update, err);
}
