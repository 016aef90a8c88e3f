#include "test.h"

#include "fake-root.h"
#include "host/node-device.h"

static const Uuid host = { { 0x6d, 0x5e, 0x1a, 0x4c, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1 } };

/* A network card with one link, and a disk that is only in memory. */
static void make_root(void)
{
        fake_root_make();
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/vendor", "0x8086\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/device", "0x15bb\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/net/eth0/ifindex", "2\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/net/eth0/address", "52:54:00:01:02:03\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/net/eth0/operstate", "up\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/net/eth0/speed", "1000\n");
        fake_root_put("/sys/devices/virtual/block/loop0/size", "8\n");
        fake_root_link("/sys/devices/pci0000:00/0000:00:1f.6/driver", "../../../bus/pci/drivers/e1000e");
        fake_root_link("/sys/bus/pci/devices/0000:00:1f.6", "../../../devices/pci0000:00/0000:00:1f.6");
        fake_root_link("/sys/class/net/eth0", "../../devices/pci0000:00/0000:00:1f.6/net/eth0");
        fake_root_link("/sys/class/net/outside", "/etc");
        fake_root_link("/sys/block/loop0", "../devices/virtual/block/loop0");
        fake_root_put("/sys/class/net/bonding_masters", "\n");
}

TEST(devices_sit_on_one_another)
{
        AUTO(Arena) *arena = arena_new();
        NodeDevices all;

        make_root();
        node_devices(fake_root, arena, &all);
        CHECK_INT(all.n, 3);
        CHECK_STR(all.items[0].name, "computer");
        CHECK_STR(all.items[1].name, "pci_0000_00_1f_6");
        CHECK_STR(all.items[1].parent, "computer");
        CHECK_STR(all.items[2].name, "net_eth0_52_54_00_01_02_03");
        CHECK_STR(all.items[2].parent, "pci_0000_00_1f_6");
        CHECK_NULL(node_device_find(&all, "net_outside"));
        fake_root_remove();
}

TEST(a_device_is_described_by_what_the_kernel_says)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) pci = { 0 }, net = { 0 };
        NodeDevices all;

        make_root();
        node_devices(fake_root, arena, &all);
        node_device_format(fake_root, &host, &all.items[1], &pci);
        CHECK(strstr(buf_text(&pci), "<name>e1000e</name>"));
        CHECK(strstr(buf_text(&pci), "<slot>31</slot>\n    <function>6</function>"));
        CHECK(strstr(buf_text(&pci), "<vendor id='0x8086'/>"));
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/vendor", "it's\n");
        node_device_format(fake_root, &host, &all.items[1], &pci);
        CHECK(strstr(buf_text(&pci), "<vendor id='it&apos;s'/>"));
        node_device_format(fake_root, &host, &all.items[2], &net);
        CHECK(strstr(buf_text(&net), "<link speed='1000' state='up'/>"));
        fake_root_remove();
}

TEST(a_machine_without_firmware_tables_is_known_by_the_daemon_s_uuid)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) bare = { 0 }, named = { 0 };
        NodeDevices all;

        make_root();
        node_devices(fake_root, arena, &all);
        node_device_format(fake_root, &host, &all.items[0], &bare);
        CHECK(strstr(buf_text(&bare), "<uuid>6d5e1a4c-0000-4000-8000-000000000001</uuid>"));
        fake_root_put("/sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8058-B4C04F443332\n");
        node_device_format(fake_root, &host, &all.items[0], &named);
        CHECK(strstr(buf_text(&named), "<uuid>4c4c4544-0042-3510-8058-b4c04f443332</uuid>"));
        fake_root_remove();
}

TEST(a_drive_says_whether_a_medium_is_in_it)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) empty = { 0 }, disk = { 0 };
        NodeDevices all;

        make_root();
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/block/sr0/removable", "1\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/block/vda/size", "16\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/block/vda/queue/logical_block_size", "4096\n");
        fake_root_link("/sys/block/sr0", "../devices/pci0000:00/0000:00:1f.6/block/sr0");
        fake_root_link("/sys/block/vda", "../devices/pci0000:00/0000:00:1f.6/block/vda");
        node_devices(fake_root, arena, &all);
        node_device_format(fake_root, &host, node_device_find(&all, "block_sr0"), &empty);
        CHECK(strstr(buf_text(&empty), "<media_available>0</media_available>"));
        CHECK(!strstr(buf_text(&empty), "<size>"));
        node_device_format(fake_root, &host, node_device_find(&all, "block_vda"), &disk);
        CHECK(strstr(buf_text(&disk), "<size>8192</size>"));
        CHECK(strstr(buf_text(&disk), "<num_blocks>2</num_blocks>"));
        fake_root_remove();
}

/* Every device above, and a tunnel, whose address is one of IP: what clients check with accepts them. */
TEST(what_is_written_is_valid_by_the_schema)
{
        static const char schema[] = "/usr/share/libvirt/schemas/nodedev.rng";
        AUTO(Arena) *arena = NULL;
        NodeDevices all;

        if (access(schema, R_OK) != 0)
                skip();
        arena = arena_new();
        make_root();
        fake_root_put("/sys/devices/virtual/net/sit0/ifindex", "9\n");
        fake_root_put("/sys/devices/virtual/net/sit0/address", "0.0.0.0\n");
        fake_root_link("/sys/class/net/sit0", "../../devices/virtual/net/sit0");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/block/sr0/removable", "1\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.6/block/vda/size", "16\n");
        fake_root_link("/sys/block/sr0", "../devices/pci0000:00/0000:00:1f.6/block/sr0");
        fake_root_link("/sys/block/vda", "../devices/pci0000:00/0000:00:1f.6/block/vda");
        node_devices(fake_root, arena, &all);
        CHECK_INT(all.n, 6);
        for (size_t i = 0; i < all.n; i++) {
                AUTOFREE char *path = str_format("/device-%zu.xml", i);
                AUTO(Buf) xml = { 0 };

                node_device_format(fake_root, &host, &all.items[i], &xml);
                fake_root_put(path, buf_text(&xml));
        }
        AUTOFREE char *command = str_format("xmllint --noout --relaxng %s %s/device-*.xml >%s/said 2>&1", schema,
                                            fake_root, fake_root);

        CHECK_INT(system(command), 0);
        fake_root_remove();
}
