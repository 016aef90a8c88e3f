#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "model/nwfilter.h"

#include <glob.h>

static NwFilter *parse(const char *xml, Error *err)
{
        NwFilter *filter = NULL;

        return nw_filter_parse(xml, strlen(xml), 0, &filter, NULL, err) < 0 ? NULL : filter;
}

static void check_files(const char *pattern, size_t at_least)
{
        glob_t found;

        CHECK_INT(glob(pattern, 0, NULL, &found), 0);
        CHECK(found.gl_pathc >= at_least);
        for (size_t i = 0; i < found.gl_pathc; i++) {
                AUTO(NwFilter) *filter = NULL;
                AUTO(Error) err = { 0 };
                AUTO(Buf) in = { 0 };
                AUTO(Buf) out = { 0 };

                CHECK_INT(file_read(found.gl_pathv[i], 1 << 20, &in, &err), 0);
                filter = parse(buf_text(&in), &err);
                if (!filter)
                        fail_msg("%s: %s", found.gl_pathv[i], err.text);
                nw_filter_format(filter, &out);
                CHECK_STR(buf_text(&out), buf_text(&in));
        }
        globfree(&found);
}

TEST(every_element_with_every_attribute_comes_back_as_it_went)
{
        check_files(DROVER_TEST_DATA "/nwfilter-xml/*.xml", N_NW_PROTOCOLS);
}

TEST(the_filters_that_every_host_has_come_back_as_they_went)
{
        check_files(DROVER_TEST_DATA "/../../packaging/nwfilter/*.xml", 20);
}

TEST(a_chain_that_is_not_named_is_root_and_its_priority_follows_its_name)
{
        AUTO(NwFilter) *plain = parse("<filter name='f'/>", NULL);
        AUTO(NwFilter) *arp = parse("<filter name='f' chain='arp-mine'/>", NULL);
        AUTO(NwFilter) *late = parse("<filter name='f' chain='ipv6-x' priority='0'/>", NULL);

        CHECK_STR(plain->head->chain, "root");
        CHECK_INT(nw_filter_priority(plain), 0);
        CHECK_INT(nw_filter_priority(arp), -500);
        CHECK_INT(nw_filter_priority(late), 0);
}

TEST(values_are_numbers_names_and_variables)
{
        NwLiteral literal;
        NwVariable variable;

        CHECK_INT(nw_literal_parse(NW_ETHERTYPE, "arp", &literal), 0);
        CHECK_INT(literal.number, 0x806);
        CHECK_INT(nw_literal_parse(NW_ETHERTYPE, "0x5ff", &literal), -1);
        CHECK_INT(nw_literal_parse(NW_IPPROTO, "udp", &literal), 0);
        CHECK_INT(literal.number, 17);
        CHECK_INT(nw_literal_parse(NW_IP4MASK, "255.255.240.0", &literal), 0);
        CHECK_INT(literal.number, 20);
        CHECK_INT(nw_literal_parse(NW_IP4MASK, "255.0.255.0", &literal), -1);
        CHECK_INT(nw_literal_parse(NW_IP6MASK, "ffff:ffff::", &literal), 0);
        CHECK_INT(literal.number, 32);
        CHECK_INT(nw_literal_parse(NW_MAC, "1:2:3:4:5:a", &literal), 0);
        CHECK_INT(literal.mac.bytes[5], 10);
        CHECK_INT(nw_literal_parse(NW_TCPFLAGS, "SYN,ACK/ALL", &literal), 0);
        CHECK_INT(nw_literal_parse(NW_TCPFLAGS, "SYN", &literal), -1);
        CHECK_INT(nw_literal_parse(NW_STATE, "NEW,", &literal), -1);
        CHECK_INT(nw_variable_parse("$IP", &variable), 0);
        CHECK(!variable.is_index && variable.number == 0 && variable.len == 2);
        CHECK_INT(nw_variable_parse("$PORTS[@2]", &variable), 0);
        CHECK(!variable.is_index && variable.number == 2 && variable.len == 5);
        CHECK_INT(nw_variable_parse("$PORTS[3]", &variable), 0);
        CHECK(variable.is_index && variable.number == 3);
        CHECK_INT(nw_variable_parse("$PORTS[@x]", &variable), -1);
        CHECK_INT(nw_variable_parse("$", &variable), -1);
}

