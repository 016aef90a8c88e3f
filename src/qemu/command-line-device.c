/*
 * qemu/command-line-device.c - controllers and the devices that need no more than a table or a few lines
 *
 * A new kind of device is one mapping function and one row of `mappers`.
 */
#include "base/str.h"
#include "qemu/command-line-private.h"

typedef int Mapper(const DomainDef *def, const void *device, QemuParts *ret, Error *err);

static int unsupported(const char *what, const char *model, Error *err)
{
        return err_set(err, ERR_CONFIG_UNSUPPORTED, "a %s of model '%s' is not supported", what, model ?: "?");
}

/* Words of the definition and their QEMU devices. */
typedef struct Word {
        const char *word, *driver;
} Word;

static const char *find_driver(const Word *words, size_t n, const char *word)
{
        for (size_t i = 0; i < n; i++) {
                if (str_eq(words[i].word, word))
                        return words[i].driver;
        }
        return NULL;
}

/* One -device and nothing else. */
static int plain(const DomainDef *def, const char *driver, const DeviceInfo *info, QemuParts *ret, Error *err)
{
        AUTO(JsonWriter) w = { 0 };

        if (part_open_device(&w, driver, def, info, err) < 0)
                return -1;
        part_close(&w, ret, QEMU_PART_DEVICE, info->alias);
        return 0;
}

/* Controllers. */

static int pci_controller(const DomainDef *def, const ControllerDef *c, QemuParts *ret, Error *err)
{
        static const Word drivers[] = {
                { "pcie-root-port", "pcie-root-port" },
                { "pci-bridge", "pci-bridge" },
                { "dmi-to-pci-bridge", "i82801b11-bridge" },
                { "pcie-to-pci-bridge", "pcie-pci-bridge" },
                { "pcie-switch-upstream-port", "x3130-upstream" },
                { "pcie-switch-downstream-port", "xio3130-downstream" },
                { "pcie-expander-bus", "pxb-pcie" },
                { "pci-expander-bus", "pxb" },
        };
        const char *driver = find_driver(drivers, ARRAY_LEN(drivers), c->model);
        AUTO(JsonWriter) w = { 0 };

        if (c->index == 0 || str_eq(c->model, "pci-root") || str_eq(c->model, "pcie-root"))
                return 0;
        if (!driver)
                return unsupported("PCI controller", c->model, err);
        if (str_eq(driver, "pcie-root-port") && c->model_name)
                driver = c->model_name;
        if (part_open_device(&w, driver, def, &c->info, err) < 0)
                return -1;
        if (c->has_target_port)
                json_put_u64(&w, "port", c->target_port);
        if (c->has_target_chassis)
                json_put_u64(&w, "chassis", c->target_chassis);
        put_u32(&w, "chassis_nr", c->target_chassis_nr);
        put_u32(&w, "bus_nr", c->target_bus_nr);
        if (c->has_target_node)
                json_put_u64(&w, "numa_node", c->target_node);
        put_bool(&w, "hotplug", c->target_hotplug);
        part_close(&w, ret, QEMU_PART_DEVICE, c->info.alias);
        return 0;
}

static int usb_controller(const DomainDef *def, const ControllerDef *c, QemuParts *ret, Error *err)
{
        static const Word drivers[] = {
                { "piix3-uhci", "piix3-usb-uhci" },
                { "piix4-uhci", "piix4-usb-uhci" },
                { "ehci", "usb-ehci" },
                { "ich9-ehci1", "ich9-usb-ehci1" },
                { "ich9-uhci1", "ich9-usb-uhci1" },
                { "ich9-uhci2", "ich9-usb-uhci2" },
                { "ich9-uhci3", "ich9-usb-uhci3" },
                { "vt82c686b-uhci", "vt82c686b-usb-uhci" },
                { "pci-ohci", "pci-ohci" },
                { "nec-xhci", "nec-usb-xhci" },
                { "qemu-xhci", "qemu-xhci" },
        };
        const char *driver = c->model ? find_driver(drivers, ARRAY_LEN(drivers), c->model) : "piix3-usb-uhci";
        const ControllerDef *master = line_find_controller(def, CONTROLLER_TYPE_USB, c->index);
        AUTO(JsonWriter) w = { 0 };

        if (str_eq(c->model, "none"))
                return 0;
        if (!driver)
                return unsupported("USB controller", c->model, err);
        if (part_open_device(&w, driver, def, &c->info, err) < 0)
                return -1;
        if (c->has_ports) {
                json_put_u64(&w, "p2", c->ports);
                json_put_u64(&w, "p3", c->ports);
        }
        /* a companion shares the bus of the EHCI controller that has its index */
        if (c->has_master_startport && master && master != c && master->info.alias) {
                json_put_format(&w, "masterbus", "%s.0", master->info.alias);
                json_put_u64(&w, "firstport", c->master_startport);
        }
        part_close(&w, ret, QEMU_PART_DEVICE, c->info.alias);
        return 0;
}

