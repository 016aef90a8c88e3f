/*
 * host/storage/backend.c - the kinds of pools there are
 */
#include "host/storage/backend.h"

#include "base/str.h"

void storage_room_done(StorageRoom *room)
{
        fd_close(&room->lock);
        free(room->path);
        free(room->kept);
}

const StorageBackend *storage_backend_of(PoolType type, Error *err)
{
        static const StorageBackend *const backends[] = {
                [POOL_TYPE_DIR] = &storage_dir,
                [POOL_TYPE_FS] = &storage_fs,
                [POOL_TYPE_NETFS] = &storage_netfs,
                [POOL_TYPE_LOGICAL] = &storage_logical,
                [POOL_TYPE_DISK] = &storage_disk,
                [POOL_TYPE_ISCSI] = &storage_iscsi,
                [POOL_TYPE_SCSI] = &storage_scsi,
                [POOL_TYPE_MPATH] = &storage_mpath,
                [POOL_TYPE_RBD] = &storage_rbd,
                [POOL_TYPE_GLUSTER] = &storage_gluster,
                [POOL_TYPE_ZFS] = &storage_zfs,
                [POOL_TYPE_VSTORAGE] = &storage_vstorage,
                [POOL_TYPE_ISCSI_DIRECT] = &storage_iscsi_direct,
        };

        if (type < ARRAY_LEN(backends) && backends[type])
                return backends[type];
        err_set(err, ERR_CONFIG_UNSUPPORTED, "missing backend for pool type %d (%s)", type - 1, pool_type_text(type));
        return NULL;
}
