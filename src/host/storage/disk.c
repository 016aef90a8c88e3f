/*
 * host/storage/disk.c - pools that are a partitioned disk
 *
 * parted knows every kind of table, and tells the kernel of the one partition
 * that it changes. A new partition's content is written to the free part where
 * it is going to be, and only then does the table learn of it: a crash before
 * leaves free room. The disk is locked meanwhile, so that two never choose the
 * same.
 */
#include "host/storage/backend.h"
#include "host/storage/disk-table.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

/* The words of libvirt for kinds of tables and partitions, and parted's. */
static const char *label_of(const char *format)
{
        return str_eq(format, "dos") || str_eq(format, "unknown") ? "msdos" : format;
}

static int read_table(const PoolDef *pool, DiskTable *ret, Error *err)
{
        const char *device = pool_def_device(pool), *format = pool->source->format;
        AUTO(DiskTable) table = { 0 };
        AUTO(Buf) said = { 0 };

        if (STORAGE_RUN(&said, err, "parted", "-ms", device, "unit", "B", "print", "free") < 0 ||
            disk_table_parse(said.data ?: (char[]){ "" }, &table, err) < 0)
                return -1;
        if (str_eq(table.label, "loop") || (!str_eq(format, "unknown") && !str_eq(label_of(format), table.label)))
                return err_set(err, ERR_OPERATION_INVALID,
                               "'%s' has a table of kind '%s', not '%s'; pool-build makes one", device, table.label,
                               format);
        *ret = table;
        table = (DiskTable){ 0 };
        return 0;
}

static int check_table(const PoolDef *pool, Error *err)
{
        AUTO(DiskTable) table = { 0 };

        return read_table(pool, &table, err);
}

static int is_there(const PoolDef *pool, bool *ret, Error *err)
{
        *ret = true;
        return check_table(pool, err);
}

static int build_table(const PoolDef *pool, unsigned flags, Error *err)
{
        const char *device = pool_def_device(pool);

        if (!(flags & BUILD_OVERWRITE) && storage_check_blank(device, err) < 0)
                return -1;
        return STORAGE_RUN(NULL, err, "parted", "-s", device, "mklabel", label_of(pool->source->format));
}

static int figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        AUTO(DiskTable) table = { 0 };
        uint64_t available = 0;

        if (read_table(pool, &table, err) < 0)
                return -1;
        for (size_t i = 0; i < table.room.len; i++)
                available += table.room.items[i].end - table.room.items[i].start;
        ret->capacity = table.size;
        ret->available = MIN(available, table.size);
        ret->allocation = ret->capacity - ret->available;
        return 0;
}

/* --- partitions --- */

/* The kernel's name: a 'p' stands before the number where the disk's name ends in one. */
static char *part_name(const PoolDef *pool, unsigned number)
{
        const char *device = pool_def_device(pool);
        AUTOFREE char *real = realpath(device, NULL);
        const char *name = strrchr(real ?: device, '/') + 1;
        Switch separator = pool->source->devices[0]->part_separator;
        bool digit = name[0] && name[strlen(name) - 1] >= '0' && name[strlen(name) - 1] <= '9';

        return str_format("%s%s%u", name, separator == SWITCH_ON || (separator != SWITCH_OFF && digit) ? "p" : "",
                          number);
}

static VolumeDef *describe(const PoolDef *pool, const DiskPart *part)
{
        AUTOFREE char *name = part_name(pool, part->number);
        AUTOFREE char *node = str_format("/dev/%s", name);
        AUTOFREE char *path = storage_stable_path(pool, node);
        VolumeDef *def = storage_new_volume(path ?: node, name, NULL);
        Arena *arena = def->head.arena;
        VolumeSourceDeviceDef *device = arena_new_one(arena, VolumeSourceDeviceDef);
        VolumeExtentDef *extent = arena_new_one(arena, VolumeExtentDef);

        storage_describe_node(def);
        def->capacity_bytes = def->allocation_bytes = def->physical_bytes = part->end - part->start;
        extent->start = part->start;
        extent->end = part->end;
        device->path = arena_dup(arena, pool_def_device(pool));
        device->extents = arena_new_one(arena, VolumeExtentDef *);
        ((const VolumeExtentDef **)device->extents)[0] = extent;
        device->n_extents = 1;
        def->source->devices = arena_new_one(arena, VolumeSourceDeviceDef *);
        ((const VolumeSourceDeviceDef **)def->source->devices)[0] = device;
        def->source->n_devices = 1;
        return def;
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        AUTO(DiskTable) table = { 0 };

        if (read_table(pool, &table, err) < 0)
                return -1;
        for (size_t i = 0; i < table.parts.len; i++) {
                AUTO(VolumeDef) *def = describe(pool, &table.parts.items[i]);

                found(arg, def);
        }
        return 0;
}

