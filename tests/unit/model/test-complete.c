/*
 * Completion and its rules: each case is a fragment put into a small guest, and what becomes of it.
 */
#include "test.h"

#include "base/str.h"
#include "model/complete.h"

static const CompletionFacts facts = { .emulator = "/usr/bin/qemu-system-x86_64", .memory_min_kib = 1024 };

/* A guest of that machine with something before its devices and among them. */
static DomainDef *guest(const char *machine, const char *top, const char *devices)
{
        AUTOFREE char *xml = str_format("<domain type='kvm'><name>g</name>%s%s<os><type machine='%s'>hvm</type></os>"
                                        "<devices>%s</devices></domain>",
                                        strstr(top, "<memory") ? "" : "<memory unit='MiB'>64</memory>", top, machine,
                                        devices);
        AUTO(Error) err = { 0 };
        DomainDef *def = NULL;

        if (domain_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0)
                fail_msg("%s", err.text);
        return def;
}

typedef struct Case {
        const char *machine, *top, *devices;
        const char *complaint; /* NULL: accepted */
} Case;

static void check_cases(const Case *cases, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                AUTO(DomainDef) *def = guest(cases[i].machine, cases[i].top, cases[i].devices);
                AUTO(Error) err = { 0 };

                domain_def_complete(def, &facts, &err);
                CHECK_STR(err.text ?: "accepted", cases[i].complaint ?: "accepted");
        }
}

#define DISK(rest) "<disk type='file' device='disk'><source file='/a'/>" rest "</disk>"

#define SMBIOS(blocks) "<sysinfo type='smbios'>" blocks "</sysinfo>"
#define FWCFG(entries) "<sysinfo type='fwcfg'>" entries "</sysinfo>"

#define TWICE(device) device device

TEST(what_a_guest_has_once_only_is_not_there_twice)
{
        static const Case cases[] = {
                { "pc", "",
                  "<disk><source file='/a'/><target dev='vda'/><alias name='ua-a'/></disk>"
                  "<interface type='user'><alias name='ua-b'/></interface>",
                  NULL },
                { "pc", "",
                  "<disk><source file='/a'/><target dev='vda'/><alias name='ua-a'/></disk>"
                  "<interface type='user'><alias name='ua-a'/></interface>",
                  "two devices have the alias 'ua-a'" },
                { "pc", "", TWICE("<interface type='user'><alias name='net0'/></interface>"), NULL },
                { "pc", "", TWICE("<controller type='scsi' index='0'/>"), "two 'scsi' controllers have the index 0" },
                { "pc", "", TWICE("<controller type='scsi'/>"), NULL },
                { "pc", "", "<controller type='scsi' index='0'/><controller type='usb' index='0'/>", NULL },
                { "q35", "", TWICE("<controller type='pci' index='3' model='pcie-root-port'/>"),
                  "two 'pci' controllers have the index 3" },
                { "pc", "",
                  "<controller type='usb' index='0' model='ich9-ehci1'/>"
                  "<controller type='usb' index='0' model='ich9-uhci1'><master startport='0'/></controller>"
                  "<controller type='usb' index='0' model='ich9-uhci2'><master startport='2'/></controller>",
                  NULL },
                { "pc", "",
                  "<disk><source file='/a'/><target dev='sda' bus='scsi'/><wwn>5000c50015ea71ad</wwn></disk>"
                  "<disk><source file='/b'/><target dev='sdb' bus='scsi'/><wwn>5000c50015ea71ad</wwn></disk>",
                  NULL }, /* two ways to one disk */
                { "pc", "", TWICE("<video><model type='vga' primary='yes'/></video>"),
                  "two video cards are the primary one" },
                { "pc",
                  "<cpu><numa><cell cpus='0' memory='18014398509481983'/><cell memory='18014398509481983'/></numa></cpu>",
                  "", "the memory of all cells is too much" },
        };

        check_cases(cases, ARRAY_LEN(cases));
}

