/*
 * daemon/qemu-plug.c - devices into and out of a running QEMU
 *
 * A device is a few parts that QEMU is given one after the other; when one is refused, those before it are taken back.
 * Here is which parts, in which order.
 */
#include "daemon/qemu-plug.h"

#include "base/mem.h"
#include "base/str.h"
#include "daemon/pool.h"
#include "daemon/qemu-keys.h"
#include "daemon/qemu-plug-private.h"
#include "daemon/qemu-unplug.h"
#include "model/complete.h"
#include "wire/constants.h"

#include <string.h>

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

static int chardev_parts(const DomainDef *def, const char *dir, DeviceKind kind, const ChardevDef *chardev,
                         QemuParts *ret, Error *err)
{
        AUTOFREE char *own = kind == DEVICE_CHANNEL ? str_format("%s/%s", dir, chardev->info.alias) : NULL;

        return qemu_chardev_parts(def, kind, chardev, own, ret, err);
}

int qemu_plug_parts(const DomainDef *def, const char *dir, DeviceKind kind, const void *device, QemuParts *ret,
                    Error *err)
{
        AUTOFREE char *taps = kind == DEVICE_INTERFACE ? tap_names(device) : NULL;

        switch (kind) {
        case DEVICE_DISK:
                return qemu_disk_parts(def, device, ret, err);
        case DEVICE_INTERFACE:
                return qemu_interface_parts(def, device, taps, NULL, ret, err);
        case DEVICE_CONTROLLER:
                return qemu_controller_parts(def, device, ret, err);
        case DEVICE_SERIAL:
        case DEVICE_CONSOLE:
        case DEVICE_CHANNEL:
                return chardev_parts(def, dir, kind, device, ret, err);
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

                plug_push(p, STEP_GIVE_TAP, QEMU_PART_DEVICE, NULL, name, NULL);
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
                plug_push(p, STEP_REMOVE, QEMU_PART_OBJECT, NULL, id, NULL);
                return 0;
        }
        object = qemu_key_object(p->run->qemu->driver->secrets, disk, id, err);
        if (!object)
                return -1;
        plug_push(p, STEP_ADD, QEMU_PART_OBJECT, object, id, NULL);
        explicit_bzero(object, strlen(object));
        return 0;
}

/* QEMU says only afterwards which terminal it made. */
static bool is_pty(DeviceKind kind, const void *device)
{
        return (kind == DEVICE_SERIAL || kind == DEVICE_CONSOLE || kind == DEVICE_CHANNEL) &&
               ((const ChardevDef *)device)->type == CHARDEV_TYPE_PTY;
}

static int plan_device(Plug *p, Error *err)
{
        const LiveChange *what = &p->what;
        DomainDef *def = p->def;
        void *device = what->subject;
        AUTOFREE char *dir = guest_dir(&p->run->qemu->env, &p->dom->uuid);
        AUTO(QemuParts) parts = { 0 };

        if (fields_check_met(device_lists[what->device].of, device, err) < 0)
                return -1;
        if (what->device == DEVICE_INTERFACE && plan_taps(p, def, device, err) < 0)
                return -1;
        if (qemu_plug_parts(def, dir, what->device, device, &parts, err) < 0 ||
            (what->device == DEVICE_DISK && plan_key(p, device, true, err) < 0))
                return -1;
        for (size_t i = 0; i < parts.items.len; i++) {
                const QemuPart *part = &parts.items.items[i];

                plug_push(p, STEP_ADD, part->kind, part->text, part->id, NULL);
        }
        if (is_pty(what->device, device))
                plug_push(p, STEP_FIND_TTY, QEMU_PART_CHARDEV, NULL, ((const ChardevDef *)device)->info.alias, NULL);
        return what->device == DEVICE_DISK ? plan_key(p, device, false, err) : 0;
}

void qemu_plug(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        static const CompletionFacts facts = { .running = true };
        Plug *p = plug_new(run, def, what, done, arg);
        AUTO(Error) err = { 0 };

        if (volume_disks_resolve(run->qemu->driver->storage, def, &err) < 0 ||
            domain_def_place_device(def, &facts, &err) < 0) {
                plug_finish(p, &err);
                return;
        }
        domain_def_assign_aliases(def);
        p->plugs = true;
        p->plan = plan_device;
        if (what->device == DEVICE_DISK)
                p->disk = what->subject;
        plug_begin(p);
}