static int scsi_controller(const DomainDef *def, const ControllerDef *c, QemuParts *ret, Error *err)
{
        static const Word drivers[] = {
                { "lsilogic", "lsi53c895a" }, { "lsisas1068", "mptsas1068" }, { "lsisas1078", "megasas" },
                { "vmpvscsi", "pvscsi" },     { "am53c974", "am53c974" },     { "dc390", "dc390" },
        };
        bool virtio = c->model && str_starts(c->model, "virtio");
        const char *driver = !c->model ? "lsi53c895a" : find_driver(drivers, ARRAY_LEN(drivers), c->model);
        AUTO(JsonWriter) w = { 0 };
        char room[64];

        if (virtio)
                driver = virtio_driver("virtio-scsi", c->model, room);
        if (!driver)
                return unsupported("SCSI controller", c->model, err);
        if (part_open_device(&w, driver, def, &c->info, err) < 0)
                return -1;
        if (virtio) {
                put_virtio(&w, &c->virtio);
                put_u32(&w, "num_queues", c->queues);
                put_u32(&w, "cmd_per_lun", c->cmd_per_lun);
                put_u32(&w, "max_sectors", c->max_sectors);
                put_bool(&w, "ioeventfd", c->ioeventfd);
                if (c->iothread)
                        json_put_format(&w, "iothread", "iothread%u", c->iothread);
        }
        part_close(&w, ret, QEMU_PART_DEVICE, c->info.alias);
        return 0;
}

static int serial_controller(const DomainDef *def, const ControllerDef *c, QemuParts *ret, Error *err)
{
        AUTO(JsonWriter) w = { 0 };
        char room[64];

        if (part_open_device(&w, virtio_driver("virtio-serial", c->model, room), def, &c->info, err) < 0)
                return -1;
        put_virtio(&w, &c->virtio);
        if (c->has_ports)
                json_put_u64(&w, "max_ports", c->ports);
        if (c->has_vectors)
                json_put_u64(&w, "vectors", c->vectors);
        part_close(&w, ret, QEMU_PART_DEVICE, c->info.alias);
        return 0;
}

int qemu_controller_parts(const DomainDef *def, const ControllerDef *c, QemuParts *ret, Error *err)
{
        switch (c->type) {
        case CONTROLLER_TYPE_PCI:
                return pci_controller(def, c, ret, err);
        case CONTROLLER_TYPE_USB:
                return usb_controller(def, c, ret, err);
        case CONTROLLER_TYPE_SCSI:
                return scsi_controller(def, c, ret, err);
        case CONTROLLER_TYPE_VIRTIO_SERIAL:
                return serial_controller(def, c, ret, err);
        case CONTROLLER_TYPE_SATA:
                /* q35 has the first one */
                return machine_is_q35(def) && c->index == 0 ? 0 : plain(def, "ich9-ahci", &c->info, ret, err);
        case CONTROLLER_TYPE_IDE:
                if (machine_is_q35(def))
                        return err_set(err, ERR_CONFIG_UNSUPPORTED, "the machine '%s' has no IDE controller",
                                       def->os.machine);
                return c->index == 0 ? 0 : unsupported("second IDE controller", "piix3", err);
        case CONTROLLER_TYPE_FDC:
                /* i440fx has one */
                return machine_is_q35(def) ? plain(def, "isa-fdc", &c->info, ret, err) : 0;
        case CONTROLLER_TYPE_CCID:
                return plain(def, "usb-ccid", &c->info, ret, err);
        case CONTROLLER_TYPE_ISA:
                return 0;
        default:
                return unsupported("controller", controller_type_text(c->type), err);
        }
}

static int controller(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        return qemu_controller_parts(def, device, ret, err);
}

/* Others. */

static int disk(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        return qemu_disk_parts(def, device, ret, err);
}

