/*
 * host/storage/scsi.c - pools that are the disks of a SCSI host
 *
 * The kernel tells all of it in sysfs. An adapter is named by its number, or,
 * for fibre channel, by what the fabric calls it; then it may be a virtual one
 * that exists because the pool runs.
 */
#include "host/storage/scsi.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *sysfs_root = "/sys";

void sysfs_set_root(const char *path)
{
        sysfs_root = path ?: "/sys";
}

char *sysfs_path(const char *below)
{
        return str_format("%s/%s", sysfs_root, below);
}

char *sysfs_read(const char *dir, const char *name)
{
        AUTOFREE char *path = str_format("%s/%s", dir, name);
        AUTO(Fd) fd = open(path, O_RDONLY | O_CLOEXEC);
        char text[4096];
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (n < 0)
                return NULL;
        while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
                n--;
        return str_dup_n(text, (size_t)n);
}

int sysfs_write(const char *dir, const char *name, const char *text, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", dir, name);
        AUTO(Fd) fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                return err_errno(err, errno, "cannot write '%s' to '%s'", text, path);
        return 0;
}

/* --- its disks --- */

/* The first directory entry that does not begin with a dot. Owned; NULL: none. */
static char *only_entry(const char *path)
{
        DIR *dir = opendir(path);
        char *name = NULL;

        if (!dir)
                return NULL;
        for (struct dirent *entry; !name && (entry = readdir(dir));)
                name = entry->d_name[0] == '.' ? NULL : str_dup(entry->d_name);
        closedir(dir);
        return name;
}

/* What the unit calls itself, the same whichever way leads to it (STO-35). Owned; NULL: nothing. */
static char *serial_of(const char *node, const char *unit)
{
        AUTO(Buf) said = { 0 };
        int status = -1;
        char *text;

        if (STORAGE_ASK(&said, &status, NULL, "/lib/udev/scsi_id", "--replace-whitespace", "--whitelisted",
                        "--device", node) == 0 &&
            status == 0 && said.len && said.data[0] != '\n') {
                said.data[strcspn(said.data, "\n")] = '\0';
                return str_dup(said.data);
        }
        text = sysfs_read(unit, "wwid");
        if (text && *text)
                return text;
        free(text);
        return NULL;
}

static bool is_disk(const char *unit)
{
        enum { DISK = 0, CD = 5 };
        AUTOFREE char *type = sysfs_read(unit, "type");
        uint32_t kind;

        return type && str_to_u32(type, &kind) == 0 && (kind == DISK || kind == CD);
}

/* The node of a unit that is a disk. Owned; NULL: it is something else, or has no node yet. */
static char *node_of(const char *unit)
{
        AUTOFREE char *blocks = str_format("%s/block", unit), *block = is_disk(unit) ? only_entry(blocks) : NULL;

        return block ? str_format("/dev/%s", block) : NULL;
}

typedef int UnitFound(void *arg, const char *unit, const unsigned at[4], Error *err);

static int each_unit(unsigned host, UnitFound *found, void *arg, Error *err)
{
        AUTOFREE char *units = sysfs_path("bus/scsi/devices");
        DIR *dir = opendir(units);
        int r = 0;

        if (!dir)
                return err_errno(err, errno, "cannot read '%s'", units);
        for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
                AUTOFREE char *unit = str_format("%s/%s", units, entry->d_name);
                unsigned at[4];
                char rest;

                if (sscanf(entry->d_name, "%u:%u:%u:%u%c", &at[0], &at[1], &at[2], &at[3], &rest) == 4 &&
                    at[0] == host)
                        r = found(arg, unit, at, err);
        }
        closedir(dir);
        return r;
}

typedef struct Listing {
        const PoolDef *pool;
        StorageFound *found;
        void *arg;
} Listing;

