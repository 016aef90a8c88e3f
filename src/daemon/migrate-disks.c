/*
 * daemon/migrate-disks.c - copy a moving guest's disks over NBD
 *
 * The destination exports its images; the source mirrors onto them. A mirror is
 * a job of QEMU named after the disk; its states come as events. Once all are
 * ready they follow the guest's writes; with the guest stopped they are told to
 * complete without changing over, which leaves two equal images.
 */
#include "daemon/migrate-disks.h"

#include "base/json-write.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-source.h"

typedef enum CopyState {
        COPY_STARTING,
        COPY_RUNNING,
        COPY_READY,
        COPY_OVER,
} CopyState;

typedef struct Copy {
        Disks *disks;
        char *job, *node, *target_node, *export;
        CopyState state;
        char *failure;
} Copy;

struct Disks {
        Migration *migration;
        QmpClient *qmp;
        char *host;
        int port;
        Copy *copies;
        size_t n, at; /* the copy being set up or taken down */
        bool finishing, cancelling;
        QmpCall *call;
        void (*done)(void *arg, const Error *failure);
        void *arg;
};

bool disks_is_copied(const Migration *m, const DiskDef *disk)
{
        if (!(m->flags & MIGRATE_COPIES_DISKS) || !disk->source.path)
                return false;
        for (uint32_t i = 0; i < m->params.disks.n; i++) {
                if (str_eq(m->params.disks.items[i], disk->target_dev))
                        return true;
        }
        return !m->params.disks.n && disk->device == DISK_DEVICE_DISK && !disk->readonly && !disk->shareable;
}

static void report(Disks *d, const Error *failure)
{
        void (*done)(void *arg, const Error *failure) = d->done;

        if (d->call)
                d->call = qmp_call_free(d->call);
        d->done = NULL;
        if (done)
                done(d->arg, failure);
}

/* --- source: start --- */

static void set_up_next(Disks *d);

static void on_mirrored(void *arg, const Error *failure)
{
        Disks *d = arg;

        d->call = NULL;
        if (failure) {
                report(d, failure);
                return;
        }
        if (d->copies[d->at].state == COPY_STARTING)
                d->copies[d->at].state = COPY_RUNNING;
        d->at++;
        set_up_next(d);
}

static void on_target_added(void *arg, const Error *failure)
{
        Disks *d = arg;
        Copy *copy = &d->copies[d->at];
        bool top = d->migration->flags & VIR_MIGRATE_NON_SHARED_INC;

        d->call = NULL;
        if (failure) {
                report(d, failure);
                return;
        }
        d->call = qmp_blockdev_mirror(
                d->qmp,
                &(QmpBlockdevMirror){ .job_id = copy->job,
                                      .device = copy->node,
                                      .target = copy->target_node,
                                      .sync = top ? "top" : "full",
                                      .copy_mode = d->migration->flags & VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES
                                                           ? "write-blocking"
                                                           : "background",
                                      .has_auto_finalize = true,
                                      .auto_finalize = true,
                                      .has_auto_dismiss = true,
                                      .auto_dismiss = true },
                on_mirrored, d);
}

/* The other host's image, as a node of this QEMU. */
static void add_target(Disks *d, const Copy *copy)
{
        AUTO(JsonWriter) json = { 0 };

        json_open_object(&json, NULL);
        json_put_text(&json, "driver", "raw");
        json_put_text(&json, "node-name", copy->target_node);
        json_open_object(&json, "file");
        json_put_text(&json, "driver", "nbd");
        json_put_text(&json, "export", copy->export);
        json_open_object(&json, "server");
        json_put_text(&json, "type", "inet");
        json_put_text(&json, "host", d->host);
        json_put_format(&json, "port", "%d", d->port);
        json_close_object(&json);
        json_close_object(&json);
        json_close_object(&json);
        d->call = qmp_blockdev_add(d->qmp, json_text(&json), on_target_added, d);
}

static bool all_in(const Disks *d, CopyState state)
{
        for (size_t i = 0; i < d->n; i++) {
                if (d->copies[i].state != state)
                        return false;
        }
        return true;
}

static void set_up_next(Disks *d)
{
        if (d->at < d->n)
                add_target(d, &d->copies[d->at]);
        else if (all_in(d, COPY_READY))
                report(d, NULL);
}