TEST(only_entries_that_there_are_reach_the_firmware)
{
        static const Case cases[] = {
                { "pc",
                  SMBIOS("<bios><entry name='release'>1.0</entry></bios><baseBoard><entry name='location'>a</entry></baseBoard>"
                         "<chassis><entry name='sku'>b</entry></chassis><oemStrings><entry>c</entry></oemStrings>"),
                  "", NULL },
                { "pc", SMBIOS("<system><entry>a</entry></system>"), "",
                  "<sysinfo>: an <entry> of <system> has no 'name'" },
                { "pc", SMBIOS("<bios><entry name='file'>/etc/shadow</entry></bios>"), "",
                  "<sysinfo>: <bios> has no entry 'file'" },
                { "pc", SMBIOS("<chassis><entry name='version=1,serial'>a</entry></chassis>"), "",
                  "<sysinfo>: <chassis> has no entry 'version=1,serial'" },
                { "pc", SMBIOS("<system><entry name='uuid'>6695eb01-f6a4-8304-79aa-97f2502e193f</entry></system>"),
                  "", "<sysinfo>: the UUID '6695eb01-f6a4-8304-79aa-97f2502e193f' is not the guest's <uuid>" },
                { "pc",
                  "<uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>" SMBIOS(
                          "<system><entry name='uuid'>6695eb01-f6a4-8304-79aa-97f2502e193f</entry></system>"),
                  "", NULL },
                { "pc", FWCFG("<entry name='opt/com.example/a'>b</entry><entry name='opt/com.example/c' file='/d'/>"),
                  "", NULL },
                { "pc", FWCFG("<entry>a</entry>"), "", "<sysinfo type='fwcfg'>: an <entry> has no 'name'" },
                { "pc", FWCFG("<entry name='opt/com.example/a'/>"), "",
                  "<sysinfo type='fwcfg'>: the entry 'opt/com.example/a' needs either a value or a 'file'" },
                { "pc", FWCFG("<entry name='etc/e820'>a</entry>"), "",
                  "<sysinfo type='fwcfg'>: 'etc/e820' is not a name for users; such a name begins with 'opt/', and not with "
                  "'opt/ovmf/' or 'opt/org.qemu/'" },
        };

        check_cases(cases, ARRAY_LEN(cases));
}

TEST(disks_follow_their_rules)
{
        static const Case cases[] = {
                { "pc", "", DISK("<target dev='hda'/>"), NULL },
                /* DOM-19: para-virtual in spite of its name */
                { "pc", "", DISK("<target dev='hda' bus='virtio'/>"), NULL },
                { "pc", "", DISK("<target dev='hda'/>") DISK("<target dev='hda'/>"),
                  "two disks have the target 'hda'" },                                  /* DOM-23 */
                { "pc", "", DISK("<driver name='tap' type='aio'/><target dev='hda'/>"), /* DOM-20 */
                  "disk 'hda': <driver name='tap' type='aio'> is Xen's; for QEMU write name='qemu' and the format of the "
                  "image as type, like type='raw'" },
                { "pc", "", DISK("<driver name='file'/><target dev='hda'/>"),
                  "disk 'hda': <driver name='file'> is Xen's; for QEMU write name='qemu' and the format of the image as "
                  "type, like type='raw'" },
                { "pc", "", "<disk type='file' device='cdrom'><target dev='vda' bus='virtio'/></disk>",
                  "disk 'vda': a cdrom cannot be on bus 'virtio'; use 'sata' or 'scsi'" },
                { "pc", "", "<disk type='file' device='floppy'><target dev='fda'/></disk>", NULL }, /* DOM-16 */
                { "pc", "", "<disk type='file' device='floppy'><target dev='fda' bus='ide'/></disk>",
                  "disk 'fda': a floppy cannot be on bus 'ide'" },
                { "q35", "", DISK("<target dev='hda' bus='ide'/>"),
                  "disk 'hda': machine 'q35' has no IDE controller; use bus 'sata'" },
                { "pc", "", "<disk type='file'><target dev='vda'/></disk>", "disk 'vda' has no source" },
                { "pc", "", DISK("<target dev='disk1'/>"),
                  "disk 'disk1': the name implies no bus; write one like bus='virtio'" },
                { "pc", "", DISK("<driver name='qemu' cache='writeback' io='native'/><target dev='vda'/>"),
                  "disk 'vda': io='native' needs cache='none' or 'directsync', not 'writeback'" },
                { "pc", "", DISK("<driver name='qemu' iothread='2'/><target dev='vda'/>"),
                  "disk 'vda': there is no I/O thread 2" },
                { "pc", "",
                  DISK("<target dev='sda'/><address type='drive' unit='1'/>")
                          DISK("<target dev='sdb'/><address type='drive' unit='1'/>"),
                  "disks 'sda' and 'sdb' have the same address" },
        };

        check_cases(cases, ARRAY_LEN(cases));
}

