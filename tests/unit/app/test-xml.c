/*
 * tests/unit/app/test-xml.c - looking into XML that came from elsewhere
 */
#include "app/drover/xml.h"

#include "base/str.h"
#include "test.h"

static const char guest[] = "<domain type='kvm'><name>g</name><devices>"
                            "<disk><target dev='vda'/></disk><disk><target dev='vdb'/></disk></devices></domain>";

TEST(paths_find_texts_and_nodes)
{
        AUTO(Xml) *xml = xml_read(guest, NULL);
        AUTOFREE char *name = xml_text(xml, NULL, "name");
        AUTOFREE char *nothing = xml_text(xml, NULL, "title");
        XmlNode *disks[4];

        CHECK_STR(name, "g");
        CHECK_NULL(nothing);
        CHECK_INT(xml_nodes(xml, NULL, "devices/disk", disks, ARRAY_LEN(disks)), 2);
        CHECK_INT(xml_nodes(xml, NULL, "devices/disk", disks, 1), 1);
}

TEST(what_xpath_finds_is_printed_as_virsh_does)
{
        static const struct {
                const char *path, *printed;
                bool wrap;
        } cases[] = {
                { "//name", "<name>g</name>\n", false },
                { "//target", "<target dev=\"vda\"/>\n<target dev=\"vdb\"/>\n", false },
                { "//target", "<nodes>\n  <target dev=\"vda\"/>\n  <target dev=\"vdb\"/>\n</nodes>\n", true },
                { "//nothing", "", false },
                { "//nothing", "<nodes/>\n", true },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Buf) printed = { 0 };

                CHECK_INT(xml_print_found(guest, cases[i].path, cases[i].wrap, &printed, NULL), 0);
                CHECK_STR(buf_text(&printed), cases[i].printed);
        }
}

TEST(bad_xml_and_bad_paths_are_errors_not_crashes)
{
        AUTO(Error) err = { 0 };
        AUTO(Error) path_err = { 0 };
        AUTO(Buf) printed = { 0 };

        CHECK_NULL(xml_read("<domain><name></domain>", &err));
        CHECK(str_starts(err.text, "the XML cannot be read: line 1: "));
        CHECK_INT(xml_print_found(guest, "//[", false, &printed, &path_err), -1);
        CHECK_STR(path_err.text, "'//[' is no valid XPath expression");
}
