#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "host/dnsmasq.h"

static const DnsmasqFiles files = {
        .pid = "/r/pid", .leases = "/s/leases", .hosts = "/r/hosts", .fixed = "/r/fixed", .user = "nobody"
};

static char *config_of(const char *inner)
{
        AUTOFREE char *xml = str_format("<network><name>n</name><bridge name='b0'/>%s</network>", inner);
        AUTO(NetworkDef) *def = NULL;
        AUTO(Error) err = { 0 };
        Buf text = { 0 };

        if (network_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0)
                fail_msg("%s", err.text);
        dnsmasq_put_config(def, &files, &text);
        return buf_take(&text);
}

static void check_lines(const char *inner, const char *const *there, const char *missing)
{
        AUTOFREE char *text = config_of(inner);

        for (; *there; there++) {
                AUTOFREE char *line = str_format("\n%s\n", *there);

                if (!strstr(text, line))
                        fail_msg("no line '%s' in:\n%s", *there, text);
        }
        if (missing && strstr(text, missing))
                fail_msg("'%s' is in:\n%s", missing, text);
}

#define NAT "<forward/>"
#define IP4 "<ip address='10.1.2.1' prefix='24'>"

/* NET-16, NET-17 */
TEST(ranges_and_their_lease_times_are_given_to_dnsmasq)
{
        check_lines(NAT IP4 "<dhcp><range start='10.1.2.9' end='10.1.2.20'><lease expiry='2' unit='hours'/></range>"
                            "<bootp file='pxe.0'/></dhcp></ip>",
                    (const char *const[]){ "dhcp-range=10.1.2.9,10.1.2.20,255.255.255.0,2h", "dhcp-lease-max=12",
                                           "dhcp-boot=pxe.0", "dhcp-leasefile=/s/leases", "interface=b0", NULL },
                    "dhcp-option=3");
        check_lines(NAT IP4 "<dhcp><host mac='52:54:00:00:00:01' ip='10.1.2.9'/></dhcp></ip>",
                    (const char *const[]){ "dhcp-range=10.1.2.0,static", "dhcp-lease-max=1", NULL }, NULL);
}

/* NET-21 */
TEST(an_isolated_network_says_nothing_of_the_outside)
{
        check_lines(IP4 "<dhcp><range start='10.1.2.9' end='10.1.2.20'/></dhcp></ip>"
                        "<ip family='ipv6' address='fd00::1' prefix='64'/>",
                    (const char *const[]){ "no-resolv", "dhcp-option=3", "ra-param=*,0,0",
                                           "dhcp-range=fd00::,ra-only", NULL },
                    NULL);
}

TEST(names_are_served_as_the_definition_says)
{
        check_lines(
                "<domain name='x.lan' localOnly='yes'/>" NAT
                "<dns forwardPlainNames='no'><forwarder addr='10.9.9.9'/><forwarder domain='y.org'/>"
                "<txt name='t' value='v v'/><srv service='a' protocol='tcp' target='b' port='3' weight='2'/></dns>"
                "<ip address='10.1.2.1' prefix='24' localPtr='yes'/>",
                (const char *const[]){ "local=/x.lan/", "domain=x.lan", "expand-hosts", "no-resolv", "domain-needed",
                                       "server=10.9.9.9", "server=/y.org/#", "txt-record=t,\"v v\"",
                                       "srv-host=_a._tcp,b,3,0,2", "local=/2.1.10.in-addr.arpa/", NULL },
                NULL);
        check_lines("<dns enable='no'/>" IP4 "</ip>", (const char *const[]){ "port=0", NULL }, "addn-hosts");
}

/* What dnsmasq reads in a file's words: quotes, backslashes in quotes, '#' behind a blank. */
TEST(texts_are_given_as_they_are)
{
        check_lines(NAT "<dns><txt name='t' value='C:\\new #1, \\'/></dns>"
                        "<ip address='10.1.2.1' prefix='24'><tftp root='/srv/a #b'/><dhcp>"
                        "<range start='10.1.2.9' end='10.1.2.20'/><bootp file='my pxe\\0'/></dhcp></ip>",
                    (const char *const[]){ "txt-record=t,\"C:\\\\new #1, \\\\\"", "tftp-root=\"/srv/a #b\"",
                                           "dhcp-boot=\"my pxe\\\\0\"", NULL },
                    NULL);
}

TEST(fixed_addresses_and_names_have_files)
{
        static const char xml[] =
                "<network><name>n</name><dns><host ip='10.1.2.3'><hostname>a</hostname>"
                "<hostname>b</hostname></host></dns>" IP4 "<dhcp>"
                "<host mac='52:54:00:00:00:01' name='g' ip='10.1.2.9'/><host id='01:02' ip='10.1.2.8'>"
                "<lease expiry='0'/></host></dhcp></ip><ip family='ipv6' address='fd00::1' prefix='64'>"
                "<dhcp><host id='0:3:0:1' name='s' ip='fd00::9'/></dhcp></ip></network>";
        AUTO(NetworkDef) *def = NULL;
        AUTO(Buf) hosts = { 0 };
        AUTO(Buf) fixed = { 0 };

        CHECK_INT(network_def_parse(xml, strlen(xml), 0, &def, NULL, NULL), 0);
        dnsmasq_put_hosts(def, &hosts);
        dnsmasq_put_fixed(def, &fixed);
        CHECK_STR(buf_text(&hosts), "10.1.2.3\ta b\n");
        CHECK_STR(buf_text(&fixed), "52:54:00:00:00:01,g,10.1.2.9\nid:01:02,10.1.2.8,infinite\n"
                                    "id:0:3:0:1,s,[fd00::9]\n");
}

