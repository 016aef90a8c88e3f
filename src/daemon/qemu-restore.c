/*
 * daemon/qemu-restore.c - a guest from a file
 *
 * The image is checked by drover-save before anything is touched. Then QEMU is
 * started to wait for a migration, and drover-save sends it the state.
 */
#include "daemon/qemu-save.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/define.h"
#include "daemon/qemu-hook.h"
#include "daemon/save-helper.h"
#include "loop/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define STREAM_FD "drover-restore"

struct Restore {
        Domain *dom;  /* referenced */
        QemuRun *run; /* NULL: its QEMU ended */
        char *path;
        StartOptions options;
        DriverDone *done;
        void *arg;
        Helper *helper;
        QmpCall *incoming; /* QEMU is told to read; its event may come before its answer */
        Error failure;
        bool reading; /* QEMU was told to, and has not said how it went */
};

/* From here a daemon that comes back lets the guest go on, whatever it finds. */
static void forget_image(QemuRun *run)
{
        free(TAKE(run->image));
        qemu_status_save(run->dom);
}

static void finish(Restore *r)
{
        DriverDone *done = r->done;
        void *arg = r->arg;
        AUTO(Domain) *dom = r->dom;
        AUTO(Error) failure = { 0 };

        if (r->run) {
                r->run->restore = NULL;
                if (!r->options.managed_image)
                        forget_image(r->run);
        }
        err_move(&failure, &r->failure);
        qmp_call_free(r->incoming);
        helper_free(r->helper);
        free(r->path);
        free(r);
        done(arg, err_is_set(&failure) ? &failure : NULL);
}

static void on_stopped(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_error("a guest that could not be restored cannot be ended: %s", failure->text);
}

/* QEMU has to go; its end finishes the rest. */
static void give_up(Restore *r, const Error *why)
{
        if (!err_is_set(&r->failure))
                err_copy(&r->failure, why);
        if (!r->run) {
                finish(r);
                return;
        }
        guest_stop(r->run->guest, GUEST_STOP_HARD, on_stopped, NULL);
}

void qemu_restore_on_guest_ended(Restore *r)
{
        r->run = NULL;
        r->incoming = NULL; /* it went with the monitor */
        if (!err_is_set(&r->failure))
                err_set(&r->failure, ERR_OPERATION_FAILED,
                        "QEMU could not take up the state in '%s'; the log of guest '%s' says why", r->path,
                        r->dom->name);
        finish(r);
}

/* --- the end of it --- */

/*
 * A guest that QEMU does not let run - somebody else has its disk - is taken back: its image stays its state. If it went
 * on later, that image would be its past, and the next start would put it over disks that are newer.
 */
static void on_running(void *arg, const Error *failure)
{
        Restore *r = arg;

        r->run->resume_reason = VIR_DOMAIN_RUNNING_UNPAUSED;
        if (failure && !qmp_failure_is_unknown(failure)) {
                r->run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
                r->run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
                give_up(r, failure);
                return;
        }
        if (failure)
                err_copy(&r->failure, failure);
        finish(r);
}

static void on_arrived(Restore *r)
{
        Domain *dom = r->dom;

        r->reading = false;
        r->incoming = qmp_call_free(r->incoming);
        r->run->stop_reason = -1;
        guest_arrived(r->run->guest);
        domain_started(dom, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, VIR_DOMAIN_EVENT_STARTED_RESTORED);
        if (r->options.paused) {
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_RESTORED);
                finish(r);
                return;
        }
        r->run->resume_reason = VIR_DOMAIN_RUNNING_RESTORED;
        guest_resume(r->run->guest, on_running, r);
}

void qemu_restore_on_event(Restore *r, const QmpEvent *event)
{
        if (event->type != QMP_EVENT_MIGRATION || !r->reading)
                return;
        if (str_eq(event->migration.status, "completed"))
                on_arrived(r);
        /* when it failed, QEMU ends */
}

/* --- the stream --- */

static void on_helper_done(void *arg, Buf *said UNUSED, const Error *failure)
{
        Restore *r = arg;

        if (failure && r->reading)
                give_up(r, failure);
}

static void on_reading(void *arg, const Error *failure)
{
        Restore *r = arg;

        r->incoming = NULL;
        if (failure)
                give_up(r, failure);
}

