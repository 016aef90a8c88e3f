#include "test.h"

#include "base/str.h"
#include "daemon/migrate.h"

#define BEGIN "<qemu-migration><name>g</name><uuid>5d7d9d3c-1f3b-4e0e-8f4f-3b1f4d9a1c11</uuid><hostname>a</hostname>"
#define HOST  "<hostuuid>9b2f2a70-65a0-4d43-9a53-0f6a0b9d7f21</hostuuid>"
#define END   "</qemu-migration>"

static int parse(const char *text, MigrateCookie *ret, Error *err)
{
        return migrate_cookie_parse(text, strlen(text) + 1, ret, err);
}

TEST(what_was_said_is_understood)
{
        AUTO(MigrateCookie)
        said = { .name = str_dup("a<b"),
                 .hostname = str_dup("h"),
                 .ask = str_dup("[::1]:49215"),
                 .nonce = str_dup("00112233445566778899aabbccddeeff"),
                 .cpu = str_dup("sse2 sse4.1 lahf-lm"),
                 .nbd_port = 49153,
                 .stopped_us = 5 };
        AUTO(MigrateCookie) heard = { 0 };
        AUTO(Buf) text = { 0 };
        NwLearned learned = { .left_s = 3500 };
        char address[NET_ADDRESS_TEXT_LEN + 1], mac[MAC_TEXT_LEN + 1];

        vec_push(&said.disks, ((MigrateDisk){ str_dup("vda"), str_dup("wwn:6001") }));
        vec_push(&said.disks, ((MigrateDisk){ str_dup("vdb"), str_dup("serial:it's <mine>") }));
        mac_parse("52:54:00:00:00:07", &learned.mac);
        net_address_parse("10.9.0.5", &learned.address);
        vec_push(&said.learned, learned);
        learned.left_s = 0;
        vec_push(&said.learned, learned);
        migrate_cookie_format(&said, &text);
        CHECK_INT(migrate_cookie_parse(text.data, text.len, &heard, NULL), 0);
        CHECK_INT(heard.disks.len, 2);
        CHECK_STR(heard.disks.items[0].target, "vda");
        CHECK_STR(heard.disks.items[1].identity, "serial:it's <mine>");
        CHECK_STR(heard.name, "a<b");
        CHECK_STR(heard.ask, "[::1]:49215");
        CHECK_STR(heard.nonce, said.nonce);
        CHECK_STR(heard.cpu, "sse2 sse4.1 lahf-lm");
        CHECK_INT(heard.nbd_port, 49153);
        CHECK_INT(heard.stopped_us, 5);
        CHECK_INT(heard.resumed_us, 0);
        CHECK_INT(heard.learned.len, 2);
        CHECK_STR(net_address_format(&heard.learned.items[0].address, address), "10.9.0.5");
        CHECK_STR(mac_format(&heard.learned.items[0].mac, mac), "52:54:00:00:00:07");
        CHECK_INT(heard.learned.items[0].left_s, 3500);
        CHECK_INT(heard.learned.items[1].left_s, 0);
}

TEST(the_figures_of_what_was_sent_are_told_and_understood)
{
        AUTO(MigrateCookie)
        said = { .name = str_dup("g"),
                 .hostname = str_dup("h"),
                 .stopped_us = 1700000000123456,
                 .has_stats = true,
                 .sent_ms = 1700000000500,
                 .stats = { .began_ms = 1000, .ended_ms = 3500, .setup_ms = 4, .disk_total = 10, .disk_done = 10 } };
        AUTO(MigrateCookie) heard = { 0 };
        AUTO(Buf) text = { 0 };

        said.stats.ram = (QmpMigrationRam){ .total = 1 << 20, .transferred = 70000, .mbps = 8, .page_size = 4096 };
        said.stats.xbzrle = (QmpXbzrleCache){ .cache_size = 65536, .overflow = 3 };
        migrate_cookie_format(&said, &text);
        CHECK(strstr(buf_text(&text), "<started>1699999998000</started>"));
        CHECK(strstr(buf_text(&text), "<stopped>1700000000123</stopped>"));
        CHECK(strstr(buf_text(&text), "<time_elapsed>2500</time_elapsed>"));
        CHECK_INT(migrate_cookie_parse(text.data, text.len, &heard, NULL), 0);
        CHECK(heard.has_stats && heard.stats.has_ram && heard.stats.has_xbzrle);
        CHECK_INT(heard.stopped_us, said.stopped_us);
        CHECK_INT(heard.stats.setup_ms, 4);
        CHECK_INT(heard.stats.ram.total, 1 << 20);
        CHECK_INT(heard.stats.ram.transferred, 70000);
        CHECK_INT(heard.stats.ram.remaining, 0);
        CHECK_INT((int)heard.stats.ram.mbps, 8);
        CHECK_INT(heard.stats.disk_done, 10);
        CHECK_INT(heard.stats.xbzrle.overflow, 3);
}