/* DOM-18 */
TEST(the_name_of_a_target_implies_its_bus)
{
        static const struct {
                const char *target;
                DiskBus bus;
                int index;
        } cases[] = {
                { "hda", DISK_BUS_IDE, 0 },      { "sdb", DISK_BUS_SCSI, 1 },   { "vdz", DISK_BUS_VIRTIO, 25 },
                { "vdaa", DISK_BUS_VIRTIO, 26 }, { "fda", DISK_BUS_FDC, 0 },    { "xvdc", DISK_BUS_XEN, 2 },
                { "foo", DISK_BUS_UNSET, -1 },   { "vd", DISK_BUS_VIRTIO, -1 }, { "vd1", DISK_BUS_VIRTIO, -1 },
                { NULL, DISK_BUS_UNSET, -1 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                CHECK_INT(disk_bus_of_target(cases[i].target), cases[i].bus);
                CHECK_INT(disk_target_index(cases[i].target), cases[i].index);
        }
}

TEST(clocks_follow_their_rules)
{
        static const Case cases[] = {
                { "pc", "<clock offset='utc'/>", "", NULL }, /* CLK-01 */
                { "pc", "<clock offset='localtime'/>", "", NULL },
                { "pc", "<clock offset='timezone' timezone='Europe/Paris'/>", "", NULL },
                { "pc", "<clock offset='variable' adjustment='-123456'/>", "", NULL }, /* CLK-05 */
                { "pc", "<clock offset='timezone'/>", "",                              /* CLK-04 */
                  "<clock offset='timezone'> needs a 'timezone', like Europe/Paris" },
                { "pc", "<clock offset='variable' adjustment='soon'/>", "",
                  "<clock>: 'adjustment' cannot be 'soon' (it is seconds)" },
                { "pc", "<clock><timer name='rtc'/><timer name='rtc'/></clock>", "",
                  "the timer 'rtc' is there twice" }, /* CLK-07 */
                { "pc", "<clock><timer name='platform'/></clock>", "",
                  "QEMU has no timer 'platform' here; remove it" },            /* CLK-08 */
                { "pc", "<clock><timer name='rtc' track='boot'/></clock>", "", /* CLK-09 */
                  "timer 'rtc': track='boot' is not supported; use 'guest' or 'wall'" },
                { "pc", "<clock><timer name='rtc' track='wall'/></clock>", "", NULL },
                { "pc", "<clock><timer name='pit' track='wall'/></clock>", "",
                  "timer 'pit': 'track' is for the timer 'rtc' only" },
                { "pc",
                  "<clock><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='discard'/></clock>",
                  "", NULL }, /* CLK-10 */
                { "pc", "<clock><timer name='rtc' tickpolicy='merge'/></clock>", "",
                  "timer 'rtc': tickpolicy='merge' is not supported by QEMU" },
                { "pc", "<clock><timer name='tsc' tickpolicy='delay'/></clock>", "",
                  "timer 'tsc': tickpolicy='delay' is not supported by QEMU" },
        };

        check_cases(cases, ARRAY_LEN(cases));
}

TEST(other_things_follow_their_rules)
{
        static const Case cases[] = {
                { "pc", "<bootloader>/usr/bin/pygrub</bootloader>", "", /* DOM-11 */
                  "<bootloader> is for Xen guests; with type 'kvm' use <os> with <kernel> or <boot>" },
                { "pc", "<vcpu>4</vcpu><cpu><topology sockets='1' cores='2' threads='1'/></cpu>", "",
                  "the CPU topology has 2 CPUs, but <vcpu> says 4" },
                { "pc",
                  "<vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='1024'/><cell id='1' cpus='1' memory='1024'/></numa></cpu>",
                  "", "CPU 1 is in two cells" },
                { "pc", "<vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0-2' memory='1024'/></numa></cpu>", "",
                  "cell 0: the guest has no CPU 2" },
                { "pc", "<cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='0' cpuset='1'/></cputune>", "",
                  "virtual CPU 0 is pinned twice" },
                { "pc", "",
                  "<interface type='bridge'><source bridge='b'/><script path='vif-bridge'/></interface>", /* DOM-28 */
                  "an interface of type 'bridge' cannot have a script, only 'ethernet'" },
                { "pc", "",
                  "<graphics type='vnc' port='5900' listen='1.2.3.4'><listen type='address' address='4.3.2.1'/></graphics>",
                  "<graphics>: listen='1.2.3.4' but the first listen element says '4.3.2.1'" },
                { "pc", "", "<graphics type='vnc' port='80'/>", "<graphics>: VNC ports begin at 5900, not 80" },
                { "pc", "", DISK("<target dev='vda'/><boot order='1'/>") DISK("<target dev='vdb'/><boot order='1'/>"),
                  "boot order 1 is used for vda and vdb" },
                { "pc", "",
                  "<interface type='user'><model type='virtio'/><address type='pci' slot='0x03'/></interface>"
                  "<interface type='user'><model type='virtio'/><address type='pci' slot='0x03'/></interface>",
                  "<interface>: the PCI address 0000:00:03.0 is used twice" },
                { "pc", "", "<interface type='user'><model type='virtio'/><address type='usb' port='1'/></interface>",
                  "<interface>: the address of a PCI device is of type 'pci'" },
        };

        check_cases(cases, ARRAY_LEN(cases));
}

static void put_each(Buf *ret, unsigned first, unsigned n, const char *before, const char *after)
{
        for (unsigned i = first; i < first + n; i++)
                buf_format(ret, "%s%u%s", before, i, after);
}

/* To compare each with all the others would take minutes, and these are done at once. */
TEST(of_a_hundred_thousand_parts_the_one_that_is_there_twice_is_found)
{
        enum { MANY = 100 * 1000 };
        static const struct {
                const char *head, *before, *after, *tail, *twice, *complaint;
                const char *too_many; /* NULL: there can be so many */
        } cases[] = {
                { "<cpu>", "<feature name='f", "'/>", "</cpu>", "<feature name='f7'/>",
                  "the CPU feature 'f7' is there twice", NULL },
                { "<cputune>", "<vcpupin cpuset='0' vcpu='", "'/>", "</cputune>", "<vcpupin vcpu='7' cpuset='1'/>",
                  "virtual CPU 7 is pinned twice", NULL },
                { "<iothreadids>", "<iothread id='1", "'/>", "</iothreadids>", "<iothread id='17'/>",
                  "there are two I/O threads with id 17", "a guest has at most 65535 I/O threads, not 100000" },
                { "<cpu><numa>", "<cell memory='4' id='", "'/>", "</numa></cpu>", "<cell memory='4' id='7'/>",
                  "there are two cells with id 7", NULL },
        };

        for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
                AUTO(Buf) top = { 0 };
                AUTO(DomainDef) *def = NULL;
                AUTO(Error) err = { 0 };
                bool twice = i % 2;

                buf_put_text(&top, cases[i / 2].head);
                put_each(&top, 0, MANY, cases[i / 2].before, cases[i / 2].after);
                buf_put_text(&top, twice ? cases[i / 2].twice : "");
                buf_put_text(&top, cases[i / 2].tail);
                def = guest("pc", buf_text(&top), "");
                domain_def_complete(def, &facts, &err);
                CHECK_STR(err.text ?: "accepted",
                          twice ? cases[i / 2].complaint : cases[i / 2].too_many ?: "accepted");
        }
}