static void on_stream_given(void *arg, const Error *failure)
{
        Restore *r = arg;

        if (failure) {
                give_up(r, failure);
                return;
        }
        r->reading = true;
        r->incoming = qmp_migrate_incoming(guest_qmp(r->run->guest), &(QmpMigrateIncoming){ .uri = "fd:" STREAM_FD },
                                           on_reading, r);
}

static int send_stream(Restore *r, Error *err)
{
        AUTO(Fd) reader = -1;
        AUTO(Fd) writer = -1;
        SaveHelperSpec spec = { .verb = "read", .path = r->path, .direct = r->options.bypass_cache };
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        reader = ends[0];
        writer = ends[1];
        spec.out = writer;
        spec.in = spec.head = spec.commit = -1;
        r->helper = save_helper_new(r->run->qemu, &spec, on_helper_done, r, err);
        if (!r->helper)
                return -1;
        qmp_getfd(guest_qmp(r->run->guest), &(QmpGetfd){ .fdname = STREAM_FD }, reader, on_stream_given, r);
        return 0;
}

static void on_plain(void *arg, const Error *failure)
{
        Restore *r = arg;
        AUTO(Error) err = { 0 };

        if (failure)
                give_up(r, failure);
        else if (send_stream(r, &err) < 0)
                give_up(r, &err);
}

static void on_waiting(void *arg, const Error *failure)
{
        Restore *r = arg;

        if (failure) {
                err_copy(&r->failure, failure);
                finish(r);
                return;
        }
        r->run = qemu_run(r->dom);
        r->run->restore = r;
        /* until it has arrived, whatever ends it is a failure to start */
        r->run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
        r->run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
        qemu_plain_migration(guest_qmp(r->run->guest), on_plain, r);
}

void qemu_restore(Domain *dom, DomainDef *def, const char *path, const StartOptions *options, DriverDone *done,
                  void *arg)
{
        Restore *r = mem_new(Restore);
        StartOptions incoming = *options;

        *r = (Restore){
                .dom = domain_ref(dom), .path = str_dup(path), .options = *options, .done = done, .arg = arg
        };
        incoming.incoming = true;
        incoming.image = path;
        qemu_start(dom, def, &incoming, on_waiting, r);
}

/* --- looking at images --- */

enum {
        LARGE_BYTES = 128 * 1024, /* of XML: what is larger is parsed on a worker */
        PATIENCE_MS = 30 * 1000,
};

typedef struct Look {
        Helper *helper;
        Driver *driver;
        const char *other_xml;
        bool head_only;
        bool ask; /* the administrator's script, before the definition is used */
        Hook *hook;
        char *said; /* by it */
        SaveLooked *done;
        void *arg;
        Buf head; /* the image points into it */
        SaveImage image;
        Task *task;
        DomainDef *def;
        Error err;
} Look;

static void look_free(Look *look)
{
        helper_free(look->helper);
        hook_free(look->hook);
        free(look->said);
        buf_done(&look->head);
        domain_def_unref(look->def);
        err_done(&look->err);
        free(look);
}

/* The definition an image holds. */
static DomainDef *image_def(Driver *driver, const SaveImage *image, Error *err)
{
        AUTOFREE char *xml = str_dup_n(image->xml, image->xml_bytes);
        DomainDef *def = define_parse(driver, xml, false, true, err);

        if (!def)
                err_prefix(err, "the definition in the save image");
        return def;
}

/* On a worker, perhaps: the definition that the guest is to have. */
static void read_def(void *data)
{
        Look *look = data;
        AUTO(DomainDef) *def = image_def(look->driver, &look->image, &look->err);

        if (def && look->other_xml)
                look->def = qemu_save_other_def(look->driver, def, look->other_xml, &look->err);
        else
                look->def = TAKE(def);
}

static void start_reading(Look *look);

static void answer(Look *look)
{
        if (look->def)
                look->done(look->arg, &look->image, TAKE(look->def), NULL);
        else
                look->done(look->arg, NULL, NULL, &look->err);
        look_free(look);
}

