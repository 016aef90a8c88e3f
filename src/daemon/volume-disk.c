/*
 * daemon/volume-disk.c - disks that name a pool and a volume
 */
#include "base/file.h"
#include "daemon/handle-storage.h"
#include "daemon/pool-serve.h"
#include "daemon/registry.h"

static bool names_volume(const DiskDef *disk)
{
        return disk->type == DISK_TYPE_VOLUME && disk->source.pool && disk->source.volume;
}

/*
 * In a pool that is gone through for the first time, as all are after a start of the daemon, a volume has its place where
 * the kind of pool says so; whether it is there turns out when it is opened.
 */
static const char *path_to_come(const Pool *pool, const char *volume, Arena *arena)
{
        const PoolDef *def = pool->live;

        if (!pool->serve || !pool_serve_is_starting(pool->serve) || strchr(volume, '/') ||
            !(pool_type_is_directory(def->type) || def->type == POOL_TYPE_LOGICAL))
                return NULL;
        return arena_format(arena, "%s/%s", dir_stem(def->target_path), volume);
}

static int resolve(const Storage *storage, DiskDef *disk, Arena *arena, Error *err)
{
        const SourceDef *source = &disk->source;
        const Pool *pool = registry_find_name(storage->pools, source->pool);
        const Volume *volume;

        if (!pool)
                return err_set(err, ERR_NO_STORAGE_POOL, "disk '%s': no storage pool with matching name '%s'",
                               disk->target_dev, source->pool);
        if (!pool_is_active(pool))
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "disk '%s': storage pool '%s' containing volume '%s' is not active", disk->target_dev,
                               source->pool, source->volume);
        volume = pool_find_volume(pool, source->volume);
        if (!volume)
                disk->source.path = path_to_come(pool, source->volume, arena);
        if (!volume && !source->path)
                return err_set(err, ERR_NO_STORAGE_VOL,
                               "disk '%s': no storage vol with matching name '%s' in pool '%s'", disk->target_dev,
                               source->volume, source->pool);
        if (volume_is_changing(pool, source->volume))
                return err_set(err, ERR_OPERATION_INVALID,
                               "disk '%s': volume '%s' is still in use: it is being written or changed",
                               disk->target_dev, source->volume);
        if (volume && volume->def->type != VOLUME_TYPE_FILE && volume->def->type != VOLUME_TYPE_BLOCK)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "disk '%s': volume '%s' is neither a file nor a device",
                               disk->target_dev, source->volume);
        if (volume)
                disk->source.path = arena_dup(arena, volume->def->target.path);
        /* what a guest wrote does not say how it is opened */
        if (!disk->format)
                disk->format = DISK_FORMAT_RAW;
        return 0;
}

int volume_disks_resolve(const Storage *storage, DomainDef *def, Error *err)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (names_volume(def->disks[i]) && !def->disks[i]->source.path &&
                    resolve(storage, def->disks[i], def->head.arena, err) < 0)
                        return -1;
        }
        return 0;
}

void volume_disks_recall(const Storage *storage, DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                SourceDef *source = &def->disks[i]->source;
                const Pool *pool = names_volume(def->disks[i]) ? registry_find_name(storage->pools, source->pool)
                                                               : NULL;
                const PoolDef *pool_is = pool ? pool_def(pool) : NULL;

                if (pool_is && pool_is->target_path)
                        source->path = arena_format(def->head.arena, "%s/%s", dir_stem(pool_is->target_path),
                                                    source->volume);
        }
}
