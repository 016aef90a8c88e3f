/*
 * daemon/qemu-plug.c - devices into and out of a running QEMU
 *
 * A device is a few parts that QEMU is given one after the other; when one is
 * refused, those before it are taken back. Files that QEMU will open are looked at
 * and made accessible to its user first, by children, because a path may hang.
 */
#include "daemon/qemu-plug.h"
#include "daemon/nwfilter.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/pool.h"
#include "daemon/qemu-keys.h"
#include "daemon/qemu-nic.h"
#include "daemon/qemu-unplug.h"
#include "loop/child.h"
#include "model/complete.h"
#include "qemu/command-line.h"
#include "wire/constants.h"

#include <string.h>
#include <unistd.h>

typedef enum StepKind {
        STEP_ADD,    /* part */
        STEP_REMOVE, /* part, by its id */
        STEP_OPEN_TRAY,
        STEP_REMOVE_MEDIUM,
        STEP_INSERT_MEDIUM, /* id2: the node */
        STEP_CLOSE_TRAY,
        STEP_GIVE_TAP, /* number: which of the interface's; id: its name for QEMU */
} StepKind;

typedef struct Step {
        StepKind kind;
        QemuPart part; /* id: what it is about; text NULL where nothing is added */
        char *id2;
        bool force;
        size_t number;
} Step;

typedef struct Plug Plug;

struct Plug {
        QemuRun *run;
        Domain *dom;
        VEC(Step) steps;
        size_t at;
        unsigned tries;      /* with the tray */
        const DiskDef *disk; /* whose files QEMU will open; NULL: none */
        DomainDef *def;      /* which holds it; referenced */
        ImageLook *looking;
        StatusNote *noting;
        RootUser user;
        char holder[UUID_TEXT_LEN + 1];
        Child *child;
        NicFds taps;       /* until QEMU has them */
        InterfaceDef *nic; /* whose they are */
        NwBind *filtering; /* while its filter is put into force */
        bool plugs;        /* a device that was not there */
        LiveChange what;
        int (*plan)(Plug *p, Error *err); /* the steps, once it is known what is below the disk */
        DriverDone *done;
        void *arg;
};

static void plug_free(Plug *p)
{
        for (size_t i = 0; i < p->steps.len; i++) {
                char *text = p->steps.items[i].part.text;

                if (text && p->steps.items[i].part.kind == QEMU_PART_OBJECT)
                        explicit_bzero(text, strlen(text)); /* it may be a key */
                free(text);
                free(p->steps.items[i].part.id);
                free(p->steps.items[i].id2);
        }
        vec_done(&p->steps);
        image_look_free(p->looking);
        status_note_free(p->noting);
        domain_def_unref(p->def);
        nw_bind_free(p->filtering);
        qemu_nic_close(&p->taps);
        child_free(p->child);
        domain_unref(p->dom);
        free(p);
}

