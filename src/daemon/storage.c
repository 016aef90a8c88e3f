/*
 * daemon/storage.c - the storage pools of a driver
 *
 * DIR/storage/NAME.xml holds a definition; RUN/storage/NAME.xml is there while
 * the pool runs, so that a restarted daemon takes it up as it is: what is
 * mounted stays mounted. A pool that turns out to have ended meanwhile is
 * inactive.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/def-store.h"
#include "daemon/helper.h"
#include "daemon/pool-serve.h"
#include "daemon/pool.h"
#include "daemon/registry.h"
#include "model/xml.h"

#include <errno.h>
#include <unistd.h>

#define SYSTEM_IMAGES "/var/lib/libvirt/images"

PoolDef *storage_parse_pool(Storage *storage, const char *xml, bool validate, Error *err)
{
        AUTO(Warnings) warnings = { 0 };
        AUTO(PoolDef) *def = NULL;

        if (pool_def_parse(xml, strlen(xml), DEF_PARSE_INACTIVE | (validate ? DEF_PARSE_VALIDATE : 0), &def,
                           &warnings, err) < 0 ||
            def_store_check_name("storage pool", def->name, err) < 0)
                return NULL;
        for (size_t i = 0; i < warnings.list.len; i++)
                log_warning("storage pool '%s': %s", def->name, warnings.list.items[i]);
        if (uuid_is_null(&def->uuid)) {
                const Pool *there = registry_find_name(storage->pools, def->name);

                /* without a UUID, the name says which pool is meant */
                if (there)
                        def->uuid = there->uuid;
                else
                        uuid_new_random(&def->uuid);
        }
        def->capacity_bytes = def->allocation_bytes = def->available_bytes = 0;
        return TAKE(def);
}

int storage_find_defined(Storage *storage, const PoolDef *def, Pool **ret, Error *err)
{
        Pool *by_name = registry_find_name(storage->pools, def->name);
        Pool *by_uuid = registry_find_uuid(storage->pools, &def->uuid);
        char text[UUID_TEXT_LEN + 1];

        if (by_uuid && by_uuid != by_name)
                return err_set(err, ERR_OPERATION_FAILED, "pool '%s' is already defined with uuid %s", by_uuid->name,
                               uuid_format(&def->uuid, text));
        if (by_name && !by_uuid)
                return err_set(err, ERR_OPERATION_FAILED, "pool '%s' already exists with uuid %s", def->name,
                               uuid_format(&by_name->uuid, text));
        if (by_name && by_name->going)
                return err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is being undefined", by_name->name);
        for (size_t i = 0; i < registry_len(storage->pools); i++) {
                Pool *other = registry_at(storage->pools, i);

                if (other != by_name && pool_def_same_source(pool_def(other), def))
                        return err_set(err, ERR_OPERATION_FAILED, "Storage source conflict with pool: '%s'",
                                       other->name);
        }
        *ret = by_name;
        return 0;
}

static int load_one(void *arg, const char *name, const char *xml, bool autostart, Error *err)
{
        Storage *storage = arg;
        AUTO(PoolDef) *def = storage_parse_pool(storage, xml, false, err);
        Pool *pool;

        if (!def || storage_find_defined(storage, def, &pool, err) < 0 ||
            def_store_check_file(name, def->name, err) < 0)
                return -1;
        pool = pool_new(storage, def->name, &def->uuid);
        pool->config = TAKE(def);
        pool->autostart = autostart;
        return 0;
}

/*
 * STO-02: once, at the first start, unless its name or its place is taken. Whoever removes it later has it removed, and
 * who defines it elsewhere has it there. An instance with a state directory of its own keeps to that.
 */
static int make_default(Storage *storage, Error *err)
{
        const Daemon *daemon = storage->driver->daemon;
        const DaemonDirs *dirs = &daemon->dirs;
        AUTOFREE char *mark = str_format("%s/default-pool-made", dirs->state);
        AUTOFREE char *images = str_eq(dirs->state, SYSTEM_STATE_DIR) ? str_dup(SYSTEM_IMAGES)
                                                                      : str_format("%s/images", dirs->state);
        AUTOFREE char *path = str_format("%s/storage/default.xml", dirs->config);
        AUTOFREE char *link = str_format("%s/storage/autostart/default.xml", dirs->config);
        AUTO(PoolDef) *def = NULL;
        AUTO(Buf) xml = { 0 };
        AUTO(Error) why = { 0 };
        Pool *there = NULL;
        struct stat st;

        if (!daemon->config->default_pool || access(mark, F_OK) == 0)
                return 0;
        buf_put_text(&xml, "<pool type='dir'><name>default</name><target><path>");
        xml_put_escaped(&xml, images);
        buf_put_text(&xml, "</path></target></pool>");
        def = storage_parse_pool(storage, buf_text(&xml), false, err);
        if (!def)
                return -1;
        /* a file of that name that could not be read is somebody's all the same */
        if (lstat(path, &st) < 0 && errno == ENOENT && storage_find_defined(storage, def, &there, &why) == 0 &&
            !there) {
                if (dir_make(images, 0711, &why) < 0)
                        log_warning("the storage pool 'default' cannot be started: %s", why.text);
                buf_clear(&xml);
                pool_def_format(def, DEF_FORMAT_INACTIVE, &xml);
                /* the definition last: with it, it is made */
                if (file_link_durable(link, "../default.xml", err) < 0 ||
                    file_write_durable(path, xml.data, xml.len, 0600, err) < 0 ||
                    load_one(storage, "default", buf_text(&xml), true, err) < 0)
                        return -1;
                ((Pool *)registry_find_name(storage->pools, "default"))->is_first = true;
        }
        return file_write_durable(mark, "", 0, 0600, err);
}

