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

char *qemu_act_socket_path(const QemuRun *run, const ChardevDef *chardev)
{
        const ChardevSourceDef *source = &chardev->source;
        AUTOFREE char *dir = NULL;

        if (chardev->type != CHARDEV_TYPE_UNIX)
                return NULL;
        for (uint32_t i = 0; i < source->n_endpoints; i++) {
                if (source->endpoints[i]->path)
                        return source->endpoints[i]->mode == ENDPOINT_MODE_CONNECT
                                       ? NULL
                                       : str_dup(source->endpoints[i]->path);
        }
        dir = guest_dir(&run->qemu->env, &run->dom->uuid);
        return str_format("%s/%s", dir, chardev->info.alias);
}
