/*
 * daemon/handle-volume.c - finding volumes, and making, changing and removing them
 *
 * Names, keys and paths are answered from memory. Sizes are asked anew, one
 * volume at a time, because a guest may be writing. A name that is being made
 * or changed is taken, so that two calls do not meet in one file.
 */
#include "base/file.h"
#include "base/str.h"
#include "daemon/handle-storage.h"
#include "daemon/handlers.h"
#include "daemon/pool-serve.h"
#include "daemon/registry.h"
#include "daemon/volume-keys.h"
#include "wire/constants.h"

enum { LIST_MOST = 16384 };

int call_reply_volume(Call *call, const Pool *pool, const VolumeDef *def)
{
        /* all replies that carry just a volume look alike on the wire */
        call_reply(call, &(WireStorageVolLookupByNameRet){ .vol = { pool->name, def->name, def->key ?: def->name } });
        return 0;
}

int call_find_volume(Call *call, const WireStorageVol *wire, Pool **pool, Volume **ret, Error *err)
{
        *pool = registry_find_name(call_driver(call)->storage->pools, wire->pool);
        if (!*pool)
                return err_set(err, ERR_NO_STORAGE_POOL, "no storage pool with matching name '%s'", wire->pool);
        if (pool_must_be_active(*pool, err) < 0)
                return -1;
        *ret = pool_find_volume(*pool, wire->name);
        if (!*ret)
                return err_set(err, ERR_NO_STORAGE_VOL, "no storage vol with matching name '%s'", wire->name);
        return 0;
}

/* --- a pool that is gone through for the first time is waited for --- */

typedef int Then(Call *call, Pool *pool, Error *err);

typedef struct Waiting {
        Call *call;
        Pool *pool;
        Then *then;
} Waiting;

static void on_known(void *arg, const Error *failure)
{
        Waiting *w = arg;
        AUTO(Error) err = { 0 };

        if (failure)
                call_fail(w->call, failure);
        else if (pool_must_be_active(w->pool, &err) < 0 || w->then(w->call, w->pool, &err) < 0)
                call_fail(w->call, &err);
        pool_unref(w->pool);
        free(w);
}

static int when_known(Call *call, const WireStoragePool *wire, Then *then, Error *err)
{
        Pool *pool = call_find_pool(call, wire, err);
        Waiting *w;

        if (!pool || pool_must_be_active(pool, err) < 0)
                return -1;
        w = mem_new(Waiting);
        *w = (Waiting){ .call = call, .pool = pool_ref(pool), .then = then };
        if (pool->serve && pool_serve_wait(pool->serve, on_known, w))
                return 0;
        pool_unref(w->pool);
        free(w);
        return then(call, pool, err);
}

/* --- lists and look-ups --- */

static int count_volumes(Call *call, Pool *pool, Error *err UNUSED)
{
        call_reply(call, &(WireStoragePoolNumOfVolumesRet){ .num = (int32_t)pool->volumes.len });
        return 0;
}

int handle_storage_pool_num_of_volumes(Call *call, const WireStoragePoolNumOfVolumesArgs *args, Error *err)
{
        return when_known(call, &args->pool, count_volumes, err);
}

static int list_names(Call *call, Pool *pool, Error *err)
{
        const WireStoragePoolListVolumesArgs *args = call_args(call);
        WireStoragePoolListVolumesRet ret = { 0 };

        if (args->maxnames < 0 || args->maxnames > LIST_MOST)
                return err_set(err, ERR_RPC, "%d items are asked for; 0 to %d can be given", args->maxnames,
                               LIST_MOST);
        ret.names = arena_new_array(call_arena(call), const char *, (size_t)args->maxnames);
        for (size_t i = 0; i < pool->volumes.len && ret.n_names < (uint32_t)args->maxnames; i++)
                ret.names[ret.n_names++] = pool->volumes.items[i]->def->name;
        call_reply(call, &ret);
        return 0;
}

int handle_storage_pool_list_volumes(Call *call, const WireStoragePoolListVolumesArgs *args, Error *err)
{
        return when_known(call, &args->pool, list_names, err);
}

