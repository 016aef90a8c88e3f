/*
 * daemon/handle-volume-change.c - making, copying, resizing, wiping and removing volumes
 *
 * drover-storage does it; what the pool holds afterwards is asked from the
 * process that watches it, and only then is the call answered. A name is taken
 * from the first moment on, so that two calls never meet in one file.
 */
#include "base/file.h"
#include "base/str.h"
#include "daemon/handle-storage.h"
#include "daemon/handlers.h"
#include "daemon/pool-serve.h"
#include "daemon/registry.h"
#include "daemon/volume-keys.h"
#include "wire/constants.h"

typedef struct Change {
        Call *call;
        Pool *pool;
        char *name;
        VolumeDef *made;  /* of a pool with nothing behind it */
        VolumeDef *keyed; /* names the secrets that open it; NULL: none */
        Pool *from_pool;  /* of a copy: what is copied stays as it is meanwhile; NULL: none */
        char *from_name;
        bool makes; /* the answer is the volume */
        bool removes;
} Change;

/* In Pool.busy: 1 for one who changes it, else 1 more than those who read it. */
enum { CHANGED = 1 };

static uintptr_t use_of(const Pool *pool, const char *name)
{
        return (uintptr_t)map_find_text(pool->busy, name);
}

static void set_use(Pool *pool, const char *name, uintptr_t use)
{
        if (use > CHANGED)
                map_put_text(pool->busy, name, (void *)use);
        else
                map_remove_text(pool->busy, name);
}

bool volume_is_changing(const Pool *pool, const char *name)
{
        return use_of(pool, name) == CHANGED;
}

int volume_claim(Pool *pool, const char *name, Error *err)
{
        if (use_of(pool, name))
                return err_set(err, ERR_OPERATION_INVALID, "volume '%s' is still in use.", name);
        map_put_text(pool->busy, name, (void *)(uintptr_t)CHANGED);
        return 0;
}

void volume_release(Pool *pool, const char *name)
{
        map_remove_text(pool->busy, name);
}

/* Others may read it too. Its pool stays as it is, like that of the copy. */
static void claim_source(Change *change, Pool *pool, const char *name)
{
        set_use(pool, name, MAX(use_of(pool, name), (uintptr_t)CHANGED) + 1);
        change->from_pool = pool_ref(pool);
        change->from_name = str_dup(name);
        pool->tasks++;
}

static void release_source(Change *change)
{
        if (!change->from_pool)
                return;
        set_use(change->from_pool, change->from_name, use_of(change->from_pool, change->from_name) - 1);
        change->from_pool->tasks--;
        pool_unref(change->from_pool);
        free(change->from_name);
}

static Change *change_new(Call *call, Pool *pool, const char *name, Error *err)
{
        Change *change;

        if (volume_claim(pool, name, err) < 0)
                return NULL;
        change = mem_new(Change);
        *change = (Change){ .call = call, .pool = pool_ref(pool), .name = str_dup(name) };
        return change;
}

static Change *change_free(Change *change)
{
        volume_release(change->pool, change->name);
        release_source(change);
        pool_unref(change->pool);
        volume_def_unref(change->made);
        volume_def_unref(change->keyed);
        free(change->name);
        free(change);
        return NULL;
}

/* The image does not tell what opens it. */
static Volume *find_made(Change *change)
{
        Volume *volume = pool_find_volume(change->pool, change->name);
        VolumeDef *def;

        if (!volume || !change->keyed)
                return volume;
        def = volume_def_copy(volume->def);
        volume_take_secrets(def, change->keyed->target.encryption);
        return pool_put_volume(change->pool, def);
}

static void on_looked(void *arg, const Error *failure)
{
        Change *change = arg;
        const Volume *volume = find_made(change);
        AUTO(Error) err = { 0 };

        if (change->makes && !failure && !volume)
                err_set(&err, ERR_NO_STORAGE_VOL, "volume '%s' was made and is gone already", change->name);
        if (failure || err_is_set(&err))
                call_fail(change->call, failure ?: &err);
        else if (change->makes)
                call_reply_volume(change->call, change->pool, volume->def);
        else
                call_reply(change->call, NULL);
        change_free(change);
}

/* A directory tells by itself how much room is left in it; others are asked. */
static void on_seen(void *arg, const Error *failure)
{
        Change *change = arg;
        Pool *pool = change->pool;

        if (!failure && pool->serve && pool->live && !pool_type_is_directory(pool->live->type))
                pool_serve_figures(pool->serve, on_looked, change);
        else
                on_looked(change, failure);
}

/* It is done; now the pool must know. */
static void on_changed(void *arg, const Error *failure)
{
        Change *change = arg;

        if (failure) {
                on_looked(change, failure);
                return;
        }
        if (change->removes)
                pool_drop_volume(change->pool, change->name);
        if (change->made)
                pool_put_volume(change->pool, TAKE(change->made));
        if (change->pool->serve && !change->removes)
                pool_serve_look(change->pool->serve, change->name, on_seen, change);
        else
                on_seen(change, NULL);
}

