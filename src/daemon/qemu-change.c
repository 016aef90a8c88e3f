/*
 * daemon/qemu-change.c - what a changed definition means for a running QEMU
 *
 * Limits of the whole guest are settings of its control group, pins are
 * affinities of its threads, the rest goes over the monitor.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/nwfilter.h"
#include "daemon/params.h"
#include "daemon/qemu-nic.h"
#include "daemon/qemu-plug.h"
#include "daemon/qemu-tune.h"
#include "daemon/qemu-vcpu.h"
#include "daemon/vcpu.h"
#include "host/node.h"
#include "host/process.h"
#include "qemu/command-line.h"
#include "qemu/disk-limits.h"

/* --- pins --- */

static int set_vcpu_pin(QemuRun *run, const DomainDef *def, unsigned id, Error *err)
{
        size_t n;
        const GuestVcpu *vcpus = guest_vcpus(run->guest, &n);
        Bitmap host, pin;

        if (qemu_host_cpus(&host, err) < 0)
                return -1;
        vcpu_pin(def, id, &host, &pin);
        for (size_t i = 0; i < n; i++) {
                if (vcpus[i].index == id)
                        return process_set_affinity(guest_pid(run->guest), vcpus[i].tid, &pin, err);
        }
        return err_set(err, ERR_INVALID_ARG, "'%s' has no virtual CPU %u", def->name, id);
}

/* Threads are known by number to QEMU only, so it is asked first. */
typedef struct Pinning {
        Domain *dom;
        DomainDef *def;
        unsigned number; /* of the I/O thread; 0: the emulator's */
        DriverDone *done;
        void *arg;
} Pinning;

static int pin_emulator(const Pinning *p, const QmpIoThread *threads, size_t n, const Bitmap *host, Error *err)
{
        AUTOFREE pid_t *tids = mem_new_array(pid_t, n);

        for (size_t i = 0; i < n; i++)
                tids[i] = (pid_t)threads[i].thread_id;
        return qemu_pin_emulator(qemu_run(p->dom), p->def, tids, n, host, err);
}

static int pin_iothread(const Pinning *p, const QmpIoThread *threads, size_t n, const Bitmap *host, Error *err)
{
        AUTOFREE char *id = str_format("iothread%u", p->number);
        Bitmap pin;

        iothread_pin(p->def, p->number, host, &pin);
        for (size_t i = 0; i < n; i++) {
                if (str_eq(threads[i].id, id))
                        return process_set_affinity(guest_pid(qemu_run(p->dom)->guest), (pid_t)threads[i].thread_id,
                                                    &pin, err);
        }
        return err_set(err, ERR_OPERATION_FAILED, "QEMU knows no I/O thread %u", p->number);
}

static void got_threads(void *arg, const QmpIoThread *threads, size_t n, const Error *failure)
{
        Pinning *p = arg;
        AUTO(Error) err = { 0 };
        Bitmap host;

        if (failure)
                err_copy(&err, failure);
        else if (qemu_host_cpus(&host, &err) == 0)
                p->number ? pin_iothread(p, threads, n, &host, &err) : pin_emulator(p, threads, n, &host, &err);
        p->done(p->arg, err_is_set(&err) ? &err : NULL);
        domain_unref(p->dom);
        domain_def_unref(p->def);
        free(p);
}

static void ask_threads(QemuRun *run, DomainDef *def, unsigned number, DriverDone *done, void *arg)
{
        Pinning *p = mem_new(Pinning);

        *p = (Pinning){
                .dom = domain_ref(run->dom), .def = domain_def_ref(def), .number = number, .done = done, .arg = arg
        };
        qmp_query_iothreads(guest_qmp(run->guest), got_threads, p);
}

/* --- I/O threads --- */

/* QEMU takes one property at a time. What it took before one that it refuses stays. */
typedef struct Polling {
        Domain *dom;
        QemuRun *run;
        LiveChange what; /* params: as long as the change */
        uint32_t at;
        DriverDone *done;
        void *arg;
} Polling;

static void end_polling(Polling *p, const Error *failure)
{
        p->done(p->arg, failure);
        domain_unref(p->dom);
        free(p);
}

