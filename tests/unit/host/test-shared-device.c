#include "test.h"

#include "base/str.h"
#include "fake-root.h"
#include "host/shared-device.h"

static void put_device(const char *name, const char *device)
{
        AUTOFREE char *node = str_format("/dev/%s", name);
        AUTOFREE char *link = str_format("/sys/class/block/%s", name);
        AUTOFREE char *target = str_format("../../devices/%s/block/%s", device, name);

        fake_root_put(node, "");
        fake_root_link(link, target);
}

static void put_slave(const char *name, const char *slave)
{
        AUTOFREE char *target = str_format("../../../../%s", slave);
        AUTOFREE char *link = str_format("/sys/devices/virtual/block/%s/slaves/%s", name, slave);

        fake_root_link(link, target);
}

static bool is_shared(const char *path)
{
        return block_device_is_shared_in(fake_root, path);
}

static void make_root(void)
{
        fake_root_make();
        put_device("sda", "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0");
        put_device("sdb", "platform/host2/session1/target2:0:0/2:0:0:1");
        put_device("sdc", "pci0000:00/0000:05:00.0/host3/rport-3:0-0/target3:0:0/3:0:0:0");
        put_device("sdd", "pci0000:00/0000:06:00.0/host7/target7:0:0/7:0:0:1");
        fake_root_put("/sys/class/scsi_host/host0/proc_name", "ahci\n");
        fake_root_put("/sys/class/scsi_host/host7/proc_name", "ib_srp\n");
        put_device("dm-0", "virtual");
        put_device("dm-1", "virtual");
        put_device("dm-2", "virtual");
        put_slave("dm-0", "sdb");
        put_slave("dm-0", "sdc");
        put_slave("dm-1", "sda");
        put_slave("dm-1", "dm-0");
        put_slave("dm-2", "dm-0");
}

TEST(a_unit_of_a_network_is_shared_by_whichever_name_MIG_15_MIG_30) /* CON-49 */
{
        make_root();
        fake_root_link("/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-iqn.2026-01.org.example:t-lun-1", "../../sdb");
        fake_root_link("/dev/disk/by-id/wwn-0x5000", "../../sdc");
        fake_root_link("/dev/disk/by-id/ata-local", "../../sda");
        CHECK(!is_shared("/dev/sda"));
        CHECK(is_shared("/dev/sdb"));
        CHECK(is_shared("/dev/sdc"));
        CHECK(is_shared("/dev/sdd"));
        CHECK(is_shared("/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-iqn.2026-01.org.example:t-lun-1"));
        CHECK(is_shared("/dev/disk/by-id/wwn-0x5000"));
        CHECK(!is_shared("/dev/disk/by-id/ata-local"));
        fake_root_remove();
}

/* dm-0: two paths to one unit; dm-2: a volume on it; dm-1: one that reaches over to a disk of this host. */
TEST(a_device_of_devices_is_shared_when_all_of_them_are)
{
        make_root();
        fake_root_link("/dev/mapper/mpatha", "../dm-0");
        fake_root_link("/dev/vg/lv", "../mapper/vg-lv");
        fake_root_link("/dev/mapper/vg-lv", "../dm-2");
        CHECK(is_shared("/dev/mapper/mpatha"));
        CHECK(is_shared("/dev/vg/lv"));
        CHECK(!is_shared("/dev/dm-1"));
        fake_root_remove();
}

TEST(a_name_that_leads_elsewhere_is_not_shared)
{
        make_root();
        fake_root_link("/dev/out", "../var/lib/sdb");
        fake_root_link("/dev/round", "round");
        fake_root_link("/dev/absolute", "/dev/sdb");
        CHECK(!is_shared("/dev/out"));
        CHECK(!is_shared("/dev/round"));
        CHECK(is_shared("/dev/absolute"));
        CHECK(!is_shared("/dev/nothing"));
        CHECK(!is_shared("/dev/"));
        CHECK(!is_shared("/dev/../dev/sdb"));
        CHECK(!is_shared("/var/lib/sdb"));
        fake_root_remove();
}

static void check_identity(const char *path, const char *expected)
{
        AUTOFREE char *identity = block_device_identity_in(fake_root, path);

        CHECK_STR(identity ?: "nothing", expected);
}

TEST(a_disk_has_one_name_on_every_host_STO_37)
{
        make_root();
        fake_root_link("/dev/mapper/mpatha", "../dm-0");
        fake_root_put("/sys/devices/platform/host2/session1/target2:0:0/2:0:0:1/block/sdb/device/wwid",
                      "naa.6001405abc\n");
        fake_root_put("/sys/devices/virtual/block/dm-0/dm/uuid", "mpath-36001405abc\n");
        fake_root_put("/sys/devices/virtual/block/dm-2/dm/uuid", "LVM-groupvolume\n");
        fake_root_put("/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda/serial", "  \n");
        check_identity("/dev/sdb", "wwn:6001405abc");
        check_identity("/dev/mapper/mpatha", "wwn:6001405abc");
        check_identity("/dev/dm-2", "dm:LVM-groupvolume");
        check_identity("/dev/sda", "nothing");
        check_identity("/dev/sdc", "nothing");
        check_identity("/var/lib/image", "nothing");
        fake_root_remove();
}

TEST(a_partition_has_its_disks_name_and_its_number)
{
        make_root();
        fake_root_put("/sys/devices/pci/block/vdb/serial", "abc\n");
        fake_root_put("/sys/devices/pci/block/vdb/vdb2/partition", "2\n");
        fake_root_put("/sys/devices/pci/block/vdb/vdc/other", "");
        fake_root_link("/sys/class/block/vdb2", "../../devices/pci/block/vdb/vdb2");
        fake_root_link("/sys/class/block/vdc", "../../devices/pci/block/vdb/vdc");
        check_identity("/dev/vdb2", "serial:abc-part2");
        check_identity("/dev/vdc", "nothing");
        fake_root_remove();
}

TEST(names_of_one_kind_that_differ_are_two_disks)
{
        CHECK(block_device_identities_differ("wwn:1", "wwn:2"));
        CHECK(!block_device_identities_differ("wwn:1", "wwn:1"));
        CHECK(!block_device_identities_differ("wwn:1", "serial:1"));
        CHECK(!block_device_identities_differ("wwn:1", "wwid:2"));
        CHECK(!block_device_identities_differ("", "wwid:2"));
}
