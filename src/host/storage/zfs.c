/*
 * host/storage/zfs.c - pools that are ZFS pools, or file systems in them
 *
 * A volume that is being made has a property of ours until it is whole: with
 * it, it is no volume, and tidy() destroys it.
 */
#include "host/storage/backend.h"

#include "base/str.h"

#define UNFINISHED "drover:part"

static const char *dataset(const PoolDef *pool)
{
        return pool->source->name;
}

/* "tank" of "tank/guests" */
static char *zpool_of(const PoolDef *pool)
{
        return str_dup_n(dataset(pool), strcspn(dataset(pool), "/"));
}

static int build_zpool(const PoolDef *pool, unsigned flags, Error *err)
{
        const PoolSourceDef *source = pool->source;
        VEC(const char *) argv = { 0 };
        int r = 0;

        if (!source->n_devices)
                return err_set(err, ERR_OPERATION_INVALID,
                               "building ZFS pool '%s' needs <source><device path='...'/>", dataset(pool));
        for (const char *const *word = (const char *const[]){ "zpool", "create", dataset(pool), NULL }; *word; word++)
                vec_push(&argv, *word);
        for (uint32_t i = 0; i < source->n_devices && r == 0; i++) {
                if (!(flags & BUILD_OVERWRITE))
                        r = storage_check_blank(source->devices[i]->path, err);
                vec_push(&argv, source->devices[i]->path);
        }
        vec_push(&argv, NULL);
        if (r == 0)
                r = storage_run(argv.items, NULL, err);
        vec_done(&argv);
        return r;
}

static int destroy_zpool(const PoolDef *pool, Error *err)
{
        return STORAGE_RUN(NULL, err, "zpool", "destroy", dataset(pool));
}

static int is_there(const PoolDef *pool, bool *ret, Error *err)
{
        int status;

        if (STORAGE_ASK(NULL, &status, err, "zfs", "list", "-H", "-o", "name", dataset(pool)) < 0)
                return -1;
        *ret = status == 0;
        return 0;
}

static int start(const PoolDef *pool, Error *err)
{
        return STORAGE_RUN(NULL, err, "zfs", "list", "-H", "-o", "name", dataset(pool));
}

static int figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        AUTOFREE char *zpool = zpool_of(pool);
        AUTO(Buf) said = { 0 };
        char *fields[3], *text;

        if (STORAGE_RUN(&said, err, "zpool", "list", "-Hp", "-o", "size,allocated,free", zpool) < 0)
                return -1;
        text = said.data;
        if (!text || storage_next_row(&text, '\t', fields, 3) != 3 || str_to_u64(fields[0], &ret->capacity) < 0 ||
            str_to_u64(fields[1], &ret->allocation) < 0 || str_to_u64(fields[2], &ret->available) < 0)
                return err_set(err, ERR_INTERNAL, "zpool does not tell the size of '%s'", zpool);
        return 0;
}

/* --- volumes --- */

enum Column { NAME, SIZE, RESERVED, REFERENCED, PART, N_COLUMNS };

/* The part of "tank/guests/disk" behind the pool's own name, when it is one word; else NULL. */
static const char *name_in(const PoolDef *pool, const char *full)
{
        size_t n = strlen(dataset(pool));

        return str_starts(full, dataset(pool)) && full[n] == '/' && full[n + 1] && !strchr(full + n + 1, '/')
                       ? full + n + 1
                       : NULL;
}

static VolumeDef *describe(const PoolDef *pool, char *const *fields)
{
        const char *name = name_in(pool, fields[NAME]);
        AUTOFREE char *path = name ? str_format("%s/%s", pool->target_path, name) : NULL;
        uint64_t size, reserved = 0, referenced;
        VolumeDef *def;

        if (!name || str_to_u64(fields[SIZE], &size) < 0)
                return NULL;
        def = storage_new_volume(path, name, NULL);
        storage_describe_node(def);
        def->capacity_bytes = def->physical_bytes = def->allocation_bytes = size;
        str_to_u64(fields[RESERVED], &reserved); /* nothing reserved is said in words */
        if (reserved < size && str_to_u64(fields[REFERENCED], &referenced) == 0)
                def->allocation_bytes = MIN(size, referenced);
        return def;
}