static int run(Change *change, const TaskSpec *spec, Error *err)
{
        if (!change->pool->storage->program) {
                on_changed(change, NULL);
                return 0;
        }
        if (storage_task(change->pool, spec, on_changed, change, err))
                return 0;
        change_free(change);
        return -1;
}

/* --- making --- */

static VolumeDef *parse_wanted(Pool *pool, const char *xml, bool validate, Error *err)
{
        AUTO(VolumeDef) *def = NULL;
        Arena *arena;

        if (volume_def_parse(xml, strlen(xml), validate ? DEF_PARSE_VALIDATE : 0, &def, NULL, err) < 0)
                return NULL;
        if (pool_find_volume(pool, def->name)) {
                err_set(err, ERR_STORAGE_VOL_EXIST, "'%s'", def->name);
                return NULL;
        }
        arena = def->head.arena;
        def->target.path = arena_format(arena, "%s/%s", dir_stem(pool->live->target_path ?: ""), def->name);
        def->key = def->target.path;
        def->physical_bytes = 0;
        def->type = VOLUME_TYPE_UNSET;
        def->target.timestamps = NULL;
        return TAKE(def);
}

static VolumeDef *imagine(const VolumeDef *wanted)
{
        VolumeDef *def = volume_def_copy(wanted);

        def->type = VOLUME_TYPE_FILE;
        def->target.format = def->target.format ?: "raw";
        return def;
}

static void add_keys(TaskSpec *spec, size_t n, const VolumeKeys *keys)
{
        if (keys->as_is)
                spec->words[n++] = "as-is";
        if (keys->key >= 0)
                spec->words[n++] = "key";
        if (keys->from_key >= 0)
                spec->words[n++] = "from-key";
        spec->key = MAX(keys->key, 0);
        spec->from_key = MAX(keys->from_key, 0);
}

static int make(Call *call, Pool *pool, const char *xml, Pool *from_pool, const VolumeDef *from, uint32_t flags,
                Error *err)
{
        TaskSpec spec = { .words = { "make" }, .from = from };
        AUTO(VolumeDef) *wanted = NULL;
        AUTO(VolumeKeys) keys = { .key = -1, .from_key = -1 };
        Change *change;
        size_t n = 1;

        if (call_check_flags(call, flags,
                             VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA | VIR_STORAGE_VOL_CREATE_REFLINK |
                                     VIR_STORAGE_VOL_CREATE_VALIDATE,
                             err) < 0 ||
            !(wanted = parse_wanted(pool, xml, flags & VIR_STORAGE_VOL_CREATE_VALIDATE, err)))
                return -1;
        if (!from && !wanted->has_capacity_bytes && !wanted->backing)
                return err_set(err, ERR_XML, "missing capacity element");
        if (pool->storage->program && !(from && flags & VIR_STORAGE_VOL_CREATE_REFLINK) &&
            volume_keys_find(call_driver(call)->secrets, wanted, from, &keys, err) < 0)
                return -1;
        change = change_new(call, pool, wanted->name, err);
        if (!change)
                return -1;
        change->makes = true;
        if (from)
                claim_source(change, from_pool, from->name);
        if (!pool->storage->program)
                change->made = imagine(wanted);
        if (flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA)
                spec.words[n++] = "metadata";
        if (flags & VIR_STORAGE_VOL_CREATE_REFLINK)
                spec.words[n++] = "reflink";
        if (from)
                spec.words[n++] = "clone";
        add_keys(&spec, n, &keys);
        if (wanted->target.encryption)
                change->keyed = wanted->target.encryption->n_secrets || !from ? volume_def_ref(wanted)
                                                                              : volume_def_ref(from);
        spec.volume = wanted;
        return run(change, &spec, err);
}

int handle_storage_vol_create_xml(Call *call, const WireStorageVolCreateXmlArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool || pool_must_be_active(pool, err) < 0)
                return -1;
        return make(call, pool, args->xml, NULL, NULL, args->flags, err);
}

int handle_storage_vol_create_xml_from(Call *call, const WireStorageVolCreateXmlFromArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err), *from_pool;
        Volume *from;

        if (!pool || pool_must_be_active(pool, err) < 0 ||
            call_find_volume(call, &args->clonevol, &from_pool, &from, err) < 0)
                return -1;
        if (volume_is_changing(from_pool, from->def->name))
                return err_set(err, ERR_OPERATION_INVALID, "volume '%s' is still in use.", from->def->name);
        return make(call, pool, args->xml, from_pool, from->def, args->flags, err);
}

/* --- changing --- */