Disks *disks_mirror(Migration *m, const char *host, int nbd_port, void (*done)(void *arg, const Error *failure),
                    void *arg, Error *err)
{
        const DomainDef *def = m->dom->live;
        AUTOFREE char *own_host = NULL;
        int ignored;
        Disks *d;

        if (m->params.disks_uri && migrate_parse_uri(m->params.disks_uri, &own_host, &ignored, err) < 0)
                return NULL;
        if (!nbd_port) {
                err_set(err, ERR_OPERATION_FAILED, "the destination opened no port for the guest's disks");
                return NULL;
        }
        d = mem_new(Disks);
        *d = (Disks){ .migration = m,
                      .qmp = guest_qmp(qemu_run(m->dom)->guest),
                      .host = str_dup(own_host ?: host),
                      .port = nbd_port,
                      .copies = mem_new_array(Copy, def->n_disks),
                      .done = done,
                      .arg = arg };
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];

                if (disks_is_copied(m, disk))
                        d->copies[d->n++] = (Copy){ .disks = d,
                                                    .job = str_format("drive-%s", disk->info.alias),
                                                    .node = qemu_disk_node(def, disk),
                                                    .target_node = str_format("migration-%s", disk->target_dev),
                                                    .export = str_format("drive-%s", disk->target_dev) };
        }
        set_up_next(d);
        return d;
}

/* --- source: follow, finish, give up --- */

static void take_down_next(Disks *d);

static void on_taken_down(void *arg, const Error *failure UNUSED)
{
        Disks *d = arg;

        d->call = NULL;
        d->at++;
        take_down_next(d);
}

/* The nodes of the other host's images go, whatever became of the copies. */
static void take_down_next(Disks *d)
{
        AUTO(Error) err = { 0 };

        if (d->at < d->n) {
                d->call = qmp_blockdev_del(d->qmp, &(QmpBlockdevDel){ .node_name = d->copies[d->at].target_node },
                                           on_taken_down, d);
                return;
        }
        for (size_t i = 0; i < d->n && d->finishing; i++) {
                if (d->copies[i].failure)
                        err_set(&err, ERR_OPERATION_FAILED, "the copy of a disk failed at its end: %s",
                                d->copies[i].failure);
        }
        report(d, err_is_set(&err) ? &err : NULL);
}

static void on_told(void *arg, const Error *failure)
{
        Copy *copy = arg;

        /* a job that is not there any more is over */
        if (failure && copy->state != COPY_OVER) {
                copy->state = COPY_OVER;
                if (all_in(copy->disks, COPY_OVER)) {
                        copy->disks->at = 0;
                        take_down_next(copy->disks);
                }
        }
}

/* force: without waiting for the last writes to be copied. A ready mirror that is cancelled softly leaves equal images. */
static void end_all(Disks *d, bool force, void (*done)(void *arg, const Error *failure), void *arg)
{
        d->done = done;
        d->arg = arg;
        d->finishing = !force;
        d->cancelling = force;
        if (d->call)
                d->call = qmp_call_free(d->call);
        for (size_t i = 0; i < d->n; i++) {
                if (d->copies[i].state != COPY_OVER && d->copies[i].state != COPY_STARTING)
                        qmp_block_job_cancel(
                                d->qmp,
                                &(QmpBlockJobCancel){ .device = d->copies[i].job, .has_force = true, .force = force },
                                on_told, &d->copies[i]);
                else
                        d->copies[i].state = COPY_OVER;
        }
        if (all_in(d, COPY_OVER)) {
                d->at = 0;
                take_down_next(d);
        }
}

void disks_finish(Disks *d, void (*done)(void *arg, const Error *failure), void *arg)
{
        end_all(d, false, done, arg);
}

void disks_cancel(Disks *d, void (*done)(void *arg, const Error *failure), void *arg)
{
        end_all(d, true, done, arg);
}

static Copy *find_copy(Disks *d, const char *job)
{
        for (size_t i = 0; i < d->n; i++) {
                if (str_eq(d->copies[i].job, job))
                        return &d->copies[i];
        }
        return NULL;
}

static void on_over(Disks *d, Copy *copy, const char *failure)
{
        AUTO(Error) err = { 0 };

        copy->state = COPY_OVER;
        str_replace(&copy->failure, failure);
        if (d->finishing || d->cancelling) {
                if (all_in(d, COPY_OVER)) {
                        d->at = 0;
                        take_down_next(d);
                }
                return;
        }
        err_set(&err, ERR_OPERATION_FAILED, "the copy of disk '%s' ended: %s", copy->export,
                failure ?: "it was cancelled");
        report(d, &err);
}