static void on_poll_set(void *arg, const Error *failure)
{
        Polling *p = arg;
        QmpClient *qmp = p->dom->guest == p->run ? guest_qmp(p->run->guest) : NULL;
        AUTOFREE char *path = str_format("/objects/iothread%u", p->what.number), *property = NULL, *value = NULL;
        AUTO(Error) gone = { 0 };
        const WireTypedParam *param;

        if (!failure && !qmp)
                err_set(&gone, ERR_OPERATION_FAILED, "domain '%s' stopped meanwhile", p->dom->name);
        if (failure || !qmp || p->at == p->what.n_params) {
                end_polling(p, failure ?: err_is_set(&gone) ? &gone : NULL);
                return;
        }
        param = &p->what.params[p->at++];
        property = str_dup(param->field);
        for (char *c = property; *c; c++) {
                if (*c == '_')
                        *c = '-';
        }
        value = param->value.type == PARAM_ULLONG ? str_format("%llu", (unsigned long long)param->value.ul)
                                                  : str_format("%u", param->value.ui);
        qmp_qom_set(qmp, &(QmpQomSet){ .path = path, .property = property, .value = value }, on_poll_set, p);
}

static void set_poll(QemuRun *run, const LiveChange *what, DriverDone *done, void *arg)
{
        Polling *p = mem_new(Polling);

        *p = (Polling){ .dom = domain_ref(run->dom), .run = run, .what = *what, .done = done, .arg = arg };
        on_poll_set(p, NULL);
}

/* --- the balloon --- */

static void set_stats_period(QemuRun *run, const DomainDef *def, DriverDone *done, void *arg)
{
        AUTOFREE char *path = qemu_balloon_path(def), *value = str_format("%u", def->memballoons[0]->stats_period_s);

        qmp_qom_set(guest_qmp(run->guest),
                    &(QmpQomSet){ .path = path, .property = "guest-stats-polling-interval", .value = value }, done,
                    arg);
}

/* --- devices --- */

/* The display asks for a password since its start, or never will. */
static void set_password(QemuRun *run, const GraphicsDef *old, const GraphicsDef *new, DriverDone *done, void *arg)
{
        AUTO(Error) err = { 0 };

        if (!str_eq(old->passwd_valid_to, new->passwd_valid_to))
                err_set(&err, ERR_OPERATION_UNSUPPORTED,
                        "the end of a password's validity cannot change while '%s' runs", run->dom->name);
        else if (!old->passwd != !new->passwd)
                err_set(&err, ERR_OPERATION_UNSUPPORTED,
                        "whether the display of '%s' asks for a password cannot change while it runs",
                        run->dom->name);
        if (err_is_set(&err) || !new->passwd)
                done(arg, err_is_set(&err) ? &err : NULL);
        else
                qmp_set_password(guest_qmp(run->guest),
                                 &(QmpSetPassword){ .protocol = "vnc",
                                                    .password = new->passwd,
                                                    .connected = graphics_connected_text(new->connected) },
                                 done, arg);
}

/* --- interfaces: their filter, their place, their limits, their cable --- */

typedef struct NicChange {
        Domain *dom;
        QemuRun *run;
        DomainDef *def;
        InterfaceDef *new; /* of def */
        DriverDone *done;
        void *arg;
} NicChange;

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

static void end_nic_change(NicChange *c, const Error *failure)
{
        c->done(c->arg, failure);
        domain_def_unref(c->def);
        domain_unref(c->dom);
        free(c);
}

/* As it is now, while the guest still runs with it; NULL: it is gone. */
static InterfaceDef *nic_as_it_is(const NicChange *c)
{
        if (c->dom->guest != c->run || !guest_qmp(c->run->guest))
                return NULL;
        return domain_def_find_alias(c->dom->live, c->new->info.alias, NULL);
}

/* Whatever of it was done. */
static void undo_nic_change(const NicChange *c, InterfaceDef *old)
{
        qemu_nic_limit(c->dom, c->new, old, NULL);
        qemu_nic_move_back(old, c->new);
        nw_rebind(c->dom, c->new, old, ignore, NULL);
}

static void on_link_set(void *arg, const Error *failure)
{
        NicChange *c = arg;
        InterfaceDef *old = failure ? nic_as_it_is(c) : NULL;

        if (old)
                undo_nic_change(c, old);
        end_nic_change(c, failure);
}

static void on_filter_changed(void *arg, const Error *failure)
{
        NicChange *c = arg;
        InterfaceDef *old = nic_as_it_is(c);
        AUTO(Error) err = { 0 };

        if (failure) {
                end_nic_change(c, failure);
                return;
        }
        if (!old) {
                err_set(&err, ERR_OPERATION_FAILED, "domain '%s' stopped meanwhile, or let go of the interface",
                        c->dom->name);
                end_nic_change(c, &err);
                return;
        }
        if (qemu_nic_move(c->dom, old, c->new, domain_def_arena(c->def), &err) < 0 ||
            qemu_nic_limit(c->dom, old, c->new, &err) < 0) {
                undo_nic_change(c, old);
                end_nic_change(c, &err);
                return;
        }
        qmp_set_link(guest_qmp(c->run->guest),
                     &(QmpSetLink){ .name = c->new->info.alias, .up = c->new->link_state != LINK_STATE_DOWN },
                     on_link_set, c);
}