TEST(leases_are_read_line_by_line)
{
        static const char text[] = "1700000000 52:54:00:aa:bb:cc 10.1.2.9 guest 01:52:54\n"
                                   "0 52:54:00:aa:bb:cd 10.1.2.10 * *\n"
                                   "rubbish\n"
                                   "5 52:54:00:aa:bb:cd nowhere * *\n"
                                   "-5 52:54:00:aa:bb:cd 10.1.2.11 * *\n"
                                   "duid 00:01:00:01:2e\n"
                                   "1700000001 T1234 fd00::5 six 00:03:00:01:52:54:00:11:22:33\n"
                                   "1700000001 99 10.1.2.3 * *\n"
                                   "7 8 fd00::6 * 00:02";
        AUTO(Arena) *arena = arena_new();
        char mac[MAC_TEXT_LEN + 1];
        DnsmasqLease *leases;
        size_t n;

        dnsmasq_parse_leases(text, arena, &leases, &n);
        CHECK_INT(n, 4);
        CHECK_INT(leases[0].expires_s, 1700000000);
        CHECK_STR(leases[0].hostname, "guest");
        CHECK_STR(leases[0].client_id, "01:52:54");
        CHECK_INT(leases[1].expires_s, 0);
        CHECK_NULL(leases[1].hostname);
        CHECK_STR(leases[2].iaid, "1234");
        CHECK_STR(mac_format(&leases[2].mac, mac), "52:54:00:11:22:33");
        CHECK(mac_is_null(&leases[3].mac));
}

/* A guest chooses its name and identity, and a dnsmasq that was taken over writes what it likes. */
TEST(a_hostile_lease_has_no_name_that_a_terminal_obeys)
{
        static const struct {
                const char *line;
                const char *name, *id; /* NULL: none */
        } rows[] = {
                { "5 52:54:00:00:00:01 10.1.2.9 guest 01:52", "guest", "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 g\xc3\xa4st 01:52", "g\xc3\xa4st", "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 a\x1b[2J 01:52", NULL, "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 a\rb 01:52", NULL, "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 a\tb 01:52", NULL, "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 a\x7f 01:52", NULL, "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 \xc2\x9b"
                  "2J 01:52",
                  NULL, "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 \xff\xfe 01:52", NULL, "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 \xed\xa0\x80 01:52", NULL, "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9 guest 01:\x1b[2J", "guest", NULL },
                { "5 52:54:00:00:00:01 10.1.2.9 guest <x/>", "guest", NULL },
                { "5 52:54:00:00:00:01 10.1.2.9 guest 01:52 more words", "guest", "01:52" },
                { "5 52:54:00:00:00:01 10.1.2.9", NULL, NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(Arena) *arena = arena_new();
                DnsmasqLease *leases;
                size_t n;

                dnsmasq_parse_leases(rows[i].line, arena, &leases, &n);
                CHECK_INT(n, 1);
                CHECK(str_eq(leases[0].hostname, rows[i].name));
                CHECK(str_eq(leases[0].client_id, rows[i].id));
        }
}

TEST(a_hostile_line_is_no_lease_and_hides_no_other)
{
        static const char *const lines[] = {
                "99999999999999999999 52:54:00:00:00:01 10.1.2.9 g *",
                "-1 52:54:00:00:00:01 10.1.2.9 g *",
                "5 52:54:00:00:00 10.1.2.9 g *",
                "5 52:54:00:00:00:01 10.1.2.9.1 g *",
                "5 52:54:00:00:00:01 fd00::9%lo g *",
                "5 52:54:00:00:00:01 fd00::9 g *",
                "   ",
                "\x1b[2J",
        };

        for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
                AUTOFREE char *text = str_format("%s\n5 52:54:00:00:00:02 10.1.2.10 other *\n", lines[i]);
                AUTO(Arena) *arena = arena_new();
                DnsmasqLease *leases;
                size_t n;

                dnsmasq_parse_leases(text, arena, &leases, &n);
                CHECK_INT(n, 1);
                CHECK_STR(leases[0].hostname, "other");
        }
}

TEST(a_name_longer_than_any_is_none_and_an_identity_of_nothing_no_lease)
{
        AUTOFREE char *name = mem_alloc(4097);
        AUTOFREE char *text = NULL;
        AUTO(Arena) *arena = arena_new();
        DnsmasqLease *leases;
        size_t n;

        memset(name, 'a', 4096);
        name[4096] = '\0';
        text = str_format("5 52:54:00:00:00:01 10.1.2.9 %s 01:52\nduid 00:01\n5 T fd00::5 x *\n5 -1 fd00::6 x *\n",
                          name);
        dnsmasq_parse_leases(text, arena, &leases, &n);
        CHECK_INT(n, 1);
        CHECK_NULL(leases[0].hostname);
        CHECK_STR(leases[0].client_id, "01:52");
}

TEST(a_complaint_comes_with_what_to_do)
{
        CHECK(strstr(dnsmasq_advice("dnsmasq: failed to create inotify: Too many open files"),
                     "fs.inotify.max_user_instances"));
        CHECK(strstr(
                dnsmasq_advice("dnsmasq: failed to create listening socket for 10.1.2.1: Address already in use"),
                "leave out the network's bridge"));
        CHECK_STR(dnsmasq_advice("dnsmasq: bad option"), "");
}
