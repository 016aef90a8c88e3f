#include "test.h"

#include "base/str.h"
#include "model/domain.h"

#define UUID_XML "<uuid>4a4c59a7-ee3f-c781-96e4-288f2862f011</uuid>"

TEST(name_and_uuid_are_found_only_when_they_are_certain)
{
        static const struct {
                const char *xml, *name; /* NULL: it cannot say */
        } cases[] = {
                { "<domain type='kvm'>\n  <name>g</name>\n  " UUID_XML "\n", "g" },
                { "<?xml version='1.0'?>\n<!-- made by hand --><domain type='kvm'><name>a b</name>" UUID_XML, "a b" },
                { "<domain type='kvm'><name>a&amp;b</name>" UUID_XML, NULL },
                { "<domain type='kvm'><name> g</name>" UUID_XML, NULL },
                { "<domain type='kvm'><title>t</title><name>g</name>" UUID_XML, NULL },
                { "<domain type='kvm'><!-- <name>x</name> --><name>g</name>" UUID_XML, NULL },
                { "<domain type='kvm'><name>g</name><uuid>nonsense</uuid>", NULL },
                { "<domain type='kvm'><name>g</name>", NULL },
                { "<domain type='kvm'/>", NULL },
                { "<network type='x'><name>g</name>" UUID_XML, NULL },
                { "<!-- ", NULL },
                { "", NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *name = NULL;
                Uuid uuid;
                bool found = domain_xml_identity(cases[i].xml, strlen(cases[i].xml), &name, &uuid);

                CHECK_INT(found, cases[i].name != NULL);
                if (found)
                        CHECK_STR(name, cases[i].name);
        }
}

TEST(what_we_write_is_recognised)
{
        static const char xml[] = "<domain type='kvm' id='4'><name>g</name>" UUID_XML
                                  "<memory>1</memory><os><type>hvm</type></os></domain>";
        AUTO(DomainDef) *def = NULL;
        AUTOFREE char *name = NULL;
        AUTO(Buf) text = { 0 };
        Uuid uuid;

        CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &def, NULL, NULL), 0);
        domain_def_format(def, DEF_FORMAT_INACTIVE, &text);
        CHECK(domain_xml_identity(text.data, text.len, &name, &uuid));
        CHECK(uuid_eq(&uuid, &def->uuid));
}