static void on_asked(void *arg, const char *said, const Error *failure)
{
        Look *look = arg;

        look->said = str_dup(said);
        look->hook = hook_free(look->hook);
        if (failure || *look->said) {
                domain_def_unref(TAKE(look->def));
                look->other_xml = look->said;
        }
        if (failure)
                err_copy(&look->err, failure);
        if (failure || !*look->said)
                answer(look);
        else
                start_reading(look);
}

static void on_def(void *data)
{
        Look *look = data;
        const QemuDriver *qemu = qemu_driver(look->driver);

        look->task = task_free(look->task, NULL);
        if (look->def && look->ask && qemu->hook) {
                look->ask = false;
                look->hook = hook_new_def(qemu, look->def, "restore", on_asked, look, &look->err);
                if (look->hook)
                        return;
                domain_def_unref(TAKE(look->def));
        }
        answer(look);
}

static void start_reading(Look *look)
{
        if (look->image.xml_bytes + strlen(look->other_xml ?: "") > LARGE_BYTES) {
                look->task = task_new(look->driver->daemon->workers, read_def, on_def, look);
        } else {
                read_def(look);
                on_def(look);
        }
}

static void on_head(void *arg, Buf *said, const Error *failure)
{
        Look *look = arg;

        look->head = *said;
        *said = (Buf){ 0 };
        look->helper = helper_free(look->helper);
        if (failure && failure->code == ERR_OPERATION_TIMEOUT) {
                err_set(&look->err, ERR_OPERATION_TIMEOUT,
                        "the save image could not be read within %d s: its storage does not answer",
                        PATIENCE_MS / 1000);
                answer(look);
                return;
        }
        if (failure || save_image_parse(look->head.data, look->head.len, &look->image, &look->err) < 0) {
                look->done(look->arg, NULL, NULL, failure ?: &look->err);
                look_free(look);
                return;
        }
        if (look->head_only) {
                look->done(look->arg, &look->image, NULL, NULL);
                look_free(look);
        } else {
                start_reading(look);
        }
}

static int look_at(QemuDriver *qemu, const char *path, const Look *wanted, Error *err)
{
        SaveHelperSpec spec = { .verb = "show",
                                .path = path,
                                .patience_ms = PATIENCE_MS,
                                .in = -1,
                                .out = -1,
                                .head = -1,
                                .commit = -1 };
        Look *look = mem_new(Look);

        *look = *wanted;
        look->driver = qemu->driver;
        look->helper = save_helper_new(qemu, &spec, on_head, look, err);
        if (!look->helper) {
                look_free(look);
                return -1;
        }
        return 0;
}

int qemu_save_look(QemuDriver *qemu, const char *path, const char *other_xml, SaveLooked *done, void *arg, Error *err)
{
        return look_at(qemu, path, &(Look){ .other_xml = other_xml, .done = done, .arg = arg }, err);
}

int qemu_save_look_to_start(QemuDriver *qemu, const char *path, const char *other_xml, SaveLooked *done, void *arg,
                            Error *err)
{
        return look_at(qemu, path, &(Look){ .other_xml = other_xml, .ask = true, .done = done, .arg = arg }, err);
}

int qemu_save_look_at_head(QemuDriver *qemu, const char *path, SaveLooked *done, void *arg, Error *err)
{
        return look_at(qemu, path, &(Look){ .head_only = true, .done = done, .arg = arg }, err);
}

typedef struct Edit {
        Helper *helper;
        DriverDone *done;
        void *arg;
} Edit;

static void on_edited(void *arg, Buf *said UNUSED, const Error *failure)
{
        Edit edit = *(Edit *)arg;

        helper_free(edit.helper);
        free(arg);
        if (failure && failure->code == ERR_OPERATION_TIMEOUT) {
                AUTO(Error) late = { 0 };

                err_set(&late, ERR_OPERATION_TIMEOUT,
                        "the save image was not changed within %d s: its storage does not answer; it is whole, as it "
                        "was or as asked",
                        PATIENCE_MS / 1000);
                edit.done(edit.arg, &late);
                return;
        }
        edit.done(edit.arg, failure);
}

