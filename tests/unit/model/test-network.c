#include "test.h"

#include "base/str.h"
#include "model/network.h"
#include "model/vlan.h"

static NetworkDef *parse(const char *xml, Error *err)
{
        NetworkDef *def = NULL;

        return network_def_parse(xml, strlen(xml), DEF_PARSE_INACTIVE, &def, NULL, err) < 0 ? NULL : def;
}

static char *format(const NetworkDef *def)
{
        Buf text = { 0 };

        network_def_format(def, DEF_FORMAT_INACTIVE, &text);
        return buf_take(&text);
}

/* The sample of the guide: what is defined is what is dumped (NET-10, CON-31). */
TEST(the_guides_network_comes_back_as_it_went)
{
        AUTO(Error) err = { 0 };
        AUTO(NetworkDef) *def = parse("<network><name>vnet0</name><uuid>f283332e-a2cd-9b6c-df36-32b2c4a6c8be</uuid>"
                                      "<forward dev='eth0'/><bridge name='vnet0' stp='on' forwardDelay='0'/>"
                                      "<ip address='192.168.100.1' netmask='255.255.255.0'><dhcp>"
                                      "<range start='192.168.100.128' end='192.168.100.254'/></dhcp></ip></network>",
                                      &err);
        AUTOFREE char *text = NULL;

        CHECK(def);
        text = format(def);
        CHECK_STR(text, "<network>\n"
                        "  <name>vnet0</name>\n"
                        "  <uuid>f283332e-a2cd-9b6c-df36-32b2c4a6c8be</uuid>\n"
                        "  <forward dev='eth0' mode='nat'>\n"
                        "    <interface dev='eth0'/>\n"
                        "  </forward>\n"
                        "  <bridge name='vnet0' stp='on' delay='0'/>\n"
                        "  <ip address='192.168.100.1' netmask='255.255.255.0'>\n"
                        "    <dhcp>\n"
                        "      <range start='192.168.100.128' end='192.168.100.254'/>\n"
                        "    </dhcp>\n"
                        "  </ip>\n"
                        "</network>\n");
}

TEST(vlans_are_numbers_that_fit_together)
{
        static const struct {
                const char *inner, *says;
        } wrong[] = {
                { "<vlan/>", "'vlan' has no <tag>" },
                { "<vlan><tag id='0'/></vlan>", "there is no VLAN 0" },
                { "<vlan><tag id='4095'/></vlan>", "there is no VLAN 4095" },
                { "<vlan trunk='yes'><tag id='5'/><tag id='5'/></vlan>", "5 is there twice" },
                { "<vlan trunk='no'><tag id='5'/><tag id='6'/></vlan>", "make a trunk" },
                { "<vlan><tag id='5' nativeMode='tagged'/><tag id='6' nativeMode='untagged'/></vlan>",
                  "one native VLAN" },
                { "<portgroup name='p'><vlan><tag id='4095'/></vlan></portgroup>", "there is no VLAN 4095" },
        };
        AUTO(Error) err = { 0 };
        AUTO(NetworkDef) *def = parse(
                "<network><name>n</name><vlan><tag id='5' nativeMode='tagged'/><tag id='6'/></vlan>"
                "<portgroup name='p'><vlan><tag id='7'/></vlan></portgroup></network>",
                &err);

        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                AUTOFREE char *xml = str_format("<network><name>n</name>%s</network>", wrong[i].inner);
                AUTO(Error) why = { 0 };

                CHECK_NULL(parse(xml, &why));
                CHECK(strstr(why.text, wrong[i].says));
        }
        CHECK(def);
        CHECK_INT(vlan_def_native(def->vlan), 5);
        CHECK(!vlan_tag_is_untagged(def->vlan, def->vlan->tags[0]));
        CHECK_INT(vlan_def_native(def->portgroups[0]->vlan), 7);
        CHECK(vlan_tag_is_untagged(def->portgroups[0]->vlan, def->portgroups[0]->vlan->tags[0]));
        CHECK(network_uses_vlans(def));
}

