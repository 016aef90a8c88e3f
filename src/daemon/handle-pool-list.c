/*
 * daemon/handle-pool-list.c - finding and listing storage pools, and what is known of one
 */
#include "base/str.h"
#include "daemon/handle-storage.h"
#include "daemon/handlers.h"
#include "daemon/registry.h"
#include "wire/constants.h"

enum {
        LIST_ACTIVITY = VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE | VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE,
        LIST_PERSISTENCE = VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT | VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT,
        LIST_AUTOSTART = VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART | VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART,
        LIST_TYPES = VIR_CONNECT_LIST_STORAGE_POOLS_DIR | VIR_CONNECT_LIST_STORAGE_POOLS_FS |
                     VIR_CONNECT_LIST_STORAGE_POOLS_NETFS | VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL |
                     VIR_CONNECT_LIST_STORAGE_POOLS_DISK | VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI |
                     VIR_CONNECT_LIST_STORAGE_POOLS_SCSI | VIR_CONNECT_LIST_STORAGE_POOLS_MPATH |
                     VIR_CONNECT_LIST_STORAGE_POOLS_RBD | VIR_CONNECT_LIST_STORAGE_POOLS_SHEEPDOG |
                     VIR_CONNECT_LIST_STORAGE_POOLS_GLUSTER | VIR_CONNECT_LIST_STORAGE_POOLS_ZFS |
                     VIR_CONNECT_LIST_STORAGE_POOLS_VSTORAGE | VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT,
        LIST_MOST = 16384,
};

Pool *call_find_pool(Call *call, const WireStoragePool *wire, Error *err)
{
        Pool *pool = registry_find_uuid(call_driver(call)->storage->pools, &wire->uuid);
        char uuid[UUID_TEXT_LEN + 1];

        if (!pool)
                err_set(err, ERR_NO_STORAGE_POOL, "no storage pool with matching uuid '%s' (%s)",
                        uuid_format(&wire->uuid, uuid), wire->name);
        return pool;
}

WireStoragePool wire_pool(const Pool *pool)
{
        return (WireStoragePool){ .name = pool->name, .uuid = pool->uuid };
}

int call_reply_pool(Call *call, const Pool *pool)
{
        /* all replies that carry just a pool look alike on the wire */
        call_reply(call, &(WireStoragePoolLookupByNameRet){ .pool = wire_pool(pool) });
        return 0;
}

static uint32_t type_bit(PoolType type)
{
        static const uint32_t bits[] = {
                [POOL_TYPE_DIR] = VIR_CONNECT_LIST_STORAGE_POOLS_DIR,
                [POOL_TYPE_FS] = VIR_CONNECT_LIST_STORAGE_POOLS_FS,
                [POOL_TYPE_NETFS] = VIR_CONNECT_LIST_STORAGE_POOLS_NETFS,
                [POOL_TYPE_LOGICAL] = VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL,
                [POOL_TYPE_DISK] = VIR_CONNECT_LIST_STORAGE_POOLS_DISK,
                [POOL_TYPE_ISCSI] = VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI,
                [POOL_TYPE_ISCSI_DIRECT] = VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT,
                [POOL_TYPE_SCSI] = VIR_CONNECT_LIST_STORAGE_POOLS_SCSI,
                [POOL_TYPE_MPATH] = VIR_CONNECT_LIST_STORAGE_POOLS_MPATH,
                [POOL_TYPE_RBD] = VIR_CONNECT_LIST_STORAGE_POOLS_RBD,
                [POOL_TYPE_GLUSTER] = VIR_CONNECT_LIST_STORAGE_POOLS_GLUSTER,
                [POOL_TYPE_ZFS] = VIR_CONNECT_LIST_STORAGE_POOLS_ZFS,
                [POOL_TYPE_VSTORAGE] = VIR_CONNECT_LIST_STORAGE_POOLS_VSTORAGE,
        };

        return bits[type];
}

static bool passes_filter(const Pool *pool, uint32_t flags)
{
        return list_passes(flags, LIST_ACTIVITY,
                           pool_is_active(pool) ? VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
                                                : VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE) &&
               list_passes(flags, LIST_PERSISTENCE,
                           pool->config ? VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT
                                        : VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT) &&
               list_passes(flags, LIST_AUTOSTART,
                           pool->autostart ? VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART
                                           : VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART) &&
               list_passes(flags, LIST_TYPES, type_bit(pool_def(pool)->type));
}

int handle_connect_list_all_storage_pools(Call *call, const WireConnectListAllStoragePoolsArgs *args, Error *err)
{
        const Registry *pools = call_driver(call)->storage->pools;
        WireConnectListAllStoragePoolsRet ret = { 0 };

        if (call_check_flags(call, args->flags, LIST_ACTIVITY | LIST_PERSISTENCE | LIST_AUTOSTART | LIST_TYPES, err) <
            0)
                return -1;
        if (args->need_results)
                ret.pools = arena_new_array(call_arena(call), WireStoragePool, registry_len(pools));
        for (size_t i = 0; i < registry_len(pools); i++) {
                if (!passes_filter(registry_at(pools, i), args->flags))
                        continue;
                if (ret.ret++ < LIST_MOST && args->need_results)
                        ret.pools[ret.n_pools++] = wire_pool(registry_at(pools, i));
        }
        if (args->need_results && ret.ret > LIST_MOST)
                return err_set(err, ERR_RPC, "there are %u pools; a list holds at most %d, so ask for fewer", ret.ret,
                               LIST_MOST);
        call_reply(call, &ret);
        return 0;
}

/* --- the older calls, which name or count the active and the inactive apart --- */

