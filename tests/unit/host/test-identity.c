#include "test.h"

#include "fake-root.h"
#include "host/identity.h"

static void make_root(void)
{
        fake_root_make();
        fake_root_put("/etc/machine-id", "8510f1bb0a3c4c1c9f3a6f1e2d3c4b5a\n");
}

static void check_uuid(const char *configured, bool prefer_machine_id, const char *expected)
{
        char text[UUID_TEXT_LEN + 1];
        Uuid uuid;

        CHECK_INT(host_find_uuid(fake_root, configured, prefer_machine_id, &uuid, NULL), 0);
        CHECK_STR(uuid_format(&uuid, text), expected);
}

TEST(the_firmware_names_the_host_unless_told_otherwise)
{
        make_root();
        fake_root_put("/sys/class/dmi/id/product_uuid", "11111111-2222-3333-4444-555555555555\n");
        check_uuid(NULL, false, "11111111-2222-3333-4444-555555555555");
        check_uuid(NULL, true, "8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a");
        check_uuid("99999999-2222-3333-4444-555555555555", false, "99999999-2222-3333-4444-555555555555");
        fake_root_remove();
}

TEST(a_uuid_that_many_boards_share_is_of_no_use)
{
        AUTO(Error) err = { 0 };
        Uuid uuid;

        make_root();
        fake_root_put("/sys/class/dmi/id/product_uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff\n");
        check_uuid(NULL, false, "8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a");
        CHECK_INT(host_find_uuid(fake_root, "00000000-0000-0000-0000-000000000000", false, &uuid, &err), -1);
        CHECK_INT(err.code, ERR_CONF_SYNTAX);
        fake_root_remove();
}

TEST(sysinfo_groups_what_the_firmware_says)
{
        AUTO(Buf) xml = { 0 };

        make_root();
        CHECK_INT(host_sysinfo_format(fake_root, &xml, NULL), -1);
        fake_root_put("/sys/class/dmi/id/bios_vendor", "Sea<BIOS> & sons\n");
        fake_root_put("/sys/class/dmi/id/product_name", "PC\n");
        fake_root_put("/sys/class/dmi/id/product_serial", "\n");
        CHECK_INT(host_sysinfo_format(fake_root, &xml, NULL), 0);
        CHECK_STR(buf_text(&xml), "<sysinfo type='smbios'>\n"
                                  "  <bios>\n    <entry name='vendor'>Sea&lt;BIOS&gt; &amp; sons</entry>\n  </bios>\n"
                                  "  <system>\n    <entry name='product'>PC</entry>\n  </system>\n"
                                  "</sysinfo>\n");
        fake_root_remove();
}
