/*
 * daemon/handle-pool.c - defining, starting and stopping storage pools
 *
 * What is answered is on the disk: definitions are written and synced by a
 * worker before the reply. What touches the pool itself is done by
 * drover-storage, and answered when that has ended.
 */
#include "base/str.h"
#include "daemon/def-store.h"
#include "daemon/handle-storage.h"
#include "daemon/handlers.h"
#include "daemon/pool-serve.h"
#include "wire/constants.h"

/* --- define and undefine --- */

typedef struct Defining {
        Call *call;
        Pool *pool;
        PoolDef *def; /* waits for the disk */
        bool is_new;
} Defining;

static void on_saved(void *arg, const Error *failure)
{
        Defining *d = arg;
        Pool *pool = d->pool;

        if (failure) {
                if (d->is_new && pool->live) /* somebody has started it: it goes on as a transient one */
                        pool->config = pool_def_unref(pool->config);
                else if (d->is_new)
                        pool_drop(pool);
                call_fail(d->call, failure);
        } else {
                pool_def_unref(pool->config);
                pool->config = TAKE(d->def);
                pool_tell(pool, VIR_STORAGE_POOL_EVENT_DEFINED);
                call_reply_pool(d->call, pool);
        }
        pool_def_unref(d->def);
        pool_unref(pool);
        free(d);
}

int handle_storage_pool_define_xml(Call *call, const WireStoragePoolDefineXmlArgs *args, Error *err)
{
        Storage *storage = call_driver(call)->storage;
        AUTO(PoolDef) *def = NULL;
        AUTO(Buf) xml = { 0 };
        Defining *d;
        Pool *pool;

        if (call_check_flags(call, args->flags, VIR_STORAGE_POOL_DEFINE_VALIDATE, err) < 0)
                return -1;
        def = storage_parse_pool(storage, args->xml, args->flags & VIR_STORAGE_POOL_DEFINE_VALIDATE, err);
        if (!def || storage_find_defined(storage, def, &pool, err) < 0)
                return -1;
        d = mem_new(Defining);
        *d = (Defining){ .call = call, .is_new = !pool };
        pool_def_format(def, DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, &xml);
        if (!pool) {
                pool = pool_new(storage, def->name, &def->uuid);
                pool->config = pool_def_ref(def);
        }
        d->pool = pool_ref(pool);
        d->def = TAKE(def);
        if (storage->store)
                def_store_save(storage->store, pool->name, &xml, on_saved, d);
        else
                on_saved(d, NULL);
        return 0;
}

static void on_removed(void *arg, const Error *failure)
{
        Call *call = arg;
        Pool *pool = call_kept(call);

        pool->going = false;
        if (failure) {
                call_fail(call, failure);
                return;
        }
        pool->autostart = false;
        pool_tell(pool, VIR_STORAGE_POOL_EVENT_UNDEFINED);
        pool_drop(pool);
        call_reply(call, NULL);
}

static void drop_pool_ref(void *pool)
{
        pool_unref(pool);
}

/* The pool stays until the call is answered. */
static void keep_pool(Call *call, Pool *pool)
{
        call_keep(call, pool_ref(pool), drop_pool_ref);
}

int handle_storage_pool_undefine(Call *call, const WireStoragePoolUndefineArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool || pool_must_be_idle(pool, err) < 0)
                return -1;
        if (pool->live)
                return err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is still active", pool->name);
        if (pool_must_be_inactive(pool, err) < 0) /* somebody else undefines it */
                return -1;
        pool->going = true;
        keep_pool(call, pool);
        if (pool->storage->store)
                def_store_remove(pool->storage->store, pool->name, NULL, on_removed, call);
        else
                on_removed(call, NULL);
        return 0;
}

static void on_autostart_saved(void *arg, const Error *failure)
{
        Call *call = arg;
        const WireStoragePoolSetAutostartArgs *args = call_args(call);

        if (!failure)
                ((Pool *)call_kept(call))->autostart = args->autostart;
        call_done(call, failure);
}

int handle_storage_pool_set_autostart(Call *call, const WireStoragePoolSetAutostartArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool)
                return -1;
        if (!pool->config || pool->going)
                return err_set(err, ERR_INVALID_ARG, "pool has no config file");
        keep_pool(call, pool);
        if (pool->storage->store)
                def_store_autostart(pool->storage->store, pool->name, args->autostart, on_autostart_saved, call);
        else
                on_autostart_saved(call, NULL);
        return 0;
}

/* --- start and stop --- */

enum {
        CREATE_FLAGS = VIR_STORAGE_POOL_CREATE_WITH_BUILD | VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE |
                       VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE,
        BUILD_FLAGS = VIR_STORAGE_POOL_BUILD_OVERWRITE | VIR_STORAGE_POOL_BUILD_NO_OVERWRITE,
};

static int check_overwrite(uint32_t flags, uint32_t overwrite, uint32_t no_overwrite, Error *err)
{
        if (flags & overwrite && flags & no_overwrite)
                return err_set(err, ERR_INVALID_ARG,
                               "overwriting what is there and leaving it alone exclude each other");
        return 0;
}

static int build(Pool *pool, bool overwrite, bool no_overwrite, DriverDone *done, void *arg, Error *err)
{
        TaskSpec spec = { .words = { "pool", "build",
                                     overwrite      ? "overwrite"
                                     : no_overwrite ? "no-overwrite"
                                                    : NULL } };

        if (pool->storage->program)
                return storage_task(pool, &spec, done, arg, err) ? 0 : -1;
        done(arg, NULL);
        return 0;
}