static int input(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        static const char *const usb[] = { [INPUT_TYPE_MOUSE] = "usb-mouse",
                                           [INPUT_TYPE_TABLET] = "usb-tablet",
                                           [INPUT_TYPE_KEYBOARD] = "usb-kbd" };
        static const char *const virtio[] = { [INPUT_TYPE_MOUSE] = "virtio-mouse-pci",
                                              [INPUT_TYPE_TABLET] = "virtio-tablet-pci",
                                              [INPUT_TYPE_KEYBOARD] = "virtio-keyboard-pci" };
        const InputDef *in = device;

        if (in->bus == INPUT_BUS_PS2)
                return 0; /* every PC has them */
        if (in->type > INPUT_TYPE_KEYBOARD || in->type == INPUT_TYPE_UNSET || in->bus == INPUT_BUS_XEN)
                return unsupported("input device", input_type_text(in->type), err);
        return plain(def, in->bus == INPUT_BUS_VIRTIO ? virtio[in->type] : usb[in->type], &in->info, ret, err);
}

static int hub(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        return plain(def, "usb-hub", &((const HubDef *)device)->info, ret, err);
}

static int sound(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        static const Word drivers[] = {
                { "sb16", "sb16" },      { "es1370", "ES1370" },       { "ac97", "AC97" },
                { "ich6", "intel-hda" }, { "ich9", "ich9-intel-hda" }, { "usb", "usb-audio" }
        };
        const SoundDef *s = device;
        const char *driver = find_driver(drivers, ARRAY_LEN(drivers), sound_model_text(s->model));
        AUTO(JsonWriter) w = { 0 };

        if (!driver)
                return unsupported("sound card", sound_model_text(s->model), err);
        if (part_open_device(&w, driver, def, &s->info, err) < 0)
                return -1;
        if (s->model != SOUND_MODEL_ICH6 && s->model != SOUND_MODEL_ICH9)
                json_put_text(&w, "audiodev", "audio1");
        part_close(&w, ret, QEMU_PART_DEVICE, s->info.alias);
        if (s->model == SOUND_MODEL_ICH6 || s->model == SOUND_MODEL_ICH9) {
                AUTOFREE char *codec = str_format("%s-codec0", s->info.alias);

                part_open(&w, "driver", "hda-duplex");
                json_put_text(&w, "id", codec);
                json_put_format(&w, "bus", "%s.0", s->info.alias);
                json_put_u64(&w, "cad", 0);
                json_put_text(&w, "audiodev", "audio1");
                part_close(&w, ret, QEMU_PART_DEVICE, codec);
        }
        return 0;
}

static int watchdog(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        const WatchdogDef *dog = device;

        if (dog->model == WATCHDOG_MODEL_ITCO && machine_is_q35(def))
                return 0; /* part of the machine */
        if (dog->model != WATCHDOG_MODEL_I6300ESB && dog->model != WATCHDOG_MODEL_IB700)
                return unsupported("watchdog", watchdog_model_text(dog->model), err);
        return plain(def, watchdog_model_text(dog->model), &dog->info, ret, err);
}

static int balloon(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        const MemballoonDef *b = device;
        AUTO(JsonWriter) w = { 0 };
        char room[64];

        if (str_eq(b->model, "none"))
                return 0;
        if (part_open_device(&w, virtio_driver("virtio-balloon", b->model, room), def, &b->info, err) < 0)
                return -1;
        put_virtio(&w, &b->virtio);
        put_bool(&w, "deflate-on-oom", b->autodeflate);
        put_bool(&w, "free-page-reporting", b->free_page_reporting);
        part_close(&w, ret, QEMU_PART_DEVICE, b->info.alias);
        return 0;
}

static int rng(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        const RngDef *r = device;
        AUTOFREE char *id = str_format("obj%s", r->info.alias);
        AUTO(JsonWriter) w = { 0 };
        char room[64];

        if (r->backend == RNG_BACKEND_EGD)
                return unsupported("random number generator", "egd", err);
        part_open(&w, "qom-type", r->backend == RNG_BACKEND_BUILTIN ? "rng-builtin" : "rng-random");
        json_put_text(&w, "id", id);
        if (r->backend != RNG_BACKEND_BUILTIN)
                json_put_text(&w, "filename", r->device ?: "/dev/urandom");
        part_close(&w, ret, QEMU_PART_OBJECT, id);
        if (part_open_device(&w, virtio_driver("virtio-rng", r->model, room), def, &r->info, err) < 0)
                return -1;
        put_virtio(&w, &r->virtio);
        json_put_text(&w, "rng", id);
        if (r->rate_bytes) {
                json_put_u64(&w, "max-bytes", r->rate_bytes);
                json_put_u64(&w, "period", r->rate_period ?: 1000);
        }
        part_close(&w, ret, QEMU_PART_DEVICE, r->info.alias);
        return 0;
}

