/*
 * app/drover/cmd-pool.c - storage pools: define, start, stop, list and show
 */
#include "app/drover/commands.h"
#include "app/drover/editor.h"
#include "app/drover/storage.h"
#include "app/drover/xml.h"

#include "base/str.h"

#include <strings.h>

static const SwitchFlag create_switches[] = {
        { "build", VIR_STORAGE_POOL_CREATE_WITH_BUILD },
        { "overwrite", VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE },
        { "no-overwrite", VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE },
        { 0 },
};

int pool_create_flags(const Args *args, uint32_t *ret, Error *err)
{
        *ret = switch_flags(args, create_switches);
        return refuse_both(args, "overwrite", "no-overwrite", err);
}

/* --- definitions --- */

int pool_define_text(Session *s, const char *xml, uint32_t flags, WireStoragePool *ret, Error *err)
{
        WireStoragePoolDefineXmlRet made;

        if (session_call(s, WIRE_PROC_STORAGE_POOL_DEFINE_XML, &(WireStoragePoolDefineXmlArgs){ xml, flags }, &made,
                         err) < 0)
                return -1;
        *ret = made.pool;
        return 0;
}

int pool_create_text(Session *s, const char *xml, uint32_t flags, WireStoragePool *ret, Error *err)
{
        WireStoragePoolCreateXmlRet made;

        if (session_call(s, WIRE_PROC_STORAGE_POOL_CREATE_XML, &(WireStoragePoolCreateXmlArgs){ xml, flags }, &made,
                         err) < 0)
                return -1;
        *ret = made.pool;
        return 0;
}

static int pool_define(Session *s, const Args *args, Error *err)
{
        const char *file = arg_text(args, "file");
        AUTOFREE char *xml = read_text_file(file, err);
        WireStoragePool pool;

        if (!xml)
                return -1;
        if (pool_define_text(s, xml, arg_has(args, "validate") ? VIR_STORAGE_POOL_DEFINE_VALIDATE : 0, &pool, err) <
            0)
                return fail(err, "Failed to define pool from %s", file);
        out_done(s->out, "Pool %s defined from %s", pool.name, file);
        return 0;
}

static int pool_create(Session *s, const Args *args, Error *err)
{
        const char *file = arg_text(args, "file");
        AUTOFREE char *xml = read_text_file(file, err);
        WireStoragePool pool;
        uint32_t flags;

        if (!xml || pool_create_flags(args, &flags, err) < 0)
                return -1;
        if (pool_create_text(s, xml, flags, &pool, err) < 0)
                return fail(err, "Failed to create pool from %s", file);
        out_done(s->out, "Pool %s created from %s", pool.name, file);
        return 0;
}

static const char *pool_xml(Session *s, const WireStoragePool *pool, uint32_t flags, Error *err)
{
        WireStoragePoolGetXmlDescRet ret;

        return session_call(s, WIRE_PROC_STORAGE_POOL_GET_XML_DESC, &(WireStoragePoolGetXmlDescArgs){ *pool, flags },
                            &ret, err) < 0
                       ? NULL
                       : ret.xml;
}

static const char *fetch(Session *s, void *arg, Error *err)
{
        return pool_xml(s, arg, VIR_STORAGE_XML_INACTIVE, err);
}

static int apply(Session *s, void *arg UNUSED, const char *text, Error *err)
{
        WireStoragePool made;

        return pool_define_text(s, text, 0, &made, err);
}

static int pool_edit(Session *s, const Args *args, Error *err)
{
        WireStoragePool pool;
        Edit what = { .fetch = fetch, .apply = apply, .arg = &pool };
        EditResult result;

        if (find_pool_arg(s, args, &pool, err) < 0)
                return -1;
        result = edit(s, &what, err);
        if (result == EDIT_FAILED)
                return -1;
        out_done(s->out,
                 result == EDIT_APPLIED ? "Pool %s XML configuration edited."
                                        : "Pool %s XML configuration not changed.",
                 pool.name);
        return 0;
}

/* --- its life --- */

static int pool_build(Session *s, const Args *args, Error *err)
{
        uint32_t flags = (arg_has(args, "overwrite") ? VIR_STORAGE_POOL_BUILD_OVERWRITE : 0) |
                         (arg_has(args, "no-overwrite") ? VIR_STORAGE_POOL_BUILD_NO_OVERWRITE : 0);

        return pool_act(s, args, WIRE_PROC_STORAGE_POOL_BUILD, flags, "built", "build", err);
}

static int pool_start(Session *s, const Args *args, Error *err)
{
        uint32_t flags;

        if (pool_create_flags(args, &flags, err) < 0)
                return -1;
        return pool_act(s, args, WIRE_PROC_STORAGE_POOL_CREATE, flags, "started", "start", err);
}