static int list_all(Call *call, Pool *pool, Error *err)
{
        const WireStoragePoolListAllVolumesArgs *args = call_args(call);
        WireStoragePoolListAllVolumesRet ret = { .ret = (uint32_t)pool->volumes.len };

        if (args->need_results && pool->volumes.len > LIST_MOST)
                return err_set(err, ERR_RPC, "storage pool '%s' has %zu volumes; a list holds at most %d", pool->name,
                               pool->volumes.len, LIST_MOST);
        if (args->need_results) {
                ret.vols = arena_new_array(call_arena(call), WireStorageVol, pool->volumes.len);
                for (size_t i = 0; i < pool->volumes.len; i++) {
                        const VolumeDef *def = pool->volumes.items[i]->def;

                        ret.vols[ret.n_vols++] = (WireStorageVol){ pool->name, def->name, def->key ?: def->name };
                }
        }
        call_reply(call, &ret);
        return 0;
}

int handle_storage_pool_list_all_volumes(Call *call, const WireStoragePoolListAllVolumesArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        return when_known(call, &args->pool, list_all, err);
}

static int look_up_name(Call *call, Pool *pool, Error *err)
{
        const char *name = ((const WireStorageVolLookupByNameArgs *)call_args(call))->name;
        const Volume *volume = pool_find_volume(pool, name);

        if (!volume)
                return err_set(err, ERR_NO_STORAGE_VOL, "no storage vol with matching name '%s'", name);
        return call_reply_volume(call, pool, volume->def);
}

int handle_storage_vol_lookup_by_name(Call *call, const WireStorageVolLookupByNameArgs *args, Error *err)
{
        return when_known(call, &args->pool, look_up_name, err);
}

/* --- by what does not name the pool --- */

typedef struct Search {
        Call *call;
        const char *text; /* of the call */
        bool by_key;
} Search;

static int search(const Search *what, Error *err);

/* One that does not respond has been waited for as well. */
static void on_searched(void *arg, const Error *failure UNUSED)
{
        Search *s = arg;
        AUTO(Error) err = { 0 };

        if (search(s, &err) < 0)
                call_fail(s->call, &err);
        free(s);
}

/* A file's key is its path. */
static bool may_hold(const Pool *pool, const char *text)
{
        const char *dir;

        if (!pool_type_is_directory(pool->live->type))
                return true;
        dir = dir_stem(pool->live->target_path);
        return str_starts(text, dir) && text[strlen(dir)] == '/';
}

static bool waits_for(Pool *pool, const Search *what)
{
        Search *s;

        if (!pool_is_active(pool) || !pool->serve || !may_hold(pool, what->text))
                return false;
        s = mem_new(Search);
        *s = *what;
        if (pool_serve_wait(pool->serve, on_searched, s))
                return true;
        free(s);
        return false;
}

/* What is not known may be in a pool that is gone through for the first time: after a start of the daemon all are. */
static int search(const Search *what, Error *err)
{
        const Storage *storage = call_driver(what->call)->storage;
        Pool *pool;
        const Volume *volume = storage_find_volume(storage, what->by_key ? what->text : NULL,
                                                   what->by_key ? NULL : what->text, &pool);

        if (volume)
                return call_reply_volume(what->call, pool, volume->def);
        for (size_t i = 0; i < registry_len(storage->pools); i++) {
                if (waits_for(registry_at(storage->pools, i), what))
                        return 0;
        }
        return what->by_key ? err_set(err, ERR_NO_STORAGE_VOL, "no storage vol with matching key %s", what->text)
                            : err_set(err, ERR_NO_STORAGE_VOL, "no storage vol with matching path '%s'", what->text);
}

int handle_storage_vol_lookup_by_key(Call *call, const WireStorageVolLookupByKeyArgs *args, Error *err)
{
        return search(&(Search){ call, args->key, true }, err);
}

int handle_storage_vol_lookup_by_path(Call *call, const WireStorageVolLookupByPathArgs *args, Error *err)
{
        return search(&(Search){ call, args->path, false }, err);
}

int handle_storage_vol_get_path(Call *call, const WireStorageVolGetPathArgs *args, Error *err)
{
        Pool *pool;
        Volume *volume;

        if (call_find_volume(call, &args->vol, &pool, &volume, err) < 0)
                return -1;
        call_reply(call, &(WireStorageVolGetPathRet){ .name = volume->def->target.path ?: volume->def->name });
        return 0;
}

/* --- as it is now --- */

typedef void Tell(Call *call, const VolumeDef *def);

