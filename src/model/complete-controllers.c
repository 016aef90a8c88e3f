/*
 * model/complete-controllers.c - controllers that devices need, and that machines have
 */
#include "model/complete-internal.h"

#include "base/str.h"

ControllerDef *find_controller(const DomainDef *def, ControllerType type, unsigned index)
{
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                ControllerDef *controller = def->controllers[i];

                if (controller->type == type && controller->index == index)
                        return controller;
        }
        return NULL;
}

static const char *default_model(const DomainDef *def, ControllerType type)
{
        switch (type) {
        case CONTROLLER_TYPE_SCSI:
                return "virtio-scsi";
        case CONTROLLER_TYPE_USB:
                return machine_kind(def) == MACHINE_Q35 ? "qemu-xhci" : "piix3-uhci";
        case CONTROLLER_TYPE_PCI:
                return machine_kind(def) == MACHINE_Q35 ? "pcie-root-port" : "pci-bridge";
        default:
                return NULL;
        }
}

ControllerDef *need_controller(DomainDef *def, ControllerType type, unsigned index)
{
        ControllerDef *controller = find_controller(def, type, index);

        if (controller)
                return controller;
        controller = add_default_device(def, DEVICE_CONTROLLER);
        controller->type = type;
        controller->index = index;
        controller->has_index = true;
        controller->model = default_model(def, type);
        return controller;
}

/* A companion has the number of the controller that it stands behind; they are one bus. NULL: it is none. */
static const ControllerDef *companion_of(const DomainDef *def, uint32_t i)
{
        if (def->controllers[i]->type != CONTROLLER_TYPE_USB || !def->controllers[i]->has_master_startport)
                return NULL;
        while (i-- > 0) {
                const ControllerDef *before = def->controllers[i];

                if (before->type == CONTROLLER_TYPE_USB && !before->has_master_startport)
                        return before;
        }
        return NULL;
}

/* Numbers for those without: the lowest that their kind has free. */
static void number_controllers(DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                ControllerDef *controller = def->controllers[i];
                const ControllerDef *master = companion_of(def, i);
                uint32_t index = 0;

                if (controller->has_index)
                        continue;
                if (master) {
                        controller->index = master->index;
                        controller->has_index = true;
                        continue;
                }
                for (uint32_t j = 0; j < def->n_controllers; j++) {
                        const ControllerDef *other = def->controllers[j];

                        if (other->has_index && other->type == controller->type && other->index == index) {
                                index++;
                                j = UINT32_MAX; /* look at all again */
                        }
                }
                controller->index = index;
                controller->has_index = true;
        }
}

static void complete_models(DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                ControllerDef *controller = def->controllers[i];

                if (!controller->model)
                        controller->model = default_model(def, controller->type);
                if (controller->type == CONTROLLER_TYPE_USB && !controller->has_ports &&
                    (str_eq(controller->model, "qemu-xhci") || str_eq(controller->model, "nec-xhci"))) {
                        controller->ports = 15;
                        controller->has_ports = true;
                }
                if (controller->type == CONTROLLER_TYPE_SCSI && str_eq(controller->model, "auto"))
                        controller->model = default_model(def, controller->type);
        }
}

/* Disks tell by their targets how many controllers of seven, six or four units there must be. */
static void add_for_disks(DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];
                const DeviceAddress *address = disk->info.address;
                unsigned target = (unsigned)disk_target_index(disk->target_dev);
                bool placed = address && address->type == ADDRESS_TYPE_DRIVE;

                switch (disk->target_bus) {
                case DISK_BUS_IDE:
                        need_controller(def, CONTROLLER_TYPE_IDE, placed ? address->controller : target / 4);
                        break;
                case DISK_BUS_SATA:
                        need_controller(def, CONTROLLER_TYPE_SATA, placed ? address->controller : target / 6);
                        break;
                case DISK_BUS_SCSI:
                        need_controller(def, CONTROLLER_TYPE_SCSI, placed ? address->controller : target / 7);
                        break;
                case DISK_BUS_FDC:
                        need_controller(def, CONTROLLER_TYPE_FDC, placed ? address->controller : target / 2);
                        break;
                default:
                        break;
                }
        }
}

static bool needs_virtio_serial(const DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_channels; i++) {
                if (str_eq(def->channels[i]->target_type, "virtio"))
                        return true;
        }
        for (uint32_t i = 0; i < def->n_consoles; i++) {
                if (str_eq(def->consoles[i]->target_type, "virtio"))
                        return true;
        }
        return false;
}

static bool has_usb(const DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                if (def->controllers[i]->type == CONTROLLER_TYPE_USB)
                        return true;
        }
        return false;
}

static void add_pci_root(DomainDef *def)
{
        ControllerDef *root;

        if (machine_kind(def) == MACHINE_OTHER || find_controller(def, CONTROLLER_TYPE_PCI, 0))
                return;
        root = need_controller(def, CONTROLLER_TYPE_PCI, 0);
        root->model = machine_kind(def) == MACHINE_Q35 ? "pcie-root" : "pci-root";
}

void complete_controllers(DomainDef *def)
{
        add_pci_root(def);
        number_controllers(def);
        if (!has_usb(def) && machine_kind(def) != MACHINE_OTHER)
                need_controller(def, CONTROLLER_TYPE_USB, 0);
        if (machine_kind(def) == MACHINE_Q35)
                need_controller(def, CONTROLLER_TYPE_SATA, 0);
        add_for_disks(def);
        if (needs_virtio_serial(def))
                need_controller(def, CONTROLLER_TYPE_VIRTIO_SERIAL, 0);
        for (uint32_t i = 0; i < def->n_smartcards; i++)
                need_controller(def, CONTROLLER_TYPE_CCID, 0);
        complete_models(def);
}