TEST(what_is_left_open_is_filled_in_once)
{
        AUTO(NetworkDef) *def = parse("<network><name>n</name><ip address='10.66.0.1' prefix='24'/></network>", NULL);
        AUTOFREE char *once = NULL, *twice = NULL;

        CHECK(def);
        network_def_complete(def);
        CHECK(!uuid_is_null(&def->uuid));
        CHECK_INT(def->mac.bytes[0], 0x52);
        CHECK_INT(def->bridge_stp, SWITCH_ON);
        once = format(def);
        network_def_complete(def);
        twice = format(def);
        CHECK_STR(twice, once);
}

TEST(a_mode_says_who_has_the_bridge)
{
        AUTO(NetworkDef) *isolated = parse("<network><name>n</name></network>", NULL);
        AUTO(NetworkDef) *nat = parse("<network><name>n</name><forward/><ip address='10.0.0.1'/></network>", NULL);
        AUTO(NetworkDef) *open = parse("<network><name>n</name><forward mode='open'/></network>", NULL);
        AUTO(NetworkDef) *host = parse(
                "<network><name>n</name><forward mode='bridge'/><bridge name='br0'/></network>", NULL);
        AUTO(NetworkDef) *direct = parse(
                "<network><name>n</name><forward mode='bridge'><interface dev='eth0'/></forward></network>", NULL);

        CHECK(network_has_own_bridge(isolated) && !network_forwards(isolated));
        CHECK(network_has_own_bridge(nat) && network_forwards(nat));
        CHECK(network_has_own_bridge(open) && !network_forwards(open));
        CHECK(!network_has_own_bridge(host) && network_uses_host_bridge(host));
        CHECK(!network_has_own_bridge(direct) && !network_uses_host_bridge(direct));
        CHECK_STR(direct->forward->dev, "eth0");
}

#define NETWORK(inner) "<network><name>n</name>" inner "</network>"
#define DHCP(inner)    NETWORK("<ip address='10.1.2.1' prefix='24'><dhcp>" inner "</dhcp></ip>")