static int panic(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        const PanicDef *p = device;
        AUTO(JsonWriter) w = { 0 };

        switch (p->model) {
        case PANIC_MODEL_PVPANIC:
                return plain(def, "pvpanic-pci", &p->info, ret, err);
        case PANIC_MODEL_UNSET:
        case PANIC_MODEL_ISA:
                part_open(&w, "driver", "pvpanic");
                json_put_text(&w, "id", p->info.alias);
                if (p->info.address && p->info.address->iobase)
                        json_put_u64(&w, "ioport", p->info.address->iobase);
                part_close(&w, ret, QEMU_PART_DEVICE, p->info.alias);
                return 0;
        default:
                return unsupported("panic notifier", panic_model_text(p->model), err);
        }
}

static int hostdev(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        const HostdevDef *h = device;
        const HostAddress *a = h->source_address;
        AUTO(JsonWriter) w = { 0 };

        if (h->mode == HOSTDEV_MODE_CAPABILITIES || (h->type != HOSTDEV_TYPE_PCI && h->type != HOSTDEV_TYPE_USB))
                return unsupported("host device", hostdev_type_text(h->type), err);
        if (part_open_device(&w, h->type == HOSTDEV_TYPE_PCI ? "vfio-pci" : "usb-host", def, &h->info, err) < 0)
                return -1;
        if (h->type == HOSTDEV_TYPE_PCI && a) {
                json_put_format(&w, "host", "%04x:%02x:%02x.%x", a->domain, a->bus, a->slot, a->function);
        } else if (a && a->has_bus) {
                json_put_u64(&w, "hostbus", a->bus);
                json_put_u64(&w, "hostaddr", a->device);
        } else {
                json_put_u64(&w, "vendorid", h->source_vendor);
                json_put_u64(&w, "productid", h->source_product);
        }
        put_u32(&w, "bootindex", h->boot_order);
        part_close(&w, ret, QEMU_PART_DEVICE, h->info.alias);
        return 0;
}

static int iommu(const DomainDef *def, const void *device, QemuParts *ret, Error *err)
{
        const IommuDef *i = device;
        AUTO(JsonWriter) w = { 0 };

        if (i->model == IOMMU_MODEL_VIRTIO)
                return plain(def, "virtio-iommu-pci", &i->info, ret, err);
        if (i->model != IOMMU_MODEL_INTEL)
                return unsupported("IOMMU", iommu_model_text(i->model), err);
        part_open(&w, "driver", "intel-iommu");
        json_put_text(&w, "id", i->info.alias);
        put_onoff(&w, "intremap", i->driver_intremap);
        put_bool(&w, "caching-mode", i->driver_caching_mode);
        put_onoff(&w, "eim", i->driver_eim);
        put_bool(&w, "device-iotlb", i->driver_iotlb);
        put_u32(&w, "aw-bits", i->driver_aw_bits);
        part_close(&w, ret, QEMU_PART_DEVICE, i->info.alias);
        return 0;
}

static const struct {
        const char *what;
        Mapper *map; /* NULL: not supported yet */
} mappers[N_DEVICE_KINDS] = {
        [DEVICE_DISK] = { "disk", disk },
        [DEVICE_CONTROLLER] = { "controller", controller },
        [DEVICE_FILESYSTEM] = { "shared directory", NULL },
        [DEVICE_SMARTCARD] = { "smartcard reader", NULL },
        [DEVICE_INPUT] = { "input device", input },
        [DEVICE_TPM] = { "TPM", NULL },
        [DEVICE_SOUND] = { "sound card", sound },
        [DEVICE_HOSTDEV] = { "host device", hostdev },
        [DEVICE_HUB] = { "hub", hub },
        [DEVICE_WATCHDOG] = { "watchdog", watchdog },
        [DEVICE_MEMBALLOON] = { "memory balloon", balloon },
        [DEVICE_RNG] = { "random number generator", rng },
        [DEVICE_PANIC] = { "panic notifier", panic },
        [DEVICE_IOMMU] = { "IOMMU", iommu },
        [DEVICE_VSOCK] = { "vsock", NULL },
};

int qemu_device_parts(const DomainDef *def, DeviceKind kind, const void *device, QemuParts *ret, Error *err)
{
        if (!mappers[kind].map && !mappers[kind].what)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "a <%s> cannot be plugged into a running guest so far",
                               device_lists[kind].element);
        if (!mappers[kind].map)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "a %s is not supported yet", mappers[kind].what);
        return mappers[kind].map(def, device, ret, err);
}