static int32_t count(Call *call, bool active)
{
        const Registry *pools = call_driver(call)->storage->pools;
        int32_t n = 0;

        for (size_t i = 0; i < registry_len(pools); i++)
                n += pool_is_active(registry_at(pools, i)) == active;
        return n;
}

int handle_connect_num_of_storage_pools(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfStoragePoolsRet){ .num = count(call, true) });
        return 0;
}

int handle_connect_num_of_defined_storage_pools(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfDefinedStoragePoolsRet){ .num = count(call, false) });
        return 0;
}

static int list_names(Call *call, int32_t most, bool active, Error *err)
{
        const Registry *pools = call_driver(call)->storage->pools;
        WireConnectListStoragePoolsRet ret = { 0 };

        if (most < 0 || most > LIST_MOST)
                return err_set(err, ERR_RPC, "%d items are asked for; 0 to %d can be given", most, LIST_MOST);
        ret.names = arena_new_array(call_arena(call), const char *, (size_t)most);
        for (size_t i = 0; i < registry_len(pools) && ret.n_names < (uint32_t)most; i++) {
                const Pool *pool = registry_at(pools, i);

                if (pool_is_active(pool) == active)
                        ret.names[ret.n_names++] = pool->name;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_storage_pools(Call *call, const WireConnectListStoragePoolsArgs *args, Error *err)
{
        return list_names(call, args->maxnames, true, err);
}

int handle_connect_list_defined_storage_pools(Call *call, const WireConnectListDefinedStoragePoolsArgs *args,
                                              Error *err)
{
        return list_names(call, args->maxnames, false, err);
}

/* --- finding one --- */

int handle_storage_pool_lookup_by_name(Call *call, const WireStoragePoolLookupByNameArgs *args, Error *err)
{
        const Pool *pool = registry_find_name(call_driver(call)->storage->pools, args->name);

        if (!pool)
                return err_set(err, ERR_NO_STORAGE_POOL, "no storage pool with matching name '%s'", args->name);
        return call_reply_pool(call, pool);
}

int handle_storage_pool_lookup_by_uuid(Call *call, const WireStoragePoolLookupByUuidArgs *args, Error *err)
{
        const Pool *pool = registry_find_uuid(call_driver(call)->storage->pools, &args->uuid);
        char text[UUID_TEXT_LEN + 1];

        if (!pool)
                return err_set(err, ERR_NO_STORAGE_POOL, "no storage pool with matching uuid '%s'",
                               uuid_format(&args->uuid, text));
        return call_reply_pool(call, pool);
}

int handle_storage_pool_lookup_by_target_path(Call *call, const WireStoragePoolLookupByTargetPathArgs *args,
                                              Error *err)
{
        const Registry *pools = call_driver(call)->storage->pools;
        size_t len = strlen(args->path);

        while (len > 1 && args->path[len - 1] == '/')
                len--;
        for (size_t i = 0; i < registry_len(pools); i++) {
                const Pool *pool = registry_at(pools, i);
                const char *path = pool_def(pool)->target_path;

                if (pool_is_active(pool) && path && strlen(path) == len && memcmp(path, args->path, len) == 0)
                        return call_reply_pool(call, pool);
        }
        return err_set(err, ERR_NO_STORAGE_POOL, "no storage pool with matching target path '%s'", args->path);
}

int handle_storage_pool_lookup_by_volume(Call *call, const WireStoragePoolLookupByVolumeArgs *args, Error *err)
{
        const Pool *pool = registry_find_name(call_driver(call)->storage->pools, args->vol.pool);

        if (!pool)
                return err_set(err, ERR_NO_STORAGE_POOL, "no storage pool with matching name '%s'", args->vol.pool);
        return call_reply_pool(call, pool);
}

/* --- what is known of one --- */

int handle_storage_pool_get_info(Call *call, const WireStoragePoolGetInfoArgs *args, Error *err)
{
        const Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool)
                return -1;
        call_reply(call, &(WireStoragePoolGetInfoRet){ .state = pool_is_active(pool) ? VIR_STORAGE_POOL_RUNNING
                                                                : pool->live         ? VIR_STORAGE_POOL_BUILDING
                                                                                     : VIR_STORAGE_POOL_INACTIVE,
                                                       .capacity = pool->capacity,
                                                       .allocation = pool->allocation,
                                                       .available = pool->available });
        return 0;
}

int handle_storage_pool_get_xml_desc(Call *call, const WireStoragePoolGetXmlDescArgs *args, Error *err)
{
        const Pool *pool = call_find_pool(call, &args->pool, err);
        AUTO(Buf) xml = { 0 };

        if (!pool || call_check_flags(call, args->flags, VIR_STORAGE_XML_INACTIVE, err) < 0)
                return -1;
        pool_format(pool, args->flags & VIR_STORAGE_XML_INACTIVE, &xml);
        call_reply(call, &(WireStoragePoolGetXmlDescRet){ .xml = buf_text(&xml) });
        return 0;
}

int handle_storage_pool_get_autostart(Call *call, const WireStoragePoolGetAutostartArgs *args, Error *err)
{
        const Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool)
                return -1;
        call_reply(call, &(WireStoragePoolGetAutostartRet){ .autostart = pool->autostart });
        return 0;
}

int handle_storage_pool_is_active(Call *call, const WireStoragePoolIsActiveArgs *args, Error *err)
{
        const Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool)
                return -1;
        call_reply(call, &(WireStoragePoolIsActiveRet){ .active = pool_is_active(pool) });
        return 0;
}

int handle_storage_pool_is_persistent(Call *call, const WireStoragePoolIsPersistentArgs *args, Error *err)
{
        const Pool *pool = call_find_pool(call, &args->pool, err);

        if (!pool)
                return -1;
        call_reply(call, &(WireStoragePoolIsPersistentRet){ .persistent = pool->config != NULL });
        return 0;
}