TEST(io_threads_without_a_number_get_those_that_are_free)
{
        AUTO(Buf) top = { 0 };
        AUTO(DomainDef) *def = NULL;

        buf_put_text(&top, "<iothreads>65535</iothreads><iothreadids><iothread id='70000'/>");
        put_each(&top, 1, 30000, "<iothread id='", "'/>");
        buf_put_text(&top, "</iothreadids><cputune><iothreadpin iothread='65534' cpuset='0'/></cputune>");
        def = guest("pc", buf_text(&top), "");
        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        CHECK_INT(def->n_iothreads, 65535);
        CHECK_INT(def->iothreads[30000]->id, 30000);
        CHECK_INT(def->iothreads[30001]->id, 30001);
        CHECK_INT(def->iothreads[65534]->id, 65534);
}

/* What is written says it, so that the next reading finds the same. */
TEST(an_empty_model_is_the_usual_one)
{
        AUTO(DomainDef) *def = guest("pc", "", "<rng model=''><backend model='random'/></rng>");

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        CHECK_STR(def->rngs[0]->model, "virtio");
}

/* What it gets counts too: the definition would not be read again. */
TEST(a_guest_has_a_thousand_devices_at_most)
{
        static const struct {
                unsigned given;
                const char *complaint;
        } cases[] = {
                { 1000, "accepted" },
                { 1024, "a guest has at most 1024 devices, not 1027" },
                { 1025, "a guest has at most 1024 devices, not 1025" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Buf) devices = { 0 };
                AUTO(DomainDef) *def = NULL;
                AUTO(Error) err = { 0 };

                for (unsigned n = 0; n < cases[i].given; n++)
                        buf_put_text(&devices, "<input type='mouse' bus='ps2'/>");
                def = guest("pc", "", buf_text(&devices));
                domain_def_complete(def, &facts, &err);
                CHECK_STR(err.text ?: "accepted", cases[i].complaint);
        }
}

