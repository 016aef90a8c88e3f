/*
 * app/drover/names.c - what a word can be completed to when only the daemon knows
 */
#include "app/drover/names.h"

#include "app/drover/common.h"

#include "base/mem.h"
#include "base/str.h"

#include <stddef.h>

/* A call that answers with all objects of a kind, and where their names are in that. */
typedef struct Kind {
        const char *name, *placeholder;
        uint32_t proc;
        const void *args;
        size_t items_at, n_at, item_bytes, name_at;
} Kind;

#define LISTED_BY(proc_name, struct_name, list, n_list, item)                                                        \
        .proc = WIRE_PROC_CONNECT_LIST_ALL_##proc_name,                                                              \
        .args = &(const WireConnectListAll##struct_name##Args){ 1, 0 },                                              \
        .items_at = offsetof(WireConnectListAll##struct_name##Ret, list),                                            \
        .n_at = offsetof(WireConnectListAll##struct_name##Ret, n_list), .item_bytes = sizeof(item),                  \
        .name_at = offsetof(item, name)

static const Kind kinds[] = {
        { "domain", "DOMAIN", LISTED_BY(DOMAINS, Domains, domains, n_domains, WireDomain) },
        { "network", "NETWORK", LISTED_BY(NETWORKS, Networks, nets, n_nets, WireNetwork) },
        { "nwfilter", "NWFILTER", LISTED_BY(NWFILTERS, Nwfilters, filters, n_filters, WireNwfilter) },
        { "nodedev", "NODEDEV", LISTED_BY(NODE_DEVICES, NodeDevices, devices, n_devices, WireNodeDevice) },
        { "pool", "POOL", LISTED_BY(STORAGE_POOLS, StoragePools, pools, n_pools, WireStoragePool) },
        { "interface", "IFACE", LISTED_BY(INTERFACES, Interfaces, ifaces, n_ifaces, WireInterface) },
};

union Found {
        WireConnectListAllDomainsRet domains;
        WireConnectListAllNetworksRet networks;
        WireConnectListAllNwfiltersRet filters;
        WireConnectListAllNodeDevicesRet devices;
        WireConnectListAllStoragePoolsRet pools;
        WireConnectListAllInterfacesRet interfaces;
};

const char *names_kind(const ArgDef *def)
{
        if (str_eq(def->name, "domain"))
                return "domain";
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                if (str_eq(def->placeholder, kinds[i].placeholder))
                        return kinds[i].name;
        }
        return NULL;
}

static char **list(Session *session, const Kind *kind)
{
        union Found found;
        const char *item, *const *name;
        uint32_t n;
        char **names;

        if (session_call(session, kind->proc, kind->args, &found, NULL) < 0)
                return NULL;
        memcpy(&item, (const char *)&found + kind->items_at, sizeof(item));
        memcpy(&n, (const char *)&found + kind->n_at, sizeof(n));
        names = mem_new_array(char *, n + 1);
        for (uint32_t i = 0; i < n; i++) {
                name = (const void *)(item + i * kind->item_bytes + kind->name_at);
                names[i] = str_dup(*name);
        }
        return names;
}

char **names_of_kind(Session *session, const char *kind)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                if (str_eq(kind, kinds[i].name))
                        return list(session, &kinds[i]);
        }
        return NULL;
}
