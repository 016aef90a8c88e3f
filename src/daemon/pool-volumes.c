/*
 * daemon/pool-volumes.c - the volumes of a pool, in memory
 *
 * Found by name, key and path. Each knows its place in the vector, so that
 * removing one of ten thousand moves only the last.
 */
#include "daemon/pool.h"

#include "base/str.h"
#include "daemon/registry.h"
#include "daemon/volume-keys.h"

Volume *pool_find_volume(const Pool *pool, const char *name)
{
        return map_find_text(pool->by_name, name);
}

static const char *key_of(const VolumeDef *def)
{
        return def->key ?: def->name;
}

/*
 * Two volumes may have one key, as a disk that is reached in two ways is a unit of its host twice. The one that came
 * first is found by it; when it goes, the next is.
 */
static void add(Map *map, const char *text, Volume *volume, VolumeAlias alias)
{
        Volume *first = map_find_text(map, text);

        volume->next[alias] = first ? first->next[alias] : NULL;
        if (first)
                first->next[alias] = volume;
        else
                map_put_text(map, text, volume);
}

static void take_out(Map *map, const char *text, const Volume *volume, VolumeAlias alias)
{
        Volume *before = map_find_text(map, text), *next = volume->next[alias];

        if (before == volume) {
                if (next)
                        map_put_text(map, text, next);
                else
                        map_remove_text(map, text);
                return;
        }
        while (before->next[alias] != volume)
                before = before->next[alias];
        before->next[alias] = next;
}

static void index_volume(Pool *pool, Volume *volume)
{
        const char *path = volume->def->target.path;

        map_put_text(pool->by_name, volume->def->name, volume);
        add(pool->by_key, key_of(volume->def), volume, ALIAS_KEY);
        if (path)
                add(pool->by_path, path, volume, ALIAS_PATH);
}

static void unindex_volume(Pool *pool, const Volume *volume)
{
        const char *path = volume->def->target.path;

        map_remove_text(pool->by_name, volume->def->name);
        take_out(pool->by_key, key_of(volume->def), volume, ALIAS_KEY);
        if (path)
                take_out(pool->by_path, path, volume, ALIAS_PATH);
}

/* What was first to have a key stays the first when it is seen again. */
static void redefine(Pool *pool, Volume *volume, VolumeDef *def)
{
        bool moves = !str_eq(key_of(def), key_of(volume->def)) || !str_eq(def->target.path, volume->def->target.path);

        if (volume->def->target.encryption)
                volume_take_secrets(def, volume->def->target.encryption);
        if (moves)
                unindex_volume(pool, volume);
        volume_def_unref(volume->def);
        volume->def = def;
        if (moves)
                index_volume(pool, volume);
}

Volume *pool_put_volume(Pool *pool, VolumeDef *def)
{
        Volume *volume = pool_find_volume(pool, def->name);

        if (volume) {
                redefine(pool, volume, def);
        } else {
                volume = mem_new(Volume);
                volume->def = def;
                volume->place = pool->volumes.len;
                vec_push(&pool->volumes, volume);
                index_volume(pool, volume);
        }
        volume->seen = pool->scans;
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