static int pool_destroy(Session *s, const Args *args, Error *err)
{
        return pool_act(s, args, WIRE_PROC_STORAGE_POOL_DESTROY, 0, "destroyed", "destroy", err);
}

static int pool_delete(Session *s, const Args *args, Error *err)
{
        return pool_act(s, args, WIRE_PROC_STORAGE_POOL_DELETE, 0, "deleted", "delete", err);
}

static int pool_refresh(Session *s, const Args *args, Error *err)
{
        return pool_act(s, args, WIRE_PROC_STORAGE_POOL_REFRESH, 0, "refreshed", "refresh", err);
}

static int pool_undefine(Session *s, const Args *args, Error *err)
{
        return pool_act(s, args, WIRE_PROC_STORAGE_POOL_UNDEFINE, 0, "has been undefined", "undefine", err);
}

static int pool_autostart(Session *s, const Args *args, Error *err)
{
        WireStoragePoolSetAutostartArgs call = { .autostart = !arg_has(args, "disable") };
        const char *mark = call.autostart ? "mark" : "unmark";

        if (find_pool_arg(s, args, &call.pool, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_STORAGE_POOL_SET_AUTOSTART, &call, NULL, err) < 0)
                return fail(err, "failed to %s pool %s as autostarted", mark, call.pool.name);
        out_done(s->out, "Pool %s %sed as autostarted", call.pool.name, mark);
        return 0;
}

/* --- what there is --- */

static const SwitchFlag filters[] = {
        { "persistent", VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT },
        { "transient", VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT },
        { "autostart", VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART },
        { "no-autostart", VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART },
        { 0 },
};

static int compare_pools(const void *a, const void *b)
{
        return strcasecmp(((const WireStoragePool *)a)->name, ((const WireStoragePool *)b)->name);
}

static int type_flags(const char *types, uint32_t *flags, Error *err)
{
        /* in the order of the bits; sheepdog's has no pools here */
        static const char *const words[] = {
                "dir",   "fs",  "netfs",    "logical", "disk", "iscsi",    "scsi",
                "mpath", "rbd", "sheepdog", "gluster", "zfs",  "vstorage", "iscsi-direct"
        };
        AUTO_STRLIST list = str_split(types, ",");

        for (char **type = list; *type; type++) {
                size_t i = 0;

                while (i < ARRAY_LEN(words) && !str_eq(words[i], *type))
                        i++;
                if (i == ARRAY_LEN(words))
                        return err_set(err, ERR_INVALID_ARG, "Invalid pool type '%s'", *type);
                *flags |= (uint32_t)VIR_CONNECT_LIST_STORAGE_POOLS_DIR << i;
        }
        return 0;
}

static const char *state_text(int state)
{
        static const char *const words[] = { "inactive", "building", "running", "degraded", "inaccessible" };

        return WORD_OF(words, state);
}

static int add_row(Session *s, const WireStoragePool *pool, bool details, Table *table, Error *err)
{
        WireStoragePoolGetAutostartRet autostart;
        WireStoragePoolIsPersistentRet persistent = { 0 };
        WireStoragePoolGetInfoRet info;
        bool running;

        if (session_call(s, WIRE_PROC_STORAGE_POOL_GET_AUTOSTART, &(WireStoragePoolGetAutostartArgs){ *pool },
                         &autostart, err) < 0 ||
            session_call(s, WIRE_PROC_STORAGE_POOL_GET_INFO, &(WireStoragePoolGetInfoArgs){ *pool }, &info, err) <
                    0 ||
            (details && session_call(s, WIRE_PROC_STORAGE_POOL_IS_PERSISTENT,
                                     &(WireStoragePoolIsPersistentArgs){ *pool }, &persistent, err) < 0))
                return -1;
        running = info.state != VIR_STORAGE_POOL_INACTIVE;
        if (!details)
                table_add(table,
                          CELLS(pool->name, running ? "active" : "inactive", autostart.autostart ? "yes" : "no"));
        else
                table_add(table,
                          CELLS(pool->name, state_text(info.state), autostart.autostart ? "yes" : "no",
                                persistent.persistent ? "yes" : "no", running ? size_text(s, info.capacity) : "-",
                                running ? size_text(s, info.allocation) : "-",
                                running ? size_text(s, info.available) : "-"));
        return 0;
}

static int print_words(Session *s, const Args *args, const WireStoragePool *pools, uint32_t n)
{
        out_list(s->out);
        for (uint32_t i = 0; i < n; i++) {
                struct json_object *object = json_object_new_object();
                char uuid[UUID_TEXT_LEN + 1];
                bool both = arg_has(args, "uuid") && arg_has(args, "name");

                uuid_format(&pools[i].uuid, uuid);
                if (arg_has(args, "uuid")) {
                        json_object_object_add(object, "uuid", json_object_new_string(uuid));
                        out_print(s->out, both ? "%s " : "%s\n", uuid);
                }
                if (arg_has(args, "name")) {
                        json_object_object_add(object, "name", json_object_new_string(pools[i].name));
                        out_print(s->out, "%-20s\n", pools[i].name);
                }
                out_add(s->out, object);
        }
        return 0;
}

