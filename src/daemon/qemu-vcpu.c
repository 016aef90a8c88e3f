/*
 * daemon/qemu-vcpu.c - virtual CPUs into and out of a running QEMU (LIFE-34)
 *
 * One after the other: QEMU is asked which places there are, the one of the wanted number is filled or emptied, and
 * the threads are looked up again. A guest has to let go of a processor and may refuse; what was done until then
 * stays, and the definition says so.
 */
#include "daemon/qemu-vcpu.h"

#include "base/json-write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/qemu-unplug.h"
#include "daemon/vcpu.h"
#include "host/node.h"
#include "host/process.h"

typedef struct Resize {
        QemuRun *run;
        Domain *dom;
        DomainDef *def; /* what is to be */
        bool async;     /* do not wait for the guest to let go */
        Bitmap done_ids;
        unsigned id; /* the one under way */
        DriverDone *done;
        void *arg;
} Resize;

/* The definition in force, with these of the numbers as `wanted` has them. */
static void take_part(Domain *dom, const Bitmap *ids, const DomainDef *wanted)
{
        AUTO(DomainDef) *def = domain_def_copy(dom->live);

        vcpus_list(def);
        for (int id = bitmap_next(ids, -1); id >= 0; id = bitmap_next(ids, id))
                vcpu_set_plugged(def, (unsigned)id, vcpu_is_plugged(wanted, (unsigned)id));
        domain_set_live(dom, TAKE(def));
        if (dom->driver->ops->state_changed)
                dom->driver->ops->state_changed(dom);
}

static QmpClient *qmp_of(const Resize *r)
{
        return domain_is_active(r->dom) && r->dom->guest == r->run ? guest_qmp(r->run->guest) : NULL;
}

static void finish(Resize *r, const Error *failure)
{
        AUTO(Error) gone = { 0 };

        if ((!failure || !err_is_set(failure)) && !qmp_of(r)) {
                err_set(&gone, ERR_OPERATION_FAILED, "domain '%s' stopped meanwhile", r->dom->name);
                failure = &gone;
        }
        if (failure && !bitmap_is_empty(&r->done_ids) && qmp_of(r))
                take_part(r->dom, &r->done_ids, r->def);
        r->done(r->arg, failure);
        domain_unref(r->dom);
        domain_def_unref(r->def);
        free(r);
}

static void next(Resize *r);

/* A new thread runs where the definition wants it. */
static void pin(const Resize *r)
{
        size_t n;
        const GuestVcpu *vcpus = guest_vcpus(r->run->guest, &n);
        Bitmap present, host, cpus;
        AUTO(Error) err = { 0 };

        if (node_cpu_map("", &present, &host, &err) < 0)
                return;
        vcpu_pin(r->def, r->id, &host, &cpus);
        for (size_t i = 0; i < n; i++) {
                if (vcpus[i].index == r->id &&
                    process_set_affinity(guest_pid(r->run->guest), vcpus[i].tid, &cpus, &err) < 0)
                        log_warning("virtual CPU %u of guest '%s' is not pinned: %s", r->id, r->dom->name, err.text);
        }
}

static void on_refreshed(void *arg, const Error *failure)
{
        Resize *r = arg;

        if (failure || !qmp_of(r)) {
                finish(r, failure);
                return;
        }
        if (vcpu_is_plugged(r->def, r->id))
                pin(r);
        next(r);
}

static void on_changed(void *arg, const Error *failure)
{
        Resize *r = arg;

        if (failure || !qmp_of(r)) {
                finish(r, failure);
                return;
        }
        bitmap_set(&r->done_ids, r->id);
        guest_refresh_vcpus(r->run->guest, on_refreshed, r);
}

/* The guest was asked; until it answers the processor is there. */
static void on_asked(void *arg, const Error *failure)
{
        Resize *r = arg;

        if (!failure)
                vcpu_set_plugged(r->def, r->id, true);
        on_changed(r, failure);
}

static unsigned or_one(unsigned n)
{
        return n ? n : 1;
}

/* The number of the processor that a place of QEMU's is for. */
static unsigned id_of(const DomainDef *def, const QmpCpuProps *p)
{
        const CpuDef *cpu = def->cpu && def->cpu->topology_sockets ? def->cpu : NULL;
        unsigned dies = cpu ? or_one(cpu->topology_dies) : 1, cores = cpu ? or_one(cpu->topology_cores) : 1,
                 threads = cpu ? or_one(cpu->topology_threads) : 1;

        return (((unsigned)p->socket_id * dies + (unsigned)p->die_id) * cores + (unsigned)p->core_id) * threads +
               (unsigned)p->thread_id;
}

