/*
 * daemon/pool.c - a storage pool's life
 */
#include "daemon/pool.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/def-store.h"
#include "daemon/event.h"
#include "daemon/pool-serve.h"
#include "daemon/registry.h"
#include "daemon/secret.h"
#include "wire/constants.h"
#include "wire/structs.h"

#include <errno.h>
#include <fcntl.h>

enum {
        IMAGINARY_BYTES_GIB = 100,
        CALM_MS = 60000,  /* a process that ends more often than that is not replaced */
        STOP_MORE_S = 10, /* that stopping may take beyond the two waits that are in it */
};

Pool *pool_new(Storage *storage, const char *name, const Uuid *uuid)
{
        Pool *pool = mem_new(Pool);

        *pool = (Pool){ .refs = 1, .storage = storage, .uuid = *uuid, .name = str_dup(name), .listed = true };
        pool->by_name = map_new();
        pool->by_key = map_new();
        pool->by_path = map_new();
        pool->busy = map_new();
        registry_add(storage->pools, name, uuid, pool);
        return pool;
}

Pool *pool_ref(Pool *pool)
{
        pool->refs++;
        return pool;
}

Pool *pool_unref(Pool *pool)
{
        if (!pool || --pool->refs)
                return NULL;
        pool_serve_free(pool->serve);
        pool_drop_volumes(pool);
        vec_done(&pool->volumes);
        map_free(pool->by_name);
        map_free(pool->by_key);
        map_free(pool->by_path);
        map_free(pool->busy);
        pool_def_unref(pool->config);
        pool_def_unref(pool->live);
        free(pool->name);
        free(pool);
        return NULL;
}

const PoolDef *pool_def(const Pool *pool)
{
        return pool->live ?: pool->config;
}

int pool_must_be_active(const Pool *pool, Error *err)
{
        return pool_is_active(pool)
                       ? 0
                       : err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is not active", pool->name);
}

int pool_must_be_inactive(const Pool *pool, Error *err)
{
        if (pool->changing)
                return err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is starting up or shutting down",
                               pool->name);
        if (pool->going)
                return err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is being undefined", pool->name);
        return pool->live ? err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is already active", pool->name)
                          : 0;
}

int pool_must_be_idle(const Pool *pool, Error *err)
{
        return pool->tasks ? err_set(err, ERR_INTERNAL, "pool '%s' has asynchronous jobs running.", pool->name) : 0;
}

void pool_drop(Pool *pool)
{
        if (!pool->listed)
                return;
        pool->listed = false;
        registry_remove(pool->storage->pools, &pool->uuid);
        pool_unref(pool);
}

void pool_format(const Pool *pool, bool inactive, Buf *ret)
{
        const PoolDef *def = inactive && pool->config ? pool->config : pool_def(pool);
        AUTO(PoolDef) *shown = pool_def_copy(def);

        shown->capacity_bytes = pool->live ? pool->capacity : 0;
        shown->allocation_bytes = pool->live ? pool->allocation : 0;
        shown->available_bytes = pool->live ? pool->available : 0;
        pool_def_format(shown, inactive ? DEF_FORMAT_INACTIVE : 0, ret);
}

int pool_open_login(const Pool *pool, Fd *ret, Error *err)
{
        const PoolSourceDef *source = pool_def(pool)->source;
        const PoolAuthDef *auth = source ? source->auth : NULL;
        const SecretValue *value;

        *ret = -1;
        if (!auth)
                return 0;
        if (!auth->secret)
                return err_set(err, ERR_XML, "<auth> of storage pool '%s' needs <secret uuid='...'/> or usage='...'",
                               pool->name);
        value = secret_value(pool->storage->driver->secrets, auth->secret,
                             auth->type == POOL_AUTH_TYPE_CEPH ? SECRET_USAGE_TYPE_CEPH : SECRET_USAGE_TYPE_ISCSI,
                             err);
        if (value && secret_value_fd(value, ret, err) == 0)
                return 0;
        err_prefix(err, "storage pool '%s'", pool->name);
        return -1;
}

int pool_open_lock(const Pool *pool, Fd *ret, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s.lock", pool->storage->status_dir, pool->name);

        *ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        return *ret < 0 ? err_errno(err, errno, "cannot open '%s'", path) : 0;
}

/* --- telling --- */

void pool_tell(const Pool *pool, int event)
{
        WireStoragePoolEventLifecycleMsg msg = { .pool = { pool->name, pool->uuid }, .event = event };

        event_emit(pool->storage->driver->events, WIRE_CLASS_STORAGE_POOL, VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
                   &pool->uuid, &msg);
}