static int pool_list(Session *s, const Args *args, Error *err)
{
        WireConnectListAllStoragePoolsArgs call = { .need_results = 1, .flags = switch_flags(args, filters) };
        bool details = arg_has(args, "details");
        WireConnectListAllStoragePoolsRet found;
        AUTO(Table) *table = details ? table_new(TITLES("Name", "State", "Autostart?", "Persistent?", "Capacity#",
                                                        "Allocation#", "Available#"))
                                     : table_new(TITLES("Name", "State", "Autostart?"));

        if (!arg_has(args, "inactive"))
                call.flags |= VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE;
        if (arg_has(args, "inactive") || arg_has(args, "all"))
                call.flags |= VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE;
        if (refuse_both(args, "all", "inactive", err) < 0 || refuse_both(args, "details", "uuid", err) < 0 ||
            refuse_both(args, "details", "name", err) < 0 ||
            (arg_has(args, "type") && type_flags(arg_text(args, "type"), &call.flags, err) < 0) ||
            session_call(s, WIRE_PROC_CONNECT_LIST_ALL_STORAGE_POOLS, &call, &found, err) < 0)
                return -1;
        qsort(found.pools, found.n_pools, sizeof(*found.pools), compare_pools);
        if (arg_has(args, "uuid") || arg_has(args, "name"))
                return print_words(s, args, found.pools, found.n_pools);
        for (uint32_t i = 0; i < found.n_pools; i++) {
                AUTO(Error) why = { 0 };

                if (add_row(s, &found.pools[i], details, table, &why) < 0 && why.code != ERR_NO_STORAGE_POOL)
                        return err_move(err, &why);
        }
        out_table(s->out, table);
        return 0;
}

static int pool_info(Session *s, const Args *args, Error *err)
{
        enum { COLUMN = 16 };
        WireStoragePoolGetInfoRet info;
        WireStoragePoolIsPersistentRet persistent;
        WireStoragePoolGetAutostartRet autostart;
        char uuid[UUID_TEXT_LEN + 1];
        WireStoragePool pool;

        if (find_pool_arg(s, args, &pool, err) < 0 ||
            session_call(s, WIRE_PROC_STORAGE_POOL_GET_INFO, &(WireStoragePoolGetInfoArgs){ pool }, &info, err) < 0 ||
            session_call(s, WIRE_PROC_STORAGE_POOL_IS_PERSISTENT, &(WireStoragePoolIsPersistentArgs){ pool },
                         &persistent, err) < 0 ||
            session_call(s, WIRE_PROC_STORAGE_POOL_GET_AUTOSTART, &(WireStoragePoolGetAutostartArgs){ pool },
                         &autostart, err) < 0)
                return -1;
        out_field(s->out, COLUMN, "Name", "%s", pool.name);
        out_field(s->out, COLUMN, "UUID", "%s", uuid_format(&pool.uuid, uuid));
        out_field(s->out, COLUMN, "State", "%s", state_text(info.state));
        out_yes_no(s->out, COLUMN, "Persistent", persistent.persistent);
        out_yes_no(s->out, COLUMN, "Autostart", autostart.autostart);
        if (info.state != VIR_STORAGE_POOL_RUNNING && info.state != VIR_STORAGE_POOL_DEGRADED)
                return 0;
        if (arg_has(args, "bytes") || output_is_json(s->out)) {
                out_number(s->out, COLUMN, "Capacity", info.capacity, NULL);
                out_number(s->out, COLUMN, "Allocation", info.allocation, NULL);
                out_number(s->out, COLUMN, "Available", info.available, NULL);
                return 0;
        }
        out_field(s->out, COLUMN, "Capacity", "%s", size_text(s, info.capacity));
        out_field(s->out, COLUMN, "Allocation", "%s", size_text(s, info.allocation));
        out_field(s->out, COLUMN, "Available", "%s", size_text(s, info.available));
        return 0;
}

static int pool_dumpxml(Session *s, const Args *args, Error *err)
{
        WireStoragePool pool;
        const char *xml;

        if (find_pool_arg(s, args, &pool, err) < 0 ||
            !(xml = pool_xml(s, &pool, arg_has(args, "inactive") ? VIR_STORAGE_XML_INACTIVE : 0, err)))
                return -1;
        return print_xml(s, args, xml, err);
}

static int pool_name(Session *s, const Args *args, Error *err)
{
        WireStoragePool pool;

        if (find_pool_arg(s, args, &pool, err) < 0)
                return -1;
        out_value(s->out, "name", pool.name);
        return 0;
}

