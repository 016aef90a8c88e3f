/*
 * daemon/qemu-act.c - what the handlers of acts on a running QEMU guest share
 */
#include "daemon/qemu-act.h"

#include "base/str.h"

QemuRun *qemu_act_run(const Call *call, const Domain *dom, Error *err)
{
        if (dom->driver->ops != &driver_qemu_ops) {
                err_set(err, ERR_NO_SUPPORT, "%s", call_proc(call)->api);
                return NULL;
        }
        if (domain_must_be_active(dom, err) < 0)
                return NULL;
        if (!qemu_run(dom) || !guest_is_active(qemu_run(dom)->guest)) {
                err_set(err, ERR_OPERATION_INVALID, "domain '%s' is being started or stopped", dom->name);
                return NULL;
        }
        return qemu_run(dom);
}

QmpClient *qemu_act_monitor(const Call *call, const Domain *dom, Error *err)
{
        QemuRun *run = qemu_act_run(call, dom, err);
        QmpClient *qmp = run ? guest_qmp(run->guest) : NULL;

        if (run && !qmp)
                err_set(err, ERR_OPERATION_FAILED, "the monitor of domain '%s' is not connected", dom->name);
        return qmp;
}

PathDial *qemu_act_dial(const QemuRun *run, const ChardevDef *chardev,
                        void (*done)(void *arg, Fd fd, const Error *failure), void *arg, Error *err)
{
        const ChardevSourceDef *source = &chardev->source;
        AUTOFREE char *dir = NULL, *path = NULL;

        for (uint32_t i = 0; i < source->n_endpoints; i++) {
                if (!source->endpoints[i]->path || chardev->type != CHARDEV_TYPE_UNIX)
                        continue;
                if (source->endpoints[i]->mode != ENDPOINT_MODE_CONNECT)
                        return path_dial_new(run->qemu->env.loop, source->endpoints[i]->path, done, arg, err);
                err_set(err, ERR_OPERATION_UNSUPPORTED, "QEMU connects to the socket of '%s' itself",
                        chardev->info.alias);
                return NULL;
        }
        if (chardev->type != CHARDEV_TYPE_UNIX) {
                err_set(err, ERR_OPERATION_UNSUPPORTED,
                        "'%s' is of type '%s'; only a pty or a listening unix socket can be opened",
                        chardev->info.alias, chardev_type_text(chardev->type));
                return NULL;
        }
        dir = guest_dir(&run->qemu->env, &run->dom->uuid);
        path = str_format("%s/%s", dir, chardev->info.alias);
        return path_dial_own(run->qemu->env.loop, path, done, arg, err);
}
