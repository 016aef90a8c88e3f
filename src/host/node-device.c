/*
 * host/node-device.c - devices of this machine
 */
#include "host/node-device.h"

#include "base/mac.h"
#include "base/str.h"
#include "base/vec.h"
#include "host/node-read.h"
#include "model/xml.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_DEVICES = 16384 };

typedef VEC(NodeDevice) Found;

/* One word of a file of the device, in the arena of the caller's buffer; false: it is not there or empty. */
static bool read_word(const char *root, const char *dir, const char *file, Buf *ret)
{
        AUTOFREE char *path = str_format("%s/%s", dir, file);

        buf_clear(ret);
        if (node_read(root, path, ret, NULL) < 0)
                return false;
        while (ret->len > 0 && isspace((unsigned char)ret->data[ret->len - 1]))
                ret->data[--ret->len] = '\0';
        return ret->len > 0 && str_is_utf8(ret->data, ret->len);
}

static char *resolve(const char *root, const char *link, Arena *arena)
{
        AUTOFREE char *full = str_format("%s%s", root, link);
        char real[PATH_MAX], real_root[PATH_MAX] = "";

        if (!realpath(full, real) || (*root && !realpath(root, real_root)) || !str_starts(real, real_root))
                return NULL;
        return arena_dup(arena, real + strlen(real_root));
}

static const char *safe_name(Arena *arena, const char *prefix, const char *text, const char *suffix)
{
        char *name = arena_format(arena, "%s_%s%s%s", prefix, text, *suffix ? "_" : "", suffix);

        for (char *c = name; *c; c++) {
                if (!isalnum((unsigned char)*c))
                        *c = '_';
        }
        return name;
}

static int by_kernel_name(const void *a, const void *b)
{
        return strcmp(((const NodeDevice *)a)->kernel, ((const NodeDevice *)b)->kernel);
}

/* Loops, RAM disks and the like have no device behind them. */
static bool is_virtual(const char *path)
{
        return str_starts(path, "/sys/devices/virtual/");
}

static const char *suffix_of(const char *root, NodeDeviceKind kind, const char *path, Buf *word)
{
        if (kind == NODE_DEVICE_NET && read_word(root, path, "address", word))
                return buf_text(word);
        if (kind == NODE_DEVICE_STORAGE &&
            (read_word(root, path, "serial", word) || read_word(root, path, "device/serial", word)))
                return buf_text(word);
        return "";
}

static void scan(const char *root, NodeDeviceKind kind, const char *dir, const char *prefix, Arena *arena,
                 Found *found)
{
        AUTOFREE char *full = str_format("%s%s", root, dir);
        DIR *listing = opendir(full);
        size_t first = found->len;
        AUTO(Buf) word = { 0 };

        for (struct dirent *entry; listing && found->len < MOST_DEVICES && (entry = readdir(listing));) {
                AUTOFREE char *link = str_format("%s/%s", dir, entry->d_name);
                NodeDevice device = { .kind = kind };

                if (entry->d_name[0] == '.')
                        continue;
                device.path = resolve(root, link, arena);
                /* /sys/class/net also holds plain files */
                if (!device.path || (kind == NODE_DEVICE_STORAGE && is_virtual(device.path)) ||
                    (kind == NODE_DEVICE_NET && !read_word(root, device.path, "ifindex", &word)))
                        continue;
                device.kernel = arena_dup(arena, entry->d_name);
                device.name = safe_name(arena, prefix, entry->d_name, suffix_of(root, kind, device.path, &word));
                vec_push(found, device);
        }
        if (listing)
                closedir(listing);
        if (found->len > first)
                qsort(found->items + first, found->len - first, sizeof(*found->items), by_kernel_name);
}

static int by_path(const void *a, const void *b)
{
        return strcmp((*(const NodeDevice *const *)a)->path, (*(const NodeDevice *const *)b)->path);
}

/* The device whose path is the longest beginning of this one's; NULL: none. `sorted` is by path. */
static const NodeDevice *find_parent(const NodeDevice *const *sorted, size_t n, const NodeDevice *device)
{
        AUTOFREE char *above = str_dup(device->path);
        NodeDevice wanted = { .path = above };
        const NodeDevice *key = &wanted;

        for (char *slash; (slash = strrchr(above, '/')) && slash > above;) {
                const NodeDevice *const *found;

                *slash = '\0';
                found = bsearch(&key, sorted, n, sizeof(*sorted), by_path);
                if (found)
                        return *found;
        }
        return NULL;
}