TEST(what_cannot_be_is_refused_with_the_reason)
{
        static const struct {
                const char *xml, *says;
        } rows[] = {
                { "<network/>", "name" },
                { "<network><name>a/b</name></network>", "'/'" },
                { "<network><name>a&#10;b</name></network>", "'/'" },
                { NETWORK("<forward mode='nat'/>"), "no IP address provided" },
                { NETWORK("<forward mode='foo'/>"), "one of" },
                { NETWORK("<ip address='1.2.3'/>"), "is no address" },
                { NETWORK("<ip address='10.1.2.1' netmask='255.0.255.0'/>"), "no netmask" },
                { NETWORK("<ip address='10.1.2.1' netmask='255.0.0.0' prefix='8'/>"), "both" },
                { NETWORK("<ip address='fd00::1' prefix='64'/>"), "no family" },
                { NETWORK("<ip family='ipv6' address='10.1.2.1'/>"), "family" },
                { NETWORK("<ip address='10.1.2.1' prefix='33'/>"), "32 bits" },
                { NETWORK("<ip address='10.1.2.1' prefix='24'/><ip address='10.1.2.9' prefix='16'/>"), "overlap" },
                { DHCP("<range start='10.1.3.1' end='10.1.3.5'/>"), "not entirely within" },
                { DHCP("<range start='10.1.2.9' end='10.1.2.5'/>"), "reversed" },
                { DHCP("<range start='10.1.2.0' end='10.1.2.5'/>"), "broadcast" },
                { DHCP("<host ip='10.1.2.9'/>"), "mac or name" },
                { DHCP("<host mac='52:54:00:00:00:01'/>"), "Missing IP address" },
                { DHCP("<host mac='01:54:00:00:00:01' ip='10.1.2.9'/>"), "Cannot use MAC" },
                { DHCP("<host name='a&#10;b' ip='10.1.2.9'/>"), "DNS" },
                { DHCP("<host mac='52:54:00:00:00:01' name='ignore' ip='10.1.2.9'/>"), "another use" },
                { DHCP("<host mac='52:54:00:00:00:01' name='infinite' ip='10.1.2.9'/>"), "another use" },
                { DHCP("<bootp file='a,b'/>"), "file" },
                { NETWORK("<ip address='10.1.2.1' prefix='24'><dhcp/></ip><ip address='10.1.4.1' prefix='24'><dhcp/></ip>"),
                  "Multiple IPv4 dhcp" },
                { NETWORK("<forward mode='bridge'/><bridge name='br0'/><ip address='10.1.2.1'/>"),
                  "Unsupported <ip>" },
                { NETWORK("<forward mode='open' dev='eth0'/>"), "open" },
                { NETWORK("<forward mode='route' dev='eth*'/><ip address='10.1.2.1'/>"), "interface" },
                { NETWORK("<bridge name='a name that is long'/>"), "interface" },
                { NETWORK("<bridge name='a%&#10;b'/>"), "interface" },
                { NETWORK("<bridge name='a;b'/>"), "own bridge" },
                { NETWORK("<forward mode='bridge'/><bridge name='../%d'/>"), "interface" },
                { NETWORK("<domain name='x&#10;conf-file=/etc/shadow'/>"), "DNS" },
                { NETWORK("<dns><txt name='t' value='a&quot;b'/></dns>"), "txt" },
                { NETWORK("<dns><forwarder/></dns>"), "forwarder" },
                { NETWORK("<dns><host ip='nowhere'/></dns>"), "is no address" },
                { NETWORK("<route address='10.9.0.0' prefix='16' gateway='10.3.0.1'/>"), "unreachable" },
                { NETWORK("<ip address='10.3.0.1' prefix='24'/>\n<route address='10.9.0.1' prefix='16' gateway='10.3.0.2'/>"),
                  "line 2: <route>: 'route/@address': '10.9.0.1' is not a network address" },
                { NETWORK("<ip address='10.3.0.1' prefix='24'/><route address='10.9.1.0' netmask='255.255.254.0' "
                          "gateway='10.3.0.2'/>"),
                  "its network is '10.9.0.0'" },
                { NETWORK("<ip family='ipv6' address='fd00::1' prefix='64'/><route family='ipv6' address='fd01::1' "
                          "prefix='64' gateway='fd00::2'/>"),
                  "its network is 'fd01::'" },
                { NETWORK("\n\n<ip address='0.0.0.0' prefix='24'/>"), "line 3: <ip>: 'ip/@address': '0.0.0.0'" },
                { NETWORK("<ip address='127.1.2.3' prefix='24'/>"), "loopback" },
                { NETWORK("<ip address='224.0.0.1' prefix='24'/>"), "multicast" },
                { NETWORK("<ip address='239.255.0.1' prefix='24'/>"), "multicast" },
                { NETWORK("<ip address='10.1.2.0' prefix='24'/>"), "its network itself" },
                { NETWORK("<ip address='192.168.1.0'/>"), "its network itself" },
                { NETWORK("<ip address='10.1.2.255' netmask='255.255.255.0'/>"), "broadcast address" },
                { NETWORK("<ip address='10.1.2.127' prefix='25'/>"), "broadcast address" },
                { NETWORK("<ip family='ipv6' address='::' prefix='64'/>"), "no address" },
                { NETWORK("<ip family='ipv6' address='::1' prefix='64'/>"), "loopback" },
                { NETWORK("<ip family='ipv6' address='ff02::1' prefix='64'/>"), "multicast" },
                { NETWORK("<portgroup name='a'/><portgroup name='a'/>"), "two portgroups" },
                { NETWORK("<portgroup name='a' default='yes'/><portgroup name='b' default='yes'/>"), "one default" },
                { NETWORK("<mac address='01:00:00:00:00:00'/>"), "multicast" },
                { NETWORK("<dnsmasq:options xmlns:dnsmasq='" XML_NS_DNSMASQ
                          "'><dnsmasq:option value='a&#10;b'/></dnsmasq:options>"),
                  "one line" },
                { "<domain/>", "not <network>" },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(Error) err = { 0 };
                AUTO(NetworkDef) *def = parse(rows[i].xml, &err);

                if (def || !strstr(err.text, rows[i].says))
                        fail_msg("%s: %s", rows[i].xml, def ? "was taken" : err.text);
        }
}

