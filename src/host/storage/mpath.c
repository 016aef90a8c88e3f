/*
 * host/storage/mpath.c - the pool of all multipath devices (STO-36)
 *
 * multipathd makes them and gives them their names; the kernel tells which they
 * are. There is nothing to start or stop.
 */
#include "host/storage/scsi.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>

static int add_device(const PoolDef *pool, const char *block, StorageFound *found, void *arg, Error *err)
{
        AUTOFREE char *uuid = sysfs_read(block, "dm/uuid"), *name = sysfs_read(block, "dm/name"), *path = NULL;
        AUTO(VolumeDef) *def = NULL;

        if (!uuid || !name || !str_starts(uuid, "mpath-") || !*name || strchr(name, '/'))
                return 0;
        path = str_format("%s/%s", pool->target_path, name);
        if (storage_look_at_device(path, name, NULL, &def, err) < 0)
                return -1;
        if (def)
                found(arg, def);
        return 0;
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        AUTOFREE char *blocks = sysfs_path("class/block");
        DIR *dir = opendir(blocks);
        int r = 0;

        if (!dir)
                return err_errno(err, errno, "cannot read '%s'", blocks);
        for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
                AUTOFREE char *block = str_format("%s/%s", blocks, entry->d_name);

                if (str_starts(entry->d_name, "dm-"))
                        r = add_device(pool, block, found, arg, err);
        }
        closedir(dir);
        return r;
}

const StorageBackend storage_mpath = { .scan = scan, .figures = scsi_figures };