/* The first is the machine, which is what everything else is part of. */
static void set_parents(Found *found)
{
        size_t n = found->len - 1;
        AUTOFREE const NodeDevice **sorted = mem_new_array(const NodeDevice *, n + 1);

        for (size_t i = 0; i < n; i++)
                sorted[i] = &found->items[i + 1];
        qsort(sorted, n, sizeof(*sorted), by_path);
        for (size_t i = 1; i < found->len; i++) {
                const NodeDevice *parent = find_parent(sorted, n, &found->items[i]);

                found->items[i].parent = (parent ?: &found->items[0])->name;
        }
}

void node_devices(const char *root, Arena *arena, NodeDevices *ret)
{
        NodeDevice machine = { .kind = NODE_DEVICE_SYSTEM, .name = "computer", .kernel = "" };
        Found found = { 0 };

        vec_push(&found, machine);
        scan(root, NODE_DEVICE_PCI, "/sys/bus/pci/devices", "pci", arena, &found);
        scan(root, NODE_DEVICE_NET, "/sys/class/net", "net", arena, &found);
        scan(root, NODE_DEVICE_STORAGE, "/sys/block", "block", arena, &found);
        set_parents(&found);
        ret->items = arena_new_array(arena, NodeDevice, found.len);
        ret->n = found.len;
        memcpy(ret->items, found.items, found.len * sizeof(*found.items));
        vec_done(&found);
}

const NodeDevice *node_device_find(const NodeDevices *all, const char *name)
{
        for (size_t i = 0; i < all->n; i++) {
                if (str_eq(all->items[i].name, name))
                        return &all->items[i];
        }
        return NULL;
}

const char *node_device_capability(NodeDeviceKind kind)
{
        static const char *const words[N_NODE_DEVICE_KINDS] = { "system", "pci", "net", "storage" };

        return words[kind];
}

/* --- as XML --- */

static void put_element(Buf *ret, unsigned depth, const char *name, const char *text)
{
        buf_format(ret, "%*s<%s>", (int)depth, "", name);
        xml_put_escaped(ret, text);
        buf_format(ret, "</%s>\n", name);
}

static void put_file(Buf *ret, const char *root, const char *dir, unsigned depth, const char *name, const char *file)
{
        AUTO(Buf) word = { 0 };

        if (read_word(root, dir, file, &word))
                put_element(ret, depth, name, buf_text(&word));
}

/* The last part of what a link of the device points to, or NULL. Owned. */
static char *link_name(const char *root, const char *dir, const char *link)
{
        AUTOFREE char *full = str_format("%s%s/%s", root, dir, link);
        char target[PATH_MAX];
        ssize_t n = readlink(full, target, sizeof(target) - 1);
        const char *slash;

        if (n <= 0)
                return NULL;
        target[n] = '\0';
        slash = strrchr(target, '/');
        return str_dup(slash ? slash + 1 : target);
}

/* A machine without SMBIOS, or whose firmware gives no UUID, has the one that the daemon goes by. */
static void put_uuid(const char *root, const char *dmi, const Uuid *host, Buf *ret)
{
        AUTO(Buf) word = { 0 };
        char text[UUID_TEXT_LEN + 1];
        Uuid uuid;

        if (!read_word(root, dmi, "product_uuid", &word) || uuid_parse(buf_text(&word), &uuid) < 0)
                uuid = *host;
        put_element(ret, 6, "uuid", uuid_format(&uuid, text));
}

static void put_machine(const char *root, const Uuid *host, Buf *ret)
{
        static const char dmi[] = "/sys/class/dmi/id";

        put_file(ret, root, dmi, 4, "product", "product_name");
        buf_put_text(ret, "    <hardware>\n");
        put_file(ret, root, dmi, 6, "vendor", "sys_vendor");
        put_file(ret, root, dmi, 6, "version", "product_version");
        put_file(ret, root, dmi, 6, "serial", "product_serial");
        put_uuid(root, dmi, host, ret);
        buf_put_text(ret, "    </hardware>\n    <firmware>\n");
        put_file(ret, root, dmi, 6, "vendor", "bios_vendor");
        put_file(ret, root, dmi, 6, "version", "bios_version");
        put_file(ret, root, dmi, 6, "release_date", "bios_date");
        buf_put_text(ret, "    </firmware>\n");
}

static void put_pci_id(const char *root, const NodeDevice *device, const char *name, const char *file, Buf *ret)
{
        AUTO(Buf) word = { 0 };

        if (!read_word(root, device->path, file, &word))
                return;
        buf_format(ret, "    <%s id='", name);
        xml_put_escaped(ret, buf_text(&word));
        buf_put_text(ret, "'/>\n");
}

