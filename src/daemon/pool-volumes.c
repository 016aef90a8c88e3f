/*
 * daemon/pool-volumes.c - the volumes of a pool, in memory
 *
 * Found by name, key and path. Each knows its place in the vector, so that
 * removing one of ten thousand moves only the last.
 */
#include "daemon/pool.h"

#include "daemon/registry.h"
#include "daemon/volume-keys.h"

Volume *pool_find_volume(const Pool *pool, const char *name)
{
        return map_find_text(pool->by_name, name);
}

static void index_volume(Pool *pool, Volume *volume)
{
        map_put_text(pool->by_name, volume->def->name, volume);
        map_put_text(pool->by_key, volume->def->key ?: volume->def->name, volume);
        if (volume->def->target.path)
                map_put_text(pool->by_path, volume->def->target.path, volume);
}

static void unindex_volume(Pool *pool, const Volume *volume)
{
        map_remove_text(pool->by_name, volume->def->name);
        map_remove_text(pool->by_key, volume->def->key ?: volume->def->name);
        if (volume->def->target.path)
                map_remove_text(pool->by_path, volume->def->target.path);
}

Volume *pool_put_volume(Pool *pool, VolumeDef *def)
{
        Volume *volume = pool_find_volume(pool, def->name);

        if (volume) {
                if (volume->def->target.encryption)
                        volume_take_secrets(def, volume->def->target.encryption);
                unindex_volume(pool, volume);
                volume_def_unref(volume->def);
        } else {
                volume = mem_new(Volume);
                volume->place = pool->volumes.len;
                vec_push(&pool->volumes, volume);
        }
        volume->def = def;
        volume->seen = pool->scans;
        index_volume(pool, volume);
        return volume;
}

void pool_see_volume(Pool *pool, const char *name)
{
        Volume *volume = pool_find_volume(pool, name);

        if (volume)
                volume->seen = pool->scans;
}

static void drop(Pool *pool, Volume *volume)
{
        Volume *last = pool->volumes.items[--pool->volumes.len];

        pool->volumes.items[volume->place] = last;
        last->place = volume->place;
        unindex_volume(pool, volume);
        volume_def_unref(volume->def);
        free(volume);
}

void pool_drop_volume(Pool *pool, const char *name)
{
        Volume *volume = pool_find_volume(pool, name);

        if (volume)
                drop(pool, volume);
}

void pool_drop_volumes(Pool *pool)
{
        while (pool->volumes.len)
                drop(pool, pool->volumes.items[pool->volumes.len - 1]);
}

void pool_begin_scan(Pool *pool)
{
        pool->scanning = true;
        pool->scans++;
}

void pool_end_scan(Pool *pool)
{
        pool->scanning = false;
        for (size_t i = pool->volumes.len; i-- > 0;) {
                if (pool->volumes.items[i]->seen != pool->scans)
                        drop(pool, pool->volumes.items[i]);
        }
}

Volume *storage_find_volume(const Storage *storage, const char *key, const char *path, Pool **ret)
{
        for (size_t i = 0; i < registry_len(storage->pools); i++) {
                Pool *pool = registry_at(storage->pools, i);
                Volume *volume = NULL;

                if (!pool_is_active(pool))
                        continue;
                volume = key ? map_find_text(pool->by_key, key) : map_find_text(pool->by_path, path);
                if (volume) {
                        *ret = pool;
                        return volume;
                }
        }
        return NULL;
}
