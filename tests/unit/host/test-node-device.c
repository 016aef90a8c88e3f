#include "test.h"

#include "fake-root.h"
#include "host/node-device.h"

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
        node_device_format(fake_root, &all.items[1], &pci);
        CHECK(strstr(buf_text(&pci), "<name>e1000e</name>"));
        CHECK(strstr(buf_text(&pci), "<slot>31</slot>\n    <function>6</function>"));
        CHECK(strstr(buf_text(&pci), "<vendor id='0x8086'/>"));
        node_device_format(fake_root, &all.items[2], &net);
        CHECK(strstr(buf_text(&net), "<link speed='1000' state='up'/>"));
        fake_root_remove();
}