TEST(addresses_at_the_edges_are_taken)
{
        static const char *const inner[] = {
                "<ip address='10.1.2.0' prefix='31'/>",          "<ip address='10.1.2.1' prefix='31'/>",
                "<ip address='10.1.2.255' prefix='16'/>",        "<ip address='10.1.2.0' prefix='16'/>",
                "<ip address='10.1.2.255' prefix='32'/>",        "<ip address='223.255.255.1' prefix='24'/>",
                "<ip address='240.0.0.1' prefix='24'/>",         "<ip family='ipv6' address='fd00::' prefix='64'/>",
                "<ip family='ipv6' address='::2' prefix='64'/>",
        };

        for (size_t i = 0; i < ARRAY_LEN(inner); i++) {
                AUTOFREE char *xml = str_format(NETWORK("%s"), inner[i]);
                AUTO(Error) err = { 0 };
                AUTO(NetworkDef) *def = parse(xml, &err);

                if (!def)
                        fail_msg("%s: %s", xml, err.text);
        }
}

TEST(a_route_to_everywhere_needs_no_prefix)
{
        static const struct {
                const char *inner;
                unsigned prefix;
        } rows[] = {
                { "<route address='0.0.0.0' gateway='10.3.0.2'/>", 0 },
                { "<route address='0.0.0.0' prefix='0' gateway='10.3.0.2'/>", 0 },
                { "<route address='10.0.0.0' gateway='10.3.0.2'/>", 8 },
                { "<route address='10.9.8.0' prefix='21' gateway='10.3.0.2'/>", 21 },
                { "<route address='10.9.8.7' prefix='32' gateway='10.3.0.2'/>", 32 },
                { "<route family='ipv6' address='::' gateway='fd00::2'/>", 0 },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTOFREE char *xml = str_format(NETWORK("<ip address='10.3.0.1' prefix='24'/><ip family='ipv6' "
                                                        "address='fd00::1' prefix='64'/>%s"),
                                                rows[i].inner);
                AUTO(Error) err = { 0 };
                AUTO(NetworkDef) *def = parse(xml, &err);
                NetAddress net;

                if (!def)
                        fail_msg("%s: %s", xml, err.text);
                CHECK_INT(network_route_net(def->routes[0], &net), rows[i].prefix);
        }
}

/* Each is compared with all the others. */
TEST(addresses_and_routes_are_capped)
{
        for (unsigned n = 256; n <= 257; n++) {
                AUTO(NetworkDef) *def = NULL;
                AUTO(Error) err = { 0 };
                AUTO(Buf) text = { 0 };

                buf_put_text(&text, "<network><name>n</name>");
                for (unsigned i = 0; i < n; i++)
                        buf_format(&text, "<ip address='10.%u.%u.1' prefix='24'/>", i / 200, i % 200);
                for (unsigned i = 0; i < 1024; i++)
                        buf_put_text(&text, "<route address='11.0.0.0' prefix='24' gateway='10.0.0.2'/>");
                buf_put_text(&text, "</network>");
                def = parse(buf_text(&text), &err);
                CHECK_STR(
                        err.text ?: "accepted",
                        n > 256 ? "(network definition) line 1: network 'n' has 257 addresses and 1024 routes; at most 256 and 1024 are allowed"
                                : "accepted");
        }
}