static void update_nic(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        NicChange *c = mem_new(NicChange);

        *c = (NicChange){ .dom = domain_ref(run->dom),
                          .run = run,
                          .def = domain_def_ref(def),
                          .new = what->subject,
                          .done = done,
                          .arg = arg };
        nw_rebind(run->dom, run->dom->live->interfaces[what->index], c->new, on_filter_changed, c);
}

static void update_device(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        AUTO(Error) err = { 0 };

        if (what->device == DEVICE_DISK && (def->disks[what->index]->device == DISK_DEVICE_CDROM ||
                                            def->disks[what->index]->device == DISK_DEVICE_FLOPPY)) {
                qemu_change_medium(run, def, what, done, arg);
                return;
        }
        if (what->device == DEVICE_INTERFACE) {
                update_nic(run, def, what, done, arg);
                return;
        }
        if (what->device == DEVICE_GRAPHICS && def->graphics[what->index]->type == GRAPHICS_TYPE_VNC) {
                set_password(run, run->dom->live->graphics[what->index], def->graphics[what->index], done, arg);
                return;
        }
        err_set(&err, ERR_OPERATION_UNSUPPORTED, "a <%s> of a running guest cannot be updated",
                device_lists[what->device].element);
        done(arg, &err);
}

/* What is done with one call of the kernel. */
static int change_now(QemuRun *run, const DomainDef *def, const LiveChange *what, Error *err)
{
        Cgroup *cgroup = guest_cgroup(run->guest);

        switch (what->kind) {
        case LIVE_CPU_LIMITS:
                return qemu_limit_cpu(cgroup, def, err);
        case LIVE_MEMORY_LIMITS:
                return qemu_limit_memory(cgroup, def, err);
        case LIVE_IO_LIMITS:
                return qemu_limit_io(cgroup, def, err);
        case LIVE_NUMA:
                return qemu_limit_nodes(cgroup, def, err);
        case LIVE_INTERFACE_LIMITS:
                return qemu_nic_limit(run->dom, run->dom->live->interfaces[what->index], def->interfaces[what->index],
                                      err);
        case LIVE_PIN_VCPU:
                return set_vcpu_pin(run, def, what->number, err);
        default:
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "this cannot be changed while '%s' runs", def->name);
        }
}

void qemu_change(Domain *dom, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        QemuRun *run = qemu_run(dom);
        QmpClient *qmp = run && guest_is_active(run->guest) ? guest_qmp(run->guest) : NULL;
        AUTOFREE char *iothread = str_format("iothread%u", what->number);
        AUTOFREE char *object = str_format("{\"qom-type\":\"iothread\",\"id\":\"%s\"}", iothread);
        AUTO(Error) err = { 0 };

        if (!qmp) {
                err_set(&err, ERR_OPERATION_INVALID, "domain '%s' is being started or stopped", dom->name);
                done(arg, &err);
                return;
        }
        switch (what->kind) {
        case LIVE_LIFECYCLE:
                guest_set_action(run->guest, command_line_reboot_action(def), NULL, done, arg);
                return;
        case LIVE_VCPUS:
                qemu_vcpu_change(run, def, what, done, arg);
                return;
        case LIVE_STATS_PERIOD:
                set_stats_period(run, def, done, arg);
                return;
        case LIVE_BALLOON:
                qmp_balloon(qmp, &(QmpBalloon){ .value = def->current_memory_kib * 1024 }, done, arg);
                return;
        case LIVE_DISK_LIMITS:
                disk_limits_set(qmp, def->disks[what->index], done, arg);
                return;
        case LIVE_PIN_EMULATOR:
                ask_threads(run, def, 0, done, arg);
                return;
        case LIVE_PIN_IOTHREAD:
                ask_threads(run, def, what->number, done, arg);
                return;
        case LIVE_IOTHREAD_ADD:
                qmp_object_add(qmp, object, done, arg);
                return;
        case LIVE_IOTHREAD_DELETE:
                qmp_object_del(qmp, &(QmpObjectDel){ .id = iothread }, done, arg);
                return;
        case LIVE_IOTHREAD_SET:
                set_poll(run, what, done, arg);
                return;
        case LIVE_ATTACH:
                qemu_plug(run, def, what, done, arg);
                return;
        case LIVE_DETACH:
                qemu_unplug(run, def, what, done, arg);
                return;
        case LIVE_UPDATE:
                update_device(run, def, what, done, arg);
                return;
        default:
                change_now(run, def, what, &err);
                done(arg, err_is_set(&err) ? &err : NULL);
                return;
        }
}
