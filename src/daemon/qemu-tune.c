/*
 * daemon/qemu-tune.c - limits and pins of a guest, as its definition says (CPU-09 to CPU-12)
 *
 * Limits of the whole guest are settings of its control group, pins are affinities of its threads.
 */
#include "daemon/qemu-tune.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/vcpu.h"
#include "host/node.h"
#include "host/process.h"

enum { DEFAULT_SHARES = 1024, DEFAULT_PERIOD_US = 100000, DEFAULT_WEIGHT = 100 };

static int need_group(const Cgroup *cgroup, Error *err)
{
        return cgroup ? 0
                      : err_set(err, ERR_OPERATION_UNSUPPORTED,
                                "this host has no control groups for guests, so limits cannot be set");
}

/* One group holds the guest: a quota by virtual CPU becomes one for all of them together. */
int qemu_limit_cpu(Cgroup *cgroup, const DomainDef *def, Error *err)
{
        const CputuneDef *t = def->cputune;
        uint64_t period = t->global_quota ? t->global_period : t->period;
        int64_t quota = t->global_quota ? t->global_quota
                        : t->quota > 0  ? t->quota * (int64_t)vcpus_plugged(def)
                                        : -1;

        if (need_group(cgroup, err) < 0)
                return -1;
        if (t->emulator_quota > 0 || t->iothread_quota > 0)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "limits for emulator and I/O threads alone cannot be set; use a quota of the guest "
                               "(global_quota)");
        if (cgroup_set_cpu_shares(cgroup, t->shares ?: DEFAULT_SHARES, err) < 0)
                return -1;
        return cgroup_set_cpu_quota(cgroup, period ?: DEFAULT_PERIOD_US, quota ?: -1, err);
}

static uint64_t limit_bytes(uint64_t kib)
{
        return kib ? kib * 1024 : CGROUP_NO_LIMIT;
}

int qemu_limit_memory(Cgroup *cgroup, const DomainDef *def, Error *err)
{
        CgroupMemory limits = { .hard = limit_bytes(def->memtune->hard_limit_kib),
                                .soft = limit_bytes(def->memtune->soft_limit_kib),
                                .swap_hard = limit_bytes(def->memtune->swap_hard_limit_kib) };

        return need_group(cgroup, err) < 0 ? -1 : cgroup_set_memory(cgroup, &limits, err);
}

int qemu_limit_io(Cgroup *cgroup, const DomainDef *def, Error *err)
{
        if (need_group(cgroup, err) < 0)
                return -1;
        if (def->blkiotune->n_devices)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "limits by device of the host cannot be set; use blkdeviotune");
        return cgroup_set_io_weight(cgroup, def->blkiotune->weight ?: DEFAULT_WEIGHT, err);
}

int qemu_limit_nodes(Cgroup *cgroup, const DomainDef *def, Error *err)
{
        Bitmap cells;

        if (need_group(cgroup, err) < 0)
                return -1;
        if (!def->numatune->memory_nodeset)
                return 0;
        return bitmap_parse(def->numatune->memory_nodeset, &cells, err) < 0 ? -1
                                                                            : cgroup_set_mems(cgroup, &cells, err);
}

static bool has_cpu_limits(const CputuneDef *t)
{
        return t && (t->shares || t->quota || t->global_quota || t->emulator_quota || t->iothread_quota);
}