TEST(figures_that_cannot_be_right_are_none)
{
        AUTO(MigrateCookie) heard = { 0 };

        CHECK_INT(
                parse(BEGIN HOST
                      "<statistics><started>7</started><stopped>9</stopped><memory_total>-1</memory_total><memory_processed>x</memory_processed><memory_page_size>9223372036854775807</memory_page_size><disk_processed>5</disk_processed></statistics>" END,
                      &heard, NULL),
                0);
        CHECK(heard.has_stats && !heard.stats.has_ram);
        CHECK_INT(heard.stopped_us, 9000);
        CHECK_INT(heard.stats.ram.transferred, 0);
        CHECK_INT(heard.stats.ram.page_size, 0);
        CHECK_INT(heard.stats.disk_done, 0);
}

TEST(only_so_many_addresses_are_taken)
{
        AUTO(MigrateCookie) heard = { 0 };
        AUTO(Buf) text = { 0 };
        AUTO(Error) err = { 0 };

        buf_put_text(&text, BEGIN HOST "<drover>");
        for (int i = 0; i <= MIGRATE_COOKIE_MOST_LEARNED; i++)
                buf_put_text(&text, "<address mac='52:54:00:00:00:07' ip='10.9.0.5'/>");
        buf_put_text(&text, "</drover>" END);
        CHECK_INT(parse(buf_text(&text), &heard, &err), -1);
        CHECK(strstr(err.text, "more than"));
}

TEST(a_cookie_of_libvirt_is_understood)
{
        AUTO(MigrateCookie) heard = { 0 };

        CHECK_INT(
                parse(BEGIN HOST
                      "<feature name='persistent'/><feature name='lockstate'/><lockstate driver='nop'/><nbd port='49200'/><capabilities/>" END,
                      &heard, NULL),
                0);
        CHECK_STR(heard.hostname, "a");
        CHECK_INT(heard.nbd_port, 49200);
        CHECK(!heard.nonce);
        CHECK(!heard.ask);
        CHECK(!heard.cpu);
}

TEST(what_cannot_be_right_is_refused_by_name)
{
        static const struct {
                const char *text, *complaint;
        } bad[] = {
                { BEGIN HOST "<feature name='memory-hotplug'/>" END, "'memory-hotplug'" },
                { BEGIN HOST "<feature name='lockstate'/><lockstate driver='sanlock'/>" END, "'lockstate'" },
                { BEGIN END, "hostuuid" },
                { BEGIN HOST "<nbd port='65536'/>" END, "port='65536'" },
                { BEGIN HOST "<drover nonce='short'/>" END, "nonce" },
                /* a line of its own in the status file of the guest */
                { BEGIN HOST "<drover ask='[::1]:49215&#10;pid 1'/>" END, "the address to ask at" },
                { BEGIN HOST "<drover cpu='sse2 &lt;b>'/>" END, "the features of the CPU" },
                { BEGIN HOST "<drover><address ip='10.9.0.5'/></drover>" END, "MAC address" },
                { BEGIN HOST "<drover><address mac='52:54:00:00:00:07' ip='10.9'/></drover>" END, "'10.9'" },
                { BEGIN HOST "<drover><address mac='52:54:00:00:00:07' ip='10.9.0.5' left-s='-1'/></drover>" END,
                  "left-s='-1'" },
                { "<other/>", "<other>" },
                { "drover-migration 1\n", "migration cookie" },
                { BEGIN, "migration cookie" },
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                AUTO(MigrateCookie) heard = { 0 };
                AUTO(Error) err = { 0 };

                CHECK_INT(parse(bad[i].text, &heard, &err), -1);
                CHECK(strstr(err.text, bad[i].complaint));
        }
}