static void plug(Resize *r, const QmpHotpluggableCpu *place)
{
        const QmpCpuProps *p = &place->props;
        const struct {
                const char *key;
                bool has;
                int64_t value;
        } props[] = { { "node-id", p->has_node_id, p->node_id },
                      { "socket-id", p->has_socket_id, p->socket_id },
                      { "die-id", p->has_die_id, p->die_id },
                      { "core-id", p->has_core_id, p->core_id },
                      { "thread-id", p->has_thread_id, p->thread_id } };
        AUTO(JsonWriter) w = { 0 };

        json_open_object(&w, NULL);
        json_put_text(&w, "driver", place->type);
        json_put_format(&w, "id", "vcpu%u", r->id);
        for (size_t i = 0; i < ARRAY_LEN(props); i++) {
                if (props[i].has)
                        json_put_i64(&w, props[i].key, props[i].value);
        }
        json_close_object(&w);
        qmp_device_add(qmp_of(r), json_text(&w), on_changed, r);
}

static void on_places(void *arg, const QmpHotpluggableCpu *places, size_t n, const Error *failure)
{
        Resize *r = arg;
        bool wanted = vcpu_is_plugged(r->def, r->id);
        AUTO(Error) err = { 0 };
        size_t i = 0;

        while (!failure && i < n && id_of(r->def, &places[i].props) != r->id)
                i++;
        if (!failure && i == n)
                err_set(&err, ERR_OPERATION_FAILED, "QEMU has no place for virtual CPU %u of '%s'", r->id,
                        r->dom->name);
        if (failure || i == n || !qmp_of(r))
                finish(r, failure ?: &err);
        else if (wanted == (places[i].qom_path != NULL))
                on_changed(r, NULL);
        else if (wanted)
                plug(r, &places[i]);
        else if (r->async)
                qmp_device_del(qmp_of(r), &(QmpDeviceDel){ .id = places[i].qom_path }, on_asked, r);
        else
                qemu_unplug_device(r->run, places[i].qom_path, true, on_changed, r);
}

/* The lowest that is missing, then the highest that is too many. */
static bool find_next(Resize *r)
{
        const DomainDef *now = r->dom->live;
        unsigned most = r->def->vcpus_max;

        for (unsigned id = 0; id < most; id++) {
                r->id = id;
                if (!bitmap_has(&r->done_ids, id) && vcpu_is_plugged(r->def, id) && !vcpu_is_plugged(now, id))
                        return true;
        }
        for (unsigned id = most; id-- > 0;) {
                r->id = id;
                if (!bitmap_has(&r->done_ids, id) && !vcpu_is_plugged(r->def, id) && vcpu_is_plugged(now, id))
                        return true;
        }
        return false;
}

static void next(Resize *r)
{
        if (find_next(r))
                qmp_query_hotpluggable_cpus(qmp_of(r), on_places, r);
        else
                finish(r, NULL);
}

/*
 * QEMU 7.2 without KVM crashes when a processor is taken away that it began with, and when one comes back: rather no
 * change than a lost guest.
 */
static int check_unplug(const DomainDef *now, const DomainDef *def, Error *err)
{
        for (unsigned id = 0; id < def->vcpus_max; id++) {
                if (def->type != DOMAIN_TYPE_KVM && vcpu_is_plugged(now, id) && !vcpu_is_plugged(def, id))
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "virtual CPU %u cannot be unplugged: QEMU without KVM crashes of that; "
                                       "'setvcpus --guest' switches it off inside the guest",
                                       id);
        }
        return 0;
}

void qemu_vcpu_change(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        AUTO(Error) err = { 0 };
        Resize *r;

        if (check_unplug(run->dom->live, def, &err) < 0) {
                done(arg, &err);
                return;
        }
        r = mem_new(Resize);

        *r = (Resize){ .run = run,
                       .dom = domain_ref(run->dom),
                       .def = domain_def_ref(def),
                       .async = what->async,
                       .done = done,
                       .arg = arg };
        next(r);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

void qemu_vcpu_gone(QemuRun *run, const char *path)
{
        AUTO(DomainDef) *wanted = domain_def_copy(run->dom->live);
        Bitmap gone = { 0 };
        size_t n;
        const GuestVcpu *vcpus = guest_vcpus(run->guest, &n);

        for (size_t i = 0; i < n; i++) {
                if (str_eq(vcpus[i].qom_path, path))
                        bitmap_set(&gone, vcpus[i].index);
        }
        if (bitmap_is_empty(&gone))
                return;
        vcpus_list(wanted);
        vcpu_set_plugged(wanted, (unsigned)bitmap_next(&gone, -1), false);
        take_part(run->dom, &gone, wanted);
        if (run->dom->live_next) {
                vcpus_list(run->dom->live_next);
                vcpu_set_plugged(run->dom->live_next, (unsigned)bitmap_next(&gone, -1), false);
        }
        guest_refresh_vcpus(run->guest, ignore, NULL);
}
