/*
 * daemon/qemu-plug-steps.c - the steps of a plug, one after the other, and their undoing
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/qemu-plug-private.h"
#include "model/device.h"

#include <string.h>

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

Plug *plug_new(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
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

void plug_ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

void plug_remove_part(QmpClient *qmp, QemuPartKind kind, const char *id, void (*done)(void *, const Error *),
                      void *arg)
{
        switch (kind) {
        case QEMU_PART_OBJECT:
                qmp_object_del(qmp, &(QmpObjectDel){ .id = id }, done, arg);
                return;
        case QEMU_PART_BLOCKDEV:
                qmp_blockdev_del(qmp, &(QmpBlockdevDel){ .node_name = id }, done, arg);
                return;
        case QEMU_PART_CHARDEV:
                qmp_chardev_remove(qmp, &(QmpChardevRemove){ .id = id }, done, arg);
                return;
        case QEMU_PART_NETDEV:
                qmp_netdev_del(qmp, &(QmpNetdevDel){ .id = id }, done, arg);
                return;
        default:
                qmp_device_del(qmp, &(QmpDeviceDel){ .id = id }, done, arg);
                return;
        }
}

void plug_finish(Plug *p, const Error *failure)
{
        QmpClient *qmp = domain_is_active(p->dom) && p->dom->guest == p->run ? guest_qmp(p->run->guest) : NULL;

        for (size_t i = p->at; failure && qmp && i-- > 0;) {
                if (p->steps.items[i].kind == STEP_ADD)
                        plug_remove_part(qmp, p->steps.items[i].part.kind, p->steps.items[i].part.id, plug_ignore,
                                         NULL);
                else if (p->steps.items[i].kind == STEP_GIVE_TAP)
                        qmp_closefd(qmp, &(QmpClosefd){ .fdname = p->steps.items[i].part.id }, plug_ignore, NULL);
        }
        if (qmp && p->disk)
                plug_settle_images(p, failure != NULL);
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

static void on_step(void *arg, const Error *failure)
{
        enum { MOST_TRIES = 5 };
        Plug *p = arg;
        StepKind kind = p->steps.items[p->at].kind;

        /* the guest has closed the tray again: it is opened in the step before */
        if (failure && (kind == STEP_REMOVE_MEDIUM || kind == STEP_INSERT_MEDIUM) && ++p->tries < MOST_TRIES) {
                p->at--;
                plug_next(p);
                return;
        }
        /* what stays behind of an old medium is no reason to fail */
        if (failure && kind != STEP_REMOVE) {
                plug_finish(p, failure);
                return;
        }
        p->at++;
        plug_next(p);
}

static void on_chardevs(void *arg, const QmpChardev *chardevs, size_t n, const Error *failure)
{
        Plug *p = arg;
        const char *alias = p->steps.items[p->at].part.id;
        ChardevDef *chardev = domain_def_find_alias(p->def, alias, NULL);

        for (size_t i = 0; !failure && i < n; i++) {
                if (chardev && str_starts(chardevs[i].label, "char") && str_eq(chardevs[i].label + 4, alias) &&
                    str_starts(chardevs[i].filename, "pty:"))
                        qemu_show_tty(p->def, chardev, chardevs[i].filename + strlen("pty:"));
        }
        on_step(p, failure);
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
        case QEMU_PART_CHARDEV:
                qmp_chardev_add(qmp, part->text, on_step, p);
                return;
        case QEMU_PART_NETDEV:
                qmp_netdev_add(qmp, part->text, on_step, p);
                return;
        default:
                qmp_device_add(qmp, part->text, on_step, p);
                return;
        }
}

void plug_next(Plug *p)
{
        QmpClient *qmp = domain_is_active(p->dom) && p->dom->guest == p->run ? guest_qmp(p->run->guest) : NULL;
        const Step *s;
        AUTO(Error) err = { 0 };

        if (p->at == p->steps.len) {
                plug_finish(p, NULL);
                return;
        }
        if (!qmp) {
                err_set(&err, ERR_OPERATION_FAILED, "domain '%s' stopped meanwhile", p->dom->name);
                plug_finish(p, &err);
                return;
        }
        s = &p->steps.items[p->at];
        switch (s->kind) {
        case STEP_ADD:
                add_part(p, qmp, &s->part);
                return;
        case STEP_REMOVE:
                plug_remove_part(qmp, s->part.kind, s->part.id, on_step, p);
                return;
        case STEP_FIND_TTY:
                qmp_query_chardev(qmp, on_chardevs, p);
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

void plug_push(Plug *p, StepKind kind, QemuPartKind part, const char *text, const char *id, const char *id2)
{
        Step s = { .kind = kind,
                   .part = { .kind = part, .text = str_dup(text), .id = str_dup(id) },
                   .id2 = str_dup(id2) };

        vec_push(&p->steps, s);
}
