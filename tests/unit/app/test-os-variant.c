#include "test.h"

#include "app/drover/os-variant.h"
#include "base/file.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

static char root[64];

static void put(const char *name, const char *text)
{
        AUTOFREE char *path = str_format("%s/vendor/%s", root, name);
        AUTOFREE char *dir = str_format("%s/vendor", root);

        CHECK_INT(dir_make(dir, 0755, NULL), 0);
        CHECK_INT(file_write_atomic(path, text, strlen(text), 0644, NULL), 0);
}

static void make_root(void)
{
        snprintf(root, sizeof(root), "/tmp/drover-test-XXXXXX");
        CHECK(mkdtemp(root));
        put("a.xml", "<libosinfo><os id='a'><short-id>one</short-id><short-id>first</short-id>"
                     "<resources arch='i686'><minimum><storage>10</storage></minimum></resources>"
                     "<resources arch='x86_64'><minimum><ram>99</ram><storage>20</storage></minimum>"
                     "<recommended><storage>40</storage></recommended></resources></os></libosinfo>");
        put("b.xml", "<libosinfo><os id='b'><short-id>two</short-id><name>one</name></os></libosinfo>");
        put("c.xml", "<libosinfo><os id='c'><short-id>three</short-id>");
        put("d.txt", "<libosinfo><os id='d'><short-id>four</short-id></os></libosinfo>");
}

static void remove_root(void)
{
        AUTOFREE char *command = str_format("rm -rf %s", root);

        CHECK_INT(system(command), 0);
}

/* STO-39 */
TEST(a_system_says_how_much_disk_it_needs_and_should_have)
{
        OsDisk disk = { 1, 1 };

        make_root();
        CHECK_INT(os_variant_disk(root, "one", &disk, NULL), 0);
        CHECK_INT(disk.minimum, 20);
        CHECK_INT(disk.recommended, 40);
        CHECK_INT(os_variant_disk(root, "first", &disk, NULL), 0);
        CHECK_INT(os_variant_disk(root, "two", &disk, NULL), 0);
        CHECK_INT(disk.minimum, 0);
        CHECK_INT(disk.recommended, 0);
        remove_root();
}

TEST(a_system_that_nobody_knows_is_an_error)
{
        static const char *const unknown[] = { "three", "four", "five", "", "one</short-id>" };
        OsDisk disk;

        make_root();
        for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
                AUTO(Error) err = { 0 };

                CHECK_INT(os_variant_disk(root, unknown[i], &disk, &err), -1);
                CHECK(strstr(err.text, "no system is called") != NULL);
        }
        remove_root();
        CHECK_INT(os_variant_disk(root, "one", &disk, NULL), -1);
}
