#include "test.h"

#include "base/str.h"
#include "fake-root.h"
#include "host/net-check.h"

static Arena *arena;
static NetFindings found;

static void start(void)
{
        fake_root_make();
        arena = arena_new();
        found = (NetFindings){ .arena = arena };
}

static void finish(void)
{
        fake_root_remove();
        net_findings_done(&found);
        arena_free(arena);
}

/* One finding says this, and has this verdict. */
static void says(NetVerdict verdict, const char *about, const char *words)
{
        for (size_t i = 0; i < found.list.len; i++) {
                const NetFinding *f = &found.list.items[i];

                if (f->verdict == verdict && str_eq(f->about, about) && strstr(f->text, words))
                        return;
        }
        for (size_t i = 0; i < found.list.len; i++)
                print_error("%d %s: %s\n", found.list.items[i].verdict, found.list.items[i].about,
                            found.list.items[i].text);
        fail_msg("nothing about %s says '%s'", about, words);
}

static size_t count(NetVerdict verdict)
{
        size_t n = 0;

        for (size_t i = 0; i < found.list.len; i++)
                n += found.list.items[i].verdict == verdict;
        return n;
}

static void look_at_network(const char *inner)
{
        AUTOFREE char *xml = str_format("<network><name>n</name>%s</network>", inner);
        AUTO(NetworkDef) *def = NULL;

        CHECK_INT(network_def_parse(xml, strlen(xml), 0, &def, NULL, NULL), 0);
        net_findings_done(&found);
        net_check_network(fake_root, def, &found);
}

TEST(what_is_missing_on_the_host_is_named)
{
        start();
        net_check_host(fake_root, &found);
        says(NET_BROKEN, "programs", "'dnsmasq' is not there");
        says(NET_BROKEN, "programs", "install the package nftables");
        says(NET_BROKEN, "taps", "load the module 'tun'");
        fake_root_put("/usr/sbin/dnsmasq", "");
        fake_root_put("/usr/sbin/nft", "");
        fake_root_put("/dev/net/tun", "");
        fake_root_put("/proc/sys/net/ipv4/ip_forward", "0\n");
        net_findings_done(&found);
        net_check_host(fake_root, &found);
        CHECK_INT(count(NET_BROKEN) + count(NET_DOUBTFUL), 0);
        finish();
}

/* NET-08: of the families that the network has, and only where it forwards (NET-24) */
TEST(forwarding_that_was_switched_off_is_a_problem)
{
        static const char both[] = "<bridge name='b0'/><ip address='10.1.2.1' prefix='24'/>"
                                   "<ip family='ipv6' address='fd00::1' prefix='64'/>";
        AUTOFREE char *nat = str_format("<forward/>%s", both);

        start();
        fake_root_put("/proc/sys/net/ipv4/ip_forward", "0\n");
        fake_root_put("/proc/sys/net/ipv6/conf/all/forwarding", "1\n");
        look_at_network(nat);
        says(NET_BROKEN, "forwarding", "net.ipv4.ip_forward is 0");
        says(NET_FINE, "forwarding", "net.ipv6.conf.all.forwarding is 1");
        look_at_network(both);
        CHECK_INT(count(NET_BROKEN), 0);
        look_at_network("<forward mode='bridge'/><bridge name='br0'/>");
        CHECK_INT(count(NET_BROKEN), 0);
        finish();
}

/* NET-33: a card, or a VLAN or bond on one; guests' taps, dummies and veths are no way out */
TEST(a_card_in_the_bridge_of_a_network_is_named)
{
        start();
        fake_root_put("/sys/class/net/b0/brif/vnet0/state", "3");
        fake_root_put("/sys/class/net/vnet0/tun_flags", "0x1002");
        fake_root_put("/sys/class/net/b0/brif/b0-nic/state", "3");
        fake_root_put("/sys/class/net/b0-nic/address", "");
        look_at_network("<bridge name='b0'/>");
        says(NET_FINE, "members", "only guests are in the bridge 'b0'");
        fake_root_put("/sys/class/net/b0/brif/eth1/state", "3");
        fake_root_put("/sys/class/net/eth1/device/vendor", "");
        fake_root_put("/sys/class/net/b0/brif/bond0/state", "3");
        fake_root_put("/sys/class/net/bond0/lower_eth2/address", "");
        look_at_network("<bridge name='b0'/>");
        says(NET_DOUBTFUL, "members", "`ip link set eth1 nomaster`");
        says(NET_DOUBTFUL, "members", "'bond0', which leads out of this host, is in the bridge 'b0'");
        CHECK_INT(count(NET_DOUBTFUL), 2);
        finish();
}

/* NET-35 */
TEST(guests_bridged_to_a_wireless_card_are_warned_of)
{
        start();
        fake_root_put("/sys/class/net/wlan0/phy80211/name", "phy0");
        fake_root_put("/sys/class/net/br0/bridge/stp_state", "0");
        fake_root_put("/sys/class/net/br0/brif/wlan0/state", "3");
        fake_root_put("/sys/class/net/eth0/address", "");
        net_check_bridges(fake_root, &found);
        says(NET_DOUBTFUL, "wireless", "'wlan0' of the bridge 'br0' is wireless");
        look_at_network("<forward mode='bridge'><interface dev='wlan0'/><interface dev='eth0'/></forward>");
        says(NET_DOUBTFUL, "wireless", "'wlan0' of network 'n' is wireless");
        CHECK_INT(count(NET_DOUBTFUL), 1);
        finish();
}

/* NET-26 */
TEST(the_state_of_bridge_nf_is_told)
{
        start();
        net_check_bridges(fake_root, &found);
        says(NET_FINE, "bridged frames", "br_netfilter is not loaded");
        fake_root_put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
        fake_root_put("/proc/sys/net/bridge/bridge-nf-call-arptables", "0\n");
        net_check_bridges(fake_root, &found);
        says(NET_FINE, "bridged frames", "net.bridge.bridge-nf-call-* are 0");
        fake_root_put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
        net_check_bridges(fake_root, &found);
        says(NET_DOUBTFUL, "bridged frames", "net.bridge.bridge-nf-call-iptables is 1");
        CHECK_INT(count(NET_DOUBTFUL), 1);
        finish();
}

TEST(chains_that_drop_say_what_they_must_accept)
{
        const NftChain chains[] = { { "ip", "filter", "FORWARD", true }, { "inet", "theirs", "in", false } };

        start();
        net_check_chains(chains, 2, &found);
        says(NET_DOUBTFUL, "packet filter", "`nft insert rule ip filter FORWARD iifname virbr0 accept`");
        says(NET_DOUBTFUL, "packet filter", "accepts udp to ports 53 and 67");
        net_findings_done(&found);
        net_check_chains(NULL, 0, &found);
        CHECK_INT(count(NET_FINE), 1);
        finish();
}