static void put_pci(const char *root, const NodeDevice *device, Buf *ret)
{
        AUTOFREE char *group = link_name(root, device->path, "iommu_group");
        unsigned domain = 0, bus = 0, slot = 0, function = 0;

        put_file(ret, root, device->path, 4, "class", "class");
        if (sscanf(device->kernel, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4)
                buf_format(ret,
                           "    <domain>%u</domain>\n    <bus>%u</bus>\n    <slot>%u</slot>\n"
                           "    <function>%u</function>\n",
                           domain, bus, slot, function);
        put_pci_id(root, device, "product", "device", ret);
        put_pci_id(root, device, "vendor", "vendor", ret);
        if (group)
                buf_format(ret,
                           "    <iommuGroup number='%s'>\n      <address domain='0x%04x' bus='0x%02x' slot='0x%02x' "
                           "function='0x%x'/>\n    </iommuGroup>\n",
                           group, domain, bus, slot, function);
}

static void put_net(const char *root, const NodeDevice *device, Buf *ret)
{
        AUTO(Buf) state = { 0 }, speed = { 0 };
        bool up = read_word(root, device->path, "operstate", &state) && str_eq(buf_text(&state), "up");
        AUTO(Buf) address = { 0 };
        int32_t mbit;
        Mac mac;

        put_element(ret, 4, "interface", device->kernel);
        /* a tunnel's is one of IP */
        if (read_word(root, device->path, "address", &address) && mac_parse(buf_text(&address), &mac) == 0)
                put_element(ret, 4, "address", buf_text(&address));
        if (up && read_word(root, device->path, "speed", &speed) && str_to_i32(buf_text(&speed), &mbit) == 0 &&
            mbit > 0)
                buf_format(ret, "    <link speed='%d' state='up'/>\n", mbit);
        else
                buf_format(ret, "    <link state='%s'/>\n", up ? "up" : "down");
        buf_put_text(ret, "    <capability type='80203'/>\n");
}

static uint64_t read_number(const char *root, const char *dir, const char *file)
{
        AUTO(Buf) word = { 0 };
        uint64_t n;

        return read_word(root, dir, file, &word) && str_to_u64(buf_text(&word), &n) == 0 ? n : 0;
}

/* A drive whose medium can be taken out has no size of its own. */
static void put_size(const char *root, const NodeDevice *device, Buf *ret)
{
        AUTOFREE char *queue = str_format("%s/queue", device->path);
        uint64_t bytes = read_number(root, device->path, "size") * 512;
        uint64_t block = read_number(root, queue, "logical_block_size") ?: 512;
        bool removable = read_number(root, device->path, "removable") == 1;
        int depth = removable ? 6 : 4;

        if (removable)
                buf_format(ret,
                           "    <capability type='removable'>\n      <media_available>%d</media_available>\n"
                           "      <media_size>%" PRIu64 "</media_size>\n",
                           bytes > 0, bytes);
        else
                buf_format(ret, "    <size>%" PRIu64 "</size>\n", bytes);
        buf_format(ret,
                   "%*s<logical_block_size>%" PRIu64 "</logical_block_size>\n%*s<num_blocks>%" PRIu64
                   "</num_blocks>\n",
                   depth, "", block, depth, "", bytes / block);
        if (removable)
                buf_put_text(ret, "    </capability>\n");
}

static void put_storage(const char *root, const NodeDevice *device, Buf *ret)
{
        AUTOFREE char *node = str_format("/dev/%s", device->kernel);

        put_element(ret, 4, "block", node);
        put_element(ret, 4, "drive_type", str_starts(device->kernel, "sr") ? "cdrom" : "disk");
        put_file(ret, root, device->path, 4, "model", "device/model");
        put_file(ret, root, device->path, 4, "vendor", "device/vendor");
        put_file(ret, root, device->path, 4, "serial", "serial");
        put_size(root, device, ret);
}

void node_device_format(const char *root, const Uuid *host, const NodeDevice *device, Buf *ret)
{
        AUTOFREE char *driver = device->path ? link_name(root, device->path, "driver") : NULL;

        buf_put_text(ret, "<device>\n");
        put_element(ret, 2, "name", device->name);
        if (device->path)
                put_element(ret, 2, "path", device->path);
        if (device->parent)
                put_element(ret, 2, "parent", device->parent);
        if (driver) {
                buf_put_text(ret, "  <driver>\n");
                put_element(ret, 4, "name", driver);
                buf_put_text(ret, "  </driver>\n");
        }
        buf_format(ret, "  <capability type='%s'>\n", node_device_capability(device->kind));
        switch (device->kind) {
        case NODE_DEVICE_SYSTEM:
                put_machine(root, host, ret);
                break;
        case NODE_DEVICE_PCI:
                put_pci(root, device, ret);
                break;
        case NODE_DEVICE_NET:
                put_net(root, device, ret);
                break;
        default:
                put_storage(root, device, ret);
                break;
        }
        buf_put_text(ret, "  </capability>\n</device>\n");
}