/* A start that a call waits for, perhaps with a pool that exists because of it. */
typedef struct Starting {
        Call *call;
        Pool *pool;
        bool is_new;  /* transient: it leaves with its failure */
        bool is_told; /* the answer says which pool it is */
        uint32_t flags;
} Starting;

static void on_started(void *arg, const Error *failure)
{
        Starting *s = arg;

        if (failure) {
                if (s->is_new)
                        pool_drop(s->pool);
                call_fail(s->call, failure);
        } else if (s->is_told) {
                call_reply_pool(s->call, s->pool);
        } else {
                call_reply(s->call, NULL);
        }
        pool_unref(s->pool);
        free(s);
}

static void on_built_before_start(void *arg, const Error *failure)
{
        Starting *s = arg;

        s->pool->changing = false;
        if (failure) {
                s->pool->live = pool_def_unref(s->pool->live);
                on_started(s, failure);
                return;
        }
        pool_tell(s->pool, VIR_STORAGE_POOL_EVENT_CREATED);
        pool_start(s->pool, on_started, s);
}

static int start(Starting spec, Error *err)
{
        Starting *s = mem_new(Starting);
        Pool *pool = spec.pool;
        uint32_t flags = spec.flags;

        *s = spec;
        pool_ref(pool);
        if (!(flags & CREATE_FLAGS)) {
                pool_start(pool, on_started, s);
                return 0;
        }
        if (!pool->live)
                pool->live = pool_def_ref(pool->config);
        pool->changing = true;
        if (build(pool, flags & VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE,
                  flags & VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE, on_built_before_start, s, err) == 0)
                return 0;
        pool->changing = false;
        pool->live = pool_def_unref(pool->live);
        pool_unref(s->pool);
        free(s);
        return -1;
}

int handle_storage_pool_create(Call *call, const WireStoragePoolCreateArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool || call_check_flags(call, args->flags, CREATE_FLAGS, err) < 0 ||
            check_overwrite(args->flags, VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE,
                            VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE, err) < 0 ||
            pool_must_be_inactive(pool, err) < 0 || pool_must_be_idle(pool, err) < 0)
                return -1;
        return start((Starting){ .call = call, .pool = pool, .flags = args->flags }, err);
}

int handle_storage_pool_create_xml(Call *call, const WireStoragePoolCreateXmlArgs *args, Error *err)
{
        Storage *storage = call_driver(call)->storage;
        AUTO(PoolDef) *def = NULL;
        Pool *pool;
        bool is_new;

        if (call_check_flags(call, args->flags, CREATE_FLAGS, err) < 0 ||
            check_overwrite(args->flags, VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE,
                            VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE, err) < 0 ||
            !(def = storage_parse_pool(storage, args->xml, false, err)) ||
            storage_find_defined(storage, def, &pool, err) < 0 ||
            (pool && (pool_must_be_inactive(pool, err) < 0 || pool_must_be_idle(pool, err) < 0)))
                return -1;
        is_new = !pool;
        if (is_new)
                pool = pool_new(storage, def->name, &def->uuid);
        pool->live = TAKE(def);
        if (start((Starting){ .call = call, .pool = pool, .is_new = is_new, .is_told = true, .flags = args->flags },
                  err) == 0)
                return 0;
        if (is_new)
                pool_drop(pool);
        return -1;
}

int handle_storage_pool_destroy(Call *call, const WireStoragePoolDestroyArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool || pool_must_be_active(pool, err) < 0 || pool_must_be_idle(pool, err) < 0)
                return -1;
        pool_stop(pool, call_done, call);
        return 0;
}

int handle_storage_pool_refresh(Call *call, const WireStoragePoolRefreshArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool || call_check_flags(call, args->flags, 0, err) < 0 || pool_must_be_active(pool, err) < 0)
                return -1;
        pool_refresh(pool, call_done, call);
        return 0;
}

/* --- build and delete --- */

static void on_built(void *arg, const Error *failure)
{
        Call *call = arg;

        if (!failure)
                pool_tell(call_kept(call), VIR_STORAGE_POOL_EVENT_CREATED);
        call_done(call, failure);
}

int handle_storage_pool_build(Call *call, const WireStoragePoolBuildArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool || call_check_flags(call, args->flags, BUILD_FLAGS, err) < 0 ||
            check_overwrite(args->flags, VIR_STORAGE_POOL_BUILD_OVERWRITE, VIR_STORAGE_POOL_BUILD_NO_OVERWRITE, err) <
                    0 ||
            pool_must_be_inactive(pool, err) < 0 || pool_must_be_idle(pool, err) < 0)
                return -1;
        keep_pool(call, pool);
        return build(pool, args->flags & VIR_STORAGE_POOL_BUILD_OVERWRITE,
                     args->flags & VIR_STORAGE_POOL_BUILD_NO_OVERWRITE, on_built, call, err);
}

static void on_deleted(void *arg, const Error *failure)
{
        Call *call = arg;

        if (!failure)
                pool_tell(call_kept(call), VIR_STORAGE_POOL_EVENT_DELETED);
        call_done(call, failure);
}

int handle_storage_pool_delete(Call *call, const WireStoragePoolDeleteArgs *args, Error *err)
{
        Pool *pool = call_find_pool(call, &args->pool, err);

        /* no kind of pool is overwritten with zeros, and nobody is to believe that it was */
        if (!pool || call_check_flags(call, args->flags, 0, err) < 0 || pool_must_be_idle(pool, err) < 0)
                return -1;
        if (pool->live)
                return err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is still active", pool->name);
        keep_pool(call, pool);
        if (pool->storage->program)
                return storage_task(pool, &(TaskSpec){ .words = { "pool", "delete" } }, on_deleted, call, err) ? 0
                                                                                                               : -1;
        on_deleted(call, NULL);
        return 0;
}
