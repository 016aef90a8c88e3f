/*
 * model/place-pci.c - places on PCI
 *
 * What has an address keeps it; the rest is placed in a fixed order, so that a
 * definition gets the same addresses wherever it is defined. Gaps stay gaps. On
 * i440fx everything goes to bus 0. On q35 PCI Express devices get a root port
 * each, older ones sit on bus 0, and a few root ports are left over for
 * plugging, because a running guest cannot get new ones.
 */
#include "model/complete-internal.h"

#include "base/str.h"

enum { BUSES = 256, SLOTS = 32, SPARE_PORTS = 2, MAX_CONTROLLERS_ADDED = 64 };

typedef enum PciKind {
        PCI_NOT = 0,
        PCI_OLD,      /* conventional */
        PCI_EXPRESS,  /* wants a root port */
        PCI_BUILT_IN, /* part of the chip set: has a place of its own */
        PCI_PORT,     /* a root port, on bus 0 of q35 */
} PciKind;

typedef struct PciMap {
        DomainDef *def;
        const CompletionFacts *facts;
        MachineKind machine;
        uint8_t used[BUSES][SLOTS]; /* a bit for each function */
        unsigned last_bus;          /* the highest that an address of the definition names */
} PciMap;

static PciKind kind_of_controller(const ControllerDef *controller)
{
        const char *model = controller->model ?: "";

        switch (controller->type) {
        case CONTROLLER_TYPE_PCI:
                if (str_eq(model, "pci-root") || str_eq(model, "pcie-root"))
                        return PCI_NOT;
                if (str_eq(model, "pcie-root-port"))
                        return PCI_PORT;
                return str_eq(model, "pcie-to-pci-bridge") || str_starts(model, "pcie-switch") ? PCI_EXPRESS
                                                                                               : PCI_OLD;
        case CONTROLLER_TYPE_USB:
                if (str_eq(model, "none"))
                        return PCI_NOT;
                if (str_starts(model, "piix"))
                        return controller->index ? PCI_OLD : PCI_BUILT_IN;
                return str_ends(model, "xhci") ? PCI_EXPRESS : PCI_OLD;
        case CONTROLLER_TYPE_IDE:
                return PCI_BUILT_IN;
        case CONTROLLER_TYPE_SATA:
                return controller->index ? PCI_OLD : PCI_BUILT_IN;
        case CONTROLLER_TYPE_SCSI:
                return str_starts(model, "virtio") ? PCI_EXPRESS : PCI_OLD;
        case CONTROLLER_TYPE_VIRTIO_SERIAL:
                return PCI_EXPRESS;
        default:
                return PCI_NOT;
        }
}

static PciKind kind_of_video(VideoModel model)
{
        if (model == VIDEO_MODEL_NONE || model == VIDEO_MODEL_RAMFB)
                return PCI_NOT;
        return PCI_OLD; /* virtio too: the first card belongs on bus 0, where firmware looks */
}

static PciKind kind_of_interface(const InterfaceDef *interface)
{
        const char *model = interface->model;

        if (!model)
                return PCI_EXPRESS; /* a device of the host */
        if (str_starts(model, "usb-"))
                return PCI_NOT;
        return str_starts(model, "virtio") || str_eq(model, "e1000e") || str_eq(model, "igb") ||
                               str_eq(model, "vmxnet3") || interface->type == INTERFACE_TYPE_HOSTDEV
                       ? PCI_EXPRESS
                       : PCI_OLD;
}

