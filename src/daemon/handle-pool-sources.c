/*
 * daemon/handle-pool-sources.c - what could be a storage pool
 *
 * Servers and devices are asked by a process of drover-storage, which may take as long as they do.
 */
#include "base/fd.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/handle-storage.h"
#include "daemon/handlers.h"
#include "daemon/helper.h"

enum { POOL_FD = 3, MOST_SOURCES = 3 * 1024 * 1024 };

static void on_found(void *arg, Buf *said, const Error *failure)
{
        Call *call = arg;

        if (failure)
                call_fail(call, failure);
        else
                call_reply(call, &(WireConnectFindStoragePoolSourcesRet){ .xml = buf_text(said) });
}

static void drop_helper(void *helper)
{
        helper_free(helper);
}

static bool can_be_told(PoolType type)
{
        return type == POOL_TYPE_LOGICAL || type == POOL_TYPE_NETFS || type == POOL_TYPE_ISCSI ||
               type == POOL_TYPE_ISCSI_DIRECT || type == POOL_TYPE_GLUSTER;
}

int handle_connect_find_storage_pool_sources(Call *call, const WireConnectFindStoragePoolSourcesArgs *args,
                                             Error *err)
{
        const Storage *storage = call_driver(call)->storage;
        const char *argv[] = { storage->program, "sources", args->type, NULL };
        PoolType type = (PoolType)enum_find(&pool_type_words, args->type);
        AUTO(Buf) where = { 0 };
        AUTO(Fd) fd = -1;
        Helper *helper;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (!type)
                return err_set(err, ERR_INVALID_ARG, "unknown storage pool type '%s'", args->type);
        if (!can_be_told(type) || !storage->program)
                return err_set(err, ERR_NO_SUPPORT, "pool type '%s' does not support source discovery", args->type);
        buf_put_text(&where, args->srcSpec ?: "");
        if (helper_text_fd(&where, &fd, err) < 0)
                return -1;
        helper = helper_new(call_daemon(call)->loop,
                            &(HelperSpec){ .argv = argv,
                                           .fds = (const ChildFd[]){ { fd, POOL_FD } },
                                           .n_fds = 1,
                                           .most_output = MOST_SOURCES,
                                           .numbered = true },
                            on_found, call, err);
        if (!helper)
                return -1;
        call_keep(call, helper, drop_helper);
        return 0;
}
