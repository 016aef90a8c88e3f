/*
 * host/storage/iscsi-direct.c - pools that are the units of an iSCSI target, without the kernel
 *
 * Guests reach the units by themselves, over the network. To see them, this
 * process logs in, asks and logs out again, by libiscsi, which is loaded when
 * it is needed: it brings a lot along.
 */
#include "host/storage/backend.h"

#include "base/str.h"

#include <dlfcn.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>

enum { USUAL_PORT = 3260, MOST_UNITS = 16384, PATIENCE_S = 10 };

/* What is used of the library. */
typedef struct Library {
        __typeof__(&iscsi_create_context) create_context;
        __typeof__(&iscsi_destroy_context) destroy_context;
        __typeof__(&iscsi_get_error) get_error;
        __typeof__(&iscsi_set_timeout) set_timeout;
        __typeof__(&iscsi_set_noautoreconnect) set_noautoreconnect;
        __typeof__(&iscsi_set_targetname) set_targetname;
        __typeof__(&iscsi_set_session_type) set_session_type;
        __typeof__(&iscsi_set_initiator_username_pwd) set_password;
        __typeof__(&iscsi_connect_sync) connect_sync;
        __typeof__(&iscsi_login_sync) login_sync;
        __typeof__(&iscsi_logout_sync) logout_sync;
        __typeof__(&iscsi_discovery_async) discovery_async;
        __typeof__(&iscsi_get_fd) get_fd;
        __typeof__(&iscsi_which_events) which_events;
        __typeof__(&iscsi_service) service;
        __typeof__(&iscsi_reportluns_sync) reportluns_sync;
        __typeof__(&iscsi_readcapacity16_sync) readcapacity16_sync;
        __typeof__(&scsi_datain_unmarshall) datain_unmarshall;
        __typeof__(&scsi_free_scsi_task) free_scsi_task;
} Library;

typedef struct Session {
        Library lib;
        struct iscsi_context *context; /* NULL: none */
        bool logged_in;
        char *portal;
} Session;

static int load(Library *lib, Error *err)
{
        static const struct {
                const char *name;
                size_t at;
        } symbols[] = {
                { "iscsi_create_context", offsetof(Library, create_context) },
                { "iscsi_destroy_context", offsetof(Library, destroy_context) },
                { "iscsi_get_error", offsetof(Library, get_error) },
                { "iscsi_set_timeout", offsetof(Library, set_timeout) },
                { "iscsi_set_noautoreconnect", offsetof(Library, set_noautoreconnect) },
                { "iscsi_set_targetname", offsetof(Library, set_targetname) },
                { "iscsi_set_session_type", offsetof(Library, set_session_type) },
                { "iscsi_set_initiator_username_pwd", offsetof(Library, set_password) },
                { "iscsi_connect_sync", offsetof(Library, connect_sync) },
                { "iscsi_login_sync", offsetof(Library, login_sync) },
                { "iscsi_logout_sync", offsetof(Library, logout_sync) },
                { "iscsi_discovery_async", offsetof(Library, discovery_async) },
                { "iscsi_get_fd", offsetof(Library, get_fd) },
                { "iscsi_which_events", offsetof(Library, which_events) },
                { "iscsi_service", offsetof(Library, service) },
                { "iscsi_reportluns_sync", offsetof(Library, reportluns_sync) },
                { "iscsi_readcapacity16_sync", offsetof(Library, readcapacity16_sync) },
                { "scsi_datain_unmarshall", offsetof(Library, datain_unmarshall) },
                { "scsi_free_scsi_task", offsetof(Library, free_scsi_task) },
        };
        void *library = dlopen("libiscsi.so.7", RTLD_NOW | RTLD_LOCAL); /* stays for the life of the process */

        if (!library)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "iscsi-direct needs the library libiscsi: %s",
                               dlerror());
        for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
                void *found = dlsym(library, symbols[i].name);

                if (!found)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED, "libiscsi has no %s: it is too old",
                                       symbols[i].name);
                memcpy((char *)lib + symbols[i].at, &found, sizeof(found));
        }
        return 0;
}

