#include "test.h"

#include "base/buf.h"
#include "base/net-address.h"
#include "base/str.h"
#include "host/net-bandwidth.h"
#include "host/net-bridge.h"
#include "host/net.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a network of its own; false where this user or machine cannot have one. */
static bool in_own_network(void (*fn)(void))
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                /* /sys/class/net shows the network it was mounted in */
                if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0 ||
                    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
                        _exit(77);
                fn();
                _exit(0);
        }
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                return false;
        CHECK_INT(WEXITSTATUS(status), 0);
        return true;
}

static void must(bool ok, const Error *err)
{
        if (!ok) {
                fprintf(stderr, "%s\n", err->text ?: "a check failed");
                _exit(1);
        }
}

static void use_a_tap(void)
{
        static const uint8_t mac[6] = { 0xfe, 0x54, 0, 1, 2, 3 };
        char first[IFNAMSIZ], second[IFNAMSIZ];
        AUTO(Error) err = { 0 };
        Fd a, b, queues[2];
        NetStats stats;
        uint32_t mtu;

        must(net_bridge_create("br0", (const uint8_t[]){ 0x52, 0x54, 0, 1, 2, 3 }, &err) == 0 &&
                     net_link_is_bridge("br0"),
             &err);
        must(net_tap_open(NULL, 1, &a, first, &err) == 0 && net_tap_open(NULL, 1, &b, second, &err) == 0, &err);
        must(str_eq(first, "vnet0") && str_eq(second, "vnet1"), &err);
        must(net_link_set_master(first, "br0", &err) == 0 && net_link_set_mtu(first, 1400, &err) == 0, &err);
        must(net_link_set_mac(first, mac, &err) == 0 && net_link_set_up(first, true, &err) == 0, &err);
        must(net_link_mtu(first, &mtu, &err) == 0 && mtu == 1400, &err);
        must(net_link_stats(first, &stats, &err) == 0 && stats.rx_errs == 0, &err);
        must(net_link_set_master(first, "none0", &err) < 0, &err);
        must(str_eq(err.text, "the bridge 'none0' does not exist on this host"), &err);
        must(net_link_stats("none0", &stats, &err) < 0, &err);
        must(net_link_stats("../x", &stats, &err) < 0, &err);
        fd_close(&a);
        must(!net_link_exists(first), &err);
        must(net_tap_open("mine", 2, queues, first, &err) == 0 && str_eq(first, "mine"), &err);
        must(net_link_delete("br0", &err) == 0 && net_link_delete("br0", &err) == 0, &err);
}

TEST(a_tap_joins_a_bridge_and_goes_with_its_descriptor_DOM_25_DOM_27)
{
        if (!in_own_network(use_a_tap))
                skip();
}

/* What a program of the host says; skipped where it is not there. */
static char *said(const char *command)
{
        FILE *from = popen(command, "r");
        Buf text = { 0 };
        size_t n;

        while (from && (n = fread(buf_reserve(&text, 4096), 1, 4096, from)) > 0)
                buf_grow(&text, n);
        if (!from || WEXITSTATUS(pclose(from)) == 127)
                _exit(77);
        return buf_take(&text);
}

/* Rates are in kilobytes per second: 32 bits of bytes end at 34 Gbit/s. */
static void limit_a_fast_link(const NetRate *send, const NetRate *receive, const char *command, const char *shows)
{
        AUTOFREE char *limits = NULL;
        AUTO(Error) err = { 0 };

        must(net_bridge_create("br0", (const uint8_t[]){ 0x52, 0x54, 0, 1, 2, 3 }, &err) == 0, &err);
        if (net_set_bandwidth("br0", send, receive, &err) < 0 && err.code == ERR_OPERATION_UNSUPPORTED)
                _exit(77);
        must(!err_is_set(&err), &err);
        limits = said(command);
        must(strstr(limits, shows) != NULL, &(Error){ .text = limits });
}

static void limit_sending(void)
{
        limit_a_fast_link(&(NetRate){ .average = 10000000, .peak = 15000000 }, &(NetRate){ 0 },
                          "tc class show dev br0", " rate 80Gbit ceil 120Gbit ");
}

static void limit_receiving(void)
{
        limit_a_fast_link(&(NetRate){ 0 }, &(NetRate){ .average = 6000000 }, "tc filter show dev br0 ingress",
                          " rate 48Gbit ");
}

TEST(a_limit_of_sending_above_what_32_bits_hold_is_what_the_definition_says)
{
        if (!in_own_network(limit_sending))
                skip();
}

TEST(a_limit_of_receiving_above_what_32_bits_hold_is_what_the_definition_says)
{
        if (!in_own_network(limit_receiving))
                skip();
}

static NetAddress address(const char *text)
{
        NetAddress ret = { 0 };

        net_address_parse(text, &ret);
        return ret;
}

static void make_bridge(const char *name, uint8_t number)
{
        AUTOFREE char *text = str_format("10.%u.0.1", number);
        NetAddress own = address(text);
        AUTO(Error) err = { 0 };

        must(net_bridge_create(name, (const uint8_t[]){ 0x52, 0x54, 0, 1, 2, number }, &err) == 0 &&
                     net_link_add_address(name, &own, 24, &err) == 0 && net_link_set_up(name, true, &err) == 0,
             &err);
}

static void route_twice(void)
{
        NetAddress net = address("10.9.0.0"), hosts = address("10.1.0.5"), ours = address("10.2.0.5");
        AUTO(Error) err = { 0 };
        char link[IFNAMSIZ];

        make_bridge("br1", 1);
        make_bridge("br2", 2);
        must(net_link_add_route("br1", &net, 16, &hosts, 0, &err) == 0, &err);
        must(net_link_add_route("br2", &net, 16, &ours, 0, &err) < 0 && strstr(err.text, "another route"), &err);
        must(net_find_route_clash(&net, 16, "br2", link, &err) == 1 && str_eq(link, "br1"), &err);
        must(net_link_add_route("br2", &net, 16, &ours, 7, &err) == 0, &err);
}

TEST(a_network_does_not_take_the_hosts_own_route)
{
        if (!in_own_network(route_twice))
                skip();
}
