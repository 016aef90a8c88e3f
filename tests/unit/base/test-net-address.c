#include "test.h"

#include "base/net-address.h"

static NetAddress parse(const char *text)
{
        NetAddress address;

        CHECK_INT(net_address_parse(text, &address), 0);
        return address;
}

TEST(addresses_are_numbers_of_one_family)
{
        NetAddress address;
        char text[NET_ADDRESS_TEXT_LEN + 1];

        CHECK_INT(net_address_parse("10.1.2", &address), -1);
        CHECK_INT(net_address_parse("10.1.2.3/24", &address), -1);
        CHECK_INT(net_address_parse("fe80::1%eth0", &address), -1);
        CHECK_INT(net_address_parse("host", &address), -1);
        CHECK_INT(net_address_parse("FD00:0:0::1", &address), 0);
        CHECK_STR(net_address_format(&address, text), "fd00::1");
        CHECK_INT(net_address_bits(&address), 128);
}

TEST(a_mask_is_ones_and_then_zeros)
{
        CHECK_INT(net_mask_prefix("255.255.255.0"), 24);
        CHECK_INT(net_mask_prefix("255.255.240.0"), 20);
        CHECK_INT(net_mask_prefix("0.0.0.0"), 0);
        CHECK_INT(net_mask_prefix("255.255.255.255"), 32);
        CHECK_INT(net_mask_prefix("255.0.255.0"), -1);
        CHECK_INT(net_mask_prefix("ffff::"), -1);
}

TEST(a_network_has_a_first_and_a_last_address)
{
        NetAddress a = parse("192.168.122.77"), b = parse("fd00:1:2:3:4::9");
        NetAddress first = net_first(&a, 20), last = net_last(&a, 20);
        char text[NET_ADDRESS_TEXT_LEN + 1];

        CHECK_STR(net_address_format(&first, text), "192.168.112.0");
        CHECK_STR(net_address_format(&last, text), "192.168.127.255");
        first = net_first(&b, 65);
        CHECK_STR(net_address_format(&first, text), "fd00:1:2:3::");
}

TEST(networks_that_share_an_address_overlap)
{
        NetAddress a = parse("10.1.0.0"), b = parse("10.1.128.5"), c = parse("10.2.0.1"), six = parse("fd00::1");

        CHECK(net_overlaps(&a, 16, &b, 24));
        CHECK(net_overlaps(&b, 24, &a, 16));
        CHECK(!net_overlaps(&a, 16, &c, 16));
        CHECK(net_overlaps(&a, 8, &c, 24));
        CHECK(!net_overlaps(&a, 0, &six, 0));
        CHECK(net_contains(&a, 16, &b));
        CHECK(!net_contains(&a, 17, &b));
}

TEST(ranges_are_counted)
{
        NetAddress a = parse("10.0.0.250"), b = parse("10.0.1.5"), c = parse("fd00::1"), d = parse("fd01::1"),
                   e = parse("fd00::1:0");

        CHECK_INT(net_address_count(&a, &b), 12);
        CHECK_INT(net_address_count(&a, &a), 1);
        CHECK_INT(net_address_count(&c, &d), UINT32_MAX);
        CHECK_INT(net_address_count(&c, &e), 65536);
}
