/*
 * qemu/qemu-caps-xml.c - what guests can be, as XML for clients (LIFE-31, DOM-37)
 */
#include "base/str.h"
#include "base/vec.h"
#include "host/node.h"
#include "model/cpu.h"
#include "qemu/qemu-caps-private.h"

#include <inttypes.h>
#include <unistd.h>

/* Words a client may use for one attribute. */
static void put_enum(Buf *ret, unsigned depth, const char *name, const char *const *values)
{
        buf_format(ret, "%*s<enum name='%s'%s>\n", (int)depth, "", name, *values ? "" : "/");
        if (!*values)
                return;
        for (; *values; values++)
                buf_format(ret, "%*s<value>%s</value>\n", (int)depth + 2, "", *values);
        buf_format(ret, "%*s</enum>\n", (int)depth, "");
}

static const char *vendor_word(const char *vendor)
{
        return str_eq(vendor, "GenuineIntel") ? "Intel" : str_eq(vendor, "AuthenticAMD") ? "AMD" : NULL;
}

/* The newest model with a name that QEMU can give here; QEMU lists them by name, so age is told by this table. */
const char *qemu_caps_host_model(const QemuCaps *caps)
{
        static const char *const newest_first[] = {
                "SapphireRapids", "EPYC-Milan",     "Icelake-Server", "EPYC-Rome",   "Cascadelake-Server",
                "EPYC",           "Skylake-Server", "Skylake-Client", "Opteron_G5",  "Broadwell",
                "Haswell",        "Opteron_G4",     "IvyBridge",      "SandyBridge", "Opteron_G3",
                "Westmere",       "Nehalem",        "Penryn",         "Opteron_G2",  "Conroe",
        };

        for (size_t i = 0; i < ARRAY_LEN(newest_first); i++) {
                for (size_t m = 0; m < caps->models.len; m++) {
                        if (caps->models.items[m].usable && str_eq(caps->models.items[m].name, newest_first[i]))
                                return newest_first[i];
                }
        }
        return "qemu64";
}

void qemu_caps_format_guest(const QemuCaps *caps, Buf *ret)
{
        buf_put_text(
                ret,
                "  <guest>\n    <os_type>hvm</os_type>\n    <arch name='x86_64'>\n      <wordsize>64</wordsize>\n");
        buf_format(ret, "      <emulator>%s</emulator>\n", caps->binary);
        for (size_t i = 0; i < caps->machines.len; i++) {
                const QemuMachine *m = &caps->machines.items[i];

                if (m->deprecated || str_eq(m->name, "none"))
                        continue;
                buf_format(ret, "      <machine maxCpus='%u'>%s</machine>\n", m->most_cpus, m->name);
                if (m->alias)
                        buf_format(ret, "      <machine canonical='%s' maxCpus='%u'>%s</machine>\n", m->name,
                                   m->most_cpus, m->alias);
        }
        buf_put_text(ret, "      <domain type='qemu'/>\n");
        if (caps->kvm)
                buf_put_text(ret, "      <domain type='kvm'/>\n");
        buf_put_text(ret, "    </arch>\n    <features>\n"
                          "      <acpi default='on' toggle='yes'/>\n      <apic default='on' toggle='no'/>\n"
                          "      <cpuselection/>\n      <deviceboot/>\n"
                          "      <disksnapshot default='on' toggle='no'/>\n    </features>\n  </guest>\n");
}

/* What one guest may use. */

static void put_loader(Buf *ret)
{
        static const char *const firmware[] = { "efi", NULL }, *const types[] = { "rom", "pflash", NULL },
                                 *const readonly[] = { "yes", "no", NULL }, *const secure[] = { "yes", "no", NULL };

        buf_put_text(ret, "  <os supported='yes'>\n");
        put_enum(ret, 4, "firmware", firmware);
        buf_put_text(ret, "    <loader supported='yes'>\n");
        if (access("/usr/share/OVMF/OVMF_CODE_4M.fd", R_OK) == 0)
                buf_put_text(ret, "      <value>/usr/share/OVMF/OVMF_CODE_4M.fd</value>\n");
        put_enum(ret, 6, "type", types);
        put_enum(ret, 6, "readonly", readonly);
        put_enum(ret, 6, "secure", secure);
        buf_put_text(ret, "    </loader>\n  </os>\n");
}