void pool_tell_refreshed(const Pool *pool)
{
        WireStoragePoolEventRefreshMsg msg = { .pool = { pool->name, pool->uuid } };

        event_emit(pool->storage->driver->events, WIRE_CLASS_STORAGE_POOL, VIR_STORAGE_POOL_EVENT_ID_REFRESH,
                   &pool->uuid, &msg);
}

/* --- starting and stopping --- */

typedef struct Change {
        Pool *pool;
        DriverDone *done;
        void *arg;
        Error failure; /* of a start, while its note goes */
} Change;

static Change *change_new(Pool *pool, DriverDone *done, void *arg)
{
        Change *change = mem_new(Change);

        *change = (Change){ .pool = pool_ref(pool), .done = done, .arg = arg };
        return change;
}

static void change_end(Change *change, const Error *failure)
{
        change->done(change->arg, failure);
        pool_unref(change->pool);
        err_done(&change->failure);
        free(change);
}

static char *status_path(const Pool *pool)
{
        return str_format("%s/%s.xml", pool->storage->status_dir, pool->name);
}

/* A restarted daemon finds in it what runs. Lost with the boot, like what it speaks of. */
static void note_status(const Pool *pool, bool runs, DriverDone *done, void *arg)
{
        AUTOFREE char *path = NULL;
        AUTO(Buf) xml = { 0 };

        if (!pool->storage->files) {
                done(arg, NULL);
                return;
        }
        path = status_path(pool);
        if (!runs) {
                file_queue_remove(pool->storage->files, (const char *const[]){ path, NULL }, done, arg);
                return;
        }
        pool_def_format(pool->live, DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, &xml);
        file_queue_write(pool->storage->files, path, &xml, 0600, false, done, arg);
}

static void become_inactive(Pool *pool)
{
        pool->live = pool_def_unref(pool->live);
        pool->capacity = pool->allocation = pool->available = 0;
        pool_drop_volumes(pool);
}

static void log_unnoted(const Pool *pool, const Error *failure)
{
        log_error("storage pool '%s': %s; a restarted droverd will not know whether it runs", pool->name,
                  failure->text);
}

/* The pool is what the caller was promised, whether its note could be changed or not. */
static void check_noted(Pool *pool, const Error *failure)
{
        pool->changing = false;
        if (failure)
                log_unnoted(pool, failure);
}

static void started(Change *change)
{
        change->pool->changing = false;
        pool_tell(change->pool, VIR_STORAGE_POOL_EVENT_STARTED);
        change_end(change, NULL);
}

static void on_failure_noted(void *arg, const Error *failure)
{
        Change *change = arg;
        AUTO(Error) why = { 0 };

        check_noted(change->pool, failure);
        err_move(&why, &change->failure);
        change_end(change, &why);
}

static void on_given_up(void *arg, const Error *failure)
{
        Change *change = arg;

        /* what mounts may go on: the note stays, and the next daemon waits for its end */
        if (change->pool->storage->ending) {
                change_end(change, failure);
                return;
        }
        if (failure)
                log_warning("storage pool '%s': %s", change->pool->name, failure->text);
        become_inactive(change->pool);
        note_status(change->pool, false, on_failure_noted, change);
}

/* What mounts goes on without the process that watches it, and would mount when nobody wants it any more. */
static void give_up_mount(Change *change)
{
        AUTO(Error) err = { 0 };

        if (!storage_task(change->pool,
                          &(TaskSpec){ .words = { "pool", "give-up", "0" }, .patience_ms = STOP_MORE_S * 1000 },
                          on_given_up, change, &err))
                on_given_up(change, &err);
}

static void on_started(void *arg, const Error *failure)
{
        Change *change = arg;
        Pool *pool = change->pool;

        if (pool->storage->ending) {
                change_end(change, failure);
                return;
        }
        if (!failure) {
                started(change);
                return;
        }
        err_copy(&change->failure, failure);
        pool_serve_free(pool->serve);
        if (change->failure.code == ERR_OPERATION_TIMEOUT && pool_type_mounts(pool->live->type))
                give_up_mount(change);
        else
                on_given_up(change, NULL);
}

/*
 * Noted before anything is done: a daemon that is killed while a server makes mount wait leaves a pool that the next one
 * takes up, and finds to run or not once mount has ended.
 */
static void on_noted(void *arg, const Error *failure)
{
        Change *change = arg;
        Pool *pool = change->pool;
        AUTO(Error) err = { 0 };

        if (failure)
                log_unnoted(pool, failure);
        if (pool->storage->ending) {
                err_set(&err, ERR_OPERATION_ABORTED, "droverd ends");
                change_end(change, &err);
                return;
        }
        pool->serve = pool_serve_new(pool, true, on_started, change, &err);
        if (!pool->serve)
                on_started(change, &err);
}

