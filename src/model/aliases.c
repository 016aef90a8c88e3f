/*
 * model/aliases.c - names of devices towards QEMU
 *
 * Names are those that stock tools show and scripts know: virtio-disk0, net0,
 * ide0-0-1, usb, pci.1. A name once given stays; new devices take the lowest
 * number that is free.
 */
#include "model/complete-internal.h"

#include "base/str.h"

static const char *plain_prefix(DeviceKind kind)
{
        switch (kind) {
        case DEVICE_INTERFACE:
                return "net";
        case DEVICE_FILESYSTEM:
                return "fs";
        case DEVICE_REDIRDEV:
                return "redir";
        case DEVICE_MEMBALLOON:
                return "balloon";
        default:
                return device_lists[kind].element;
        }
}

static const char *numbered(DomainDef *def, const char *prefix)
{
        for (unsigned n = 0;; n++) {
                AUTOFREE char *name = str_format("%s%u", prefix, n);

                if (!domain_def_find_alias(def, name, NULL))
                        return arena_dup(def->head.arena, name);
        }
}

static const char *disk_alias(DomainDef *def, const DiskDef *disk)
{
        const DeviceAddress *at = disk->info.address;
        const char *bus = disk_bus_text(disk->target_bus) ?: "disk";
        int index = disk_target_index(disk->target_dev);

        if (at && at->type == ADDRESS_TYPE_DRIVE && disk->target_bus == DISK_BUS_SCSI)
                return arena_format(def->head.arena, "%s%u-%u-%u-%u", bus, at->controller, at->bus, at->target,
                                    at->unit);
        if (at && at->type == ADDRESS_TYPE_DRIVE)
                return arena_format(def->head.arena, "%s%u-%u-%u", bus, at->controller, at->bus, at->unit);
        return arena_format(def->head.arena, "%s-disk%d", bus, index);
}

static const char *controller_alias(DomainDef *def, const ControllerDef *controller)
{
        const char *type = controller_type_text(controller->type);
        bool q35 = machine_kind(def) == MACHINE_Q35;

        if (controller->type == CONTROLLER_TYPE_PCI)
                return arena_format(def->head.arena, "%s.%u", str_eq(controller->model, "pcie-root") ? "pcie" : "pci",
                                    controller->index);
        if (!controller->index && controller->type == CONTROLLER_TYPE_USB)
                return "usb";
        if (!controller->index && controller->type == (q35 ? CONTROLLER_TYPE_SATA : CONTROLLER_TYPE_IDE))
                return "ide"; /* what QEMU calls the one of the chip set */
        /* Companions share an index: the first of them is named by it. */
        if (controller->type == CONTROLLER_TYPE_USB) {
                AUTOFREE char *name = str_format("usb%u", controller->index);

                if (domain_def_find_alias(def, name, NULL))
                        return numbered(def, "usb");
        }
        return arena_format(def->head.arena, "%s%u", type, controller->index);
}

static const char *make_alias(DomainDef *def, DeviceKind kind, void *device)
{
        if (kind == DEVICE_DISK)
                return disk_alias(def, device);
        if (kind == DEVICE_CONTROLLER) {
                const char *name = controller_alias(def, device);

                /* USB companions of the first controller. */
                return domain_def_find_alias(def, name, NULL) ? numbered(def, "usb") : name;
        }
        return numbered(def, plain_prefix(kind));
}

void domain_def_assign_aliases(DomainDef *def)
{
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        void *device = domain_def_device(def, kind, i);
                        DeviceInfo *info = device_info(kind, device);

                        if (!info || info->alias)
                                continue;
                        /* The first console is the first serial port. */
                        if (kind == DEVICE_CONSOLE && !i && def->n_serials &&
                            str_eq(def->consoles[0]->target_type, "serial"))
                                info->alias = def->serials[0]->info.alias;
                        else
                                info->alias = make_alias(def, kind, device);
                }
        }
}