static Plug *plug_new(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        Plug *p = mem_new(Plug);

        *p = (Plug){ .run = run,
                     .dom = domain_ref(run->dom),
                     .def = domain_def_ref(def),
                     .what = *what,
                     .done = done,
                     .arg = arg };
        p->user = run->qemu->env.user;
        guest_files_holder(&run->qemu->env, &run->dom->uuid, p->holder);
        return p;
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

static void remove_part(QmpClient *qmp, QemuPartKind kind, const char *id, void (*done)(void *, const Error *),
                        void *arg)
{
        switch (kind) {
        case QEMU_PART_OBJECT:
                qmp_object_del(qmp, &(QmpObjectDel){ .id = id }, done, arg);
                return;
        case QEMU_PART_BLOCKDEV:
                qmp_blockdev_del(qmp, &(QmpBlockdevDel){ .node_name = id }, done, arg);
                return;
        case QEMU_PART_NETDEV:
                qmp_netdev_del(qmp, &(QmpNetdevDel){ .id = id }, done, arg);
                return;
        default:
                qmp_device_del(qmp, &(QmpDeviceDel){ .id = id }, done, arg);
                return;
        }
}

static void give_back(QemuRun *run, const char *path)
{
        guest_files_give_back_one(&run->qemu->env, &run->dom->uuid, path);
}

/* Another disk of the guest is in the same file. */
static bool is_used_by_another(const QemuRun *run, const ImageUse *use)
{
        for (size_t i = 0; i < run->images.items.len; i++) {
                const ImageUse *other = &run->images.items.items[i];

                if (!str_eq(other->target, use->target) && str_eq(other->path, use->path))
                        return true;
        }
        return false;
}

/* The disk with this target is in no image any more. */
static void drop_images(QemuRun *run, const char *target)
{
        for (size_t i = 0; i < run->images.items.len; i++) {
                const ImageUse *use = &run->images.items.items[i];

                if (!use->owner && str_eq(use->target, target) && !is_used_by_another(run, use))
                        give_back(run, use->path);
        }
        image_uses_drop(&run->images, target, NULL);
}

/* The disk is in these images now, or is not. */
static void settle_images(Plug *p, bool failed)
{
        ImageUses *uses = &p->run->images;

        if (failed) {
                for (size_t i = 0; i < uses->items.len; i++) {
                        if (uses->items.items[i].owner == p && !is_used_by_another(p->run, &uses->items.items[i]))
                                give_back(p->run, uses->items.items[i].path);
                }
                image_uses_drop(uses, NULL, p);
                return;
        }
        drop_images(p->run, p->disk->target_dev);
        image_uses_settle(uses, p);
        qemu_status_save(p->dom);
}

static void finish(Plug *p, const Error *failure)
{
        QmpClient *qmp = domain_is_active(p->dom) && p->dom->guest == p->run ? guest_qmp(p->run->guest) : NULL;

        for (size_t i = p->at; failure && qmp && i-- > 0;) {
                if (p->steps.items[i].kind == STEP_ADD)
                        remove_part(qmp, p->steps.items[i].part.kind, p->steps.items[i].part.id, ignore, NULL);
                else if (p->steps.items[i].kind == STEP_GIVE_TAP)
                        qmp_closefd(qmp, &(QmpClosefd){ .fdname = p->steps.items[i].part.id }, ignore, NULL);
        }
        if (qmp && p->disk)
                settle_images(p, failure != NULL);
        if (qmp && p->run->plugging == p->def) {
                p->run->plugging = NULL;
                if (failure)
                        qemu_status_save(p->dom);
        }
        if (failure && p->nic)
                qemu_nic_remove(p->dom, p->nic);
        p->done(p->arg, failure);
        plug_free(p);
}

static void next(Plug *p);

static void on_step(void *arg, const Error *failure)
{
        enum { MOST_TRIES = 5 };
        Plug *p = arg;
        StepKind kind = p->steps.items[p->at].kind;

        /* the guest has closed the tray again: it is opened in the step before */
        if (failure && (kind == STEP_REMOVE_MEDIUM || kind == STEP_INSERT_MEDIUM) && ++p->tries < MOST_TRIES) {
                p->at--;
                next(p);
                return;
        }
        /* what stays behind of an old medium is no reason to fail */
        if (failure && kind != STEP_REMOVE) {
                finish(p, failure);
                return;
        }
        p->at++;
        next(p);
}

static void add_part(Plug *p, QmpClient *qmp, const QemuPart *part)
{
        switch (part->kind) {
        case QEMU_PART_OBJECT:
                qmp_object_add(qmp, part->text, on_step, p);
                return;
        case QEMU_PART_BLOCKDEV:
                qmp_blockdev_add(qmp, part->text, on_step, p);
                return;
        case QEMU_PART_NETDEV:
                qmp_netdev_add(qmp, part->text, on_step, p);
                return;
        default:
                qmp_device_add(qmp, part->text, on_step, p);
                return;
        }
}

static void next(Plug *p)
{
        QmpClient *qmp = domain_is_active(p->dom) && p->dom->guest == p->run ? guest_qmp(p->run->guest) : NULL;
        const Step *s;
        AUTO(Error) err = { 0 };

        if (p->at == p->steps.len) {
                finish(p, NULL);
                return;
        }
        if (!qmp) {
                err_set(&err, ERR_OPERATION_FAILED, "domain '%s' stopped meanwhile", p->dom->name);
                finish(p, &err);
                return;
        }
        s = &p->steps.items[p->at];
        switch (s->kind) {
        case STEP_ADD:
                add_part(p, qmp, &s->part);
                return;
        case STEP_REMOVE:
                remove_part(qmp, s->part.kind, s->part.id, on_step, p);
                return;
        case STEP_OPEN_TRAY:
                qmp_blockdev_open_tray(
                        qmp, &(QmpBlockdevOpenTray){ .id = s->part.id, .has_force = true, .force = s->force },
                        on_step, p);
                return;
        case STEP_REMOVE_MEDIUM:
                qmp_blockdev_remove_medium(qmp, &(QmpBlockdevRemoveMedium){ .id = s->part.id }, on_step, p);
                return;
        case STEP_INSERT_MEDIUM:
                qmp_blockdev_insert_medium(qmp, &(QmpBlockdevInsertMedium){ .id = s->part.id, .node_name = s->id2 },
                                           on_step, p);
                return;
        case STEP_CLOSE_TRAY:
                qmp_blockdev_close_tray(qmp, &(QmpBlockdevCloseTray){ .id = s->part.id }, on_step, p);
                return;
        case STEP_GIVE_TAP:
                qmp_getfd(qmp, &(QmpGetfd){ .fdname = s->part.id }, p->taps.taps[s->number], on_step, p);
                return;
        }
}

/* --- what a later daemon must know --- */

static void on_noted(void *arg, const Error *failure)
{
        Plug *p = arg;

        p->noting = NULL;
        if (failure)
                finish(p, failure);
        else
                next(p);
}

/* The status names the device before QEMU has any of it, see daemon/qemu-settle.c. */
static void note(Plug *p)
{
        if (!p->plugs || !domain_is_active(p->dom) || p->dom->guest != p->run) {
                next(p);
                return;
        }
        p->run->plugging = p->def;
        p->noting = qemu_status_note(p->dom, on_noted, p);
}

/* --- the file --- */

/* In the child. What it cannot do QEMU will meet, and name. */
static int give_files(void *arg)
{
        const Plug *p = arg;

        for (size_t i = 0; i < p->run->images.items.len; i++) {
                const ImageUse *use = &p->run->images.items.items[i];

                if (use->owner == p)
                        root_give_file(use->path, &p->user, p->holder, use->write);
        }
        _exit(0);
}

static void child_started(void *arg UNUSED, const Error *why UNUSED)
{
}

static void on_given(void *arg, int status UNUSED)
{
        Plug *p = arg;

        p->child = child_free(p->child);
        note(p);
}

static int make_plan(Plug *p, Error *err)
{
        qemu_number_sources(p->def);
        return p->plan(p, err);
}

static void on_looked(void *arg, ImageUses *uses, const Error *failure)
{
        static const char *const argv[] = { "drover-give", NULL };
        Plug *p = arg;
        ChildSpec spec = { .argv = argv, .prepare = give_files, .prepare_arg = p, .started = child_started };
        AUTO(Error) err = { 0 };

        p->looking = image_look_free(p->looking);
        if (p->dom->guest != p->run) {
                next(p); /* which finds that it has stopped */
                return;
        }
        if (failure)
                err_copy(&err, failure);
        else
                image_uses_check(p->dom, uses, &err);
        if (err_is_set(&err)) {
                finish(p, &err);
                return;
        }
        for (size_t i = 0; i < uses->items.len; i++)
                guest_files_add(&p->run->qemu->env, &p->dom->uuid, uses->items.items[i].path, NULL);
        image_uses_put_chains(uses, p->def, p->disk);
        image_uses_add(&p->run->images, uses, p);
        if (make_plan(p, &err) < 0) {
                finish(p, &err);
                return;
        }
        if (!guest_files_are_given(&p->run->qemu->env)) {
                note(p);
                return;
        }
        p->child = child_new(p->dom->driver->daemon->loop, &spec, on_given, p, &err);
        if (!p->child)
                finish(p, &err);
}

static void on_filtered(void *arg, const Error *failure)
{
        Plug *p = arg;

        p->filtering = NULL;
        if (failure)
                finish(p, failure);
        else
                note(p);
}

/* Nothing goes through a new interface before its filter is in force. */
static void filter(Plug *p)
{
        AUTO(Error) err = { 0 };

        if (p->nic)
                p->filtering = nw_bind_new(p->dom, &p->nic, 1, on_filtered, p, &err);
        if (p->filtering)
                return;
        if (err_is_set(&err))
                finish(p, &err);
        else
                note(p);
}

static void begin(Plug *p)
{
        AUTO(Error) err = { 0 };

        if (!p->disk) {
                if (make_plan(p, &err) < 0)
                        finish(p, &err);
                else
                        filter(p);
                return;
        }
        p->looking = image_look_new(p->run->qemu, p->def, p->disk, on_looked, p, &err);
        if (!p->looking)
                finish(p, &err);
}

/* --- what is to be done --- */

static void push(Plug *p, StepKind kind, QemuPartKind part, const char *text, const char *id, const char *id2)
{
        Step s = { .kind = kind,
                   .part = { .kind = part, .text = str_dup(text), .id = str_dup(id) },
                   .id2 = str_dup(id2) };

        vec_push(&p->steps, s);
}

/* Names by which QEMU knows the taps of an interface: "tap-net1-0:tap-net1-1". */
static char *tap_names(const InterfaceDef *nic)
{
        Buf names = { 0 };

        if (nic->type == INTERFACE_TYPE_USER)
                return NULL;
        for (unsigned q = 0; q < MAX(1U, nic->queues); q++)
                buf_format(&names, "%stap-%s-%u", q ? ":" : "", nic->info.alias, q);
        return buf_take(&names);
}

int qemu_plug_parts(const DomainDef *def, DeviceKind kind, const void *device, QemuParts *ret, Error *err)
{
        AUTOFREE char *taps = kind == DEVICE_INTERFACE ? tap_names(device) : NULL;

        switch (kind) {
        case DEVICE_DISK:
                return qemu_disk_parts(def, device, ret, err);
        case DEVICE_INTERFACE:
                return qemu_interface_parts(def, device, taps, NULL, ret, err);
        case DEVICE_CONTROLLER:
                return qemu_controller_parts(def, device, ret, err);
        default:
                return qemu_device_parts(def, kind, device, ret, err);
        }
}

static int plan_taps(Plug *p, DomainDef *def, InterfaceDef *nic, Error *err)
{
        p->nic = nic;
        if (qemu_nic_open(p->dom, nic, false, domain_def_arena(def), &p->taps, err) < 0)
                return -1;
        for (size_t q = 0; q < p->taps.n_taps; q++) {
                AUTOFREE char *name = str_format("tap-%s-%zu", nic->info.alias, q);

                push(p, STEP_GIVE_TAP, QEMU_PART_DEVICE, NULL, name, NULL);
                p->steps.items[p->steps.len - 1].number = q;
        }
        return 0;
}

/* QEMU has the key of an encrypted disk while it opens it: `add` before, and not add after. */
static int plan_key(Plug *p, const DiskDef *disk, bool add, Error *err)
{
        AUTOFREE char *id = qemu_disk_key(p->def, disk), *object = NULL;

        if (!id)
                return 0;
        if (!add) {
                push(p, STEP_REMOVE, QEMU_PART_OBJECT, NULL, id, NULL);
                return 0;
        }
        object = qemu_key_object(p->run->qemu->driver->secrets, disk, id, err);
        if (!object)
                return -1;
        push(p, STEP_ADD, QEMU_PART_OBJECT, object, id, NULL);
        explicit_bzero(object, strlen(object));
        return 0;
}

static int plan_device(Plug *p, Error *err)
{
        const LiveChange *what = &p->what;
        DomainDef *def = p->def;
        const void *device = domain_def_device(def, what->device, what->index);
        AUTO(QemuParts) parts = { 0 };

        if (fields_check_met(device_lists[what->device].of, device, err) < 0)
                return -1;
        if (what->device == DEVICE_INTERFACE && plan_taps(p, def, def->interfaces[what->index], err) < 0)
                return -1;
        if (qemu_plug_parts(def, what->device, device, &parts, err) < 0 ||
            (what->device == DEVICE_DISK && plan_key(p, device, true, err) < 0))
                return -1;
        for (size_t i = 0; i < parts.items.len; i++) {
                const QemuPart *part = &parts.items.items[i];

                if (part->kind == QEMU_PART_CHARDEV)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "a <%s> cannot be plugged into a running guest so far",
                                       device_lists[what->device].element);
                push(p, STEP_ADD, part->kind, part->text, part->id, NULL);
        }
        return what->device == DEVICE_DISK ? plan_key(p, device, false, err) : 0;
}