typedef struct Looking {
        Call *call;
        Pool *pool;
        char *name;
        Tell *tell;
} Looking;

static void on_looked(void *arg, const Error *failure)
{
        Looking *l = arg;
        const Volume *volume = pool_find_volume(l->pool, l->name);
        AUTO(Error) err = { 0 };

        if (failure) {
                call_fail(l->call, failure);
        } else if (!volume) {
                err_set(&err, ERR_NO_STORAGE_VOL, "no storage vol with matching name '%s'", l->name);
                call_fail(l->call, &err);
        } else {
                l->tell(l->call, volume->def);
        }
        pool_unref(l->pool);
        free(l->name);
        free(l);
}

static int look_and_tell(Call *call, const WireStorageVol *wire, Tell *tell, Error *err)
{
        Looking *l;
        Pool *pool;
        Volume *volume;

        if (call_find_volume(call, wire, &pool, &volume, err) < 0)
                return -1;
        l = mem_new(Looking);
        *l = (Looking){ .call = call, .pool = pool_ref(pool), .name = str_dup(wire->name), .tell = tell };
        if (pool->serve)
                pool_serve_look(pool->serve, l->name, on_looked, l);
        else
                on_looked(l, NULL);
        return 0;
}

static int32_t type_number(const VolumeDef *def)
{
        static const int32_t numbers[] = {
                [VOLUME_TYPE_UNSET] = VIR_STORAGE_VOL_FILE,      [VOLUME_TYPE_FILE] = VIR_STORAGE_VOL_FILE,
                [VOLUME_TYPE_BLOCK] = VIR_STORAGE_VOL_BLOCK,     [VOLUME_TYPE_DIR] = VIR_STORAGE_VOL_DIR,
                [VOLUME_TYPE_NETWORK] = VIR_STORAGE_VOL_NETWORK, [VOLUME_TYPE_NETDIR] = VIR_STORAGE_VOL_NETDIR,
                [VOLUME_TYPE_PLOOP] = VIR_STORAGE_VOL_PLOOP,
        };

        return numbers[def->type];
}

static void tell_info(Call *call, const VolumeDef *def)
{
        call_reply(call, &(WireStorageVolGetInfoRet){ .type = (int8_t)type_number(def),
                                                      .capacity = def->capacity_bytes,
                                                      .allocation = def->allocation_bytes });
}

static void tell_physical(Call *call, const VolumeDef *def)
{
        call_reply(call, &(WireStorageVolGetInfoRet){ .type = (int8_t)type_number(def),
                                                      .capacity = def->capacity_bytes,
                                                      .allocation = def->physical_bytes ?: def->allocation_bytes });
}

/* A copy has no name before it is whole. Whoever asked for it knows which it will have, and is told how far it is. */
static bool tell_copy(Call *call, const WireStorageVol *wire)
{
        const Pool *pool = registry_find_name(call_driver(call)->storage->pools, wire->pool);
        uint64_t done, total;

        if (!pool || pool_find_volume(pool, wire->name) || !storage_copy_progress(pool, wire->name, &done, &total))
                return false;
        call_reply(call, &(WireStorageVolGetInfoRet){ VIR_STORAGE_VOL_FILE, total, done });
        return true;
}

int handle_storage_vol_get_info(Call *call, const WireStorageVolGetInfoArgs *args, Error *err)
{
        if (tell_copy(call, &args->vol))
                return 0;
        return look_and_tell(call, &args->vol, tell_info, err);
}

int handle_storage_vol_get_info_flags(Call *call, const WireStorageVolGetInfoFlagsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_STORAGE_VOL_GET_PHYSICAL, err) < 0)
                return -1;
        return look_and_tell(call, &args->vol, args->flags & VIR_STORAGE_VOL_GET_PHYSICAL ? tell_physical : tell_info,
                             err);
}

static void tell_xml(Call *call, const VolumeDef *def)
{
        AUTO(VolumeDef) *shown = volume_with_secret(call_driver(call)->secrets, def);
        AUTO(Buf) xml = { 0 };

        volume_def_format(shown, &xml);
        call_reply(call, &(WireStorageVolGetXmlDescRet){ .xml = buf_text(&xml) });
}

int handle_storage_vol_get_xml_desc(Call *call, const WireStorageVolGetXmlDescArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        return look_and_tell(call, &args->vol, tell_xml, err);
}