static PciKind kind_of_device(DeviceKind kind, const void *device)
{
        switch (kind) {
        case DEVICE_CONTROLLER:
                return kind_of_controller(device);
        case DEVICE_DISK:
                return ((const DiskDef *)device)->target_bus == DISK_BUS_VIRTIO ? PCI_EXPRESS : PCI_NOT;
        case DEVICE_INTERFACE:
                return kind_of_interface(device);
        case DEVICE_VIDEO:
                return kind_of_video(((const VideoDef *)device)->model);
        case DEVICE_SOUND: {
                SoundModel model = ((const SoundDef *)device)->model;

                return model == SOUND_MODEL_USB || model == SOUND_MODEL_PCSPK || model == SOUND_MODEL_SB16 ? PCI_NOT
                                                                                                           : PCI_OLD;
        }
        case DEVICE_HOSTDEV: {
                HostdevType type = ((const HostdevDef *)device)->type;

                return type == HOSTDEV_TYPE_PCI || type == HOSTDEV_TYPE_MDEV || type == HOSTDEV_TYPE_SCSI_HOST
                               ? PCI_EXPRESS
                               : PCI_NOT;
        }
        case DEVICE_WATCHDOG:
                return ((const WatchdogDef *)device)->model == WATCHDOG_MODEL_I6300ESB ? PCI_OLD : PCI_NOT;
        case DEVICE_MEMBALLOON:
                return str_eq(((const MemballoonDef *)device)->model, "none") ? PCI_NOT : PCI_EXPRESS;
        case DEVICE_INPUT:
                return ((const InputDef *)device)->bus == INPUT_BUS_VIRTIO ? PCI_EXPRESS : PCI_NOT;
        case DEVICE_SERIAL:
                return str_eq(((const ChardevDef *)device)->target_type, "pci-serial") ? PCI_OLD : PCI_NOT;
        case DEVICE_PANIC:
                return ((const PanicDef *)device)->model == PANIC_MODEL_PVPANIC ? PCI_OLD : PCI_NOT;
        case DEVICE_IOMMU:
                return ((const IommuDef *)device)->model == IOMMU_MODEL_VIRTIO ? PCI_OLD : PCI_NOT;
        case DEVICE_FILESYSTEM:
        case DEVICE_RNG:
        case DEVICE_VSOCK:
                return PCI_EXPRESS;
        default:
                return PCI_NOT;
        }
}

static int refuse(DeviceKind kind, const DeviceAddress *at, const char *why, Error *err)
{
        return err_set(err, ERR_XML, "<%s>: the PCI address %04x:%02x:%02x.%x %s", device_lists[kind].element,
                       at->domain, at->bus, at->slot, at->function, why);
}

static bool has_pci_address(const DeviceInfo *info)
{
        return info->address && info->address->type == ADDRESS_TYPE_PCI;
}

/* Enter what has an address. Chip set parts may share a slot by their functions. */
static int take_given(PciMap *map, DeviceKind kind, const DeviceInfo *info, Error *err)
{
        const DeviceAddress *at = info->address;
        uint8_t *functions, bit;

        if (at->domain || at->bus >= BUSES || at->slot >= SLOTS || at->function > 7)
                return refuse(kind, at, "does not exist", err);
        functions = &map->used[at->bus][at->slot];
        bit = (uint8_t)(1U << at->function);
        if (*functions & bit)
                return refuse(kind, at, "is used twice", err);
        *functions |= bit;
        if (at->bus > map->last_bus)
                map->last_bus = at->bus;
        return 0;
}

static void set_address(PciMap *map, DeviceInfo *info, unsigned bus, unsigned slot, unsigned function)
{
        DeviceAddress *at = info->address ?: new_address(map->def, info, ADDRESS_TYPE_PCI);

        at->type = ADDRESS_TYPE_PCI;
        at->bus = bus;
        at->slot = slot;
        at->function = function;
        map->used[bus][slot] |= (uint8_t)(1U << function);
}

static int find_slot(const PciMap *map, unsigned bus, unsigned first)
{
        for (unsigned slot = first; slot < SLOTS; slot++) {
                if (!map->used[bus][slot])
                        return (int)slot;
        }
        return -1;
}

static int no_slots(const PciMap *map, DeviceKind kind, Error *err)
{
        return err_set(err, ERR_CONFIG_UNSUPPORTED, "no more PCI slots: there is none left for <%s>%s",
                       device_lists[kind].element,
                       map->machine == MACHINE_Q35 && map->facts->running
                               ? "; a running guest cannot get another root port, add <controller type='pci' "
                                 "model='pcie-root-port'/> to its definition"
                               : "");
}

/* Whether function 0 of the slot is a root port that says it has others: another device's slot is its own. */
static bool begins_with_port(const DomainDef *def, unsigned slot)
{
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                const ControllerDef *c = def->controllers[i];
                const DeviceAddress *at = c->info.address;

                if (has_pci_address(&c->info) && !at->bus && at->slot == slot && !at->function)
                        return str_eq(c->model, "pcie-root-port") && at->multifunction == SWITCH_ON;
        }
        return false;
}

