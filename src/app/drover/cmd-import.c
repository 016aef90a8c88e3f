/*
 * app/drover/cmd-import.c - taking over what libvirt has defined on this host
 *
 * libvirt's files are read, never changed; what is in them is defined over the wire as any client would, so the daemon
 * checks it and makes it durable. What it has already, under the same name or UUID, stays as it is.
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/xml.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Item Item;

typedef struct Kind {
        const char *name, *dir;                   /* below libvirt's configuration directory */
        uint32_t by_name, by_uuid, set_autostart; /* no by_name: they have no names, and do not start */
        int missing;                              /* error code when there is none */
        int (*define)(Session *s, const Item *item, Error *err);
} Kind;

struct Item {
        const Kind *kind;
        char *text, *name, *uuid;
        char *value_path; /* where a secret's value is */
        bool autostart;
};

/* The reply of a look-up and the argument of set_autostart begin alike for all kinds with a name: name and UUID. */
typedef union Object {
        WireDomain domain;
        WireNetwork network;
        WireStoragePool pool;
        WireSecret secret;
} Object;

static int define_domain(Session *s, const Item *item, Error *err)
{
        WireDomainDefineXmlFlagsRet ret;

        return session_call(s, WIRE_PROC_DOMAIN_DEFINE_XML_FLAGS,
                            &(WireDomainDefineXmlFlagsArgs){ .xml = item->text }, &ret, err);
}

static int define_network(Session *s, const Item *item, Error *err)
{
        WireNetworkDefineXmlRet ret;

        return session_call(s, WIRE_PROC_NETWORK_DEFINE_XML, &(WireNetworkDefineXmlArgs){ .xml = item->text }, &ret,
                            err);
}

static int define_pool(Session *s, const Item *item, Error *err)
{
        WireStoragePoolDefineXmlRet ret;

        return session_call(s, WIRE_PROC_STORAGE_POOL_DEFINE_XML,
                            &(WireStoragePoolDefineXmlArgs){ .xml = item->text }, &ret, err);
}

/* A secret whose value is not there comes without one. */
static int set_secret_value(Session *s, const WireSecret *secret, const char *path, Error *err)
{
        enum { BASE64_MOST = 128 * 1024 };
        WireSecretSetValueArgs call = { .secret = *secret };
        AUTOFREE uint8_t *value = NULL;
        AUTO(Buf) text = { 0 };
        size_t n = 0;
        int r;

        if (access(path, F_OK) < 0)
                return 0;
        if (file_read(path, BASE64_MOST, &text, err) < 0)
                return -1;
        value = mem_new_array(uint8_t, text.len + 1);
        r = str_from_base64(buf_text(&text), value, &n);
        call.value = value;
        call.n_value = (uint32_t)n;
        if (r < 0)
                err_set(err, ERR_INVALID_SECRET, "'%s' is not base64", path);
        else
                r = session_call(s, WIRE_PROC_SECRET_SET_VALUE, &call, NULL, err);
        explicit_bzero(value, n);
        explicit_bzero(text.data, text.len);
        return r;
}

static int define_secret(Session *s, const Item *item, Error *err)
{
        WireSecretDefineXmlRet ret;

        if (session_call(s, WIRE_PROC_SECRET_DEFINE_XML, &(WireSecretDefineXmlArgs){ .xml = item->text }, &ret, err) <
            0)
                return -1;
        return set_secret_value(s, &ret.secret, item->value_path, err);
}

/* In the order in which they may need each other. */
static const Kind kinds[] = {
        { "secret", "secrets", 0, WIRE_PROC_SECRET_LOOKUP_BY_UUID, 0, ERR_NO_SECRET, define_secret },
        { "network", "qemu/networks", WIRE_PROC_NETWORK_LOOKUP_BY_NAME, WIRE_PROC_NETWORK_LOOKUP_BY_UUID,
          WIRE_PROC_NETWORK_SET_AUTOSTART, ERR_NO_NETWORK, define_network },
        { "pool", "storage", WIRE_PROC_STORAGE_POOL_LOOKUP_BY_NAME, WIRE_PROC_STORAGE_POOL_LOOKUP_BY_UUID,
          WIRE_PROC_STORAGE_POOL_SET_AUTOSTART, ERR_NO_STORAGE_POOL, define_pool },
        { "guest", "qemu", WIRE_PROC_DOMAIN_LOOKUP_BY_NAME, WIRE_PROC_DOMAIN_LOOKUP_BY_UUID,
          WIRE_PROC_DOMAIN_SET_AUTOSTART, ERR_NO_DOMAIN, define_domain },
};

