/*
 * host/storage/logical.c - pools that are LVM volume groups
 *
 * Everything goes through the tools of LVM, which lock the group among
 * themselves. A volume that is being made carries a tag until it is whole:
 * with it, it is no volume, and what a crash left so is removed by tidy().
 */
#include "host/storage/logical.h"
#include "host/storage/backend.h"

#include "base/str.h"

#define UNFINISHED_TAG "drover_part"
#define VOLUME_FIELDS                                                                                                 \
        ("lv_name,lv_uuid,lv_attr,lv_size,origin,origin_size,data_percent,vg_extent_size,seg_start,seg_size,lv_tags," \
         "devices")
#define TABLE "--noheadings", "--units", "b", "--nosuffix", "--separator", "|"

static const char *group(const PoolDef *pool)
{
        return pool->source->name;
}

/* --- the group --- */

/* A device that is a physical volume of no group is what a build left that was killed. */
static int is_orphan(const char *device, bool *ret, Error *err)
{
        AUTO(Buf) said = { 0 };
        AUTOFREE char *content = NULL;

        *ret = false;
        if (storage_find_content(device, &content, err) < 0)
                return -1;
        if (!str_eq(content, "LVM2_member"))
                return 0;
        if (STORAGE_RUN(&said, err, "pvs", "--noheadings", "-o", "vg_name", device) < 0)
                return -1;
        *ret = strspn(buf_text(&said), " \t\n") == said.len;
        return 0;
}

static int build_group(const PoolDef *pool, unsigned flags, Error *err)
{
        const PoolSourceDef *source = pool->source;
        VEC(const char *) argv = { 0 };
        int r = 0;

        if (!source->n_devices)
                return err_set(err, ERR_OPERATION_INVALID,
                               "building volume group '%s' needs <source><device path='...'/>", group(pool));
        vec_push(&argv, "vgcreate");
        vec_push(&argv, "--");
        vec_push(&argv, group(pool));
        for (uint32_t i = 0; i < source->n_devices && r == 0; i++) {
                const char *device = source->devices[i]->path;
                bool orphan = false;

                r = is_orphan(device, &orphan, err);
                if (r == 0 && !orphan && !(flags & BUILD_OVERWRITE))
                        r = storage_check_blank(device, err);
                if (r == 0 && !orphan)
                        r = STORAGE_RUN(NULL, err, "pvcreate", "--yes", "--", device);
                vec_push(&argv, device);
        }
        vec_push(&argv, NULL);
        if (r == 0)
                r = storage_run(argv.items, NULL, err);
        vec_done(&argv);
        return r;
}

static int remove_group(const PoolDef *pool, Error *err)
{
        if (STORAGE_RUN(NULL, err, "vgremove", "--force", "--", group(pool)) < 0)
                return -1;
        for (uint32_t i = 0; i < pool->source->n_devices; i++) {
                if (STORAGE_RUN(NULL, err, "pvremove", "--", pool->source->devices[i]->path) < 0)
                        return -1;
        }
        return 0;
}

static int activate(const PoolDef *pool, Error *err)
{
        return STORAGE_RUN(NULL, err, "vgchange", "--activate", "ay", "--", group(pool));
}

static int deactivate(const PoolDef *pool, Error *err)
{
        return STORAGE_RUN(NULL, err, "vgchange", "--activate", "n", "--", group(pool));
}

static int is_there(const PoolDef *pool, bool *ret, Error *err)
{
        int status;

        if (STORAGE_ASK(NULL, &status, err, "vgs", "--noheadings", "-o", "vg_name", "--", group(pool)) < 0)
                return -1;
        *ret = status == 0;
        return 0;
}

static int figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        AUTO(Buf) said = { 0 };
        char *fields[2], *text;

        if (STORAGE_RUN(&said, err, "vgs", TABLE, "-o", "vg_size,vg_free", "--", group(pool)) < 0)
                return -1;
        text = said.data;
        if (!text || storage_next_row(&text, '|', fields, 2) != 2 || str_to_u64(fields[0], &ret->capacity) < 0 ||
            str_to_u64(fields[1], &ret->available) < 0 || ret->available > ret->capacity)
                return err_set(err, ERR_INTERNAL, "vgs does not tell the size of volume group '%s'", group(pool));
        ret->allocation = ret->capacity - ret->available;
        return 0;
}

/* --- its volumes --- */

typedef struct Listing {
        StorageFound *found;
        void *arg;
} Listing;

static void add_found(void *arg, VolumeDef *def, const char *tags)
{
        const Listing *listing = arg;
        AUTO_STRLIST list = str_split(tags, ",");

        for (char **tag = list; *tag; tag++) {
                if (str_eq(*tag, UNFINISHED_TAG))
                        return;
        }
        storage_describe_node(def);
        listing->found(listing->arg, def);
}

static int list_volumes(const PoolDef *pool, const char *of, LogicalFound *found, void *arg, Error *err)
{
        AUTO(Buf) said = { 0 };

        if (STORAGE_RUN(&said, err, "lvs", TABLE, "-o", VOLUME_FIELDS, "--", of) < 0)
                return -1;
        if (said.data)
                logical_parse_volumes(pool, said.data, found, arg);
        return 0;
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        Listing listing = { found, arg };

        return list_volumes(pool, group(pool), add_found, &listing, err);
}