typedef struct NewPart {
        char start[32], last[32]; /* as parted takes them */
        bool logical;
} NewPart;

static int create_part(const PoolDef *pool, const VolumeDef *wanted, StorageRoom *room, Error *err)
{
        const char *device = pool_def_device(pool);
        bool extended = str_eq(wanted->target.format, "extended");
        AUTO(DiskTable) table = { 0 };
        AUTOFREE char *name = NULL;
        NewPart *new;
        DiskPart part = { 0 };
        bool logical;

        room->lock = open(device, O_RDONLY | O_CLOEXEC);
        if (room->lock < 0 || flock(room->lock, LOCK_EX) < 0)
                return storage_fail(err, errno, device, "cannot lock '%s'", device);
        if (read_table(pool, &table, err) < 0 ||
            disk_table_find_room(&table, wanted->capacity_bytes, extended, &part, &logical, err) < 0)
                return -1;
        name = part_name(pool, part.number);
        if (!str_eq(name, wanted->name))
                return err_set(err, ERR_INVALID_ARG, "invalid partition name '%s', expected '%s'", wanted->name,
                               name);
        new = mem_new(NewPart);
        room->kept = new;
        new->logical = logical;
        snprintf(new->start, sizeof(new->start), "%lluB", (unsigned long long)part.start);
        snprintf(new->last, sizeof(new->last), "%lluB", (unsigned long long)part.end - 1);
        room->path = str_dup(device);
        room->offset = part.start;
        room->bytes = part.end - part.start;
        return 0;
}

/* What a volume's format says to parted: a file system's type for the table, and a flag. */
static void find_kind(const char *format, const char **type, const char **flag)
{
        static const char *const types[] = { "fat16", "fat32", "linux-swap" };

        *type = NULL;
        *flag = str_eq(format, "linux-lvm") ? "lvm" : str_eq(format, "linux-raid") ? "raid" : NULL;
        for (size_t i = 0; i < ARRAY_LEN(types); i++)
                *type = str_eq(format, types[i]) ? types[i] : *type;
}

static int put_in_table(const PoolDef *pool, const VolumeDef *wanted, const StorageRoom *room, Error *err)
{
        const char *device = pool_def_device(pool), *format = wanted->target.format, *type, *flag;
        const char *number = wanted->name + strlen(wanted->name);
        const NewPart *new = room->kept;
        const char *argv[16] = { "parted", "-s", device, "unit", "B", "mkpart" };
        size_t n = 6;

        find_kind(format, &type, &flag);
        argv[n++] = str_eq(format, "extended") ? "extended" : new->logical ? "logical" : "primary";
        if (type)
                argv[n++] = type;
        argv[n++] = new->start;
        argv[n++] = new->last;
        if (storage_run(argv, NULL, err) < 0)
                return -1;
        while (number > wanted->name && number[-1] >= '0' && number[-1] <= '9')
                number--;
        if (flag && STORAGE_RUN(NULL, err, "parted", "-s", device, "set", number, flag, "on") < 0) {
                STORAGE_RUN(NULL, NULL, "parted", "-s", device, "rm", number);
                return -1;
        }
        /* the table is as it is to be; udev waits for whoever holds the disk, and we would wait for udev */
        flock(room->lock, LOCK_UN);
        storage_settle();
        return 0;
}

static int remove_part(const PoolDef *pool, const char *name, Error *err)
{
        AUTO(DiskTable) table = { 0 };

        if (read_table(pool, &table, err) < 0)
                return -1;
        for (size_t i = 0; i < table.parts.len; i++) {
                AUTOFREE char *number = str_format("%u", table.parts.items[i].number);
                AUTOFREE char *its = part_name(pool, table.parts.items[i].number);

                if (str_eq(its, name))
                        return STORAGE_RUN(NULL, err, "parted", "-s", pool_def_device(pool), "rm", number);
        }
        return 0;
}

const StorageBackend storage_disk = {
        .build = build_table,
        .is_started = is_there,
        .start = check_table,
        .scan = scan,
        .figures = figures,
        .any_format = true,
        .create = create_part,
        .finish = put_in_table,
        .remove = remove_part,
};