/* --- what runs --- */

static int take_up(void *arg, const char *name, const char *xml, bool autostart UNUSED, Error *err)
{
        Storage *storage = arg;
        AUTO(PoolDef) *def = storage_parse_pool(storage, xml, false, err);
        Pool *pool;

        if (!def || def_store_check_file(name, def->name, err) < 0)
                return -1;
        pool = registry_find_name(storage->pools, def->name) ?: pool_new(storage, def->name, &def->uuid);
        pool->live = TAKE(def);
        pool_watch(pool);
        return 0;
}

/* The pools that are being started, and one more until all were begun. */
typedef struct Autostart {
        size_t left;
        bool ending;
        void (*done)(void *arg);
        void *arg;
} Autostart;

typedef struct Autostarted {
        Autostart *all;
        Pool *pool;
} Autostarted;

static void one_less(Autostart *all)
{
        if (--all->left)
                return;
        if (!all->ending)
                all->done(all->arg);
        free(all);
}

static void on_autostarted(void *arg, const Error *failure)
{
        Autostarted *one = arg;

        one->all->ending = one->pool->storage->ending;
        if (failure && !one->all->ending)
                log_error("storage pool '%s' was not autostarted: %s", one->pool->name, failure->text);
        pool_unref(one->pool);
        one_less(one->all);
        free(one);
}

void storage_autostart(Storage *storage, bool after_boot, void (*done)(void *arg), void *arg)
{
        Autostart *all = mem_new(Autostart);

        *all = (Autostart){ .left = 1, .done = done, .arg = arg };
        for (size_t i = 0; i < registry_len(storage->pools); i++) {
                Pool *pool = registry_at(storage->pools, i);
                Autostarted *one;

                if (!pool->autostart || pool->live || !(after_boot || pool->is_first))
                        continue;
                one = mem_new(Autostarted);
                *one = (Autostarted){ .all = all, .pool = pool_ref(pool) };
                all->left++;
                pool_start(pool, on_autostarted, one);
        }
        one_less(all);
}

/* --- the whole --- */

static Storage *storage_new(Driver *driver)
{
        Storage *storage = mem_new(Storage);

        *storage = (Storage){ .driver = driver, .pools = registry_new() };
        driver->storage = storage;
        return storage;
}

int storage_load(Driver *driver, FileQueue *files, Error *err)
{
        const DaemonDirs *dirs = &driver->daemon->dirs;
        Storage *storage = storage_new(driver);
        AUTOFREE char *config_dir = str_format("%s/storage", dirs->config);
        AUTO(DefStore) *running = NULL;

        storage->files = files;
        storage->status_dir = str_format("%s/storage", dirs->run);
        storage->program = helper_program("drover-storage");
        storage->store = def_store_new(files, config_dir);
        running = def_store_new(files, storage->status_dir);
        if (def_store_load(storage->store, load_one, storage, err) < 0 || make_default(storage, err) < 0)
                return -1;
        return def_store_load(running, take_up, storage, err);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

int storage_load_imaginary(Driver *driver, Error *err)
{
        static const char first_pool[] = "<pool type='dir'>"
                                         "<name>default-pool</name>"
                                         "<uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566</uuid>"
                                         "<target><path>/default-pool</path></target>"
                                         "</pool>";
        Storage *storage = storage_new(driver);
        Pool *pool;

        if (load_one(storage, "default-pool", first_pool, false, err) < 0)
                return -1;
        pool = registry_find_name(storage->pools, "default-pool");
        pool_start(pool, ignore, NULL);
        return 0;
}

Storage *storage_free(Storage *storage)
{
        if (!storage)
                return NULL;
        storage->ending = true;
        while (storage->tasks.len)
                storage_task_abort(storage->tasks.items[0]);
        vec_done(&storage->tasks);
        for (size_t i = 0; i < registry_len(storage->pools); i++) {
                Pool *pool = registry_at(storage->pools, i);

                pool_serve_free(pool->serve);
                pool_unref(pool);
        }
        registry_free(storage->pools);
        def_store_free(storage->store);
        free(storage->status_dir);
        free(storage->program);
        free(storage);
        return NULL;
}
