/*
 * model/place-buses.c - places on buses that are not PCI
 *
 * Disks sit where their target says, or at the next free unit when that is
 * taken; channels and USB devices take the lowest free port.
 */
#include "model/complete-internal.h"

#include "base/str.h"

#include <stdio.h>

DeviceAddress *new_address(DomainDef *def, DeviceInfo *info, AddressType type)
{
        info->address = fields_new(def->head.arena, &device_address_info);
        info->address->type = type;
        return info->address;
}

/* Shape of a bus of drives. */
typedef struct DriveBus {
        DiskBus bus;
        ControllerType controller;
        unsigned buses, units; /* of one controller */
} DriveBus;

static const DriveBus drive_buses[] = {
        { DISK_BUS_IDE, CONTROLLER_TYPE_IDE, 2, 2 },
        { DISK_BUS_SATA, CONTROLLER_TYPE_SATA, 1, 6 },
        { DISK_BUS_SCSI, CONTROLLER_TYPE_SCSI, 1, 7 },
        { DISK_BUS_FDC, CONTROLLER_TYPE_FDC, 1, 2 },
};

static const DriveBus *drive_bus_of(const DiskDef *disk)
{
        for (size_t i = 0; i < ARRAY_LEN(drive_buses); i++) {
                if (drive_buses[i].bus == disk->target_bus)
                        return &drive_buses[i];
        }
        return NULL;
}

static const DiskDef *disk_at(const DomainDef *def, DiskBus bus, const DeviceAddress *place, const DiskDef *but)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];
                const DeviceAddress *at = disk->info.address;

                if (disk != but && disk->target_bus == bus && at && at->controller == place->controller &&
                    at->bus == place->bus && at->target == place->target && at->unit == place->unit)
                        return disk;
        }
        return NULL;
}

static int place_disk(DomainDef *def, DiskDef *disk, const DriveBus *shape, Error *err)
{
        unsigned n = (unsigned)disk_target_index(disk->target_dev);
        DeviceAddress place = { .type = ADDRESS_TYPE_DRIVE };
        const DiskDef *other;

        if (disk->info.address) {
                if (disk->info.address->type != ADDRESS_TYPE_DRIVE)
                        return err_set(err, ERR_XML, "disk '%s': on bus '%s' the address is of type 'drive'",
                                       disk->target_dev, disk_bus_text(disk->target_bus));
                other = disk_at(def, disk->target_bus, disk->info.address, disk);
                if (other)
                        return err_set(err, ERR_XML, "disks '%s' and '%s' have the same address", disk->target_dev,
                                       other->target_dev);
                return 0;
        }
        do {
                place.controller = n / (shape->buses * shape->units);
                place.bus = n / shape->units % shape->buses;
                place.unit = n % shape->units;
                n++;
        } while (disk_at(def, disk->target_bus, &place, disk));
        need_controller(def, shape->controller, place.controller);
        new_address(def, &disk->info, ADDRESS_TYPE_DRIVE);
        *disk->info.address = place;
        return 0;
}

static bool serial_port_used(const DomainDef *def, unsigned controller, unsigned port)
{
        ChardevDef *const *const lists[] = { def->channels, def->consoles };
        const uint32_t lens[] = { def->n_channels, def->n_consoles };
        uint32_t number;

        for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
                for (uint32_t i = 0; i < lens[l]; i++) {
                        const DeviceAddress *at = lists[l][i]->info.address;

                        if (at && at->type == ADDRESS_TYPE_VIRTIO_SERIAL && at->controller == controller &&
                            at->port && str_to_u32(at->port, &number) == 0 && number == port)
                                return true;
                }
        }
        return false;
}

/* Port 0 of the first controller is for consoles: old guests expect it. */
static int place_virtio_serial(DomainDef *def, ChardevDef *chardev, bool is_console, Error *err)
{
        enum { PORTS = 31 };

        if (!str_eq(chardev->target_type, "virtio") || (chardev->info.address && chardev->info.address->port))
                return 0;
        for (unsigned c = 0;; c++) {
                const ControllerDef *controller = find_controller(def, CONTROLLER_TYPE_VIRTIO_SERIAL, c);
                unsigned ports = controller && controller->has_ports ? MIN(controller->ports, (uint32_t)PORTS)
                                                                     : PORTS;

                if (!controller)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "no free port for a channel; add a <controller type='virtio-serial'>");
                for (unsigned port = is_console && !c ? 0 : 1; port < ports; port++) {
                        DeviceAddress *at;

                        if (serial_port_used(def, c, port))
                                continue;
                        at = chardev->info.address ?: new_address(def, &chardev->info, ADDRESS_TYPE_VIRTIO_SERIAL);
                        at->controller = c;
                        at->port = arena_format(def->head.arena, "%u", port);
                        return 0;
                }
        }
}