void qemu_plug(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        static const CompletionFacts facts = { .running = true };
        Plug *p = plug_new(run, def, what, done, arg);
        AUTO(Error) err = { 0 };

        if (volume_disks_resolve(run->qemu->driver->storage, def, &err) < 0 ||
            domain_def_place_device(def, &facts, &err) < 0) {
                finish(p, &err);
                return;
        }
        domain_def_assign_aliases(def);
        p->plugs = true;
        p->plan = plan_device;
        if (what->device == DEVICE_DISK)
                p->disk = domain_def_device(def, what->device, what->index);
        begin(p);
}

void qemu_unplug(QemuRun *run, const DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        const DeviceInfo *info = device_info(what->device, domain_def_device(def, what->device, what->index));

        qemu_unplug_device(run, info->alias, false, done, arg);
}

static int plan_medium(Plug *p, Error *err)
{
        const DiskDef *old = p->dom->live->disks[p->what.index], *new = p->disk;
        AUTO(QemuParts) before = { 0 }, after = { 0 };
        AUTOFREE char *qdev = qemu_disk_qdev(old), *node = new->source.path ? qemu_disk_node(p->def, new) : NULL;

        if (qemu_disk_parts(p->dom->live, old, &before, err) < 0 || qemu_disk_parts(p->def, new, &after, err) < 0)
                return -1;
        push(p, STEP_OPEN_TRAY, QEMU_PART_DEVICE, NULL, qdev, NULL);
        p->steps.items[0].force = p->what.force;
        push(p, STEP_REMOVE_MEDIUM, QEMU_PART_DEVICE, NULL, qdev, NULL);
        for (size_t i = before.items.len; i-- > 0;) {
                if (before.items.items[i].kind == QEMU_PART_BLOCKDEV)
                        push(p, STEP_REMOVE, QEMU_PART_BLOCKDEV, NULL, before.items.items[i].id, NULL);
        }
        for (size_t i = 0; i < after.items.len; i++) {
                if (after.items.items[i].kind == QEMU_PART_BLOCKDEV)
                        push(p, STEP_ADD, QEMU_PART_BLOCKDEV, after.items.items[i].text, after.items.items[i].id,
                             NULL);
        }
        if (node) {
                push(p, STEP_OPEN_TRAY, QEMU_PART_DEVICE, NULL, qdev, NULL);
                p->steps.items[p->steps.len - 1].force = p->what.force;
                push(p, STEP_INSERT_MEDIUM, QEMU_PART_DEVICE, NULL, qdev, node);
        }
        push(p, STEP_CLOSE_TRAY, QEMU_PART_DEVICE, NULL, qdev, NULL);
        return 0;
}