/* Root ports are packed eight to a slot, beginning at slot 2. */
static int place_root_port(PciMap *map, ControllerDef *port, Error *err)
{
        for (unsigned slot = 2; slot < SLOTS - 1; slot++) {
                for (unsigned function = 0; function < 8; function++) {
                        uint8_t before = (uint8_t)((1U << function) - 1U);

                        if (map->used[0][slot] != before)
                                continue;
                        if (function && !begins_with_port(map->def, slot))
                                continue;
                        set_address(map, &port->info, 0, slot, function);
                        if (!function)
                                port->info.address->multifunction = SWITCH_ON;
                        return 0;
                }
        }
        return no_slots(map, DEVICE_CONTROLLER, err);
}

static unsigned free_pci_index(const DomainDef *def)
{
        unsigned index = 1;

        while (index < BUSES && find_controller(def, CONTROLLER_TYPE_PCI, index))
                index++;
        return index;
}

/* A root port shows its number and place to the guest: fixed once it is made. */
static void complete_root_port(ControllerDef *port)
{
        if (!str_eq(port->model, "pcie-root-port"))
                return;
        if (!port->model_name)
                port->model_name = "pcie-root-port";
        if (!port->has_target_chassis) {
                port->target_chassis = port->index;
                port->has_target_chassis = true;
        }
        if (!port->has_target_port && has_pci_address(&port->info)) {
                port->target_port = port->info.address->slot << 3 | port->info.address->function;
                port->has_target_port = true;
        }
}

static ControllerDef *add_root_port(PciMap *map, Error *err)
{
        unsigned index = free_pci_index(map->def);
        ControllerDef *port;

        if (index >= BUSES || map->facts->running)
                return NULL;
        port = need_controller(map->def, CONTROLLER_TYPE_PCI, index);
        port->model = "pcie-root-port";
        if (place_root_port(map, port, err) < 0)
                return NULL;
        complete_root_port(port);
        return port;
}

static ControllerDef *find_free_port(const PciMap *map)
{
        for (uint32_t i = 0; i < map->def->n_controllers; i++) {
                ControllerDef *c = map->def->controllers[i];

                if (c->type == CONTROLLER_TYPE_PCI && c->index < BUSES && !map->used[c->index][0] &&
                    (str_eq(c->model, "pcie-root-port") || str_eq(c->model, "pcie-switch-downstream-port")))
                        return c;
        }
        return NULL;
}

static int place_express(PciMap *map, DeviceKind kind, DeviceInfo *info, Error *err)
{
        ControllerDef *port = find_free_port(map) ?: add_root_port(map, err);

        if (!port)
                return no_slots(map, kind, err);
        set_address(map, info, port->index, 0, 0);
        return 0;
}

/* Bus 0 first, then bridges. The first video card likes the slot where firmware looks first. */
static int place_old(PciMap *map, DeviceKind kind, DeviceInfo *info, Error *err)
{
        unsigned video_slot = map->machine == MACHINE_Q35 ? 1 : 2;
        int slot;

        if (kind == DEVICE_VIDEO && !map->used[0][video_slot]) {
                set_address(map, info, 0, video_slot, 0);
                return 0;
        }
        if (!(map->machine == MACHINE_Q35 && map->facts->running)) {
                slot = find_slot(map, 0, video_slot + 1);
                if (slot >= 0) {
                        set_address(map, info, 0, (unsigned)slot, 0);
                        return 0;
                }
        }
        for (uint32_t i = 0; i < map->def->n_controllers; i++) {
                const ControllerDef *c = map->def->controllers[i];

                if (c->type != CONTROLLER_TYPE_PCI || !c->index || c->index >= BUSES ||
                    !(str_eq(c->model, "pci-bridge") || str_eq(c->model, "pcie-to-pci-bridge")))
                        continue;
                slot = find_slot(map, c->index, 1);
                if (slot >= 0) {
                        set_address(map, info, c->index, (unsigned)slot, 0);
                        return 0;
                }
        }
        return no_slots(map, kind, err);
}