static int pool_uuid(Session *s, const Args *args, Error *err)
{
        char uuid[UUID_TEXT_LEN + 1];
        WireStoragePool pool;

        if (find_pool_arg(s, args, &pool, err) < 0)
                return -1;
        out_value(s->out, "uuid", uuid_format(&pool.uuid, uuid));
        return 0;
}

static int pool_capabilities(Session *s, const Args *args UNUSED, Error *err)
{
        WireConnectGetStoragePoolCapabilitiesRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_STORAGE_POOL_CAPABILITIES,
                         &(WireConnectGetStoragePoolCapabilitiesArgs){ 0 }, &ret, err) < 0)
                return fail(err, "failed to get storage pool capabilities");
        out_value(s->out, "xml", ret.capabilities);
        return 0;
}

#define ARGS_XML "[--xpath=EXPR]  only what this XPath expression finds\n[--wrap]        inside <nodes>\n"

const Command pool_commands[] = {
        { .name = "pool-autostart",
          .group = GROUP_STORAGE,
          .args = ARG_POOL "[--disable]  not any more",
          .summary = "start a storage pool with the host",
          .run = pool_autostart },
        { .name = "pool-build",
          .group = GROUP_STORAGE,
          .args = ARG_POOL "[--overwrite]     over what is there\n[--no-overwrite]  only where nothing is",
          .summary = "make what a storage pool stands on: its directory, its file system",
          .run = pool_build },
        { .name = "pool-capabilities",
          .group = GROUP_STORAGE,
          .summary = "print which kinds of storage pools can be had, as XML",
          .run = pool_capabilities },
        { .name = "pool-create",
          .group = GROUP_STORAGE,
          .args = "FILE              its definition, XML\n" ARGS_BUILD,
          .summary = "start a storage pool from a file, until it is stopped",
          .run = pool_create },
        { .name = "pool-define",
          .group = GROUP_STORAGE,
          .args = "FILE          its definition, XML\n[--validate]  refuse what is not understood",
          .summary = "define a storage pool, or change its definition",
          .run = pool_define },
        { .name = "pool-delete",
          .group = GROUP_STORAGE,
          .args = ARG_POOL,
          .summary = "remove what a stopped storage pool stands on; its volumes are lost",
          .run = pool_delete },
        { .name = "pool-destroy",
          .group = GROUP_STORAGE,
          .args = ARG_POOL,
          .summary = "stop a storage pool; its volumes stay",
          .run = pool_destroy },
        { .name = "pool-dumpxml",
          .group = GROUP_STORAGE,
          .args = ARG_POOL "[--inactive]  the definition of the next start\n" ARGS_XML,
          .summary = "print a storage pool's definition as XML",
          .run = pool_dumpxml },
        { .name = "pool-edit",
          .group = GROUP_STORAGE,
          .args = ARG_POOL,
          .summary = "change a storage pool's definition in an editor",
          .run = pool_edit },
        { .name = "pool-info",
          .group = GROUP_STORAGE,
          .args = ARG_POOL "[--bytes]  exact numbers",
          .summary = "show a storage pool's state and sizes",
          .run = pool_info },
        { .name = "pool-list",
          .group = GROUP_STORAGE,
          .args = "[--inactive]      those that are stopped\n"
                  "[--all]           both\n"
                  "[--transient]     those without a definition on disk\n"
                  "[--persistent]    those with one\n"
                  "[--autostart]     those that start with the host\n"
                  "[--no-autostart]  those that do not\n"
                  "[--type TYPES{" POOL_KINDS "}]  of these kinds, with commas between them\n"
                  "[--details]       with sizes\n"
                  "[--uuid]          only UUIDs\n"
                  "[--name]          only names",
          .summary = "list storage pools",
          .run = pool_list },
        { .name = "pool-name",
          .group = GROUP_STORAGE,
          .args = ARG_POOL,
          .summary = "print the name of a storage pool",
          .run = pool_name },
        { .name = "pool-refresh",
          .group = GROUP_STORAGE,
          .args = ARG_POOL,
          .summary = "look again at what is in a storage pool",
          .run = pool_refresh },
        { .name = "pool-start",
          .group = GROUP_STORAGE,
          .args = ARG_POOL ARGS_BUILD,
          .summary = "start a storage pool that is defined",
          .run = pool_start },
        { .name = "pool-undefine",
          .group = GROUP_STORAGE,
          .args = ARG_POOL,
          .summary = "remove a stopped storage pool's definition; its volumes stay",
          .run = pool_undefine },
        { .name = "pool-uuid",
          .group = GROUP_STORAGE,
          .args = ARG_POOL,
          .summary = "print the UUID of a storage pool",
          .run = pool_uuid },
        { 0 },
};