/* DOM-03, DOM-06 */
TEST(memory_is_completed)
{
        static const struct {
                const char *top;
                uint64_t memory_kib, current_kib;
        } cases[] = {
                { "<memory unit='MiB'>64</memory>", 65536, 65536 },
                { "<memory unit='MiB'>64</memory><currentMemory unit='MiB'>32</currentMemory>", 65536, 32768 },
                { "<memory unit='bytes'>1048577</memory>", 1025, 1025 }, /* DOM-02 */
                { "<memory>4</memory>", 1024, 1024 },
                { "<memory>4</memory><cpu><numa><cell memory='2' unit='MiB'/><cell memory='3' unit='MiB'/></numa></cpu>",
                  5120, 5120 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(DomainDef) *def = guest("pc", cases[i].top, "");

                CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
                CHECK_INT(def->memory_kib, cases[i].memory_kib);
                CHECK_INT(def->current_memory_kib, cases[i].current_kib);
        }
}

/* DOM-09, DOM-26, CON-24 */
TEST(identities_are_made_once)
{
        AUTO(DomainDef) *a = guest("pc", "", "<interface type='user'/>");
        AUTO(DomainDef) *b = guest("pc", "", "<interface type='user'/>");
        Mac mac;
        Uuid uuid;

        CHECK_INT(domain_def_complete(a, &facts, NULL), 0);
        CHECK_INT(domain_def_complete(b, &facts, NULL), 0);
        CHECK(!uuid_eq(&a->uuid, &b->uuid));
        CHECK(!mac_eq(&a->interfaces[0]->mac, &b->interfaces[0]->mac));
        CHECK_MEM(a->interfaces[0]->mac.bytes, "\x52\x54\x00", 3);
        mac = a->interfaces[0]->mac;
        uuid = a->uuid;
        CHECK_INT(domain_def_complete(a, &facts, NULL), 0);
        CHECK(mac_eq(&mac, &a->interfaces[0]->mac) && uuid_eq(&uuid, &a->uuid));
}

static void check_address(const DeviceInfo *info, unsigned bus, unsigned slot, unsigned function)
{
        CHECK(info->address);
        CHECK_INT(info->address->bus, bus);
        CHECK_INT(info->address->slot, slot);
        CHECK_INT(info->address->function, function);
}

TEST(i440fx_places_everything_on_bus_0)
{
        AUTO(DomainDef) *def = guest(
                "pc-i440fx-7.2", "",
                DISK("<target dev='vda'/>") DISK(
                        "<target dev='hdc'/>") "<interface type='user'><model type='virtio'/></interface>"
                                               "<interface type='user'><model type='e1000'/><address type='pci' slot='0x05'/></interface>"
                                               "<graphics type='vnc'/>");

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        check_address(&def->videos[0]->info, 0, 2, 0);
        check_address(&def->interfaces[0]->info, 0, 3, 0);
        check_address(&def->interfaces[1]->info, 0, 5, 0);
        check_address(&domain_def_find_disk(def, "vda")->info, 0, 4, 0);
        check_address(&def->memballoons[0]->info, 0, 6, 0);
        CHECK_INT(domain_def_find_disk(def, "hdc")->info.address->bus, 1);
        CHECK_INT(domain_def_find_disk(def, "hdc")->info.address->unit, 0);
}

TEST(q35_gives_every_device_a_root_port_and_keeps_spares)
{
        AUTO(DomainDef) *def = guest(
                "q35", "",
                DISK("<target dev='vda'/>") "<interface type='user'><model type='virtio'/></interface>"
                                            "<interface type='user'><model type='rtl8139'/></interface>");
        unsigned ports = 0;

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        for (uint32_t i = 0; i < def->n_controllers; i++)
                ports += str_eq(def->controllers[i]->model, "pcie-root-port");
        CHECK_INT(ports, 6); /* network, USB, disk, balloon, and two spare */
        check_address(&def->interfaces[0]->info, 1, 0, 0);
        CHECK_INT(def->interfaces[1]->info.address->bus, 0); /* an old device sits on the root itself */
        check_address(&domain_def_find_disk(def, "vda")->info, 3, 0, 0);
}

/* A running guest has the ports it was started with. */
TEST(plugging_uses_spare_ports_until_they_are_gone)
{
        static const CompletionFacts running = { .running = true };
        AUTO(DomainDef) *def = guest("q35", "", "<interface type='user'><model type='virtio'/></interface>");
        AUTO(Error) err = { 0 };
        DiskDef disk = {
                .type = DISK_TYPE_FILE, .device = DISK_DEVICE_DISK, .source.path = "/b", .target_dev = "vdb"
        };

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        domain_def_add_device(def, DEVICE_DISK, &disk);
        CHECK_INT(domain_def_place_device(def, &running, &err), 0);
        disk.target_dev = "vdc";
        domain_def_add_device(def, DEVICE_DISK, &disk);
        CHECK_INT(domain_def_place_device(def, &running, &err), 0);
        disk.target_dev = "vdd";
        domain_def_add_device(def, DEVICE_DISK, &disk);
        CHECK_INT(domain_def_place_device(def, &running, &err), -1);
        CHECK(str_starts(err.text, "no more PCI slots: there is none left for <disk>; a running guest cannot"));
}

/* DOM-40 */
TEST(a_full_bus_says_so)
{
        AUTO(Buf) devices = { 0 };
        AUTO(DomainDef) *def = NULL;
        AUTO(Error) err = { 0 };

        for (int i = 0; i < 28; i++)
                buf_format(&devices, "<interface type='user'><model type='virtio'/></interface>");
        buf_put_text(&devices, "<memballoon model='none'/>");
        def = guest("pc", "", buf_text(&devices));
        CHECK_INT(domain_def_complete(def, &facts, &err), 0);
        domain_def_unref(TAKE(def));
        buf_format(&devices,
                   "<interface type='user'><model type='virtio'/></interface><rng><backend model='random'/></rng>");
        def = guest("pc", "", buf_text(&devices));
        CHECK_INT(domain_def_complete(def, &facts, &err), -1);
        CHECK_STR(err.text, "no more PCI slots: there is none left for <rng>");
}

/* Gaps stay gaps: taking a device out moves no other. */
TEST(addresses_do_not_move)
{
        AUTO(DomainDef) *def = guest(
                "pc", "", DISK("<target dev='vda'/>") DISK("<target dev='vdb'/>") DISK("<target dev='vdc'/>"));

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        check_address(&def->disks[2]->info, 0, 5, 0);
        domain_def_remove_device(def, DEVICE_DISK, 0);
        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        check_address(&def->disks[1]->info, 0, 5, 0);
        CHECK_STR(def->disks[1]->target_dev, "vdc");
}

/* DOM-38 */
TEST(functions_of_one_slot_live_together)
{
        AUTO(DomainDef) *def = guest(
                "pc", "",
                DISK("<target dev='vda'/><address type='pci' slot='0x08' function='0x0' multifunction='on'/>")
                        DISK("<target dev='vdb'/><address type='pci' slot='0x08' function='0x7'/>"));

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        check_address(&def->disks[1]->info, 0, 8, 7);
}

TEST(companions_of_usb_are_one_bus_in_one_slot)
{
        AUTO(DomainDef) *def = guest("q35", "",
                                     "<controller type='usb' model='ich9-ehci1'/>"
                                     "<controller type='usb' model='ich9-uhci1'><master startport='0'/></controller>"
                                     "<controller type='usb' model='ich9-uhci2'><master startport='2'/></controller>"
                                     "<controller type='usb' model='qemu-xhci'/>");

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        for (unsigned i = 0; i < 3; i++)
                CHECK_INT(def->controllers[i]->index, 0);
        CHECK_INT(def->controllers[3]->index, 1);
        check_address(&def->controllers[0]->info, 0, 0x1d, 7);
        check_address(&def->controllers[1]->info, 0, 0x1d, 0);
        check_address(&def->controllers[2]->info, 0, 0x1d, 1);
}

TEST(console_and_serial_port_are_one)
{
        AUTO(DomainDef) *only_serial = guest("pc", "", "<serial type='pty'/>");
        AUTO(DomainDef) *only_console = guest("pc", "", "<console type='pty'/>");

        CHECK_INT(domain_def_complete(only_serial, &facts, NULL), 0);
        CHECK_INT(domain_def_complete(only_console, &facts, NULL), 0);
        CHECK_INT(only_serial->n_consoles, 1);
        CHECK_STR(only_serial->consoles[0]->target_type, "serial");
        CHECK_INT(only_console->n_serials, 1);
        CHECK_STR(only_console->serials[0]->target_type, "isa-serial");
        domain_def_assign_aliases(only_console);
        CHECK_STR(only_console->consoles[0]->info.alias, "serial0");
}

TEST(aliases_are_those_that_tools_know)
{
        AUTO(DomainDef) *def = guest(
                "q35", "",
                DISK("<target dev='vdb'/>") DISK("<target dev='sdb' bus='scsi'/>") DISK(
                        "<target dev='sdc' bus='sata'/>") "<interface type='user'><model type='virtio'/></interface>"
                                                          "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
                                                          "<watchdog model='i6300esb'/><input type='tablet' bus='usb'><alias name='ua-pen'/></input>");
        static const char *const expected[] = {
                "virtio-disk1", "scsi0-0-0-1", "sata0-0-2", "net0",  "channel0", "watchdog0",      "balloon0",
                "usb",          "ide",         "pcie.0",    "pci.1", "scsi0",    "virtio-serial0", "ua-pen"
        };

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        domain_def_assign_aliases(def);
        for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
                if (!domain_def_find_alias(def, expected[i], NULL))
                        fail_msg("no device is called %s", expected[i]);
        }
}

/* DOM-29: a display without port finds one, on its own. */
TEST(displays_are_completed)
{
        AUTO(DomainDef) *def = guest("pc", "", "<graphics type='vnc'/>");
        AUTO(Buf) text = { 0 };

        CHECK_INT(domain_def_complete(def, &facts, NULL), 0);
        CHECK_INT(def->graphics[0]->autoport, SWITCH_ON);
        CHECK_INT(def->graphics[0]->port, -1);
        CHECK_INT(def->n_videos, 1);
        def->graphics[0]->port = 5901;
        device_def_format(DEVICE_GRAPHICS, def->graphics[0], 0, DEF_FORMAT_INACTIVE, &text);
        CHECK_STR(buf_text(&text),
                  "<graphics type='vnc' port='-1' autoport='yes'>\n  <listen type='address'/>\n</graphics>\n");
}
