/*
 * daemon/qemu-unplug.c - devices that QEMU asks the guest to let go of
 *
 * QEMU answers at once that it has asked; an event tells later that the device is gone, or that the guest refused.
 * Many guests never answer, so nobody waits long.
 */
#include "daemon/qemu-unplug.h"

#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "wire/constants.h"

enum { PATIENCE_MS = 5000, PATIENCE_MUST_MS = 10000 };

struct Unplug {
        QemuRun *run;
        char *device;
        Timer *timer;
        QmpCall *asking; /* device_del */
        Error refusal;
        bool must, settled; /* settled: the event came before the answer */
        DriverDone *done;
        void *arg;
};

static void finish(Unplug *u, const Error *failure)
{
        DriverDone *done = u->done;
        void *arg = u->arg;
        AUTO(Error) copy = { 0 };

        if (failure)
                err_copy(&copy, failure);
        vec_remove_item(&u->run->unplugs, u);
        timer_free(u->timer);
        qmp_call_free(u->asking);
        err_done(&u->refusal);
        free(u->device);
        free(u);
        done(arg, failure ? &copy : NULL);
}

static void settle(Unplug *u)
{
        u->settled = true;
        if (!u->asking)
                finish(u, err_is_set(&u->refusal) ? &u->refusal : NULL);
}

static void on_asked(void *arg, const Error *failure)
{
        Unplug *u = arg;

        u->asking = NULL;
        if (failure)
                finish(u, failure);
        else if (u->settled)
                settle(u);
}

static void on_late(void *arg)
{
        Unplug *u = arg;
        AUTO(Error) late = { 0 };

        if (u->must)
                err_set(&late, ERR_OPERATION_TIMEOUT,
                        "the guest has not let go of '%s' in time; it may do so later, look at its definition then",
                        u->device);
        finish(u, u->must ? &late : NULL);
}

void qemu_unplug_device(QemuRun *run, const char *device, bool must, DriverDone *done, void *arg)
{
        Unplug *u = mem_new(Unplug);

        *u = (Unplug){ .run = run, .device = str_dup(device), .must = must, .done = done, .arg = arg };
        vec_push(&run->unplugs, u);
        u->timer = timer_new(run->qemu->env.loop, must ? PATIENCE_MUST_MS : PATIENCE_MS, on_late, u);
        u->asking = qmp_device_del(guest_qmp(run->guest), &(QmpDeviceDel){ .id = device }, on_asked, u);
}

static Unplug *find(const QemuRun *run, const char *device, const char *path)
{
        for (size_t i = 0; i < run->unplugs.len; i++) {
                Unplug *u = run->unplugs.items[i];

                if (!u->settled && (str_eq(u->device, device) || str_eq(u->device, path)))
                        return u;
        }
        return NULL;
}

static void tell_refused(const Domain *dom, const char *device)
{
        WireDomainEventCallbackDeviceRemovalFailedMsg msg = { .dom = call_wire_domain(dom), .devAlias = device };

        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, &dom->uuid,
                   &msg);
}

void qemu_unplug_on_event(QemuRun *run, const QmpEvent *event)
{
        Unplug *u = NULL;

        if (event->type == QMP_EVENT_DEVICE_DELETED) {
                u = find(run, event->device_deleted.device, event->device_deleted.path);
        } else if (event->type == QMP_EVENT_DEVICE_UNPLUG_GUEST_ERROR) {
                const QmpEventDeviceUnplugGuestError *e = &event->device_unplug_guest_error;

                u = find(run, e->device, e->path);
                if (e->device)
                        tell_refused(run->dom, e->device);
                if (u)
                        err_set(&u->refusal, ERR_OPERATION_FAILED, "unplug of device '%s' was rejected by the guest",
                                u->device);
        }
        if (u)
                settle(u);
}

void qemu_unplug_let_go(QemuRun *run)
{
        AUTO(Error) over = { 0 };

        err_set(&over, ERR_OPERATION_FAILED, "domain '%s' stopped meanwhile", run->dom->name);
        while (run->unplugs.len)
                finish(run->unplugs.items[0], &over);
        vec_done(&run->unplugs);
}
