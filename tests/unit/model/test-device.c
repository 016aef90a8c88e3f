#include "test.h"

#include "base/str.h"
#include "model/device.h"

static DomainDef *guest(void)
{
        static const char xml[] =
                "<domain type='kvm'><name>g</name><memory>65536</memory><os><type>hvm</type></os><devices>"
                "<disk type='file'><source file='/a.img'/><target dev='vda' bus='virtio'/></disk>"
                "<disk type='file'><source file='/c.img'/><target dev='vdc' bus='virtio'/></disk>"
                "<interface type='user'><mac address='52:54:00:00:00:01'/><target dev='tap1'/></interface>"
                "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>"
                "<watchdog model='i6300esb'><alias name='ua-dog'/></watchdog>"
                "</devices></domain>";
        AUTO(Error) err = { 0 };
        DomainDef *def = NULL;

        if (domain_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0)
                fail_msg("%s", err.text);
        return def;
}

static DeviceDef device(const char *xml)
{
        AUTO(Error) err = { 0 };
        DeviceDef parsed = { 0 };

        if (device_def_parse(xml, strlen(xml), DEF_PARSE_INACTIVE, &parsed, NULL, &err) < 0)
                fail_msg("%s", err.text);
        return parsed;
}

/* DOM-44: the sample of the guide, in both quotings. */
TEST(both_quotings_attach)
{
        static const char *const forms[] = {
                "<disk type=\"file\" device=\"cdrom\"><driver name=\"file\"/><source file=\"/a.iso\"/><target dev=\"hdc\"/><readonly/></disk>",
                "<disk type='file' device='cdrom'><driver name='file'/><source file='/a.iso'/><target dev='hdc'/><readonly/></disk>",
        };

        for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
                AUTO(DeviceDef) cdrom = device(forms[i]);

                CHECK_INT(cdrom.kind, DEVICE_DISK);
                CHECK_STR(cdrom.disk->source.path, "/a.iso");
                CHECK(cdrom.disk->readonly);
        }
}

TEST(what_is_no_device_is_refused)
{
        AUTO(Error) err = { 0 };
        DeviceDef none;

        CHECK_INT(device_def_parse("<memory/>", 9, 0, &none, NULL, &err), -1);
        CHECK_STR(err.text, "(device definition) <memory> is not a device");
}

/* It stands among QEMU's options and in the path of a socket. */
TEST(the_name_of_a_device_is_a_plain_word)
{
        static const char *const names[] = { "ua-a,path=/etc/passwd", "ua-../../a", "ua-a b" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                AUTOFREE char *xml = str_format("<watchdog model='i6300esb'><alias name='%s'/></watchdog>", names[i]);
                AUTO(DeviceDef) kept = device(xml);
                AUTO(Error) err = { 0 };
                DeviceDef live;

                CHECK_NULL(kept.watchdog->info.alias);
                CHECK_INT(device_def_parse(xml, strlen(xml), 0, &live, NULL, &err), -1);
                CHECK(strstr(err.text, "letters, digits"));
        }
}

/* LIFE-39: attach and detach with one text leaves no trace. */
TEST(adding_and_removing_leaves_the_definition_as_it_was)
{
        AUTO(DomainDef) *def = guest();
        AUTO(DomainDef) *changed = domain_def_copy(def);
        AUTO(DeviceDef)
        disk = device("<disk type='file'><source file='/b.img'/><target dev='vdb' bus='virtio'/></disk>");
        unsigned at;

        domain_def_add_device(changed, disk.kind, disk.any);
        CHECK_INT(changed->n_disks, 3);
        CHECK_STR(changed->disks[1]->target_dev, "vdb"); /* between its neighbours */
        CHECK(!fields_equal(&domain_def_info, def, changed));
        CHECK_INT(domain_def_find_device(changed, &disk, &at, NULL), 0);
        domain_def_remove_device(changed, disk.kind, at);
        CHECK(fields_equal(&domain_def_info, def, changed));
}

TEST(devices_are_found_by_what_names_them)
{
        static const struct {
                const char *xml;
                int at; /* -1: none or several */
        } cases[] = {
                { "<disk><target dev='vdc'/></disk>", 1 },
                { "<disk><target dev='vdx'/></disk>", -1 },
                { "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>", 1 },
                { "<interface type='user'/>", -1 },
                { "<watchdog model='i6300esb'><alias name='ua-dog'/></watchdog>", 0 },
                { "<watchdog model='i6300esb'><alias name='ua-cat'/></watchdog>", -1 },
                { "<rng><backend model='random'/></rng>", -1 },
        };
        AUTO(DomainDef) *def = guest();

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(DeviceDef) wanted = device(cases[i].xml);
                AUTO(Error) err = { 0 };
                unsigned at = 99;

                CHECK_INT(domain_def_find_device(def, &wanted, &at, &err), cases[i].at < 0 ? -1 : 0);
                CHECK_INT(err_is_set(&err), cases[i].at < 0);
                if (cases[i].at >= 0)
                        CHECK_INT(at, cases[i].at);
        }
}

TEST(disks_and_interfaces_are_found_by_their_names)
{
        AUTO(DomainDef) *def = guest();

        CHECK(domain_def_find_disk(def, "vda") == def->disks[0]);
        CHECK(domain_def_find_disk(def, "/c.img") == def->disks[1]);
        CHECK_NULL(domain_def_find_disk(def, "/d.img"));
        CHECK(domain_def_find_interface(def, "tap1") == def->interfaces[0]);
        CHECK(domain_def_find_interface(def, "52:54:00:00:00:02") == def->interfaces[1]);
        CHECK_NULL(domain_def_find_interface(def, "vnet0"));
}

/* LIFE-45: what may change while a guest runs is in the facts. */
TEST(only_live_fields_may_change_in_a_running_guest)
{
        AUTO(DomainDef) *def = guest();
        AUTO(DeviceDef)
        same = device("<disk type='file'><source file='/other.img'/><target dev='vda' bus='virtio'/></disk>");
        AUTO(DeviceDef)
        other = device(
                "<disk type='file'><source file='/a.img'/><target dev='vda' bus='virtio'/><serial>x</serial></disk>");

        CHECK_NULL(fields_find_fixed(&disk_def_info, def->disks[0], same.disk));
        CHECK_STR(fields_find_fixed(&disk_def_info, def->disks[0], other.disk)->path, "serial");
}

/* What drover placed may be absent from an update, but not another place in it. */
TEST(an_update_need_not_repeat_what_drover_filled_in)
{
        AUTO(DomainDef) *def = guest();
        AUTO(DeviceDef)
        silent = device("<interface type='user'><mac address='52:54:00:00:00:02'/><link state='down'/></interface>");
        AUTO(DeviceDef)
        moved = device("<interface type='user'><mac address='52:54:00:00:00:02'/>"
                       "<address type='pci' slot='0x09'/></interface>");
        InterfaceDef *interface = def->interfaces[1];

        interface->info.alias = "net1";
        interface->info.address = fields_new(def->head.arena, &device_address_info);
        interface->info.address->type = ADDRESS_TYPE_PCI;
        interface->info.address->slot = 4;
        CHECK_NULL(fields_find_fixed(&interface_def_info, interface, silent.interface));
        CHECK_STR(fields_find_fixed(&interface_def_info, interface, moved.interface)->path, "address");
}