void qemu_change_medium(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        Plug *p = plug_new(run, def, what, done, arg);
        AUTO(Error) err = { 0 };

        if (volume_disks_resolve(run->qemu->driver->storage, def, &err) < 0) {
                finish(p, &err);
                return;
        }
        p->disk = def->disks[what->index];
        p->plan = plan_medium;
        begin(p);
}

/* --- it is gone --- */

void qemu_device_gone(QemuRun *run, const char *alias)
{
        Domain *dom = run->dom;
        QmpClient *qmp = guest_qmp(run->guest);
        AUTO(QemuParts) parts = { 0 };
        DeviceKind kind;
        const void *device = domain_def_find_alias(dom->live, alias, &kind);

        if (!device)
                return;
        if (qmp && qemu_plug_parts(dom->live, kind, device, &parts, NULL) == 0) {
                for (size_t i = parts.items.len; i-- > 0;) {
                        if (parts.items.items[i].kind != QEMU_PART_DEVICE &&
                            parts.items.items[i].kind != QEMU_PART_CHARDEV)
                                remove_part(qmp, parts.items.items[i].kind, parts.items.items[i].id, ignore, NULL);
                }
        }
        if (kind == DEVICE_DISK)
                drop_images(run, ((const DiskDef *)device)->target_dev);
        if (kind == DEVICE_INTERFACE)
                qemu_nic_remove(dom, device);
        change_device_gone(dom, alias);
}