/* --- updates --- */

static int update(NetworkDef *def, unsigned command, unsigned section, const char *xml, Error *err)
{
        return network_def_update(def, command, section, -1, xml, err);
}

enum { HOST = 4, RANGE = 5, FORWARD = 6, PORTGROUP = 9, DNS_HOST = 10, DNS_TXT = 11, DNS_SRV = 12 };

TEST(hosts_are_added_changed_and_removed)
{
        AUTO(NetworkDef) *def = parse(DHCP("<host mac='52:54:00:00:00:01' name='a' ip='10.1.2.9'/>"), NULL);
        AUTO(Error) err = { 0 };
        DhcpHostDef **hosts;

        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, HOST, "<host mac='52:54:00:00:00:02' ip='10.1.2.9'/>", &err),
                  -1);
        CHECK(strstr(err.text, "existing"));
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_FIRST, HOST, "<host mac='52:54:00:00:00:02' ip='10.1.2.10'/>", &err),
                  0);
        hosts = def->ips[0]->dhcp->hosts;
        CHECK_INT(def->ips[0]->dhcp->n_hosts, 2);
        CHECK_STR(hosts[0]->ip, "10.1.2.10");
        CHECK_INT(update(def, NETWORK_UPDATE_MODIFY, HOST, "<host mac='52:54:00:00:00:01' ip='10.1.2.11'/>", &err),
                  0);
        CHECK_STR(hosts[1]->ip, "10.1.2.11");
        CHECK_INT(update(def, NETWORK_UPDATE_DELETE, HOST, "<host mac='52:54:00:00:00:03'/>", &err), -1);
        CHECK_INT(update(def, NETWORK_UPDATE_DELETE, HOST, "<host mac='52:54:00:00:00:02'/>", &err), 0);
        CHECK_INT(def->ips[0]->dhcp->n_hosts, 1);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, HOST, "<host mac='52:54:00:00:00:04' ip='10.9.2.9'/>", &err),
                  -1);
        CHECK(strstr(err.text, "not within"));
}

TEST(other_sections_are_updated_too)
{
        AUTO(NetworkDef) *def = parse(DHCP(""), NULL);
        AUTO(Error) err = { 0 };

        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, RANGE, "<range start='10.1.2.9' end='10.1.2.20'/>", &err), 0);
        CHECK_INT(update(def, NETWORK_UPDATE_MODIFY, RANGE, "<range start='10.1.2.9' end='10.1.2.20'/>", &err), -1);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, DNS_HOST, "<host ip='10.1.2.3'><hostname>x</hostname></host>",
                         &err),
                  0);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, DNS_HOST, "<host ip='10.1.2.4'><hostname>x</hostname></host>",
                         &err),
                  -1);
        CHECK_INT(update(def, NETWORK_UPDATE_DELETE, DNS_HOST, "<host ip='10.1.2.3'/>", &err), 0);
        CHECK_INT(def->dns->n_hosts, 0);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, DNS_TXT, "<txt name='t' value='v'/>", &err), 0);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, DNS_SRV, "<srv service='a' protocol='tcp'/>", &err), 0);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, PORTGROUP, "<portgroup name='g' default='yes'/>", &err), 0);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, PORTGROUP, "<portgroup name='h' default='yes'/>", &err), -1);
        CHECK_STR(network_portgroup(def, NULL)->name, "g");
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, FORWARD, "<forward/>", &err), -1);
        CHECK_INT(err.code, ERR_NO_SUPPORT);
        CHECK_INT(update(def, NETWORK_UPDATE_ADD_LAST, HOST, "<range/>", &err), -1);
        CHECK_INT(update(def, 9, RANGE, "<range start='10.1.2.30' end='10.1.2.40'/>", &err), -1);
}