int handle_storage_vol_delete(Call *call, const WireStorageVolDeleteArgs *args, Error *err)
{
        TaskSpec spec = { .words = { "delete" } };
        Volume *volume;
        Change *change;
        size_t n = 2;
        Pool *pool;

        if (call_check_flags(call, args->flags, VIR_STORAGE_VOL_DELETE_ZEROED | VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS,
                             err) < 0 ||
            call_find_volume(call, &args->vol, &pool, &volume, err) < 0 ||
            volume_check_unused(pool, volume->def, USE_ANY, "deleted", err) < 0 ||
            !(change = change_new(call, pool, volume->def->name, err)))
                return -1;
        change->removes = true;
        spec.words[1] = change->name;
        if (args->flags & VIR_STORAGE_VOL_DELETE_ZEROED) {
                spec.words[n++] = "zeroed";
                spec.words[n++] = volume->def->target.path;
        }
        if (args->flags & VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS)
                spec.words[n] = "snapshots";
        return run(change, &spec, err);
}

static int wipe(Call *call, const WireStorageVol *wire, uint32_t algorithm, Error *err)
{
        AUTOFREE char *number = str_format("%u", algorithm);
        Volume *volume;
        Change *change;
        Pool *pool;

        if (algorithm >= VIR_STORAGE_VOL_WIPE_ALG_LAST)
                return err_set(err, ERR_INVALID_ARG, "wiping algorithm %u not supported", algorithm);
        if (call_find_volume(call, wire, &pool, &volume, err) < 0 ||
            volume_check_unused(pool, volume->def, USE_ANY, "wiped", err) < 0 ||
            !(change = change_new(call, pool, volume->def->name, err)))
                return -1;
        return run(change, &(TaskSpec){ .words = { "wipe", volume->def->target.path, number } }, err);
}

int handle_storage_vol_wipe(Call *call, const WireStorageVolWipeArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        return wipe(call, &args->vol, VIR_STORAGE_VOL_WIPE_ALG_ZERO, err);
}

int handle_storage_vol_wipe_pattern(Call *call, const WireStorageVolWipePatternArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        return wipe(call, &args->vol, args->algorithm, err);
}

static int find_new_size(const Pool *pool, const VolumeDef *def, uint64_t capacity, uint32_t flags, uint64_t *ret,
                         Error *err)
{
        bool shrink = flags & VIR_STORAGE_VOL_RESIZE_SHRINK, delta = flags & VIR_STORAGE_VOL_RESIZE_DELTA;

        *ret = capacity;
        if (delta && shrink)
                *ret = def->capacity_bytes - MIN(def->capacity_bytes, capacity);
        else if (delta && __builtin_add_overflow(def->capacity_bytes, capacity, ret))
                return err_set(err, ERR_OVERFLOW, "the new capacity is too large");
        if (*ret < def->capacity_bytes && !shrink)
                return err_set(
                        err, ERR_INVALID_ARG,
                        "Can't shrink capacity below current capacity unless shrink flag explicitly specified");
        if (*ret > def->capacity_bytes && *ret - def->capacity_bytes > pool->available)
                return err_set(err, ERR_OPERATION_FAILED, "Not enough space left in storage pool");
        return 0;
}

/*
 * The QEMU of a running guest has the image open and knows its size. A device may grow under it: the guest learns of
 * that by blockresize.
 */
static int check_resizable(const Pool *pool, const VolumeDef *def, uint64_t size, Error *err)
{
        if (def->type == VOLUME_TYPE_BLOCK && size >= def->capacity_bytes)
                return 0;
        return volume_check_unused(pool, def, USE_ANY,
                                   "resized from outside of it: blockresize does it through the guest", err);
}

int handle_storage_vol_resize(Call *call, const WireStorageVolResizeArgs *args, Error *err)
{
        TaskSpec spec = { .words = { "resize" } };
        AUTOFREE char *number = NULL;
        Volume *volume;
        Change *change;
        uint64_t size;
        size_t n = 2;
        Pool *pool;

        if (call_check_flags(call, args->flags,
                             VIR_STORAGE_VOL_RESIZE_ALLOCATE | VIR_STORAGE_VOL_RESIZE_DELTA |
                                     VIR_STORAGE_VOL_RESIZE_SHRINK,
                             err) < 0 ||
            call_find_volume(call, &args->vol, &pool, &volume, err) < 0 ||
            find_new_size(pool, volume->def, args->capacity, args->flags, &size, err) < 0 ||
            check_resizable(pool, volume->def, size, err) < 0 ||
            !(change = change_new(call, pool, volume->def->name, err)))
                return -1;
        spec.words[1] = number = str_format("%llu", (unsigned long long)size);
        if (args->flags & VIR_STORAGE_VOL_RESIZE_ALLOCATE)
                spec.words[n++] = "allocate";
        if (args->flags & VIR_STORAGE_VOL_RESIZE_SHRINK)
                spec.words[n++] = "shrink";
        spec.volume = volume->def;
        if (!pool->storage->program) {
                change->made = volume_def_copy(volume->def);
                change->made->capacity_bytes = size;
        }
        return run(change, &spec, err);
}