/* --- what libvirt has --- */

/* Whether libvirtd runs this guest now: its process is alive. */
static bool is_running(const char *run_dir, const char *name)
{
        AUTOFREE char *path = str_format("%s/%s.pid", run_dir, name), *text = NULL;
        AUTO(Error) err = { 0 };
        int pid;

        if (access(path, F_OK) < 0)
                return false;
        text = read_text_file(path, &err);
        pid = text ? atoi(text) : 0;
        return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

static int read_item(const Kind *kind, const char *dir, const char *file, Item *ret, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", dir, file), *mark = str_format("%s/autostart/%s", dir, file);
        AUTO(Xml) *xml = NULL;
        Uuid uuid;

        *ret = (Item){ .kind = kind, .text = read_text_file(path, err), .autostart = access(mark, F_OK) == 0 };
        if (!ret->text)
                return -1;
        xml = xml_read(ret->text, err);
        if (!xml)
                return err_prefix(err, "'%s'", path);
        ret->uuid = xml_text(xml, NULL, "uuid");
        ret->name = kind->by_name ? xml_text(xml, NULL, "name") : str_dup(ret->uuid);
        ret->value_path = str_format("%.*s.base64", (int)(strlen(path) - strlen(".xml")), path);
        if (!ret->name || !ret->uuid || uuid_parse(ret->uuid, &uuid) < 0)
                return err_set(err, ERR_XML, "'%s' has no name or no UUID", path);
        return 0;
}

static void item_done(Item *item)
{
        free(item->text);
        free(item->name);
        free(item->uuid);
        free(item->value_path);
}
DEFINE_AUTO_VALUE(Item, item_done)

static int is_definition(const struct dirent *entry)
{
        return entry->d_name[0] != '.' && str_ends(entry->d_name, ".xml");
}

/* --- into the daemon --- */

/* 1 when there is an object that the look-up finds, 0 when there is none. */
static int find(Session *s, const Kind *kind, uint32_t proc, const void *args, Object *ret, Error *err)
{
        if (session_call(s, proc, args, ret, err) == 0)
                return 1;
        if ((int)err->code != kind->missing)
                return -1;
        err_done(err);
        *err = (Error){ 0 };
        return 0;
}

/* What stands in its way, or NULL: in the session's arena. */
static const char *obstacle(Session *s, const Item *item, Error *err)
{
        WireDomainLookupByNameArgs by_name = { .name = item->name };
        WireDomainLookupByUuidArgs by_uuid = { 0 };
        Object found;
        int n;

        if (uuid_parse(item->uuid, &by_uuid.uuid) < 0)
                return NULL;
        n = find(s, item->kind, item->kind->by_uuid, &by_uuid, &found, err);
        if (n > 0 && !item->kind->by_name)
                return "there already";
        if (n > 0)
                return str_eq(found.network.name, item->name)
                               ? "there already"
                               : arena_format(session_arena(s), "its UUID is that of '%s'", found.network.name);
        if (n == 0 && item->kind->by_name)
                n = find(s, item->kind, item->kind->by_name, &by_name, &found, err);
        return n > 0 ? "another one has its name" : NULL;
}

static int mark_autostart(Session *s, const Item *item, Error *err)
{
        WireDomainLookupByNameArgs by_name = { .name = item->name };
        union {
                WireDomainSetAutostartArgs domain;
                WireNetworkSetAutostartArgs network;
                WireStoragePoolSetAutostartArgs pool;
        } args = { 0 };
        Object found = { 0 };

        if (session_call(s, item->kind->by_name, &by_name, &found, err) < 0)
                return -1;
        if (item->kind->define == define_domain)
                args.domain = (WireDomainSetAutostartArgs){ found.domain, 1 };
        else if (item->kind->define == define_network)
                args.network = (WireNetworkSetAutostartArgs){ found.network, 1 };
        else
                args.pool = (WireStoragePoolSetAutostartArgs){ found.pool, 1 };
        return session_call(s, item->kind->set_autostart, &args, NULL, err);
}

static void report(Session *s, Table *table, const Item *item, const char *outcome)
{
        struct json_object *row = json_object_new_object();

        json_object_object_add(row, "kind", json_object_new_string(item->kind->name));
        json_object_object_add(row, "name", json_object_new_string(item->name ?: ""));
        json_object_object_add(row, "uuid", json_object_new_string(item->uuid ?: ""));
        json_object_object_add(row, "autostart", json_object_new_boolean(item->autostart));
        json_object_object_add(row, "outcome", json_object_new_string(outcome));
        if (output_is_json(s->out))
                out_add(s->out, row);
        else
                json_object_put(row);
        table_add(table, CELLS(item->kind->name, item->name ?: "-", item->autostart ? "yes" : "no", outcome));
}

/* One definition; -1 when it could not be taken over, which is in the report. */
static int import_item(Session *s, const Item *item, bool dry_run, Table *table)
{
        AUTO(Error) err = { 0 };
        const char *why = obstacle(s, item, &err);
        const char *outcome = why ?: dry_run ? "to be imported" : "imported";

        if (!why && !err_is_set(&err) && !dry_run && (item->kind->define(s, item, &err) == 0 && item->autostart))
                mark_autostart(s, item, &err);
        report(s, table, item, err_is_set(&err) ? err.text : outcome);
        return err_is_set(&err) ? -1 : 0;
}

/* How many could not be taken over; -1 when libvirt's directory cannot be read. */
static int import_kind(Session *s, const Kind *kind, const char *from, bool dry_run, Table *table, Error *err)
{
        AUTOFREE char *dir = str_format("%s/%s", from, kind->dir);
        struct dirent **entries;
        int n = scandir(dir, &entries, is_definition, alphasort), failed = 0;

        if (n < 0)
                return errno == ENOENT ? 0 : err_errno(err, errno, "cannot read '%s'", dir);
        for (int i = 0; i < n; i++) {
                AUTO(Item) item = { 0 };
                AUTO(Error) why = { 0 };

                if (read_item(kind, dir, entries[i]->d_name, &item, &why) < 0) {
                        report(s, table, &item, why.text);
                        failed++;
                } else if (import_item(s, &item, dry_run, table) < 0) {
                        failed++;
                }
                free(entries[i]);
        }
        free(entries);
        return failed;
}

static int check_none_runs(const char *from, const char *run_dir, Error *err)
{
        AUTOFREE char *dir = str_format("%s/qemu", from);
        AUTO(Buf) running = { 0 };
        struct dirent **entries;
        int n = scandir(dir, &entries, is_definition, alphasort);

        if (n < 0)
                return err_errno(err, errno, "cannot read '%s'", dir);
        for (int i = 0; i < n; i++) {
                AUTOFREE char *name = str_dup(entries[i]->d_name);

                name[strlen(name) - strlen(".xml")] = '\0';
                if (is_running(run_dir, name))
                        buf_format(&running, "%s'%s'", running.len ? ", " : "", name);
                free(entries[i]);
        }
        free(entries);
        if (running.len)
                return err_set(err, ERR_OPERATION_INVALID,
                               "libvirtd runs %s now, and two daemons must not have one guest: shut down, or migrate "
                               "live with 'drover migrate', and import then",
                               buf_text(&running));
        return 0;
}

static int import_libvirt(Session *s, const Args *args, Error *err)
{
        const char *from = arg_text(args, "from") ?: "/etc/libvirt",
                   *run_dir = arg_text(args, "run") ?: "/run/libvirt/qemu";
        AUTO(Table) *table = table_new(TITLES("Kind", "Name", "Autostart", "Outcome"));
        int failed = 0;

        if (check_none_runs(from, run_dir, err) < 0)
                return -1;
        out_list(s->out);
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                int n = import_kind(s, &kinds[i], from, arg_has(args, "dry-run"), table, err);

                if (n < 0)
                        return -1;
                failed += n;
        }
        if (!output_is_json(s->out))
                out_table(s->out, table);
        return failed ? err_set(err, ERR_OPERATION_FAILED, "%d could not be imported", failed) : 0;
}

const Command import_commands[] = {
        { .name = "import-libvirt",
          .group = GROUP_HOST,
          .args = "[--from=DIR]  libvirt's configuration instead of /etc/libvirt\n"
                  "[--run=DIR]   where libvirtd says what runs instead of /run/libvirt/qemu\n"
                  "[--dry-run]   only tell what would be done",
          .summary = "take over the guests, networks, pools and secrets that libvirt has defined",
          .text = "Names, UUIDs, MAC addresses and autostart marks stay the same. Libvirt's files are left alone, and "
                  "what the daemon has already is not touched. Guests that libvirtd runs are refused; saved states "
                  "stay with libvirt.",
          .run = import_libvirt },
        { 0 },
};
