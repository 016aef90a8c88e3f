/*
 * host/net-check.c - what on this machine keeps virtual networks from working
 */
#include "host/net-check.h"

#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

void net_findings_add(NetFindings *to, NetVerdict verdict, const char *about, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        vec_push(&to->list, ((NetFinding){ verdict, about, arena_dup(to->arena, text) }));
}

void net_findings_done(NetFindings *findings)
{
        vec_done(&findings->list);
}

/* --- what every network needs --- */

static bool find_program(const char *root, const char *name, char **ret)
{
        AUTOFREE char *path = str_format("%s:/usr/sbin:/sbin", getenv("PATH") ?: "/usr/bin");
        AUTO_STRLIST dirs = str_split(path, ":");

        for (size_t i = 0; dirs[i]; i++) {
                AUTOFREE char *file = str_format("%s%s/%s", root, dirs[i], name);

                if (access(file, X_OK) == 0) {
                        *ret = TAKE(file);
                        return true;
                }
        }
        return false;
}

static void check_programs(const char *root, NetFindings *ret)
{
        static const struct {
                const char *name, *package, *without;
        } programs[] = {
                { "dnsmasq", "dnsmasq-base", "networks with addresses of their own do not start" },
                { "nft", "nftables", "no network with a bridge of its own starts, and no guest with a filter" },
        };

        for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
                AUTOFREE char *found = NULL;

                if (find_program(root, programs[i].name, &found))
                        net_findings_add(ret, NET_FINE, "programs", "%s is %s", programs[i].name, found);
                else
                        net_findings_add(ret, NET_BROKEN, "programs",
                                         "the program '%s' is not there: %s; install the package %s",
                                         programs[i].name, programs[i].without, programs[i].package);
        }
}

void net_check_host(const char *root, NetFindings *ret)
{
        AUTOFREE char *tun = str_format("%s/dev/net/tun", root);
        AUTOFREE char *sysctl = str_format("%s/proc/sys/net/ipv4/ip_forward", root);

        check_programs(root, ret);
        if (access(tun, F_OK) == 0)
                net_findings_add(ret, NET_FINE, "taps", "/dev/net/tun is there");
        else
                net_findings_add(ret, NET_BROKEN, "taps",
                                 "/dev/net/tun is not there: no guest gets a network card; load the module 'tun'");
        /* whoever is not root may not write it anyway: that says nothing */
        if (access(sysctl, W_OK) < 0 && errno == EROFS)
                net_findings_add(ret, NET_BROKEN, "switches",
                                 "/proc/sys is read-only, as in a container: networks cannot switch on forwarding or "
                                 "set up their bridges; mount it writable for droverd");
        else
                net_findings_add(ret, NET_FINE, "switches", "/proc/sys is not read-only");
}

/* --- links --- */

static bool link_has(const char *root, const char *link, const char *file)
{
        AUTOFREE char *path = str_format("%s/sys/class/net/%s/%s", root, link, file);

        return access(path, F_OK) == 0;
}

typedef void LinkFound(const char *root, const char *link, const char *bridge, void *arg);

/* Each name in a directory of /sys/class/net. */
static void each_in(const char *root, const char *dir, LinkFound *found, const char *bridge, void *arg)
{
        AUTOFREE char *path = str_format("%s/sys/class/net%s%s", root, *dir ? "/" : "", dir);
        DIR *open = opendir(path);

        for (struct dirent *entry; open && (entry = readdir(open));)
                if (entry->d_name[0] != '.')
                        found(root, entry->d_name, bridge, arg);
        if (open)
                closedir(open);
}

static void each_member(const char *root, const char *bridge, LinkFound *found, void *arg)
{
        AUTOFREE char *members = str_format("%s/brif", bridge);

        each_in(root, members, found, bridge, arg);
}

static void see_entry(const char *root UNUSED, const char *file, const char *bridge UNUSED, void *arg)
{
        bool *any = arg;

        *any = *any || str_starts(file, "lower_");
}

/* A card, or something that sits on another link of the host: a VLAN, a bond. Taps, dummies and veths are neither. */
static bool leads_outside(const char *root, const char *link)
{
        bool has_lower = false;

        each_in(root, link, see_entry, NULL, &has_lower);
        return has_lower || (link_has(root, link, "device") && !link_has(root, link, "tun_flags"));
}

/* --- bridges of the host --- */

static bool read_switch(const char *root, const char *name, bool *ret)
{
        AUTOFREE char *path = str_format("%s/proc/sys/net/%s", root, name);
        AUTO(Buf) text = { 0 };

        if (file_read(path, 64, &text, NULL) < 0)
                return false;
        *ret = !str_starts(buf_text(&text), "0");
        return true;
}

