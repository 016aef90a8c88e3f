/*
 * host/shared-device.c - which block devices other hosts see too, and by which name they would know one
 *
 * The kernel's tree of devices says how a disk is reached: through a session, a remote port, a fabric. What it does not
 * say is local; a guest on it moves with --unsafe.
 */
#include "host/shared-device.h"

#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <limits.h>
#include <unistd.h>

enum { MOST_LINKS = 8, MOST_LAYERS = 8 };

static char *read_link(const char *path)
{
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        return n > 0 ? str_dup_n(target, (size_t)n) : NULL;
}

/* "/dev/disk/by-id" and "../../sda" give "/dev/sda"; one that leads out of /dev gives NULL. */
static char *follow(const char *path, const char *target)
{
        AUTO(Buf) to = { 0 };
        AUTO_STRLIST words = str_split(target, "/");

        if (target[0] != '/')
                buf_put(&to, path, (size_t)(strrchr(path, '/') - path));
        for (char **word = words; *word; word++) {
                if (str_eq(*word, "") || str_eq(*word, "."))
                        continue;
                if (!str_eq(*word, "..")) {
                        buf_format(&to, "/%s", *word);
                } else if (to.len) {
                        to.len = (size_t)(strrchr(to.data, '/') - to.data);
                        to.data[to.len] = '\0';
                }
        }
        return strncmp(buf_text(&to), "/dev/", 5) == 0 ? str_dup(buf_text(&to)) : NULL;
}

/* The kernel's name of a device that may go by others: "sda". Owned, or NULL. */
static char *kernel_name(const char *root, const char *path)
{
        AUTOFREE char *at = strncmp(path, "/dev/", 5) == 0 && !strstr(path, "/../") ? str_dup(path) : NULL;

        for (int links = 0; at && links < MOST_LINKS; links++) {
                AUTOFREE char *full = str_format("%s%s", root, at);
                AUTOFREE char *target = read_link(full);
                char *next;

                if (!target)
                        return str_dup(strrchr(at, '/') + 1);
                next = follow(at, target);
                free(at);
                at = next;
        }
        return NULL;
}

static bool is_reached_by_network(const char *device)
{
        static const char *const signs[] = {
                "/session",       /* iSCSI */
                "/rport-",        /* FC and FCoE */
                "/nvme-fabrics/", /* NVMe over TCP, RDMA, FC */
                "/virtual/block/nbd",
                "/virtual/block/drbd",
                "/devices/rbd/",
        };

        for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
                if (strstr(device, signs[i]))
                        return true;
        }
        return false;
}

/* SCSI over RDMA: the tree of devices shows it like a disk of this host's; the driver of its adapter tells. */
static bool is_of_srp(const char *root, const char *device)
{
        enum { MOST = 4096 };
        const char *adapter = strstr(device, "/host");
        AUTO(Buf) driver = { 0 };
        AUTOFREE char *path = NULL;

        if (!adapter)
                return false;
        path = str_format("%s/sys/class/scsi_host/%.*s/proc_name", root, (int)strcspn(adapter + 1, "/"), adapter + 1);
        return file_read(path, MOST, &driver, NULL) == 0 && str_starts(buf_text(&driver), "ib_srp");
}

static bool is_shared(const char *root, const char *name, int layer);

/* All devices that this one is made of; none is no. */
static bool consists_of_shared(const char *root, const char *name, int layer)
{
        AUTOFREE char *path = str_format("%s/sys/class/block/%s/slaves", root, name);
        DIR *dir = opendir(path);
        size_t n = 0;
        bool all = true;

        if (!dir)
                return false;
        for (struct dirent *entry; all && (entry = readdir(dir)); n++) {
                if (entry->d_name[0] == '.')
                        n--;
                else
                        all = is_shared(root, entry->d_name, layer + 1);
        }
        closedir(dir);
        return all && n > 0;
}

static bool is_shared(const char *root, const char *name, int layer)
{
        AUTOFREE char *link = str_format("%s/sys/class/block/%s", root, name);
        AUTOFREE char *device = read_link(link);

        if (!device || layer > MOST_LAYERS)
                return false;
        return is_reached_by_network(device) || is_of_srp(root, device) || consists_of_shared(root, name, layer);
}

bool block_device_is_shared_in(const char *root, const char *path)
{
        AUTOFREE char *name = kernel_name(root, path);

        return name && *name && is_shared(root, name, 0);
}

/* --- which disk it is --- */

static bool read_sign(const char *root, const char *name, const char *file, Buf *ret)
{
        enum { MOST = 4096 };
        AUTOFREE char *path = str_format("%s/sys/class/block/%s/%s", root, name, file);

        buf_clear(ret);
        if (file_read(path, MOST, ret, NULL) < 0)
                return false;
        while (ret->len && strchr(" \n", ret->data[ret->len - 1]))
                ret->data[--ret->len] = '\0';
        return ret->len && strlen(ret->data) == ret->len;
}

/* The same name of one unit, whether SCSI, NVMe or multipath tells it. Owned. */
static char *name_unit(const char *kind, const char *said)
{
        static const char *const prefixes[] = { "naa.", "eui.", "mpath-3", "mpath-2" };

        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
                if (str_starts(said, prefixes[i]))
                        return str_format("wwn:%s", said + strlen(prefixes[i]));
        }
        return str_format("%s:%s", kind, said);
}

char *block_device_identity_in(const char *root, const char *path)
{
        static const struct {
                const char *file, *kind;
        } signs[] = {
                { "dm/uuid", "dm" },    { "device/wwid", "wwid" },     { "wwid", "wwid" },
                { "serial", "serial" }, { "device/serial", "serial" }, { "../device/wwid", "wwid" },
                { "../wwid", "wwid" },  { "../serial", "serial" },
        };
        AUTOFREE char *name = kernel_name(root, path);
        AUTO(Buf) part = { 0 };
        AUTO(Buf) said = { 0 };

        if (!name || !*name)
                return NULL;
        read_sign(root, name, "partition", &part);
        for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
                AUTOFREE char *unit = NULL;

                /* what stands above it is the whole disk's */
                if ((str_starts(signs[i].file, "../") && !part.len) || !read_sign(root, name, signs[i].file, &said))
                        continue;
                unit = name_unit(signs[i].kind, buf_text(&said));
                return part.len ? str_format("%s-part%s", unit, buf_text(&part)) : TAKE(unit);
        }
        return NULL;
}

bool block_device_identities_differ(const char *a, const char *b)
{
        size_t kind = strcspn(a, ":");

        return strncmp(a, b, kind + 1) == 0 && !str_eq(a, b);
}

char *block_device_identity(const char *path)
{
        return block_device_identity_in("", path);
}

bool block_device_is_shared(const char *path)
{
        return block_device_is_shared_in("", path);
}