void qemu_unplug(QemuRun *run, const DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        const DeviceInfo *info = device_info(what->device, domain_def_device(def, what->device, what->index));

        qemu_unplug_device(run, info->alias, false, done, arg);
}

static int plan_medium(Plug *p, Error *err)
{
        const DiskDef *new = p->disk, *old = domain_def_find_alias(p->dom->live, new->info.alias, NULL);
        AUTO(QemuParts) before = { 0 }, after = { 0 };
        AUTOFREE char *qdev = old ? qemu_disk_qdev(old) : NULL;
        AUTOFREE char *node = qemu_disk_node(p->def, new);

        if (!old)
                return err_set(err, ERR_OPERATION_FAILED, "the guest let go of drive '%s' meanwhile",
                               new->target_dev);
        if (qemu_disk_parts(p->dom->live, old, &before, err) < 0 || qemu_disk_parts(p->def, new, &after, err) < 0)
                return -1;
        plug_push(p, STEP_OPEN_TRAY, QEMU_PART_DEVICE, NULL, qdev, NULL);
        p->steps.items[0].force = p->what.force;
        plug_push(p, STEP_REMOVE_MEDIUM, QEMU_PART_DEVICE, NULL, qdev, NULL);
        for (size_t i = before.items.len; i-- > 0;) {
                if (before.items.items[i].kind == QEMU_PART_BLOCKDEV)
                        plug_push(p, STEP_REMOVE, QEMU_PART_BLOCKDEV, NULL, before.items.items[i].id, NULL);
        }
        for (size_t i = 0; i < after.items.len; i++) {
                if (after.items.items[i].kind == QEMU_PART_BLOCKDEV)
                        plug_push(p, STEP_ADD, QEMU_PART_BLOCKDEV, after.items.items[i].text, after.items.items[i].id,
                                  NULL);
        }
        if (node) {
                plug_push(p, STEP_OPEN_TRAY, QEMU_PART_DEVICE, NULL, qdev, NULL);
                p->steps.items[p->steps.len - 1].force = p->what.force;
                plug_push(p, STEP_INSERT_MEDIUM, QEMU_PART_DEVICE, NULL, qdev, node);
        }
        plug_push(p, STEP_CLOSE_TRAY, QEMU_PART_DEVICE, NULL, qdev, NULL);
        return 0;
}

void qemu_change_medium(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        static const CompletionFacts facts = { .running = true };
        Plug *p = plug_new(run, def, what, done, arg);
        AUTO(Error) err = { 0 };

        if (volume_disks_resolve(run->qemu->driver->storage, def, &err) < 0 ||
            domain_def_place_device(def, &facts, &err) < 0) {
                plug_finish(p, &err);
                return;
        }
        p->disk = what->subject;
        p->plan = plan_medium;
        plug_begin(p);
}

/* --- it is gone --- */

void qemu_device_gone(QemuRun *run, const char *alias)
{
        Domain *dom = run->dom;
        QmpClient *qmp = guest_qmp(run->guest);
        AUTOFREE char *dir = guest_dir(&run->qemu->env, &dom->uuid);
        AUTO(QemuParts) parts = { 0 };
        DeviceKind kind;
        const void *device = domain_def_find_alias(dom->live, alias, &kind);

        if (!device)
                return;
        if (qmp && qemu_plug_parts(dom->live, dir, kind, device, &parts, NULL) == 0) {
                for (size_t i = parts.items.len; i-- > 0;) {
                        if (parts.items.items[i].kind != QEMU_PART_DEVICE)
                                plug_remove_part(qmp, parts.items.items[i].kind, parts.items.items[i].id, plug_ignore,
                                                 NULL);
                }
        }
        if (kind == DEVICE_DISK)
                plug_drop_images(run, ((const DiskDef *)device)->target_dev);
        if (kind == DEVICE_INTERFACE)
                qemu_nic_remove(dom, device);
        change_device_gone(dom, alias);
}
