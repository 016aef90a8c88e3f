#include "test.h"

#include "base/str.h"
#include "daemon/advice.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t advised(unsigned vcpus, unsigned cpus, unsigned cell_cpus, const char *says)
{
        AUTO(Warnings) warnings = { 0 };
        AUTO(DomainDef) *def = NULL;
        AUTOFREE char *xml = str_format("<domain type='qemu'><name>g</name><memory>4096</memory><vcpu>%u</vcpu>"
                                        "<os><type>hvm</type></os></domain>",
                                        vcpus);

        CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &def, NULL, NULL), 0);
        advise_on_cpus(&(HostShape){ cpus, cell_cpus }, def, &warnings);
        CHECK(!warnings.list.len || (says && strstr(warnings.list.items[0], says)));
        return warnings.list.len;
}

TEST(more_cpus_than_the_host_has_are_a_warning_CPU_16)
{
        CHECK_INT(advised(9, 8, 4, "9 virtual CPUs and this host 8 CPUs"), 1);
        CHECK_INT(advised(8, 8, 8, NULL), 0); /* equal is fine */
}

TEST(a_guest_that_spans_cells_is_a_warning_CPU_13)
{
        CHECK_INT(advised(5, 8, 4, "no NUMA cell of this host more than 4 CPUs"), 1);
        CHECK_INT(advised(4, 8, 4, NULL), 0);
        CHECK_INT(advised(5, 0, 0, NULL), 0); /* a host that is not known */
}

static size_t disks_advised(const char *root, const char *path)
{
        AUTO(Warnings) warnings = { 0 };
        AUTO(DomainDef) *def = NULL;
        AUTOFREE char *xml = str_format(
                "<domain type='qemu'><name>g</name><memory>4096</memory><os><type>hvm</type></os>"
                "<devices><disk type='block'><source dev='%s'/><target dev='vda'/></disk>"
                "</devices></domain>",
                path);

        CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &def, NULL, NULL), 0);
        advise_on_disks(root, def, &warnings);
        CHECK(!warnings.list.len || strstr(warnings.list.items[0], path));
        return warnings.list.len;
}

TEST(a_whole_disk_with_partitions_is_a_warning_STO_38)
{
        static const char *const made[] = { "sys",
                                            "sys/class",
                                            "sys/class/block",
                                            "sys/class/block/sdb",
                                            "sys/class/block/sdb/sdb1",
                                            "sys/class/block/sdb/sdb1/partition",
                                            "sys/class/block/sdc",
                                            "sys/class/block/sdb1" };
        char root[] = "/tmp/drover-advice-XXXXXX";

        CHECK(mkdtemp(root));
        for (size_t i = 0; i < ARRAY_LEN(made); i++) {
                AUTOFREE char *path = str_format("%s/%s", root, made[i]);

                CHECK_INT(mkdir(path, 0700), 0);
        }
        CHECK_INT(disks_advised(root, "/dev/sdb"), 1);
        CHECK_INT(disks_advised(root, "/dev/sdb1"), 0);
        CHECK_INT(disks_advised(root, "/dev/sdc"), 0);
        CHECK_INT(disks_advised(root, "/dev/../sdb"), 0);
        CHECK_INT(disks_advised(root, "/dev/vg/sdb"), 0);
        for (size_t i = ARRAY_LEN(made); i-- > 0;) {
                AUTOFREE char *path = str_format("%s/%s", root, made[i]);

                rmdir(path);
        }
        rmdir(root);
}

TEST(this_machine_has_a_shape)
{
        HostShape shape = advice_shape("");

        CHECK(shape.cpus >= 1 && shape.cell_cpus >= 1 && shape.cell_cpus <= shape.cpus);
        CHECK_INT(advice_shape("/nowhere").cpus, 0);
}
