#include "test.h"

#include "base/str.h"
#include "daemon/advice.h"

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

TEST(this_machine_has_a_shape)
{
        HostShape shape = advice_shape("");

        CHECK(shape.cpus >= 1 && shape.cell_cpus >= 1 && shape.cell_cpus <= shape.cpus);
        CHECK_INT(advice_shape("/nowhere").cpus, 0);
}