static void put_cpu_modes(const QemuCaps *caps, bool kvm, const char *vendor, Buf *ret)
{
        static const char *const migratable[] = { "on", "off", NULL };

        buf_put_text(ret, "  <cpu>\n");
        buf_format(ret, "    <mode name='host-passthrough' supported='%s'%s>\n", kvm ? "yes" : "no", kvm ? "" : "/");
        if (kvm) {
                put_enum(ret, 6, "hostPassthroughMigratable", migratable);
                buf_put_text(ret, "    </mode>\n");
        }
        buf_put_text(ret, "    <mode name='maximum' supported='yes'>\n");
        put_enum(ret, 6, "maximumMigratable", migratable);
        buf_put_text(ret, "    </mode>\n    <mode name='host-model' supported='yes'>\n");
        buf_format(ret, "      <model fallback='forbid'>%s</model>\n", qemu_caps_host_model(caps));
        if (vendor)
                buf_format(ret, "      <vendor>%s</vendor>\n", vendor);
        buf_put_text(ret, "    </mode>\n    <mode name='custom' supported='yes'>\n");
        for (size_t i = 0; i < caps->models.len; i++) {
                const QemuCpuModel *m = &caps->models.items[i];

                if (!str_eq(m->name, "host") && !str_eq(m->name, "max") && !str_eq(m->name, "base"))
                        buf_format(ret, "      <model usable='%s'%s vendor='%s'>%s</model>\n",
                                   m->usable ? "yes" : "no", m->deprecated ? " deprecated='yes'" : "",
                                   cpu_model_vendor(m->name), m->name);
        }
        buf_put_text(ret, "    </mode>\n  </cpu>\n");
}

/* The words whose QEMU device this binary has. */
typedef struct DeviceWord {
        const char *word, *device;
} DeviceWord;

static void put_device_enum(const QemuCaps *caps, const char *name, const DeviceWord *rows, size_t n, Buf *ret)
{
        VEC(const char *) words = { 0 };

        for (size_t i = 0; i < n; i++) {
                if (!rows[i].device || qemu_caps_has_device(caps, rows[i].device))
                        vec_push(&words, rows[i].word);
        }
        vec_push(&words, NULL);
        put_enum(ret, 6, name, words.items);
        vec_done(&words);
}