static int add_unit(void *arg, const char *unit, const unsigned at[4], Error *err)
{
        const Listing *listing = arg;
        AUTOFREE char *node = node_of(unit), *path = node ? storage_stable_path(listing->pool, node) : NULL;
        AUTOFREE char *name = NULL, *serial = NULL;
        AUTO(VolumeDef) *def = NULL;

        /* without one there is nothing that would still be it after the next boot */
        if (!path)
                return 0;
        name = str_format("unit:%u:%u:%u", at[1], at[2], at[3]);
        serial = serial_of(node, unit);
        if (storage_look_at_device(path, name, serial, &def, err) < 0)
                return -1;
        if (def)
                listing->found(listing->arg, def);
        return 0;
}

int scsi_scan_host(const PoolDef *pool, unsigned host, StorageFound *found, void *arg, Error *err)
{
        return each_unit(host, add_unit, &(Listing){ pool, found, arg }, err);
}

typedef struct Progress {
        const PoolDef *pool;
        unsigned there, missing;
} Progress;

static int count_unit(void *arg, const char *unit, const unsigned at[4] UNUSED, Error *err UNUSED)
{
        Progress *progress = arg;
        AUTOFREE char *node = node_of(unit), *path = node ? storage_stable_path(progress->pool, node) : NULL;

        if (path)
                progress->there++;
        else if (is_disk(unit))
                progress->missing++;
        return 0;
}

/*
 * The kernel gives units their nodes, and udev its names, in their own time, which is long on a busy machine. A unit that is
 * there is waited for; that there are more of them than can be seen yet is believed for a short while only.
 */
int scsi_rescan_host(const PoolDef *pool, unsigned host, Error *err)
{
        enum { STEP_MS = 100, MOST_STEPS = 150, STEPS_FOR_NOTHING = 20 };
        AUTOFREE char *below = str_format("class/scsi_host/host%u", host);
        AUTOFREE char *dir = sysfs_path(below);

        if (sysfs_write(dir, "scan", "- - -", err) < 0)
                return -1;
        storage_settle();
        for (int step = 0; step < MOST_STEPS; step++) {
                Progress progress = { .pool = pool };

                if (each_unit(host, count_unit, &progress, err) < 0)
                        return -1;
                if (!progress.missing && (progress.there || step >= STEPS_FOR_NOTHING))
                        break;
                usleep(STEP_MS * 1000);
        }
        return 0;
}

static void add_size(void *arg, const VolumeDef *def)
{
        StorageFigures *sum = arg;

        sum->capacity += MIN(def->capacity_bytes, UINT64_MAX - sum->capacity);
}

int scsi_figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        const StorageBackend *backend = storage_backend_of(pool->type, err);

        *ret = (StorageFigures){ 0 };
        if (!backend || backend->scan(pool, add_size, ret, err) < 0)
                return -1;
        ret->allocation = ret->capacity;
        return 0;
}

/* --- which host --- */

int scsi_host_number(const char *name, unsigned *ret)
{
        const char *digits = str_starts(name, "scsi_host") ? name + strlen("scsi_host")
                             : str_starts(name, "host")    ? name + strlen("host")
                                                           : NULL;

        return digits ? str_to_u32(digits, ret) : -1;
}

/* "0x2001001b32a9da4e" in sysfs, with or without 0x in definitions. */
static bool same_wwn(const char *a, const char *b)
{
        a += str_starts(a, "0x") ? 2 : 0;
        b += str_starts(b, "0x") ? 2 : 0;
        return str_eq(a, b);
}

static bool attribute_is(const char *dir, const char *name, const char *want)
{
        AUTOFREE char *is = want ? sysfs_read(dir, name) : NULL;

        return !want || (is && same_wwn(is, want));
}

/* The fibre channel host with these names; what is NULL does not matter. *ret -1: none. */
static void find_fc_host(const char *wwnn, const char *wwpn, const char *fabric, long *ret)
{
        AUTOFREE char *hosts = sysfs_path("class/fc_host");
        DIR *dir = opendir(hosts);

        *ret = -1;
        for (struct dirent *entry; dir && *ret < 0 && (entry = readdir(dir));) {
                AUTOFREE char *host = str_format("%s/%s", hosts, entry->d_name);
                unsigned number;

                if (scsi_host_number(entry->d_name, &number) == 0 && attribute_is(host, "node_name", wwnn) &&
                    attribute_is(host, "port_name", wwpn) && attribute_is(host, "fabric_name", fabric))
                        *ret = number;
        }
        if (dir)
                closedir(dir);
}