/* An EHCI controller and its companions share a slot: the guest tells by it that they belong together. */
static int function_of_ich9(const char *model)
{
        static const char *const models[] = { "ich9-uhci1", "ich9-uhci2", "ich9-uhci3" };

        for (size_t i = 0; i < ARRAY_LEN(models); i++) {
                if (str_eq(model, models[i]))
                        return (int)i;
        }
        return str_eq(model, "ich9-ehci1") ? 7 : -1;
}

static int slot_of_companions(const PciMap *map, const ControllerDef *controller)
{
        for (uint32_t i = 0; i < map->def->n_controllers; i++) {
                const ControllerDef *c = map->def->controllers[i];

                if (c->type == CONTROLLER_TYPE_USB && c->index == controller->index && has_pci_address(&c->info) &&
                    !c->info.address->bus && function_of_ich9(c->model) >= 0)
                        return (int)c->info.address->slot;
        }
        if (map->machine == MACHINE_Q35 && !map->used[0][0x1d])
                return 0x1d;
        return find_slot(map, 0, map->machine == MACHINE_Q35 ? 2 : 3);
}

static int place_ich9(PciMap *map, ControllerDef *controller, Error *err)
{
        unsigned function = (unsigned)function_of_ich9(controller->model);
        int slot = slot_of_companions(map, controller);

        if (slot < 0 || map->used[0][slot] & 1U << function)
                return place_old(map, DEVICE_CONTROLLER, &controller->info, err);
        set_address(map, &controller->info, 0, (unsigned)slot, function);
        if (!function)
                controller->info.address->multifunction = SWITCH_ON;
        return 0;
}

static void place_built_in(PciMap *map, ControllerDef *controller)
{
        if (has_pci_address(&controller->info))
                return;
        if (map->machine == MACHINE_I440FX && controller->type == CONTROLLER_TYPE_IDE && !controller->index)
                set_address(map, &controller->info, 0, 1, 1);
        else if (map->machine == MACHINE_I440FX && controller->type == CONTROLLER_TYPE_USB)
                set_address(map, &controller->info, 0, 1, 2);
        else if (map->machine == MACHINE_Q35 && controller->type == CONTROLLER_TYPE_SATA)
                set_address(map, &controller->info, 0, 0x1f, 2);
}

static PciKind kind_here(const PciMap *map, DeviceKind kind, const void *device)
{
        PciKind pci = kind_of_device(kind, device);
        const ControllerDef *controller = device;

        if (map->machine == MACHINE_I440FX && (pci == PCI_EXPRESS || pci == PCI_PORT))
                return PCI_OLD;
        /* SATA is part of q35 only, a first USB controller of i440fx only. */
        if (pci == PCI_BUILT_IN && kind == DEVICE_CONTROLLER &&
            ((map->machine == MACHINE_I440FX && controller->type == CONTROLLER_TYPE_SATA) ||
             (map->machine == MACHINE_Q35 && controller->type == CONTROLLER_TYPE_USB)))
                return PCI_OLD;
        return pci;
}

static int place_device(PciMap *map, DeviceKind kind, void *device, Error *err)
{
        DeviceInfo *info = device_info(kind, device);
        PciKind pci = kind_here(map, kind, device);

        if (!info || pci == PCI_NOT)
                return 0;
        if (has_pci_address(info))
                return 0;
        if (info->address)
                return err_set(err, ERR_XML, "<%s>: the address of a PCI device is of type 'pci'",
                               device_lists[kind].element);
        switch (pci) {
        case PCI_PORT:
                return place_root_port(map, device, err);
        case PCI_EXPRESS:
                return place_express(map, kind, info, err);
        case PCI_OLD:
                if (kind == DEVICE_CONTROLLER && function_of_ich9(((const ControllerDef *)device)->model) >= 0)
                        return place_ich9(map, device, err);
                return place_old(map, kind, info, err);
        default:
                return 0;
        }
}

/* The slots of the chip set: nothing may be placed there. */
static void reserve_chipset(PciMap *map)
{
        map->used[0][0] = 0xff;
        if (map->machine == MACHINE_I440FX)
                map->used[0][1] |= 0xf0 | 1 | 8;
        else
                map->used[0][31] |= 0xf0 | 1 | 8;
}

