/*
 * daemon/qemu-store.c - guests' definitions under the configuration directory, and the files that go with them
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/def-index.h"
#include "daemon/def-load.h"
#include "daemon/define.h"
#include "daemon/qemu-driver.h"
#include "daemon/save-helper.h"
#include "wire/constants.h"

#include <inttypes.h>

enum { PATIENCE_MS = 30 * 1000 };

/* While definitions are loaded. */
struct StoreLoad {
        QemuDriver *qemu;
        Map *saved, *running; /* names that have a managed save image, a status file: as found at the start */
        DefLoad *load;
};

static void *parse_one(void *arg, const char *name, const char *xml, Uuid *ret_uuid, Error *err)
{
        const StoreLoad *store = arg;
        AUTO(DomainDef) *def = define_parse_stored(store->qemu->driver, xml, ret_uuid, err);

        return def && def_store_check_file(name, def->name, err) == 0 ? TAKE(def) : NULL;
}

static void drop_one(void *def)
{
        domain_def_unref(def);
}

static int announce_one(void *arg, const char *name, const Uuid *uuid, bool autostart, Error *err)
{
        const StoreLoad *store = arg;
        Driver *driver = store->qemu->driver;
        Domain *dom;

        if (define_find_named(driver, name, uuid, &dom, err) < 0)
                return -1;
        dom = domain_list_add(driver->domains, driver, driver->daemon->loop, name, uuid);
        dom->persistent = true;
        dom->autostart = autostart;
        dom->has_managed_save = map_find_text(store->saved, name) != NULL;
        return 0;
}

static int add_one(void *arg, const char *name, void *parsed, bool autostart, Error *err)
{
        const StoreLoad *store = arg;
        AUTO(DomainDef) *def = parsed;
        Domain *dom;

        if (announce_one(arg, name, &def->uuid, autostart, err) < 0)
                return -1;
        dom = domain_list_find_uuid(store->qemu->driver->domains, &def->uuid);
        domain_set_config(dom, TAKE(def));
        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_ADDED); /* it may be late */
        return 0;
}

static void define_one(void *arg, const Uuid *uuid, void *def)
{
        const StoreLoad *store = arg;

        domain_set_config(domain_list_find_uuid(store->qemu->driver->domains, uuid), def);
}

static void withdraw_one(void *arg, const Uuid *uuid)
{
        const StoreLoad *store = arg;
        DomainList *domains = store->qemu->driver->domains;
        AUTO(Domain) *dom = domain_ref(domain_list_find_uuid(domains, uuid));

        domain_list_remove(domains, dom);
        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_UNDEFINED, VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
}

static bool is_urgent(void *arg, const char *name)
{
        return map_find_text(((const StoreLoad *)arg)->running, name) != NULL;
}

static bool has_uuid(const char *xml, Uuid *ret)
{
        AUTO(DomainDef) *def = NULL;

        if (domain_def_parse(xml, strlen(xml), DEF_PARSE_INACTIVE, &def, NULL, NULL) < 0)
                return false;
        *ret = def->uuid;
        return true;
}

static bool is_one_guest(const char *xml, const char *other)
{
        Uuid a, b;

        return has_uuid(xml, &a) && has_uuid(other, &b) && uuid_eq(&a, &b);
}

/* All that decides, beside a file, whether it is a definition: this program, and the QEMU that completes it. */
static char *list_facts(const QemuDriver *qemu)
{
        struct stat st = { 0 };
        FileStamp program;

        stat("/proc/self/exe", &st);
        program = file_stamp_of(&st);
        return str_format(DROVER_VERSION " %" PRIu64 " %" PRIu64 " %" PRIi64 " %" PRIi64 " %s %s", program.inode,
                          program.size, program.mtime_ns, program.ctime_ns,
                          qemu->driver->daemon->config->qemu_emulator,
                          qemu->caps ? qemu_caps_identity(qemu->caps) : "none");
}

int qemu_store_load(QemuDriver *qemu, Error *err)
{
        static const DefReader reader = { .parse = parse_one,
                                          .drop = drop_one,
                                          .add = add_one,
                                          .announce = announce_one,
                                          .define = define_one,
                                          .withdraw = withdraw_one,
                                          .is_urgent = is_urgent };
        AUTOFREE char *index = str_format("%s/qemu/definitions.index", qemu->driver->daemon->dirs.state);
        AUTOFREE char *facts = list_facts(qemu);
        StoreLoad *store = mem_new(StoreLoad);

        def_store_settle_renames(qemu->store, is_one_guest);
        *store = (StoreLoad){ .qemu = qemu,
                              .saved = dir_names(qemu->save_dir, ".save"),
                              .running = dir_names(qemu->status_dir, ".status") };
        qemu->loading = store;
        store->load = def_load_new(qemu->store, &reader, store, index, facts, err);
        qemu->driver->loading = store->load;
        return store->load ? 0 : -1;
}

