#include "test.h"

#include "base/str.h"
#include "model/device.h"

static const char small[] =
        "<domain type='kvm' id='3'>\n"
        "  <name>g</name>\n"
        "  <uuid>4a4c59a7ee3fc78196e4288f2862f011</uuid>\n"
        "  <memory unit='MiB'>512</memory>\n"
        "  <vcpu>2</vcpu>\n"
        "  <os><type arch='x86_64' machine='q35'>hvm</type></os>\n"
        "  <devices>\n"
        "    <disk type=\"block\" device='disk'><driver name='qemu' type='raw' queues='4'/>\n"
        "      <source dev='/dev/disk/by-id/x'/><target dev='vda' bus='virtio'/></disk>\n"
        "    <interface type='bridge'><source bridge='br0'/><mac address='52:54:00:00:00:01'/></interface>\n"
        "  </devices>\n"
        "</domain>";

TEST(a_definition_survives_being_written)
{
        AUTO(DomainDef) *def = NULL;
        AUTO(DomainDef) *again = NULL;
        AUTO(Warnings) warnings = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        CHECK_INT(domain_def_parse(small, strlen(small), 0, &def, &warnings, &err), 0);
        CHECK_INT(warnings.list.len, 0);
        CHECK_INT(def->id, 3);
        CHECK_INT(def->memory_kib, 524288);
        CHECK_INT(def->disks[0]->queues, 4);
        CHECK_STR(def->disks[0]->source.path, "/dev/disk/by-id/x"); /* DOM-45 */
        domain_def_format(def, 0, &one);
        CHECK_INT(domain_def_parse(one.data, one.len, 0, &again, NULL, &err), 0);
        domain_def_format(again, 0, &two);
        CHECK_STR(buf_text(&one), buf_text(&two));
        CHECK(fields_equal(&domain_def_info, def, again));
}

/* DOM-08 */
TEST(an_inactive_definition_has_no_id)
{
        AUTO(DomainDef) *def = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };

        CHECK_INT(domain_def_parse(small, strlen(small), 0, &def, NULL, &err), 0);
        domain_def_format(def, DEF_FORMAT_INACTIVE, &text);
        CHECK(str_starts(buf_text(&text), "<domain type='kvm'>\n  <name>g</name>\n"
                                          "  <uuid>4a4c59a7-ee3f-c781-96e4-288f2862f011</uuid>\n"
                                          "  <memory unit='KiB'>524288</memory>\n"));
}