static void session_done(Session *session)
{
        if (session->logged_in)
                session->lib.logout_sync(session->context);
        if (session->context)
                session->lib.destroy_context(session->context);
        free(session->portal);
}
DEFINE_AUTO_VALUE(Session, session_done)

static int failed(const Session *session, const char *what, Error *err)
{
        return err_set(err, ERR_OPERATION_FAILED, "cannot %s at '%s': %s", what, session->portal,
                       session->lib.get_error(session->context));
}

static int set_password(Session *session, const PoolAuthDef *auth, Error *err)
{
        const char *password;

        if (!auth)
                return 0;
        if (auth->type != POOL_AUTH_TYPE_CHAP)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "an iSCSI target takes <auth type='chap'> only");
        password = storage_password(err);
        if (!password)
                return -1;
        return session->lib.set_password(session->context, auth->username, password) < 0
                       ? failed(session, "log in with a password", err)
                       : 0;
}

/* target NULL: only to be told which ones there are. */
static int log_in(Session *session, const PoolSourceDef *source, const char *target, Error *err)
{
        const char *us = source->initiator_iqn ?: "iqn.2008-11.org.linux-kvm:drover";
        const PoolHostDef *host = source->hosts[0];
        unsigned port = host->port ?: USUAL_PORT;

        if (load(&session->lib, err) < 0)
                return -1;
        session->portal = strchr(host->name, ':') ? str_format("[%s]:%u", host->name, port)
                                                  : str_format("%s:%u", host->name, port);
        session->context = session->lib.create_context(us);
        if (!session->context)
                return err_set(err, ERR_OPERATION_FAILED, "libiscsi does not take the initiator name '%s'", us);
        session->lib.set_timeout(session->context, PATIENCE_S);
        /* it would connect for ever to a portal that hangs up on every question */
        session->lib.set_noautoreconnect(session->context, 1);
        if (set_password(session, source->auth, err) < 0)
                return -1;
        if (session->lib.set_session_type(session->context, target ? ISCSI_SESSION_NORMAL : ISCSI_SESSION_DISCOVERY) <
                    0 ||
            (target && session->lib.set_targetname(session->context, target) < 0) ||
            session->lib.connect_sync(session->context, session->portal) < 0)
                return failed(session, "connect", err);
        if (session->lib.login_sync(session->context) < 0)
                return failed(session, "log in", err);
        session->logged_in = true;
        return 0;
}

static int find_size(Session *session, unsigned unit, uint64_t *ret, Error *err)
{
        enum { GOOD = 0 };
        struct scsi_task *task = NULL;
        const struct scsi_readcapacity16 *capacity;
        int r = -1;

        /* the first command after a login may only hear that there was one */
        for (int tries = 0; tries < 3 && r < 0; tries++) {
                if (task)
                        session->lib.free_scsi_task(task);
                task = session->lib.readcapacity16_sync(session->context, (int)unit);
                capacity = task && task->status == GOOD ? session->lib.datain_unmarshall(task) : NULL;
                if (capacity && capacity->returned_lba < UINT64_MAX / (capacity->block_length ?: 1)) {
                        *ret = (capacity->returned_lba + 1) * capacity->block_length;
                        r = 0;
                }
        }
        if (task)
                session->lib.free_scsi_task(task);
        return r == 0 ? 0 : failed(session, "find the size of a unit", err);
}

static VolumeDef *describe(const PoolDef *pool, unsigned unit, uint64_t size)
{
        const PoolHostDef *host = pool->source->hosts[0];
        AUTOFREE char *name = str_format("unit:0:0:%u", unit);
        AUTOFREE char *path = str_format("ip-%s:%u-iscsi-%s-lun-%u", host->name, host->port ?: USUAL_PORT,
                                         pool_def_device(pool), unit);
        VolumeDef *def = storage_new_volume(path, name, NULL);

        def->type = VOLUME_TYPE_NETWORK;
        def->target.format = "raw";
        def->capacity_bytes = def->allocation_bytes = size;
        return def;
}