static int take_all_given(PciMap *map, Error *err)
{
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(map->def, kind); i++) {
                        const DeviceInfo *info = device_info(kind, domain_def_device(map->def, kind, i));

                        if (info && has_pci_address(info) && take_given(map, kind, info, err) < 0)
                                return -1;
                }
        }
        return 0;
}

/* Buses that addresses name but nothing makes: as many bridges or root ports as it takes. */
static int add_named_buses(PciMap *map, Error *err)
{
        unsigned added = 0;

        for (unsigned bus = 1; bus <= map->last_bus; bus++) {
                if (find_controller(map->def, CONTROLLER_TYPE_PCI, bus))
                        continue;
                if (map->facts->running || ++added > MAX_CONTROLLERS_ADDED)
                        return err_set(err, ERR_XML, "a device is on PCI bus %u, which does not exist", bus);
                need_controller(map->def, CONTROLLER_TYPE_PCI, bus);
        }
        return 0;
}

static int keep_spare_ports(PciMap *map, Error *err)
{
        unsigned spare = 0;

        if (map->machine != MACHINE_Q35 || map->facts->running)
                return 0;
        for (uint32_t i = 0; i < map->def->n_controllers; i++) {
                const ControllerDef *c = map->def->controllers[i];

                if (c->type == CONTROLLER_TYPE_PCI && str_eq(c->model, "pcie-root-port") && c->index < BUSES)
                        spare += !map->used[c->index][0];
        }
        for (; spare < SPARE_PORTS; spare++) {
                if (!add_root_port(map, err))
                        return -1;
        }
        return 0;
}

static int place_kind(PciMap *map, DeviceKind kind, Error *err)
{
        for (unsigned i = 0; i < domain_def_n_devices(map->def, kind); i++) {
                if (place_device(map, kind, domain_def_device(map->def, kind, i), err) < 0)
                        return -1;
        }
        return 0;
}

int place_on_pci(DomainDef *def, const CompletionFacts *facts, Error *err)
{
        /* Video, then network, then the rest: the order in which guests have long been used to find them. */
        static const DeviceKind order[] = { DEVICE_VIDEO,      DEVICE_FILESYSTEM, DEVICE_INTERFACE, DEVICE_SOUND,
                                            DEVICE_CONTROLLER, DEVICE_DISK,       DEVICE_HOSTDEV,   DEVICE_MEMBALLOON,
                                            DEVICE_RNG,        DEVICE_WATCHDOG,   DEVICE_SERIAL,    DEVICE_INPUT,
                                            DEVICE_PANIC,      DEVICE_IOMMU,      DEVICE_VSOCK };
        PciMap map = { .def = def, .facts = facts, .machine = machine_kind(def) };

        if (map.machine == MACHINE_OTHER)
                return 0;
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                if (kind_here(&map, DEVICE_CONTROLLER, def->controllers[i]) == PCI_BUILT_IN)
                        place_built_in(&map, def->controllers[i]);
        }
        memset(map.used, 0, sizeof(map.used));
        reserve_chipset(&map);
        if (take_all_given(&map, err) < 0 || add_named_buses(&map, err) < 0)
                return -1;
        /* Root ports before all: what goes behind them needs them placed. */
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                ControllerDef *controller = def->controllers[i];

                if (kind_here(&map, DEVICE_CONTROLLER, controller) != PCI_PORT)
                        continue;
                if (place_device(&map, DEVICE_CONTROLLER, controller, err) < 0)
                        return -1;
                complete_root_port(controller);
        }
        for (size_t i = 0; i < ARRAY_LEN(order); i++) {
                if (place_kind(&map, order[i], err) < 0)
                        return -1;
        }
        return keep_spare_ports(&map, err);
}

int domain_def_place_device(DomainDef *def, const CompletionFacts *facts, Error *err)
{
        if (complete_disks(def, err) < 0 || complete_devices(def, facts, err) < 0)
                return -1;
        if (!facts->running)
                complete_controllers(def);
        if (place_on_buses(def, facts, err) < 0 || place_on_pci(def, facts, err) < 0)
                return -1;
        return check_number(def, err);
}