static int list(const PoolDef *pool, Buf *said, Error *err)
{
        return STORAGE_RUN(said, err, "zfs", "list", "-Hp", "-t", "volume", "-r", "-d", "1", "-o",
                           ("name,volsize,refreservation,referenced," UNFINISHED), dataset(pool));
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        AUTO(Buf) said = { 0 };
        char *fields[N_COLUMNS];

        if (list(pool, &said, err) < 0)
                return -1;
        for (char *text = said.data; text && storage_next_row(&text, '\t', fields, N_COLUMNS) == N_COLUMNS;) {
                AUTO(VolumeDef) *def = str_eq(fields[PART], "on") ? NULL : describe(pool, fields);

                if (def)
                        found(arg, def);
        }
        return 0;
}

static int tidy(const PoolDef *pool, Error *err)
{
        AUTO(Buf) said = { 0 };
        char *fields[N_COLUMNS];

        if (list(pool, &said, err) < 0)
                return -1;
        for (char *text = said.data; text && storage_next_row(&text, '\t', fields, N_COLUMNS) == N_COLUMNS;) {
                if (str_eq(fields[PART], "on") && STORAGE_RUN(NULL, err, "zfs", "destroy", fields[NAME]) < 0)
                        return -1;
        }
        return 0;
}

static char *full_name(const PoolDef *pool, const char *name)
{
        return str_format("%s/%s", dataset(pool), name);
}

static int create_volume(const PoolDef *pool, const VolumeDef *wanted, StorageRoom *room, Error *err)
{
        AUTOFREE char *name = full_name(pool, wanted->name);
        AUTOFREE char *size = str_format("%llu", (unsigned long long)wanted->capacity_bytes);
        bool sparse = wanted->allocation_bytes && wanted->allocation_bytes < wanted->capacity_bytes;
        const char *argv[12] = { "zfs", "create", "-o", UNFINISHED "=on" };
        size_t n = 4;

        if (sparse)
                argv[n++] = "-s";
        argv[n++] = "-V";
        argv[n++] = size;
        argv[n++] = name;
        if (storage_run(argv, NULL, err) < 0)
                return -1;
        storage_settle();
        room->path = str_format("%s/%s", pool->target_path, wanted->name);
        room->bytes = wanted->capacity_bytes;
        return 0;
}

static int finish_volume(const PoolDef *pool, const VolumeDef *wanted, const StorageRoom *room UNUSED, Error *err)
{
        AUTOFREE char *name = full_name(pool, wanted->name);

        return STORAGE_RUN(NULL, err, "zfs", "inherit", UNFINISHED, name);
}

static int remove_volume(const PoolDef *pool, const char *name, Error *err)
{
        AUTOFREE char *full = full_name(pool, name);

        return STORAGE_RUN(NULL, err, "zfs", "destroy", full);
}

static int resize_volume(const PoolDef *pool, const VolumeDef *volume, uint64_t bytes, Error *err)
{
        AUTOFREE char *name = full_name(pool, volume->name);
        AUTOFREE char *size = str_format("volsize=%llu", (unsigned long long)bytes);

        return STORAGE_RUN(NULL, err, "zfs", "set", size, name);
}

const StorageBackend storage_zfs = {
        .build = build_zpool,
        .unbuild = destroy_zpool,
        .is_started = is_there,
        .start = start,
        .tidy = tidy,
        .scan = scan,
        .figures = figures,
        .create = create_volume,
        .finish = finish_volume,
        .remove_room = remove_volume,
        .remove = remove_volume,
        .resize = resize_volume,
};
