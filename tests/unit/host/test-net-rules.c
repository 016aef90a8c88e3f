#include "test.h"

#include "base/str.h"
#include "host/net-rules.h"

static char *rules_of(const char *inner)
{
        AUTOFREE char *xml = str_format("<network><name>n</name><bridge name='b0'/>%s</network>", inner);
        AUTO(NetworkDef) *def = NULL;
        AUTO(Error) err = { 0 };
        const NetworkDef *defs[1];
        Buf text = { 0 };

        if (network_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0)
                fail_msg("%s", err.text);
        defs[0] = def;
        net_rules_put(defs, 1, NULL, true, &text);
        return buf_take(&text);
}

static void check(const char *inner, const char *there, const char *missing)
{
        AUTOFREE char *text = rules_of(inner);

        if (there && !strstr(text, there))
                fail_msg("no '%s' in:\n%s", there, text);
        if (missing && strstr(text, missing))
                fail_msg("'%s' is in:\n%s", missing, text);
}

#define IP "<ip address='10.1.2.1' prefix='24'/>"

/* NET-18 to NET-21 */
TEST(each_mode_lets_through_what_it_says)
{
        check("<forward/>" IP, "to_guests_b0 ip daddr 10.1.2.0/24 ct state established,related return", NULL);
        check("<forward/>" IP, "masquerade to :1024-65535", NULL);
        check("<forward mode='route'/>" IP, "to_guests_b0 ip daddr 10.1.2.0/24 return", "masquerade");
        check(IP, "from_guests_b0 reject", "10.1.2.0/24 return");
        check("<forward mode='open'/>" IP, "into_host", "jump from_guests_b0");
        check("<forward dev='eth0'/>" IP, "oifname \"eth0\" masquerade", NULL);
}

TEST(addresses_and_ports_outside_are_as_given)
{
        check("<forward><nat><address start='10.9.0.1' end='10.9.0.3'/><port start='5' end='9'/></nat></forward>" IP,
              "snat ip to 10.9.0.1-10.9.0.3:5-9", "masquerade");
        check("<forward/><ip family='ipv6' address='fd00::1' prefix='64'/>", "ip6 daddr fd00::/64 return",
              "nat6 { fd00");
        check("<forward><nat ipv6='yes'/></forward><ip family='ipv6' address='fd00::1' prefix='64'/>",
              "nat6 { fd00::/64 : jump nat_b0 }", NULL);
}

TEST(without_networks_nothing_of_us_stays)
{
        AUTO(Buf) text = { 0 };

        net_rules_put(NULL, 0, NULL, true, &text);
        CHECK_STR(buf_text(&text), "add table inet drover\ndelete table inet drover\n");
}