static void put_devices(const QemuCaps *caps, bool q35, Buf *ret)
{
        static const DeviceWord disk_devices[] = {
                { "disk", NULL }, { "cdrom", NULL }, { "floppy", "floppy" }, { "lun", NULL }
        };
        static const DeviceWord buses[] = {
                { "fdc", "floppy" },      { "scsi", "scsi-hd" },   { "virtio", "virtio-blk-pci" },
                { "usb", "usb-storage" }, { "sata", "ich9-ahci" }, { "ide", "ide-hd" }
        };
        static const DeviceWord models[] = { { "virtio", "virtio-blk-pci" },
                                             { "virtio-transitional", "virtio-blk-pci-transitional" },
                                             { "virtio-non-transitional", "virtio-blk-pci-non-transitional" } };
        static const DeviceWord graphics[] = { { "vnc", NULL } };
        static const DeviceWord videos[] = { { "vga", "VGA" },
                                             { "cirrus", "cirrus-vga" },
                                             { "vmvga", "vmware-svga" },
                                             { "qxl", "qxl-vga" },
                                             { "virtio", "virtio-vga" },
                                             { "none", NULL },
                                             { "bochs", "bochs-display" },
                                             { "ramfb", "ramfb" } };
        static const DeviceWord rngs[] = { { "virtio", "virtio-rng-pci" },
                                           { "virtio-transitional", "virtio-rng-pci-transitional" },
                                           { "virtio-non-transitional", "virtio-rng-pci-non-transitional" } };
        static const DeviceWord rng_backends[] = { { "random", NULL }, { "builtin", NULL } };
        static const DeviceWord hostdev_modes[] = { { "subsystem", NULL } };
        static const DeviceWord hostdev_types[] = { { "usb", "usb-host" }, { "pci", "vfio-pci" } };
        static const DeviceWord startup[] = {
                { "default", NULL }, { "mandatory", NULL }, { "requisite", NULL }, { "optional", NULL }
        };

        buf_put_text(ret, "  <devices>\n    <disk supported='yes'>\n");
        put_device_enum(caps, "diskDevice", disk_devices, ARRAY_LEN(disk_devices), ret);
        put_device_enum(caps, "bus", buses, ARRAY_LEN(buses) - q35, ret); /* q35 has no IDE: the last row */
        put_device_enum(caps, "model", models, ARRAY_LEN(models), ret);
        buf_put_text(ret, "    </disk>\n    <graphics supported='yes'>\n");
        put_device_enum(caps, "type", graphics, ARRAY_LEN(graphics), ret);
        buf_put_text(ret, "    </graphics>\n    <video supported='yes'>\n");
        put_device_enum(caps, "modelType", videos, ARRAY_LEN(videos), ret);
        buf_put_text(ret, "    </video>\n    <hostdev supported='yes'>\n");
        put_device_enum(caps, "mode", hostdev_modes, ARRAY_LEN(hostdev_modes), ret);
        put_device_enum(caps, "startupPolicy", startup, ARRAY_LEN(startup), ret);
        put_device_enum(caps, "subsysType", hostdev_types, ARRAY_LEN(hostdev_types), ret);
        buf_put_text(ret, "      <enum name='capsType'/>\n      <enum name='pciBackend'/>\n    </hostdev>\n"
                          "    <rng supported='yes'>\n");
        put_device_enum(caps, "model", rngs, ARRAY_LEN(rngs), ret);
        put_device_enum(caps, "backendModel", rng_backends, ARRAY_LEN(rng_backends), ret);
        buf_put_text(ret, "    </rng>\n    <filesystem supported='no'/>\n    <tpm supported='no'/>\n  </devices>\n");
}

int qemu_caps_format_domain(const QemuCaps *caps, const char *machine, const char *virttype, Buf *ret, Error *err)
{
        const QemuMachine *m = qemu_caps_find_machine(caps, machine);
        bool kvm = virttype ? str_eq(virttype, "kvm") : caps->kvm;
        AUTO(Arena) *arena = arena_new();
        NodeCpuModel cpu = { 0 };

        if (!m)
                return err_set(err, ERR_INVALID_ARG, "'%s' knows no machine '%s'", caps->binary,
                               machine ?: "default");
        if (virttype && !kvm && !str_eq(virttype, "qemu"))
                return err_set(err, ERR_INVALID_ARG, "'%s' cannot run guests of type '%s'", caps->binary, virttype);
        if (kvm && !caps->kvm)
                return err_set(err, ERR_INVALID_ARG, "KVM is not usable by '%s' on this host", caps->binary);
        node_cpu_model("", arena, &cpu, NULL);
        buf_format(ret, "<domainCapabilities>\n  <path>%s</path>\n  <domain>%s</domain>\n  <machine>%s</machine>\n",
                   caps->binary, kvm ? "kvm" : "qemu", m->name);
        buf_format(ret, "  <arch>x86_64</arch>\n  <vcpu max='%u'/>\n  <iothreads supported='yes'/>\n", m->most_cpus);
        put_loader(ret);
        put_cpu_modes(caps, kvm, vendor_word(cpu.vendor), ret);
        buf_put_text(
                ret,
                "  <memoryBacking supported='yes'>\n    <enum name='sourceType'>\n      <value>anonymous</value>\n"
                "      <value>memfd</value>\n    </enum>\n  </memoryBacking>\n");
        put_devices(caps, strstr(m->name, "q35") != NULL, ret);
        buf_put_text(ret, "  <features>\n    <gic supported='no'/>\n    <vmcoreinfo supported='no'/>\n"
                          "    <genid supported='yes'/>\n    <backingStoreInput supported='yes'/>\n"
                          "    <backup supported='no'/>\n    <sev supported='no'/>\n    <sgx supported='no'/>\n"
                          "  </features>\n</domainCapabilities>\n");
        return 0;
}
