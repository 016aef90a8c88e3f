/*
 * daemon/volume-use.c - running guests that a volume is a disk of, or stands below one
 *
 * What a guest was given is compared, not what QEMU has open: a volume that is named another way is kept from harm by
 * QEMU's locks, which drover-storage takes before it writes.
 */
#include "base/str.h"
#include "daemon/handle-storage.h"
#include "daemon/registry.h"

static bool is_source(const SourceDef *source, const Pool *pool, const VolumeDef *def)
{
        return (source->path && str_eq(source->path, def->target.path)) ||
               (str_eq(source->pool, pool->name) && str_eq(source->volume, def->name));
}

static bool is_below(const DiskDef *disk, const Pool *pool, const VolumeDef *def)
{
        for (const BackingStoreDef *at = disk->backing; at; at = at->backing) {
                if (is_source(&at->source, pool, def))
                        return true;
        }
        return false;
}

int volume_check_unused(const Pool *pool, const VolumeDef *def, VolumeUse use, const char *act, Error *err)
{
        const DomainList *domains = pool->storage->driver->domains;

        for (size_t i = 0; i < domain_list_len(domains); i++) {
                const Domain *dom = domain_list_at(domains, i);

                for (uint32_t j = 0; dom->live && j < dom->live->n_disks; j++) {
                        const DiskDef *disk = dom->live->disks[j];

                        if (is_source(&disk->source, pool, def) && (use == USE_ANY || !disk->shareable))
                                return err_set(err, ERR_OPERATION_INVALID,
                                               "volume '%s' is disk '%s' of the running guest '%s' and cannot be %s",
                                               def->name, disk->target_dev, dom->name, act);
                        if (is_below(disk, pool, def))
                                return err_set(
                                        err, ERR_OPERATION_INVALID,
                                        "volume '%s' is what disk '%s' of the running guest '%s' stands on and "
                                        "cannot be %s",
                                        def->name, disk->target_dev, dom->name, act);
                }
        }
        return 0;
}
