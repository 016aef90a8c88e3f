/*
 * host/interface.c - network interfaces of this machine, as reports
 */
#include "host/interface.h"

#include "base/file.h"
#include "base/str.h"
#include "base/vec.h"
#include "model/xml.h"

#include <dirent.h>
#include <net/if.h>
#include <unistd.h>

enum { MOST_PORTS = 4096, DEEPEST = 4 };

static char *path_of(const char *root, const char *name, const char *file)
{
        return str_format("%s/sys/class/net/%s/%s", root, name, file);
}

static bool has(const char *root, const char *name, const char *file)
{
        AUTOFREE char *path = path_of(root, name, file);

        return access(path, F_OK) == 0;
}

/* The first line; "" where there is none. The text is in buf. */
static const char *read_line(const char *root, const char *name, const char *file, Buf *buf)
{
        AUTOFREE char *path = path_of(root, name, file);

        buf_clear(buf);
        if (file_read(path, 4096, buf, NULL) < 0 || !buf->len)
                return "";
        buf->data[strcspn(buf->data, "\n")] = '\0';
        return buf->data;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(((const HostInterface *)a)->name, ((const HostInterface *)b)->name);
}

/* A name is a directory below /sys/class/net: nothing in it may lead elsewhere. */
static bool is_name(const char *name)
{
        return *name && *name != '.' && strlen(name) < IFNAMSIZ && !strchr(name, '/');
}

bool host_interface_find(const char *root, const char *name, Arena *arena, HostInterface *ret)
{
        AUTO(Buf) line = { 0 };

        if (!is_name(name) || !has(root, name, "operstate"))
                return false;
        *ret = (HostInterface){ .name = arena_dup(arena, name),
                                .mac = arena_dup(arena, read_line(root, name, "address", &line)),
                                .active = str_eq(read_line(root, name, "operstate", &line), "up"),
                                .is_part = has(root, name, "master") };
        return true;
}

size_t host_interfaces(const char *root, Arena *arena, HostInterface **ret)
{
        AUTOFREE char *path = str_format("%s/sys/class/net", root);
        VEC(HostInterface) all = { 0 };
        DIR *dir = opendir(path);
        size_t n;

        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                HostInterface i;

                if (host_interface_find(root, entry->d_name, arena, &i))
                        vec_push(&all, i);
        }
        if (dir)
                closedir(dir);
        n = all.len;
        *ret = arena_new_array(arena, HostInterface, n + 1);
        if (n) {
                memcpy(*ret, all.items, n * sizeof(**ret));
                qsort(*ret, n, sizeof(**ret), by_name);
        }
        vec_done(&all);
        return n;
}

static void PRINTF(3, 4) put(Buf *ret, unsigned depth, const char *fmt, ...)
{
        va_list ap;

        buf_format(ret, "%*s", (int)depth * 2, "");
        va_start(ap, fmt);
        buf_vformat(ret, fmt, ap);
        va_end(ap);
        buf_put_char(ret, '\n');
}

static void format(const char *root, const char *name, bool part, unsigned depth, Buf *ret);

/* The ports of a bridge or bond: those whose master it is. */
static void put_parts(const char *root, const char *name, unsigned depth, Buf *ret)
{
        AUTO(Arena) *arena = arena_new();
        HostInterface *all;
        size_t n = host_interfaces(root, arena, &all);

        for (size_t i = 0; i < MIN(n, (size_t)MOST_PORTS); i++) {
                AUTOFREE char *link = path_of(root, all[i].name, "master");
                char target[256];
                ssize_t len = readlink(link, target, sizeof(target) - 1);
                const char *master;

                if (len <= 0)
                        continue;
                target[len] = '\0';
                master = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
                if (str_eq(master, name))
                        format(root, all[i].name, true, depth, ret);
        }
}

static void put_bridge(const char *root, const char *name, unsigned depth, Buf *ret)
{
        AUTO(Buf) line = { 0 };
        AUTO(Buf) id = { 0 };
        bool stp = !str_eq(read_line(root, name, "bridge/stp_state", &line), "0");

        /* the identity is what stock reports leave out; `drover iface-bridges` shows it (NET-28) */
        put(ret, depth, "<bridge stp='%s' delay='%s' id='%s'>", stp ? "on" : "off",
            read_line(root, name, "bridge/forward_delay", &line), read_line(root, name, "bridge/bridge_id", &id));
        put_parts(root, name, depth + 1, ret);
        put(ret, depth, "</bridge>");
}

static void put_bond(const char *root, const char *name, unsigned depth, Buf *ret)
{
        AUTO(Buf) line = { 0 };
        const char *mode = read_line(root, name, "bonding/mode", &line); /* 'balance-rr 0' */

        put(ret, depth, "<bond mode='%.*s'>", (int)strcspn(mode, " "), mode);
        put_parts(root, name, depth + 1, ret);
        put(ret, depth, "</bond>");
}

static void put_link(const char *root, const char *name, unsigned depth, Buf *ret)
{
        AUTO(Buf) state = { 0 };
        AUTO(Buf) speed = { 0 };
        AUTO(Buf) mac = { 0 };
        const char *is = read_line(root, name, "operstate", &state);
        uint64_t mbit = 0;

        if (str_eq(is, "up") && str_to_u64(read_line(root, name, "speed", &speed), &mbit) == 0)
                put(ret, depth, "<link speed='%llu' state='%s'/>", (unsigned long long)mbit, is);
        else
                put(ret, depth, "<link state='%s'/>", is);
        put(ret, depth, "<mac address='%s'/>", read_line(root, name, "address", &mac));
}

static void format(const char *root, const char *name, bool part, unsigned depth, Buf *ret)
{
        bool bridge = has(root, name, "bridge"), bond = has(root, name, "bonding");
        AUTO(Buf) mtu = { 0 };
        AUTO(Buf) escaped = { 0 };

        if (depth > DEEPEST * 2)
                return;
        xml_put_escaped(&escaped, name);
        put(ret, depth, "<interface type='%s' name='%s'>",
            bridge ? "bridge"
            : bond ? "bond"
                   : "ethernet",
            buf_text(&escaped));
        if (!part)
                put(ret, depth + 1, "<mtu size='%s'/>", read_line(root, name, "mtu", &mtu));
        if (bridge)
                put_bridge(root, name, depth + 1, ret);
        else if (bond)
                put_bond(root, name, depth + 1, ret);
        else
                put_link(root, name, depth + 1, ret);
        put(ret, depth, "</interface>");
}

void host_interface_format(const char *root, const char *name, Buf *ret)
{
        format(root, name, false, 0, ret);
}