int qemu_save_edit(QemuDriver *qemu, const char *path, const SaveImage *image, DriverDone *done, void *arg,
                   Error *err)
{
        AUTO(Buf) text = { 0 };
        AUTO(Fd) head = -1;
        SaveHelperSpec spec = {
                .verb = "edit", .path = path, .patience_ms = PATIENCE_MS, .in = -1, .out = -1, .commit = -1
        };
        Edit *edit;

        if (save_image_format(image, &text, err) < 0 || helper_text_fd(&text, &head, err) < 0)
                return -1;
        edit = mem_new(Edit);
        *edit = (Edit){ .done = done, .arg = arg };
        spec.head = head;
        edit->helper = save_helper_new(qemu, &spec, on_edited, edit, err);
        if (edit->helper)
                return 0;
        free(edit);
        return -1;
}

DomainDef *qemu_save_other_def(Driver *driver, const DomainDef *def, const char *xml, Error *err)
{
        AUTO(DomainDef) *other = define_parse(driver, xml, false, true, err);

        if (!other)
                return NULL;
        if (domain_def_check_abi(def, other, err) < 0)
                return NULL;
        return TAKE(other);
}

/* --- the managed image --- */

typedef struct ManagedStart {
        Domain *dom;
        DomainDef *def;
        StartOptions options;
        DriverDone *done;
        void *arg;
        char *path;
} ManagedStart;

static void managed_done(ManagedStart *m, const Error *failure)
{
        DriverDone *done = m->done;
        void *arg = m->arg;
        AUTO(Domain) *dom = m->dom;

        domain_def_unref(m->def);
        free(m->path);
        free(m);
        done(arg, failure);
}

static void on_image_gone(void *arg, const Error *failure)
{
        ManagedStart *m = arg;

        if (failure) /* a later daemon tries again */
                log_error("the managed save image of '%s' cannot be removed: %s", m->dom->name, failure->text);
        else if (qemu_run(m->dom))
                forget_image(qemu_run(m->dom));
        m->dom->has_managed_save = false;
        managed_done(m, NULL);
}

static void remove_image(ManagedStart *m, void (*then)(void *arg, const Error *failure))
{
        const char *paths[] = { m->path, NULL };

        file_queue_remove(qemu_driver(m->dom->driver)->files, paths, then, m);
}

static void on_restored(void *arg, const Error *failure)
{
        ManagedStart *m = arg;

        if (failure)
                managed_done(m, failure);
        else
                remove_image(m, on_image_gone);
}

static void on_managed_head(void *arg, const SaveImage *image, DomainDef *given, const Error *failure)
{
        ManagedStart *m = arg;
        AUTO(DomainDef) *def = given;
        AUTO(Error) err = { 0 };

        if (failure)
                err_copy(&err, failure);
        if (def && !uuid_eq(&def->uuid, &m->dom->uuid))
                err_set(&err, ERR_OPERATION_FAILED, "it belongs to another guest");
        if (err_is_set(&err)) {
                err_prefix(
                        &err,
                        "guest '%s' cannot be restored (start it with --force-boot to throw its managed save away)",
                        m->dom->name);
                managed_done(m, &err);
                return;
        }
        m->options.paused |= image->paused;
        m->options.managed_image = true;
        qemu_restore(m->dom, TAKE(def), m->path, &m->options, on_restored, m);
}

static void on_image_thrown_away(void *arg, const Error *failure)
{
        ManagedStart *m = arg;

        if (failure) {
                managed_done(m, failure);
                return;
        }
        m->dom->has_managed_save = false;
        qemu_start(m->dom, TAKE(m->def), &m->options, m->done, m->arg);
        domain_unref(m->dom);
        free(m->path);
        free(m);
}

void qemu_start_or_restore(Domain *dom, DomainDef *def, const StartOptions *options, DriverDone *done, void *arg)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        AUTO(Error) err = { 0 };
        ManagedStart *m;

        if (!dom->has_managed_save || options->incoming) {
                qemu_start(dom, def, options, done, arg);
                return;
        }
        m = mem_new(ManagedStart);
        *m = (ManagedStart){ .dom = domain_ref(dom), .def = def, .options = *options, .done = done, .arg = arg };
        m->path = qemu_managed_save_path(qemu, dom->name);
        if (options->force_boot)
                remove_image(m, on_image_thrown_away);
        else if (qemu_save_look_to_start(qemu, m->path, NULL, on_managed_head, m, &err) < 0)
                managed_done(m, &err);
}
