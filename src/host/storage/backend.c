/*
 * host/storage/backend.c - the kinds of pools there are
 */
#include "host/storage/backend.h"

const StorageBackend *storage_backend_of(PoolType type, Error *err)
{
        switch (type) {
        case POOL_TYPE_DIR:
                return &storage_dir;
        case POOL_TYPE_FS:
                return &storage_fs;
        case POOL_TYPE_NETFS:
                return &storage_netfs;
        default:
                err_set(err, ERR_CONFIG_UNSUPPORTED, "missing backend for pool type %d (%s)", type - 1,
                        pool_type_text(type));
                return NULL;
        }
}