static void on_loaded(void *arg)
{
        qemu_store_forget_load(arg);
}

void qemu_store_go_on(QemuDriver *qemu)
{
        def_load_go_on(qemu->loading->load, qemu->driver->daemon->workers, qemu->env.loop, on_loaded, qemu);
}

void qemu_store_stop(QemuDriver *qemu)
{
        if (qemu->loading && qemu->loading->load)
                def_load_stop(qemu->loading->load);
}

void qemu_store_forget_load(QemuDriver *qemu)
{
        StoreLoad *store = qemu->loading;

        if (!store)
                return;
        qemu->driver->loading = NULL;
        qemu->loading = NULL;
        def_load_free(store->load);
        map_free(store->saved);
        map_free(store->running);
        free(store);
}

static int format(const DomainDef *def, Buf *ret, Error *err)
{
        if (domain_def_format(def, DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, ret) < 0)
                return err_set(err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", def->name);
        return 0;
}

void qemu_store_save(Domain *dom, DomainDef *def, DriverDone *done, void *arg)
{
        AUTO(Buf) xml = { 0 };
        AUTO(Error) err = { 0 };

        if (format(def, &xml, &err) < 0)
                done(arg, &err);
        else
                def_store_save(qemu_driver(dom->driver)->store, def->name, &xml, done, arg);
}

static void remove_files(Domain *dom, unsigned undefine_flags, DriverDone *done, void *arg)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        AUTOFREE char *save = str_format("%s/%s.save", qemu->save_dir, dom->name);
        const char *others[2] = { undefine_flags & VIR_DOMAIN_UNDEFINE_MANAGED_SAVE ? save : NULL };

        def_store_remove(qemu->store, dom->name, others, done, arg);
}

/* The firmware's variables, which may be anywhere, go first; or, if nobody said what becomes of them, keep the definition. */
typedef struct Removal {
        Domain *dom; /* referenced */
        unsigned flags;
        Helper *helper;
        DriverDone *done;
        void *arg;
} Removal;

/* The variables are settled, or failure says why not. */
static void go_on(Removal *r, const Error *failure)
{
        AUTO(Domain) *dom = r->dom;

        helper_free(r->helper);
        if (failure)
                r->done(r->arg, failure);
        else
                remove_files(dom, r->flags, r->done, r->arg);
        free(r);
}

static void on_variables(void *arg, Buf *said, const Error *failure)
{
        Removal *r = arg;
        AUTO(Error) err = { 0 };

        if (failure && failure->code == ERR_OPERATION_TIMEOUT) {
                err_set(&err, ERR_OPERATION_TIMEOUT,
                        "the storage of the UEFI variables of domain '%s' did not answer within %d s; --keep-nvram "
                        "leaves them alone",
                        r->dom->name, PATIENCE_MS / 1000);
        } else if (failure) {
                err_copy(&err, failure);
                err_prefix(&err, "the UEFI variables of domain '%s'", r->dom->name);
        } else if (str_eq(buf_text(said), "yes")) {
                err_set(&err, ERR_OPERATION_INVALID,
                        "cannot undefine domain '%s' with nvram '%s'; remove that too with --nvram, or keep it with "
                        "--keep-nvram",
                        r->dom->name, r->dom->config->os.nvram);
        }
        go_on(r, err_is_set(&err) ? &err : NULL);
}

void qemu_store_remove(Domain *dom, unsigned undefine_flags, DriverDone *done, void *arg)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        bool remove = undefine_flags & VIR_DOMAIN_UNDEFINE_NVRAM;
        SaveHelperSpec spec = { .verb = remove ? "remove" : "find",
                                .path = dom->config->os.nvram,
                                .patience_ms = PATIENCE_MS,
                                .in = -1,
                                .out = -1,
                                .head = -1,
                                .commit = -1 };
        AUTO(Error) err = { 0 };
        Removal *r;

        if (!spec.path || undefine_flags & VIR_DOMAIN_UNDEFINE_KEEP_NVRAM) {
                remove_files(dom, undefine_flags, done, arg);
                return;
        }
        r = mem_new(Removal);
        *r = (Removal){ .dom = domain_ref(dom), .flags = undefine_flags, .done = done, .arg = arg };
        r->helper = save_helper_new(qemu, &spec, on_variables, r, &err);
        if (!r->helper)
                go_on(r, &err);
}

void qemu_store_autostart(Domain *dom, bool autostart, DriverDone *done, void *arg)
{
        def_store_autostart(qemu_driver(dom->driver)->store, dom->name, autostart, done, arg);
}

void qemu_store_rename(Domain *dom, DomainDef *def, const char *old_name, DriverDone *done, void *arg)
{
        AUTO(Buf) xml = { 0 };
        AUTO(Error) err = { 0 };

        if (format(def, &xml, &err) < 0)
                done(arg, &err);
        else
                def_store_rename(qemu_driver(dom->driver)->store, old_name, def->name, &xml, dom->autostart, done,
                                 arg);
}