static void check_bridge_nf(const char *root, NetFindings *ret)
{
        static const char *const names[] = { "bridge-nf-call-iptables", "bridge-nf-call-ip6tables",
                                             "bridge-nf-call-arptables" };
        bool there = false, any = false;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                AUTOFREE char *name = str_format("bridge/%s", names[i]);
                bool on = false;

                there = read_switch(root, name, &on) || there;
                if (!on)
                        continue;
                any = true;
                net_findings_add(ret, NET_DOUBTFUL, "bridged frames",
                                 "net.bridge.%s is 1: frames that only cross a bridge pass the host's packet filter, "
                                 "and guests on a bridge reach its network only if that lets them; set it to 0, or "
                                 "`iptables -I FORWARD -m physdev --physdev-is-bridged -j ACCEPT`",
                                 names[i]);
        }
        if (!any)
                net_findings_add(ret, NET_FINE, "bridged frames", "they do not pass the packet filter of IP: %s",
                                 there ? "net.bridge.bridge-nf-call-* are 0" : "br_netfilter is not loaded");
}

/* NET-35 */
static void check_wireless(const char *root, const char *link, const char *of, const char *name, NetFindings *ret)
{
        if (link_has(root, link, "wireless") || link_has(root, link, "phy80211"))
                net_findings_add(ret, NET_DOUBTFUL, "wireless",
                                 "'%s' of %s '%s' is wireless: most access points take frames from its own address "
                                 "only, so guests there are not heard; use a network of mode 'nat' for them",
                                 link, of, name);
}

static void see_member_of_bridge(const char *root, const char *link, const char *bridge, void *arg)
{
        check_wireless(root, link, "the bridge", bridge, arg);
}

static void see_link(const char *root, const char *link, const char *bridge UNUSED, void *arg)
{
        if (link_has(root, link, "bridge"))
                each_member(root, link, see_member_of_bridge, arg);
}

void net_check_bridges(const char *root, NetFindings *ret)
{
        check_bridge_nf(root, ret);
        each_in(root, "", see_link, NULL, ret);
}

/* --- one network --- */

static void check_forwarding(const char *root, const NetworkDef *def, NetFindings *ret)
{
        static const struct {
                const char *name, *sysctl, *family;
        } switches[] = { { "ipv4/ip_forward", "net.ipv4.ip_forward", "IPv4" },
                         { "ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding", "IPv6" } };

        for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
                bool on;

                if (!network_needs_forwarding(def, i == 1) || !read_switch(root, switches[i].name, &on))
                        continue;
                if (on)
                        net_findings_add(ret, NET_FINE, "forwarding", "%s is 1, as network '%s' needs it",
                                         switches[i].sysctl, def->name);
                else
                        net_findings_add(ret, NET_BROKEN, "forwarding",
                                         "%s is 0, somebody switched it off again: guests of network '%s' do not "
                                         "get beyond this host by %s; `sysctl -w %s=1`, and write it to a file in "
                                         "/etc/sysctl.d so that nobody's defaults undo it",
                                         switches[i].sysctl, def->name, switches[i].family, switches[i].sysctl);
        }
}

typedef struct Members {
        const NetworkDef *def;
        NetFindings *ret;
        bool any;
} Members;

static void see_member(const char *root, const char *link, const char *bridge, void *arg)
{
        Members *m = arg;

        if (!leads_outside(root, link))
                return;
        m->any = true;
        net_findings_add(m->ret, NET_DOUBTFUL, "members",
                         "'%s', which leads out of this host, is in the bridge '%s' of network '%s': machines on its "
                         "wire get addresses from this network's server; `ip link set %s nomaster`, and use a bridge "
                         "of the host for guests that are to be on that wire",
                         link, bridge, m->def->name, link);
}

void net_check_network(const char *root, const NetworkDef *def, NetFindings *ret)
{
        Members members = { .def = def, .ret = ret };

        check_forwarding(root, def, ret);
        if (network_has_own_bridge(def)) {
                each_member(root, def->bridge, see_member, &members);
                if (!members.any)
                        net_findings_add(ret, NET_FINE, "members",
                                         "only guests are in the bridge '%s' of network '%s'", def->bridge,
                                         def->name);
                return;
        }
        for (uint32_t i = 0; i < def->forward->n_interfaces; i++)
                check_wireless(root, def->forward->interfaces[i]->dev, "network", def->name, ret);
}

/* --- others' rules --- */

void net_check_chains(const NftChain *chains, size_t n, NetFindings *ret)
{
        for (size_t i = 0; i < n; i++) {
                const NftChain *c = &chains[i];

                if (c->forwards)
                        net_findings_add(ret, NET_DOUBTFUL, "packet filter",
                                         "chain '%s' of table '%s %s' drops what its rules do not accept: guests get "
                                         "beyond this host only where it accepts packets from and to their bridges; "
                                         "`nft insert rule %s %s %s iifname virbr0 accept`, and so for oifname",
                                         c->name, c->family, c->table, c->family, c->table, c->name);
                else
                        net_findings_add(ret, NET_DOUBTFUL, "packet filter",
                                         "chain '%s' of table '%s %s' drops what its rules do not accept: guests get "
                                         "addresses and names only where it accepts udp to ports 53 and 67 from "
                                         "their bridges",
                                         c->name, c->family, c->table);
        }
        if (n == 0)
                net_findings_add(ret, NET_FINE, "packet filter", "no chain of nft drops what it does not know");
}