void disks_on_event(Disks *d, const QmpEvent *event)
{
        Copy *copy;

        switch (event->type) {
        case QMP_EVENT_BLOCK_JOB_READY:
                copy = find_copy(d, event->block_job_ready.device);
                if (copy) {
                        copy->state = COPY_READY;
                        if (d->at == d->n && all_in(d, COPY_READY) && d->done)
                                report(d, NULL);
                }
                return;
        case QMP_EVENT_BLOCK_JOB_COMPLETED:
                copy = find_copy(d, event->block_job_completed.device);
                if (copy)
                        on_over(d, copy, event->block_job_completed.error);
                return;
        case QMP_EVENT_BLOCK_JOB_CANCELLED:
                copy = find_copy(d, event->block_job_cancelled.device);
                if (copy)
                        on_over(d, copy, NULL);
                return;
        default:
                return;
        }
}

Disks *disks_free(Disks *d)
{
        if (!d)
                return NULL;
        if (d->call)
                qmp_call_free(d->call);
        for (size_t i = 0; i < d->n; i++) {
                free(d->copies[i].job);
                free(d->copies[i].node);
                free(d->copies[i].target_node);
                free(d->copies[i].export);
                free(d->copies[i].failure);
        }
        free(d->copies);
        free(d->host);
        free(d);
        return NULL;
}

/* --- destination --- */

typedef struct Exporting {
        Migration *migration;
        QmpClient *qmp;
        uint32_t at;
        void (*done)(void *arg, const Error *failure);
        void *arg;
} Exporting;

static void export_next(Exporting *e);

static void on_export_added(void *arg, const Error *failure)
{
        Exporting *e = arg;

        e->migration->query = NULL;
        if (failure) {
                e->done(e->arg, failure);
                free(e);
                return;
        }
        export_next(e);
}

static void export_next(Exporting *e)
{
        const DomainDef *def = e->migration->dom->live;
        AUTO(JsonWriter) json = { 0 };
        AUTOFREE char *node = NULL;

        while (e->at < def->n_disks && !disks_is_copied(e->migration, def->disks[e->at]))
                e->at++;
        if (e->at == def->n_disks) {
                e->done(e->arg, NULL);
                free(e);
                return;
        }
        node = qemu_disk_node(def, def->disks[e->at]);
        json_open_object(&json, NULL);
        json_put_text(&json, "type", "nbd");
        json_put_format(&json, "id", "export-%u", e->at);
        json_put_text(&json, "node-name", node);
        json_put_bool(&json, "writable", true);
        json_put_format(&json, "name", "drive-%s", def->disks[e->at]->target_dev);
        json_close_object(&json);
        e->at++;
        e->migration->query = qmp_block_export_add(e->qmp, json_text(&json), on_export_added, e);
}

static void on_server_started(void *arg, const Error *failure)
{
        on_export_added(arg, failure);
}

void disks_export(Migration *m, const char *address, int port, void (*done)(void *arg, const Error *failure),
                  void *arg)
{
        Exporting *e = mem_new(Exporting);
        AUTO(JsonWriter) json = { 0 };

        *e = (Exporting){ .migration = m, .qmp = guest_qmp(qemu_run(m->dom)->guest), .done = done, .arg = arg };
        json_open_object(&json, NULL);
        json_open_object(&json, "addr");
        json_put_text(&json, "type", "inet");
        json_open_object(&json, "data");
        json_put_text(&json, "host", address);
        json_put_format(&json, "port", "%d", port);
        json_close_object(&json);
        json_close_object(&json);
        json_close_object(&json);
        m->query = qmp_nbd_server_start(e->qmp, json_text(&json), on_server_started, e);
}

typedef struct Unexporting {
        Migration *migration;
        void (*done)(void *arg, const Error *failure);
        void *arg;
} Unexporting;

static void on_server_stopped(void *arg, const Error *failure)
{
        Unexporting *u = arg;

        u->migration->query = NULL;
        u->done(u->arg, failure);
        free(u);
}

void disks_unexport(Migration *m, void (*done)(void *arg, const Error *failure), void *arg)
{
        Unexporting *u = mem_new(Unexporting);

        *u = (Unexporting){ .migration = m, .done = done, .arg = arg };
        m->query = qmp_nbd_server_stop(guest_qmp(qemu_run(m->dom)->guest), on_server_stopped, u);
}
