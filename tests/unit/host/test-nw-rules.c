#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "host/nw-rules.h"

#include <glob.h>

/* Filters that a test knows. */
typedef struct Shelf {
        VEC(NwFilter *) filters;
} Shelf;

static void shelf_done(Shelf *shelf)
{
        for (size_t i = 0; i < shelf->filters.len; i++)
                nw_filter_unref(shelf->filters.items[i]);
        vec_done(&shelf->filters);
}

DEFINE_AUTO_VALUE(Shelf, shelf_done)

static void put_on(Shelf *shelf, const char *xml)
{
        NwFilter *filter = NULL;
        AUTO(Error) err = { 0 };

        if (nw_filter_parse(xml, strlen(xml), 0, &filter, NULL, &err) < 0)
                fail_msg("%s", err.text);
        vec_push(&shelf->filters, filter);
}

static void put_stock_on(Shelf *shelf)
{
        glob_t found;

        CHECK_INT(glob(DROVER_TEST_DATA "/../../packaging/nwfilter/*.xml", 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++) {
                AUTO(Buf) xml = { 0 };

                CHECK_INT(file_read(found.gl_pathv[i], 1 << 20, &xml, NULL), 0);
                put_on(shelf, buf_text(&xml));
        }
        globfree(&found);
}

static const NwFilter *find(void *arg, const char *name)
{
        const Shelf *shelf = arg;

        for (size_t i = 0; i < shelf->filters.len; i++) {
                if (str_eq(shelf->filters.items[i]->head->name, name))
                        return shelf->filters.items[i];
        }
        return NULL;
}

/* What one device's rules are: those that add something, or the error. vars: pairs, ends with NULL. */
static char *compile(Shelf *shelf, const char *filter, const char *const *pairs)
{
        NwPort port = { .dev = "vnet0", .mac = { { 0x52, 0x54, 0, 0, 0, 1 } }, .filter = filter };
        AUTO(Error) err = { 0 };
        NwChains chains = { 0 };
        NwVars vars = { 0 };
        Buf all = { 0 }, rules = { 0 };
        int rc;

        nw_vars_add(&vars, "MAC", "52:54:00:00:00:01");
        for (; *pairs; pairs += 2)
                nw_vars_add(&vars, pairs[0], pairs[1]);
        port.vars = &vars;
        rc = nw_rules_put_port(&port, find, shelf, &chains, &all, &err);
        for (const char *line = buf_text(&all); rc == 0 && *line;) {
                size_t n = strcspn(line, "\n") + 1;

                if (str_starts(line, "add rule bridge drover_filters "))
                        buf_put(&rules, line + 31, n - 31);
                line += n;
        }
        if (rc < 0)
                buf_put_text(&rules, err.text);
        nw_chains_done(&chains);
        nw_vars_done(&vars);
        buf_done(&all);
        return buf_take(&rules);
}

#define PAIRS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void check_has(const char *text, const char *part)
{
        if (!strstr(text, part))
                fail_msg("no '%s' in:\n%s", part, text);
}

static void check_rule(const char *rule, const char *expected)
{
        AUTOFREE char *xml = str_format("<filter name='f'><rule %s</rule></filter>", rule);
        AUTOFREE char *text = NULL;
        AUTO(Shelf) shelf = { 0 };

        put_on(&shelf, xml);
        text = compile(&shelf, "f", PAIRS("IP", "10.0.0.1", "IP", "10.0.0.2", "PORT", "80", "PORT", "443"));
        check_has(text, expected);
}

TEST(clean_traffic_goes_through_its_chains_in_the_order_of_their_priorities)
{
        AUTO(Shelf) shelf = { 0 };
        AUTOFREE char *text = NULL;

        put_stock_on(&shelf);
        text = compile(&shelf, "clean-traffic", PAIRS("IP", "10.0.0.5"));
        CHECK_STR(
                text,
                "out/vnet0/mac ether saddr == 52:54:00:00:00:01 return\n"
                "out/vnet0/mac drop\n"
                "out/vnet0 jump out/vnet0/mac\n"
                "out/vnet0/ipv4-ip ether type ip ip saddr == 0.0.0.0 meta l4proto == 17 return\n"
                "out/vnet0/ipv4-ip ether type ip ip saddr == 10.0.0.5 return\n"
                "out/vnet0/ipv4-ip drop\n"
                "out/vnet0 ether type ip jump out/vnet0/ipv4-ip\n"
                "out/vnet0 ether type == 2048 accept\n"
                "out/vnet0/arp-mac ether type arp @nh,64,48 == 0x525400000001 return\n"
                "out/vnet0/arp-mac drop\n"
                "out/vnet0 ether type arp jump out/vnet0/arp-mac\n"
                "out/vnet0/arp-ip ether type arp @nh,112,32 == 0x0a000005 return\n"
                "out/vnet0/arp-ip ether type arp @nh,48,16 == 1 @nh,112,32 == 0x00000000 return\n"
                "out/vnet0/arp-ip drop\n"
                "out/vnet0 ether type arp jump out/vnet0/arp-ip\n"
                "out/vnet0 ether type == 2054 accept\n"
                "out/vnet0/rarp ether type 0x8035 ether saddr == 52:54:00:00:00:01 ether daddr == ff:ff:ff:ff:ff:ff "
                "@nh,48,16 == 3 @nh,64,48 == 0x525400000001 @nh,112,32 == 0x00000000 @nh,144,48 == 0x525400000001 "
                "@nh,192,32 == 0x00000000 accept\n"
                "out/vnet0/rarp drop\n"
                "out/vnet0 ether type 0x8035 jump out/vnet0/rarp\n"
                "out/vnet0 drop\n"
                "out/vnet0 accept\n"
                "in/vnet0/ipv4 accept\n"
                "in/vnet0 ether type ip jump in/vnet0/ipv4\n"
                "in/vnet0 ether type == 2054 accept\n"
                "in/vnet0/rarp ether type 0x8035 ether daddr == ff:ff:ff:ff:ff:ff @nh,48,16 == 3 "
                "@nh,112,32 == 0x00000000 @nh,192,32 == 0x00000000 accept\n"
                "in/vnet0/rarp drop\n"
                "in/vnet0 ether type 0x8035 jump in/vnet0/rarp\n"
                "in/vnet0 drop\n"
                "in/vnet0 accept\n");
}

TEST(masks_ranges_and_negations_are_written_as_nft_reads_them)
{
        check_rule("action='drop' direction='out'><ip srcipaddr='10.1.2.3' srcipmask='255.255.0.0'/>",
                   "out/vnet0 ether type ip ip saddr == 10.1.0.0/16 drop\n");
        check_rule("action='drop' direction='out'><mac match='no' srcmacaddr='aa:bb:cc:dd:ee:ff' "
                   "srcmacmask='ff:ff:0:0:0:0'/>",
                   "out/vnet0 ether saddr & ff:ff:00:00:00:00 != aa:bb:00:00:00:00 drop\n");
        check_rule("action='drop' direction='out'><arp arpsrcipaddr='10.1.2.3' arpsrcipmask='8'/>",
                   "@nh,112,32 & 0xff000000 == 0x0a000000 drop\n");
        check_rule("action='drop' direction='in'><udp srcipfrom='10.0.0.1' srcipto='10.0.0.9' dstportstart='5'/>",
                   "ip saddr == 10.0.0.1-10.0.0.9 th dport == 5 drop\n");
        check_rule("action='drop' direction='in'><tcp flags='SYN,ACK/SYN' dstportstart='1' dstportend='1'/>",
                   "th dport == 1 tcp flags & (syn|ack) == (syn) drop\n");
        check_rule("action='drop' direction='in'><tcp dstportstart='9' dstportend='1'/>",
                   "'@dstportstart' begins a range that ends below it");
        check_rule("action='drop' direction='in'><stp root-priority='1' root-priority-hi='9'/>",
                   "in/vnet0 ether daddr 01:80:c2:00:00:00 @nh,64,16 == 1-9 drop\n");
        check_rule("action='drop' direction='out'><ipv6 dstipaddr='ff02::1:2' protocol='udp' dstportstart='547'/>",
                   "out/vnet0 ether type ip6 ip6 daddr == ff02::1:2 meta l4proto == 17 th dport == 547 drop\n");
}

TEST(a_rule_for_both_ways_is_turned_round_for_the_other)
{
        check_rule("action='drop' direction='inout'><ip srcipaddr='10.0.0.1'/>",
                   "in/vnet0 ether type ip ip daddr == 10.0.0.1 drop\n");
        check_rule("action='accept' direction='inout'><udp srcipaddr='10.0.0.1'/>",
                   "in/vnet0/_40ip ether type ip meta l4proto udp ip saddr == 10.0.0.1 accept\n");
        check_rule("action='accept' direction='inout'><udp srcipaddr='10.0.0.1'/>",
                   "out/vnet0/_40ip ether type ip meta l4proto udp ip daddr == 10.0.0.1 accept\n");
}

TEST(answers_of_accepted_connections_are_accepted)
{
        static const char ssh[] = "action='accept' direction='in'><tcp dstportstart='22'/>";

        check_rule(ssh,
                   "in/vnet0/_40ip ether type ip meta l4proto tcp th dport == 22 ct state new,established accept\n");
        check_rule(ssh,
                   "out/vnet0/_40ip ether type ip meta l4proto tcp th sport == 22 ct state established accept\n");
        check_rule("action='accept' direction='out' statematch='0'><tcp dstportstart='22'/>",
                   "out/vnet0/_40ip ether type ip meta l4proto tcp th dport == 22 accept\n");
        check_rule("action='accept' direction='out'><icmp type='8' state='NEW,RELATED'/>",
                   "icmp type == 8 ct state new,related accept\n");
        check_rule("action='reject' direction='out'><all/>", "out/vnet0/_40ip ether type ip reject\n");
        check_rule("action='reject' direction='in'><all/>", "in/vnet0/_40ip ether type ip drop\n");
}

TEST(connections_are_counted_for_each_source_by_itself)
{
        AUTO(Buf) gone = { 0 };
        NwChains chains = { 0 };

        check_rule("action='drop' direction='in'><tcp connlimit-above='3'/>",
                   "tcp add @limit4/vnet0/1 { ip saddr ct count over 3 } drop\n");
        check_rule("action='accept' direction='in'><tcp-ipv6 match='no' connlimit-above='5'/>",
                   "ct state new,established add @limit6/vnet0/2 { ip6 saddr ct count 5 } accept\n");
        vec_push(&chains, str_dup("limit6/vnet0/1"));
        vec_push(&chains, str_dup("in/vnet0/_40ip"));
        nw_rules_put_removal("vnet0", &chains, NULL, &gone);
        check_has(buf_text(&gone), "limit6/vnet0/1 { type ipv6_addr ; size 65535 ; flags dynamic ; }\n");
        check_has(buf_text(&gone), "delete chain bridge drover_filters in/vnet0/_40ip\n"
                                   "delete set bridge drover_filters limit6/vnet0/1\n");
        nw_chains_done(&chains);
}

TEST(variables_with_one_iterator_go_together_and_others_in_every_combination)
{
        check_rule("action='drop' direction='out'><udp srcipaddr='$IP' dstportstart='$PORT'/>",
                   "ip saddr == 10.0.0.1 th dport == 80 drop\n"
                   "out/vnet0/_40ip ether type ip meta l4proto udp ip saddr == 10.0.0.2 th dport == 443 drop\n"
                   "out/vnet0/_40ip accept\n");
        check_rule("action='drop' direction='out'><udp srcipaddr='$IP[@1]' dstportstart='$PORT[@2]'/>",
                   "ip saddr == 10.0.0.1 th dport == 80 drop\n"
                   "out/vnet0/_40ip ether type ip meta l4proto udp ip saddr == 10.0.0.2 th dport == 80 drop\n"
                   "out/vnet0/_40ip ether type ip meta l4proto udp ip saddr == 10.0.0.1 th dport == 443 drop\n"
                   "out/vnet0/_40ip ether type ip meta l4proto udp ip saddr == 10.0.0.2 th dport == 443 drop\n");
        check_rule("action='drop' direction='out'><ip srcipaddr='$IP[1]'/>", "ip saddr == 10.0.0.2 drop\n");
        check_rule("action='drop' direction='out'><ip srcipaddr='$IP[2]'/>", "has no value number 2");
        check_rule("action='drop' direction='out'><udp srcipaddr='$IP' srcmacaddr='$MAC'/>",
                   "must have as many values as one another");
        check_rule("action='drop' direction='out'><udp srcipaddr='$GW'/>", "needs a value for the variable 'GW'");
        check_rule("action='drop' direction='out'><udp srcipaddr='$MAC'/>",
                   "<udp>: '@srcipaddr' cannot be '52:54:00:00:00:01'");
}

TEST(what_a_reference_says_is_seen_below_it_unless_the_interface_says_otherwise)
{
        AUTO(Shelf) shelf = { 0 };
        AUTOFREE char *inner = NULL, *outer = NULL, *loop = NULL, *missing = NULL;

        put_on(&shelf, "<filter name='a'><filterref filter='b'><parameter name='X' value='10.0.0.1'/></filterref>"
                       "</filter>");
        put_on(&shelf, "<filter name='b'><rule action='drop' direction='out'><ip srcipaddr='$X'/></rule></filter>");
        put_on(&shelf, "<filter name='c'><filterref filter='d'/></filter>");
        put_on(&shelf, "<filter name='d'><filterref filter='c'/></filter>");
        inner = compile(&shelf, "a", PAIRS(NULL));
        check_has(inner, "ip saddr == 10.0.0.1 drop");
        outer = compile(&shelf, "a", PAIRS("X", "10.0.0.9"));
        check_has(outer, "ip saddr == 10.0.0.9 drop");
        loop = compile(&shelf, "c", PAIRS(NULL));
        check_has(loop, "take in one another more than");
        missing = compile(&shelf, "e", PAIRS(NULL));
        CHECK_STR(missing, "the network filter 'e' is missing");
        CHECK(nw_filter_uses("a", "b", find, &shelf));
        CHECK(!nw_filter_uses("b", "a", find, &shelf));
        CHECK(nw_filter_uses("c", "c", find, &shelf));
}

/* f0 takes in f1 many times, which takes in f2 as often, ... */
static void put_multiplying_on(Shelf *shelf, unsigned depth, unsigned times)
{
        for (unsigned i = 0; i < depth; i++) {
                AUTO(Buf) xml = { 0 };

                buf_format(&xml, "<filter name='f%u'>", i);
                for (unsigned j = 0; i + 1 < depth && j < times; j++)
                        buf_format(&xml, "<filterref filter='f%u'/>", i + 1);
                buf_put_text(&xml, "</filter>");
                put_on(shelf, buf_text(&xml));
        }
}

TEST(references_that_multiply_end_soon)
{
        AUTO(Shelf) shelf = { 0 };
        AUTOFREE char *said = NULL;

        put_multiplying_on(&shelf, 20, 64);
        CHECK(nw_filter_uses("f0", "f19", find, &shelf));
        CHECK(!nw_filter_uses("f0", "f0", find, &shelf));
        said = compile(&shelf, "f0", PAIRS(NULL));
        check_has(said, "references are followed");
}

TEST(a_device_has_a_bounded_number_of_rules)
{
        AUTO(Shelf) shelf = { 0 };
        AUTO(Buf) xml = { 0 };
        const char *pairs[4 * 64 + 1] = { 0 };
        AUTOFREE char *said = NULL;

        buf_put_text(&xml, "<filter name='f'>");
        for (unsigned i = 0; i < 64; i++) {
                buf_put_text(&xml,
                             "<rule action='drop' direction='out'><ip srcipaddr='$A' dstipaddr='$B[@2]'/></rule>");
                pairs[2 * i] = "A";
                pairs[2 * (64 + i)] = "B";
                pairs[2 * i + 1] = pairs[2 * (64 + i) + 1] = "10.0.0.1";
        }
        buf_put_text(&xml, "</filter>");
        put_on(&shelf, buf_text(&xml));
        said = compile(&shelf, "f", pairs);
        check_has(said, "rules for one device");
}

/* A reference to a filter, with so many parameters. */
static void put_reference(Buf *xml, const char *filter, unsigned n)
{
        buf_format(xml, "<filterref filter='%s'>", filter);
        for (unsigned i = 0; i < n; i++)
                buf_format(xml, "<parameter name='P%u' value='%u'/>", i, i);
        buf_put_text(xml, "</filterref>");
}

TEST(many_parameters_are_known_by_their_names)
{
        AUTO(Shelf) shelf = { 0 };
        AUTO(Buf) xml = { 0 };
        AUTOFREE char *said = NULL;

        buf_put_text(&xml, "<filter name='a'>");
        put_reference(&xml, "b", 100000);
        buf_put_text(&xml, "</filter>");
        put_on(&shelf, buf_text(&xml));
        put_on(&shelf,
               "<filter name='b'><rule action='drop' direction='out'><udp dstportstart='$P7777'/></rule></filter>");
        said = compile(&shelf, "a", PAIRS(NULL));
        check_has(said, "th dport == 7777 drop");
}

TEST(parameters_that_multiply_are_refused)
{
        AUTO(Shelf) shelf = { 0 };
        AUTO(Buf) xml = { 0 };
        AUTOFREE char *said = NULL;

        buf_put_text(&xml, "<filter name='b'>");
        put_reference(&xml, "c", 1000);
        buf_put_text(&xml, "</filter>");
        put_on(&shelf, buf_text(&xml));
        buf_clear(&xml);
        buf_put_text(&xml, "<filter name='a'>");
        for (unsigned i = 0; i < 1000; i++)
                buf_put_text(&xml, "<filterref filter='b'/>");
        buf_put_text(&xml, "</filter>");
        put_on(&shelf, buf_text(&xml));
        put_on(&shelf, "<filter name='c'/>");
        said = compile(&shelf, "a", PAIRS(NULL));
        check_has(said, "parameters are handed on");
}

TEST(a_long_loop_is_found)
{
        AUTO(Shelf) shelf = { 0 };

        put_on(&shelf, "<filter name='f49'><filterref filter='f0'/></filter>");
        put_multiplying_on(&shelf, 50, 1);
        CHECK(nw_filter_uses("f7", "f7", find, &shelf));
        CHECK(!nw_filter_uses("f7", "f50", find, &shelf));
}

TEST(what_is_missing_is_told_and_what_can_be_learned_last)
{
        AUTO(Shelf) shelf = { 0 };
        NwVars vars = { 0 };
        NwPort port = { .dev = "vnet0", .filter = "clean-traffic-gateway", .vars = &vars };
        AUTO(Error) err = { 0 };
        char *name;

        put_stock_on(&shelf);
        nw_vars_add(&vars, "MAC", "52:54:00:00:00:01");
        CHECK_INT(nw_rules_missing(&port, find, &shelf, &name, &err), 0);
        CHECK_STR(name, "GATEWAY_MAC");
        free(name);
        nw_vars_add(&vars, "GATEWAY_MAC", "52:54:00:00:00:02");
        CHECK_INT(nw_rules_missing(&port, find, &shelf, &name, &err), 0);
        CHECK_STR(name, "IP");
        free(name);
        nw_vars_add(&vars, "IP", "10.0.0.1");
        CHECK_INT(nw_rules_missing(&port, find, &shelf, &name, &err), 0);
        CHECK_NULL(name);
        nw_vars_done(&vars);
}

TEST(a_device_goes_with_all_its_chains)
{
        NwChains old = { 0 }, new = { 0 };
        AUTO(Buf) text = { 0 };

        vec_push(&old, str_dup("out/v_5f1"));
        vec_push(&old, str_dup("out/v_5f1/mac"));
        vec_push(&new, str_dup("out/v_5f1"));
        nw_rules_put_removal("v_1", &old, &new, &text);
        CHECK_STR(buf_text(&text), "add chain bridge drover_filters out/v_5f1/mac\n"
                                   "flush chain bridge drover_filters out/v_5f1/mac\n"
                                   "delete chain bridge drover_filters out/v_5f1/mac\n");
        buf_clear(&text);
        nw_rules_put_removal("v_1", &old, NULL, &text);
        check_has(buf_text(&text), "delete element bridge drover_filters out { \"v_1\" }\n");
        check_has(buf_text(&text), "delete chain bridge drover_filters out/v_5f1\n");
        nw_chains_done(&old);
        nw_chains_done(&new);
}