int qemu_tune_group(QemuRun *run, const DomainDef *def, Error *err)
{
        char name[UUID_TEXT_LEN + 1];
        AUTO(Cgroup) *cgroup = NULL;
        const MemtuneDef *memory = def->memtune;
        bool has_memory = memory && (memory->hard_limit_kib || memory->soft_limit_kib || memory->swap_hard_limit_kib);
        bool has_io = def->blkiotune && (def->blkiotune->weight || def->blkiotune->n_devices);
        bool has_nodes = def->numatune && def->numatune->memory_nodeset &&
                         def->numatune->memory_mode == NUMA_MODE_STRICT;

        if (!has_cpu_limits(def->cputune) && !has_memory && !has_io && !has_nodes)
                return 0;
        if (run->qemu->cgroups && !(cgroup = cgroup_new(run->qemu->cgroups, uuid_format(&def->uuid, name), err)))
                return -1;
        if ((has_cpu_limits(def->cputune) && qemu_limit_cpu(cgroup, def, err) < 0) ||
            (has_memory && qemu_limit_memory(cgroup, def, err) < 0) ||
            (has_io && qemu_limit_io(cgroup, def, err) < 0) ||
            (has_nodes && qemu_limit_nodes(cgroup, def, err) < 0)) {
                if (cgroup)
                        cgroup_remove(cgroup, NULL);
                return -1;
        }
        return 0;
}

/* --- pins --- */

int qemu_host_cpus(Bitmap *ret, Error *err)
{
        Bitmap present;

        return node_cpu_map("", &present, ret, err);
}

static bool is_vcpu(const QemuRun *run, pid_t tid)
{
        size_t n;
        const GuestVcpu *vcpus = guest_vcpus(run->guest, &n);

        for (size_t i = 0; i < n; i++) {
                if (vcpus[i].tid == tid)
                        return true;
        }
        return false;
}

int qemu_pin_emulator(QemuRun *run, const DomainDef *def, const pid_t *others, size_t n, const Bitmap *host,
                      Error *err)
{
        AUTOFREE pid_t *tids = NULL;
        size_t n_tids;
        Bitmap pin;

        emulator_pin(def, host, &pin);
        if (process_threads(guest_pid(run->guest), &tids, &n_tids, err) < 0)
                return -1;
        for (size_t i = 0; i < n_tids; i++) {
                bool is_main = tids[i] == guest_pid(run->guest), other = is_vcpu(run, tids[i]);

                for (size_t t = 0; t < n; t++)
                        other = other || others[t] == tids[i];
                /* a thread may end meanwhile */
                if (!other && process_set_affinity(guest_pid(run->guest), tids[i], &pin, is_main ? err : NULL) < 0 &&
                    is_main)
                        return -1;
        }
        return 0;
}

static int pin_vcpus(QemuRun *run, const DomainDef *def, const Bitmap *host, Error *err)
{
        size_t n;
        const GuestVcpu *vcpus = guest_vcpus(run->guest, &n);

        for (size_t i = 0; i < n; i++) {
                Bitmap pin;

                vcpu_pin(def, vcpus[i].index, host, &pin);
                if (process_set_affinity(guest_pid(run->guest), vcpus[i].tid, &pin, err) < 0)
                        return -1;
        }
        return 0;
}

static int pin_iothreads(QemuRun *run, const DomainDef *def, const Bitmap *host, Error *err)
{
        size_t n;
        const GuestIothread *threads = guest_iothreads(run->guest, &n);

        for (size_t i = 0; i < n; i++) {
                Bitmap pin;

                iothread_pin(def, threads[i].number, host, &pin);
                if (process_set_affinity(guest_pid(run->guest), threads[i].tid, &pin, err) < 0)
                        return -1;
        }
        return 0;
}

int qemu_tune_threads(QemuRun *run, const DomainDef *def, Error *err)
{
        const CputuneDef *t = def->cputune;
        size_t n;
        const GuestIothread *threads = guest_iothreads(run->guest, &n);
        AUTOFREE pid_t *others = NULL;
        Bitmap host;

        if (!def->vcpu_cpuset && !(t && (t->n_vcpupins || t->emulatorpin || t->n_iothreadpins)))
                return 0;
        others = mem_new_array(pid_t, n);
        for (size_t i = 0; i < n; i++)
                others[i] = threads[i].tid;
        if (qemu_host_cpus(&host, err) < 0 || pin_vcpus(run, def, &host, err) < 0 ||
            pin_iothreads(run, def, &host, err) < 0)
                return -1;
        return qemu_pin_emulator(run, def, others, n, &host, err);
}