static void check_refused(const char *xml, const char *expected)
{
        AUTO(Error) err = { 0 };

        CHECK_NULL(parse(xml, &err));
        CHECK_INT(err.code, ERR_XML);
        if (!strstr(err.text, expected))
                fail_msg("'%s' does not say '%s'", err.text, expected);
}

TEST(what_is_wrong_is_named_with_line_element_and_attribute)
{
        check_refused("<filter/>", "line 1: <filter>: '@name' is missing");
        check_refused("<filter name='f' chain='tcp'/>", "'@chain' cannot be 'tcp'");
        check_refused("<filter name='f' chain=''/>", "'@chain' cannot be ''");
        check_refused("<filter name='f' chain='ipv4-a/b'/>", "'@chain' cannot be 'ipv4-a/b'");
        check_refused("<filter name='f' priority='2000'/>", "priority");
        check_refused("<filter name='f'>\n<rule direction='in'/></filter>", "line 2: <rule>: '@action' is missing");
        check_refused("<filter name='f'>\n<rule action='eat' direction='in'/></filter>", "line 2: <rule>");
        check_refused(
                "<filter name='f'><rule action='drop' direction='in'>\n\n<ip srcipaddr='1.2.3'/></rule></filter>",
                "line 3: <ip>: '@srcipaddr' cannot be '1.2.3'");
        check_refused("<filter name='f'><rule action='drop' direction='in'><ip srcipaddr='$'/></rule></filter>",
                      "<ip>: '@srcipaddr': '$' is not a variable");
        check_refused("<filter name='f'><rule action='drop' direction='in'><tcp srcportend='3'/></rule></filter>",
                      "'@srcportend' needs '@srcportstart'");
        check_refused("<filter name='f'><rule action='drop' direction='in'><tcp/><udp/></rule></filter>",
                      "<udp>: a rule has one element");
        check_refused("<filter name='f'><rule action='drop' direction='in' statematch='1'/></filter>", "statematch");
        check_refused("<filter name='f'><filterref filter='f'/></filter>", "takes in itself");
        check_refused("<filter name='f'><filterref/></filter>", "<filterref>: '@filter' is missing");
        check_refused("<network/>", "the root element is <network>, not <filter>");
}

TEST(a_binding_comes_back_as_it_went)
{
        static const char xml[] = "<filterbinding>\n"
                                  "  <owner>\n"
                                  "    <name>guest</name>\n"
                                  "    <uuid>01a992d2-f8c8-7c27-f69b-ab0a9d377379</uuid>\n"
                                  "  </owner>\n"
                                  "  <portdev name='vnet0'/>\n"
                                  "  <mac address='52:54:00:7b:35:93'/>\n"
                                  "  <filterref filter='clean-traffic'>\n"
                                  "    <parameter name='MAC' value='52:54:00:7b:35:93'/>\n"
                                  "  </filterref>\n"
                                  "</filterbinding>\n";
        AUTO(NwBindingDef) *def = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };

        CHECK_INT(nw_binding_parse(xml, strlen(xml), 0, &def, NULL, &err), 0);
        nw_binding_format(def, &text);
        CHECK_STR(buf_text(&text), xml);
}

TEST(a_binding_is_for_what_a_device_can_be_called)
{
        static const struct {
                const char *name;
                int rc;
        } cases[] = { { "a.b-1@2", 0 }, { "a b", -1 },  { "a:b", -1 },     { "a/b", -1 },
                      { "a\\b", -1 },   { "a\"b", -1 }, { "a&#13;b", -1 }, { "sixteen-letters.", -1 } };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *xml = str_format(
                        "<filterbinding><portdev name='%s'/><mac address='52:54:00:00:00:01'/>"
                        "<filterref filter='x'/></filterbinding>",
                        cases[i].name);
                AUTO(NwBindingDef) *def = NULL;

                CHECK_INT(nw_binding_parse(xml, strlen(xml), 0, &def, NULL, NULL), cases[i].rc);
        }
}