static int find_parent(const PoolAdapterDef *adapter, unsigned *ret, Error *err)
{
        long found = -1;

        if (adapter->parent)
                return scsi_host_number(adapter->parent, ret) == 0
                               ? 0
                               : err_set(err, ERR_XML, "adapter parent '%s' is no SCSI host", adapter->parent);
        if (adapter->parent_wwnn || adapter->parent_wwpn || adapter->parent_fabric_wwn)
                find_fc_host(adapter->parent_wwnn, adapter->parent_wwpn, adapter->parent_fabric_wwn, &found);
        if (found < 0)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "no host that a virtual adapter can be made on is named by the definition");
        *ret = (unsigned)found;
        return 0;
}

/* Make or remove the virtual adapter on the host above it. */
static int act_on_parent(const PoolAdapterDef *adapter, const char *act, Error *err)
{
        AUTOFREE char *below = NULL, *dir = NULL, *names = NULL;
        unsigned parent;

        if (find_parent(adapter, &parent, err) < 0)
                return -1;
        below = str_format("class/fc_host/host%u", parent);
        dir = sysfs_path(below);
        names = str_format("%s:%s", adapter->wwpn, adapter->wwnn);
        if (sysfs_write(dir, act, names, err) < 0)
                return -1;
        storage_settle();
        return 0;
}

static int find_host(const PoolDef *pool, unsigned *ret, Error *err)
{
        const PoolAdapterDef *adapter = pool->source->adapter;
        AUTOFREE char *below = NULL, *dir = NULL;
        long found;

        if (adapter->wwpn) {
                find_fc_host(adapter->wwnn, adapter->wwpn, NULL, &found);
                if (found < 0)
                        return err_set(err, ERR_OPERATION_FAILED, "no SCSI host is called wwnn '%s' wwpn '%s'",
                                       adapter->wwnn ?: "", adapter->wwpn);
                *ret = (unsigned)found;
                return 0;
        }
        if (scsi_host_number(adapter->name, ret) < 0)
                return err_set(err, ERR_XML, "'%s' is no SCSI host; they are called host0 or scsi_host0",
                               adapter->name);
        below = str_format("class/scsi_host/host%u", *ret);
        dir = sysfs_path(below);
        return access(dir, F_OK) == 0 ? 0
                                      : err_set(err, ERR_OPERATION_FAILED, "there is no SCSI host 'host%u'", *ret);
}

static int is_there(const PoolDef *pool, bool *ret, Error *err UNUSED)
{
        unsigned host;

        *ret = find_host(pool, &host, NULL) == 0;
        return 0;
}

static int start(const PoolDef *pool, Error *err)
{
        const PoolAdapterDef *adapter = pool->source->adapter;
        unsigned host;

        if (adapter->wwpn && find_host(pool, &host, NULL) < 0 && act_on_parent(adapter, "vport_create", err) < 0)
                return -1;
        return find_host(pool, &host, err) < 0 ? -1 : scsi_rescan_host(pool, host, err);
}

static int stop(const PoolDef *pool, Error *err)
{
        const PoolAdapterDef *adapter = pool->source->adapter;

        return adapter->wwpn && adapter->managed == SWITCH_ON ? act_on_parent(adapter, "vport_delete", err) : 0;
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        unsigned host;

        return find_host(pool, &host, err) < 0 ? -1 : scsi_scan_host(pool, host, found, arg, err);
}

const StorageBackend storage_scsi = {
        .is_started = is_there,
        .start = start,
        .stop = stop,
        .scan = scan,
        .figures = scsi_figures,
};