void pool_start(Pool *pool, DriverDone *done, void *arg)
{
        Change *change = change_new(pool, done, arg);

        if (!pool->live)
                pool->live = pool_def_ref(pool->config);
        pool->changing = true;
        if (pool->storage->program) {
                note_status(pool, true, on_noted, change);
                return;
        }
        pool->capacity = pool->available = (uint64_t)IMAGINARY_BYTES_GIB << 30;
        started(change);
}

static void on_stop_noted(void *arg, const Error *failure)
{
        Change *change = arg;
        Pool *pool = change->pool;

        check_noted(pool, failure);
        pool_tell(pool, VIR_STORAGE_POOL_EVENT_STOPPED);
        if (!pool->config)
                pool_drop(pool);
        change_end(change, NULL);
}

static void on_stopped(void *arg, const Error *failure)
{
        Change *change = arg;
        Pool *pool = change->pool;

        if (pool->storage->ending) {
                change_end(change, failure);
                return;
        }
        if (failure) {
                AUTO(Error) why = { 0 };

                /* it is as it was; somebody must look after it again */
                err_copy(&why, failure);
                if (failure->code == ERR_OPERATION_TIMEOUT)
                        err_prefix(&why, "storage pool '%s' is not responding, and was not stopped", pool->name);
                pool->changing = false;
                pool_watch(pool);
                change_end(change, &why);
                return;
        }
        become_inactive(pool);
        note_status(pool, false, on_stop_noted, change);
}

void pool_stop(Pool *pool, DriverDone *done, void *arg)
{
        Change *change = change_new(pool, done, arg);
        unsigned patience_s = (unsigned)pool->storage->driver->daemon->config->storage_timeout;
        AUTOFREE char *patience = str_format("%u", patience_s);
        /* for what an earlier daemon began to mount, then for a server that is to let go of it */
        TaskSpec spec = { .words = { "pool", "stop", patience },
                          .patience_ms = (2 * patience_s + STOP_MORE_S) * 1000 };
        AUTO(Error) err = { 0 };

        pool->changing = true;
        pool_serve_free(pool->serve); /* whose files it has open could not be unmounted */
        if (!pool->storage->program)
                on_stopped(change, NULL);
        else if (!storage_task(pool, &spec, on_stopped, change, &err))
                on_stopped(change, &err);
}

/* --- pools that end by themselves --- */

static void nobody_waits(void *arg UNUSED, const Error *failure UNUSED)
{
}

static void end_lost(Pool *pool, const Error *why)
{
        Change *change = change_new(pool, nobody_waits, NULL);

        log_warning("storage pool '%s' does not run any more: %s", pool->name, why->text);
        pool->changing = true;
        pool_serve_free(pool->serve);
        become_inactive(pool);
        note_status(pool, false, on_stop_noted, change);
}

/* A server that is silent may speak again: its pool is as it was, and what its process says then counts. */
static void on_watched(void *arg, const Error *failure)
{
        AUTO(Pool) *pool = arg;

        if (!failure || pool->storage->ending || !pool_is_active(pool))
                return;
        if (failure->code == ERR_OPERATION_TIMEOUT && pool->serve && pool_serve_lives(pool->serve))
                log_warning("%s", failure->text);
        else
                end_lost(pool, failure);
}

void pool_watch(Pool *pool)
{
        AUTO(Error) err = { 0 };

        pool->serve = pool_serve_new(pool, false, on_watched, pool_ref(pool), &err);
        if (!pool->serve)
                on_watched(pool, &err);
}

void pool_watch_again(Pool *pool, const Error *why)
{
        uint64_t now_ms = loop_now_ms(pool->storage->driver->daemon->loop), before_ms = pool->unwatched_ms;

        pool->unwatched_ms = now_ms;
        if (before_ms && now_ms - before_ms < CALM_MS) {
                end_lost(pool, why);
                return;
        }
        log_warning("storage pool '%s': %s; another process watches it from now on", pool->name, why->text);
        pool_serve_free(pool->serve);
        pool_watch(pool);
}

/* --- refreshing --- */

static void on_refreshed(void *arg, const Error *failure)
{
        Change *change = arg;

        if (!failure)
                pool_tell_refreshed(change->pool);
        change_end(change, failure);
}

void pool_refresh(Pool *pool, DriverDone *done, void *arg)
{
        Change *change = change_new(pool, done, arg);

        if (pool->serve)
                pool_serve_scan(pool->serve, on_refreshed, change);
        else
                on_refreshed(change, NULL);
}