/* Units are 0 for a target that only manages others; such are no disks and have no size. */
static int add_units(Session *session, const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        enum { GOOD = 0, ALL = 0, FIRST_ROOM = 16, HEAD = 8, EACH = 8 };
        struct scsi_task *task = session->lib.reportluns_sync(session->context, ALL, HEAD + EACH * MOST_UNITS);
        const struct scsi_reportluns_list *list = task && task->status == GOOD ? session->lib.datain_unmarshall(task)
                                                                               : NULL;
        int r = list ? 0 : failed(session, "list the units", err);

        for (uint32_t i = 0; r == 0 && i < list->num && i < MOST_UNITS; i++) {
                AUTO(VolumeDef) *def = NULL;
                uint64_t size;

                if (find_size(session, list->luns[i], &size, NULL) < 0 || !size)
                        continue;
                def = describe(pool, list->luns[i], size);
                found(arg, def);
        }
        if (task)
                session->lib.free_scsi_task(task);
        return r;
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        AUTO(Session) session = { 0 };

        if (log_in(&session, pool->source, pool_def_device(pool), err) < 0)
                return -1;
        return add_units(&session, pool, found, arg, err);
}

static void add_size(void *arg, const VolumeDef *def)
{
        StorageFigures *sum = arg;

        sum->capacity += MIN(def->capacity_bytes, UINT64_MAX - sum->capacity);
}

static int figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        *ret = (StorageFigures){ 0 };
        if (scan(pool, add_size, ret, err) < 0)
                return -1;
        ret->allocation = ret->capacity;
        return 0;
}

/* --- which targets there are --- */

typedef struct Discovery {
        const PoolHostDef *host;
        PoolSourcesDef *found;
        bool answered;
        int status;
} Discovery;

static void on_targets(struct iscsi_context *context UNUSED, int status, void *data, void *arg)
{
        Discovery *d = arg;

        d->answered = true;
        d->status = status;
        for (const struct iscsi_discovery_address *one = status ? NULL : data; one; one = one->next) {
                PoolSourceDef *source = pool_sources_add(d->found);

                pool_source_add_host(d->found, source, d->host->name, d->host->port ?: USUAL_PORT);
                pool_source_add_device(d->found, source, one->target_name);
        }
}

/* The library's own call that waits gives nothing both when there are no targets and when it was not told. */
static int ask_for_targets(Session *session, Discovery *d, Error *err)
{
        const Library *lib = &session->lib;
        int turns = 0, r = lib->discovery_async(session->context, on_targets, d);

        while (r == 0 && !d->answered && turns < PATIENCE_S) {
                struct pollfd fd = { .fd = lib->get_fd(session->context),
                                     .events = (short)lib->which_events(session->context) };

                turns += poll(&fd, 1, 1000) == 0; /* the library's own patience ends first */
                r = lib->service(session->context, fd.revents);
        }
        if (d->answered && !d->status)
                return 0;
        session->logged_in = false; /* who did not answer that is not asked to let go */
        if (lib->get_error(session->context)[0])
                return failed(session, "find the targets", err);
        return err_set(err, ERR_OPERATION_FAILED, "cannot find the targets at '%s': it does not answer",
                       session->portal);
}

static int find_targets(const PoolSourceDef *spec, PoolSourcesDef *ret, Error *err)
{
        AUTO(Session) session = { 0 };

        if (!spec || !spec->n_hosts)
                return err_set(err, ERR_INVALID_ARG,
                               "where to look is not said: <source><host name='...'/></source>");
        if (log_in(&session, spec, NULL, err) < 0)
                return -1;
        return ask_for_targets(&session, &(Discovery){ .host = spec->hosts[0], .found = ret }, err);
}

const StorageBackend storage_iscsi_direct = { .scan = scan, .figures = figures, .find_sources = find_targets };