static void keep_found(void *arg, const VolumeDef *def)
{
        VolumeDef **ret = arg;

        *ret = *ret ?: volume_def_copy(def);
}

/* One that is gone and a group that cannot be read both fail: then the group is asked. */
static int look(const PoolDef *pool, const char *name, VolumeDef **ret, Error *err)
{
        AUTOFREE char *of = str_format("%s/%s", group(pool), name);
        Listing listing = { keep_found, ret };
        AUTO(Error) why = { 0 };
        bool there;

        *ret = NULL;
        if (list_volumes(pool, of, add_found, &listing, &why) == 0)
                return 0;
        if (is_there(pool, &there, err) < 0)
                return -1;
        return there ? 0 : err_move(err, &why);
}

static int tidy(const PoolDef *pool, Error *err)
{
        return STORAGE_RUN(NULL, err, "lvremove", "--force", "--select", ("lv_tags=" UNFINISHED_TAG), "--",
                           group(pool));
}

/*
 * A volume over another is a snapshot of it; one that is given less room than it shows is a snapshot of zeros. No
 * allocation at all, which there is no such thing as, means all of it.
 */
static int create_volume(const PoolDef *pool, const VolumeDef *wanted, StorageRoom *room, Error *err)
{
        const VolumeBackingDef *backing = wanted->backing;
        AUTOFREE char *shown = str_format("%lluB", (unsigned long long)wanted->capacity_bytes);
        AUTOFREE char *taken = str_format("%lluB", (unsigned long long)wanted->allocation_bytes);
        bool over = backing && backing->path;
        bool sparse = wanted->allocation_bytes && wanted->allocation_bytes < wanted->capacity_bytes;
        const char *argv[24] = { "lvcreate", "--yes", "--addtag", UNFINISHED_TAG, "--name", wanted->name };
        size_t n = 6;

        if (over || sparse) {
                argv[n++] = "--type";
                argv[n++] = "snapshot";
        }
        if (!over && sparse) {
                argv[n++] = "--virtualsize";
                argv[n++] = shown;
        }
        argv[n++] = "--size";
        argv[n++] = sparse ? taken : shown;
        argv[n++] = "--";
        argv[n++] = over ? backing->path : group(pool);
        if (storage_run(argv, NULL, err) < 0)
                return -1;
        room->path = str_format("/dev/%s/%s", group(pool), wanted->name);
        room->bytes = wanted->capacity_bytes;
        return 0;
}

static int finish_volume(const PoolDef *pool, const VolumeDef *wanted, const StorageRoom *room UNUSED, Error *err)
{
        AUTOFREE char *of = str_format("%s/%s", group(pool), wanted->name);

        return STORAGE_RUN(NULL, err, "lvchange", "--deltag", UNFINISHED_TAG, "--", of);
}

static int remove_volume(const PoolDef *pool, const char *name, Error *err)
{
        AUTOFREE char *of = str_format("%s/%s", group(pool), name);

        return STORAGE_RUN(NULL, err, "lvremove", "--force", "--", of);
}

/* The caller has asked whether it may become smaller. */
static int resize_volume(const PoolDef *pool, const VolumeDef *volume, uint64_t bytes, Error *err)
{
        AUTOFREE char *of = str_format("%s/%s", group(pool), volume->name);
        AUTOFREE char *size = str_format("%lluB", (unsigned long long)bytes);

        return STORAGE_RUN(NULL, err, bytes < volume->capacity_bytes ? "lvreduce" : "lvextend", "--force", "--size",
                           size, "--", of);
}

/* --- groups that could be pools --- */

static PoolSourceDef *source_of(PoolSourcesDef *ret, const char *name)
{
        PoolSourceDef *source;

        for (uint32_t i = 0; i < ret->n_sources; i++) {
                if (str_eq(ret->sources[i]->name, name))
                        return (PoolSourceDef *)ret->sources[i];
        }
        source = pool_sources_add(ret);
        source->name = arena_dup(ret->head.arena, name);
        source->format = "lvm2";
        return source;
}

static int find_groups(const PoolSourceDef *spec UNUSED, PoolSourcesDef *ret, Error *err)
{
        AUTO(Buf) said = { 0 };
        char *fields[2], *text;

        if (STORAGE_RUN(&said, err, "pvs", TABLE, "-o", "vg_name,pv_name") < 0)
                return -1;
        for (text = said.data; text && storage_next_row(&text, '|', fields, 2) == 2;) {
                if (*fields[0])
                        pool_source_add_device(ret, source_of(ret, fields[0]), fields[1]);
        }
        return 0;
}

const StorageBackend storage_logical = {
        .build = build_group,
        .unbuild = remove_group,
        .is_started = is_there,
        .start = activate,
        .stop = deactivate,
        .tidy = tidy,
        .scan = scan,
        .figures = figures,
        .look = look,
        .create = create_volume,
        .finish = finish_volume,
        .remove_room = remove_volume,
        .remove = remove_volume,
        .resize = resize_volume,
        .find_sources = find_groups,
};