static bool is_on_usb(const DomainDef *def, DeviceKind kind, unsigned i)
{
        switch (kind) {
        case DEVICE_DISK:
                return def->disks[i]->target_bus == DISK_BUS_USB;
        case DEVICE_INPUT:
                return def->inputs[i]->bus == INPUT_BUS_USB;
        case DEVICE_SOUND:
                return def->sounds[i]->model == SOUND_MODEL_USB;
        case DEVICE_HOSTDEV:
                return def->hostdevs[i]->type == HOSTDEV_TYPE_USB;
        case DEVICE_SERIAL:
                return str_eq(def->serials[i]->target_type, "usb-serial");
        case DEVICE_INTERFACE:
                return def->interfaces[i]->model && str_starts(def->interfaces[i]->model, "usb-");
        case DEVICE_REDIRDEV:
        case DEVICE_HUB:
                return true;
        case DEVICE_CONTROLLER:
                return def->controllers[i]->type == CONTROLLER_TYPE_CCID;
        default:
                return false;
        }
}

static unsigned usb_ports(const ControllerDef *controller)
{
        const char *model = controller->model ?: "";

        if (str_eq(model, "none") || controller->has_master_startport)
                return 0;
        if (controller->has_ports)
                return controller->ports;
        if (str_ends(model, "ehci") || str_starts(model, "ich9-ehci"))
                return 6;
        return str_ends(model, "xhci") ? 4 : 2;
}

static bool usb_port_used(const DomainDef *def, unsigned bus, unsigned port)
{
        char number[16];

        snprintf(number, sizeof(number), "%u", port);
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        const DeviceInfo *info = device_info(kind, domain_def_device(def, kind, i));

                        if (info && info->address && info->address->type == ADDRESS_TYPE_USB &&
                            info->address->bus == bus && str_eq(info->address->port, number))
                                return true;
                }
        }
        return false;
}

static int place_usb(DomainDef *def, DeviceInfo *info, const char *element, Error *err)
{
        if (info->address && info->address->type == ADDRESS_TYPE_USB && info->address->port)
                return 0;
        if (info->address && info->address->type != ADDRESS_TYPE_USB)
                return err_set(err, ERR_XML, "<%s>: the address of a USB device is of type 'usb'", element);
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                const ControllerDef *controller = def->controllers[i];
                unsigned ports = controller->type == CONTROLLER_TYPE_USB ? usb_ports(controller) : 0;

                if (info->address && info->address->bus != controller->index)
                        continue;
                for (unsigned port = 1; port <= ports; port++) {
                        DeviceAddress *at;

                        if (usb_port_used(def, controller->index, port))
                                continue;
                        at = info->address ?: new_address(def, info, ADDRESS_TYPE_USB);
                        at->bus = controller->index;
                        at->port = arena_format(def->head.arena, "%u", port);
                        return 0;
                }
        }
        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                       "no free USB port for <%s>; add a <controller type='usb' model='qemu-xhci'>", element);
}

static int place_all_usb(DomainDef *def, Error *err)
{
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        DeviceInfo *info = device_info(kind, domain_def_device(def, kind, i));

                        if (is_on_usb(def, kind, i) && place_usb(def, info, device_lists[kind].element, err) < 0)
                                return -1;
                }
        }
        return 0;
}

int place_on_buses(DomainDef *def, const CompletionFacts *facts UNUSED, Error *err)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DriveBus *shape = drive_bus_of(def->disks[i]);

                if (shape && place_disk(def, def->disks[i], shape, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_consoles; i++) {
                if (place_virtio_serial(def, def->consoles[i], true, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_channels; i++) {
                if (place_virtio_serial(def, def->channels[i], false, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_smartcards; i++) {
                DeviceInfo *info = &def->smartcards[i]->info;

                if (!info->address)
                        new_address(def, info, ADDRESS_TYPE_CCID)->slot = i;
        }
        return place_all_usb(def, err);
}
