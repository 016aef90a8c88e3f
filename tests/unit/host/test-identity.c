#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "host/identity.h"

#include <stdio.h>
#include <unistd.h>

static char root[64];

static void put(const char *path, const char *text)
{
        AUTOFREE char *full = str_format("%s%s", root, path);
        AUTOFREE char *dir = str_dup_n(full, (size_t)(strrchr(full, '/') - full));

        CHECK_INT(dir_make(dir, 0755, NULL), 0);
        CHECK_INT(file_write_atomic(full, text, strlen(text), 0644, NULL), 0);
}

static void make_root(void)
{
        snprintf(root, sizeof(root), "/tmp/drover-test-XXXXXX");
        CHECK(mkdtemp(root));
        put("/etc/machine-id", "8510f1bb0a3c4c1c9f3a6f1e2d3c4b5a\n");
}

static void remove_root(void)
{
        AUTOFREE char *command = str_format("rm -rf %s", root);

        CHECK_INT(system(command), 0);
}

static void check_uuid(const char *configured, bool prefer_machine_id, const char *expected)
{
        char text[UUID_TEXT_LEN + 1];
        Uuid uuid;

        CHECK_INT(host_find_uuid(root, configured, prefer_machine_id, &uuid, NULL), 0);
        CHECK_STR(uuid_format(&uuid, text), expected);
}

TEST(the_firmware_names_the_host_unless_told_otherwise)
{
        make_root();
        put("/sys/class/dmi/id/product_uuid", "11111111-2222-3333-4444-555555555555\n");
        check_uuid(NULL, false, "11111111-2222-3333-4444-555555555555");
        check_uuid(NULL, true, "8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a");
        check_uuid("99999999-2222-3333-4444-555555555555", false, "99999999-2222-3333-4444-555555555555");
        remove_root();
}

TEST(a_uuid_that_many_boards_share_is_of_no_use)
{
        AUTO(Error) err = { 0 };
        Uuid uuid;

        make_root();
        put("/sys/class/dmi/id/product_uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff\n");
        check_uuid(NULL, false, "8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a");
        CHECK_INT(host_find_uuid(root, "00000000-0000-0000-0000-000000000000", false, &uuid, &err), -1);
        CHECK_INT(err.code, ERR_CONF_SYNTAX);
        remove_root();
}

TEST(sysinfo_groups_what_the_firmware_says)
{
        AUTO(Buf) xml = { 0 };

        make_root();
        CHECK_INT(host_sysinfo_format(root, &xml, NULL), -1);
        put("/sys/class/dmi/id/bios_vendor", "Sea<BIOS> & sons\n");
        put("/sys/class/dmi/id/product_name", "PC\n");
        put("/sys/class/dmi/id/product_serial", "\n");
        CHECK_INT(host_sysinfo_format(root, &xml, NULL), 0);
        CHECK_STR(buf_text(&xml), "<sysinfo type='smbios'>\n"
                                  "  <bios>\n    <entry name='vendor'>Sea&lt;BIOS&gt; &amp; sons</entry>\n  </bios>\n"
                                  "  <system>\n    <entry name='product'>PC</entry>\n  </system>\n"
                                  "</sysinfo>\n");
        remove_root();
}
