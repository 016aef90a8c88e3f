/*
 * daemon/qemu-collect.c - figures of a running QEMU guest
 *
 * Times of processors come from the kernel at once; disks and I/O threads are
 * asked for over the monitor, all questions at the same time.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/disk-sizes.h"
#include "daemon/figures.h"
#include "daemon/qemu-driver.h"
#include "host/process.h"
#include "qemu/command-line.h"
#include "qemu/qmp-json.h"
#include "wire/constants.h"

enum { MOST_LISTED = 4096 };

typedef struct Collecting {
        Domain *dom;
        Figures *ret;
        DriverDone *done;
        void *arg;
        unsigned waiting;
        uint64_t changes; /* qmp_client_changes() when sizes were asked for */
        Error failure;    /* the first */
} Collecting;

static void settle(Collecting *c, const Error *failure)
{
        if (failure && !err_is_set(&c->failure))
                err_copy(&c->failure, failure);
        if (--c->waiting)
                return;
        c->done(c->arg, err_is_set(&c->failure) ? &c->failure : NULL);
        domain_unref(c->dom);
        err_done(&c->failure);
        free(c);
}

static void measure_processors(Guest *guest, unsigned what, Figures *ret)
{
        pid_t pid = guest_pid(guest);
        CgroupUsage usage;
        ProcessStat stat;
        size_t n;
        const GuestVcpu *vcpus = guest_vcpus(guest, &n);

        if (what & FIGURES_CPU && guest_cgroup(guest) && cgroup_usage(guest_cgroup(guest), &usage, NULL) == 0 &&
            usage.cpu_ns) {
                ret->cpu_ns = usage.cpu_ns;
                ret->user_ns = usage.user_ns;
                ret->system_ns = usage.system_ns;
                ret->has |= FIGURES_CPU;
        } else if (what & FIGURES_CPU && process_stat(pid, 0, &stat, NULL) == 0) {
                ret->user_ns = stat.user_ns;
                ret->system_ns = stat.system_ns;
                ret->cpu_ns = stat.user_ns + stat.system_ns;
                ret->has |= FIGURES_CPU;
        }
        if (!(what & FIGURES_VCPUS))
                return;
        ret->vcpus = arena_new_array(ret->arena, VcpuFigures, n);
        for (size_t i = 0; i < n; i++) {
                if (process_stat(pid, vcpus[i].tid, &stat, NULL) < 0)
                        continue;
                ret->vcpus[ret->n_vcpus++] = (VcpuFigures){ .id = vcpus[i].index,
                                                            .state = VIR_VCPU_RUNNING,
                                                            .cpu = stat.cpu,
                                                            .time_ns = stat.user_ns + stat.system_ns };
        }
        ret->has |= FIGURES_VCPUS;
}

static void measure_memory(Guest *guest, Figures *ret)
{
        ProcessStat stat;

        if (guest_balloon_bytes(guest)) {
                ret->memory[VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON] = guest_balloon_bytes(guest) / 1024;
                ret->memory_given |= 1U << VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON;
        }
        if (process_stat(guest_pid(guest), 0, &stat, NULL) == 0) {
                ret->memory[VIR_DOMAIN_MEMORY_STAT_RSS] = stat.rss_bytes / 1024;
                ret->memory_given |= 1U << VIR_DOMAIN_MEMORY_STAT_RSS;
        }
        if (process_swapped(guest_pid(guest), &ret->swapped_kib, NULL) == 0)
                ret->swapped_kib /= 1024;
        ret->has |= FIGURES_BALLOON;
}

char *qemu_balloon_path(const DomainDef *def)
{
        const MemballoonDef *b = def->n_memballoons ? def->memballoons[0] : NULL;

        return b && b->info.alias && !str_eq(b->model, "none") ? str_format("/machine/peripheral/%s", b->info.alias)
                                                               : NULL;
}

/* What the guest itself tells, every stats_period_s. A figure it does not have is -1. */
static void got_balloon(void *arg, struct json_object *reply, const Error *failure)
{
        static const struct {
                const char *key;
                int tag;
                unsigned unit;
        } rows[] = { { "stat-swap-in", VIR_DOMAIN_MEMORY_STAT_SWAP_IN, 1024 },
                     { "stat-swap-out", VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, 1024 },
                     { "stat-major-faults", VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, 1 },
                     { "stat-minor-faults", VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT, 1 },
                     { "stat-free-memory", VIR_DOMAIN_MEMORY_STAT_UNUSED, 1024 },
                     { "stat-total-memory", VIR_DOMAIN_MEMORY_STAT_AVAILABLE, 1024 },
                     { "stat-available-memory", VIR_DOMAIN_MEMORY_STAT_USABLE, 1024 },
                     { "stat-disk-caches", VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, 1024 },
                     { "stat-htlb-pgalloc", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, 1 },
                     { "stat-htlb-pgfail", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, 1 } };
        Collecting *c = arg;
        int64_t updated = failure ? 0 : qmp_json_get_i64(reply, "last-update", 0);

        for (size_t i = 0; updated > 0 && i < ARRAY_LEN(rows); i++) {
                int64_t value = qmp_json_get_i64(qmp_json_get(reply, "stats"), rows[i].key, -1);

                if (value < 0)
                        continue;
                c->ret->memory[rows[i].tag] = (uint64_t)value / rows[i].unit;
                c->ret->memory_given |= 1U << rows[i].tag;
        }
        if (updated > 0) {
                c->ret->memory[VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE] = (uint64_t)updated;
                c->ret->memory_given |= 1U << VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE;
        }
        settle(c, NULL); /* a guest without that has the other figures still */
}

static void ask_balloon(Collecting *c, QmpClient *qmp)
{
        AUTOFREE char *path = qemu_balloon_path(c->dom->live);

        if (!path || !c->dom->live->memballoons[0]->stats_period_s)
                return;
        c->waiting++;
        qmp_qom_get(qmp, &(QmpQomGet){ .path = path, .property = "guest-stats" }, got_balloon, c);
}

/* --- disks: one row for each of the definition --- */

static void list_disks(const DomainDef *def, Figures *ret)
{
        ret->blocks = arena_new_array(ret->arena, BlockFigures, def->n_disks);
        ret->n_blocks = def->n_disks;
        for (uint32_t i = 0; i < def->n_disks; i++)
                ret->blocks[i] = (BlockFigures){ .target = arena_dup(ret->arena, def->disks[i]->target_dev),
                                                 .path = arena_dup(ret->arena, def->disks[i]->source.path) };
}

static BlockFigures *find_disk(Figures *f, const DiskDef *disk)
{
        for (size_t i = 0; i < f->n_blocks; i++) {
                if (str_eq(f->blocks[i].target, disk->target_dev))
                        return &f->blocks[i];
        }
        return NULL;
}

static void got_counters(void *arg, const QmpBlockStats *stats, size_t n, const Error *failure)
{
        Collecting *c = arg;
        const DomainDef *def = c->dom->live;

        for (uint32_t d = 0; !failure && def && d < def->n_disks; d++) {
                AUTOFREE char *qdev = qemu_disk_qdev(def->disks[d]);
                BlockFigures *b = find_disk(c->ret, def->disks[d]);

                for (size_t i = 0; b && i < MIN(n, MOST_LISTED); i++) {
                        const QmpBlockCounters *s = &stats[i].stats;

                        if (!str_eq(stats[i].qdev, qdev))
                                continue;
                        b->rd_reqs = s->rd_operations;
                        b->rd_bytes = s->rd_bytes;
                        b->rd_ns = s->rd_total_time_ns;
                        b->wr_reqs = s->wr_operations;
                        b->wr_bytes = s->wr_bytes;
                        b->wr_ns = s->wr_total_time_ns;
                        b->fl_reqs = s->flush_operations;
                        b->fl_ns = s->flush_total_time_ns;
                        b->highest = stats[i].parent ? stats[i].parent->stats.wr_highest_offset
                                                     : s->wr_highest_offset;
                }
        }
        if (!failure)
                c->ret->has |= FIGURES_BLOCKS;
        settle(c, failure);
}

static void got_sizes(void *arg, const QmpBlockNode *nodes, size_t n, const Error *failure)
{
        Collecting *c = arg;
        QemuRun *run = qemu_run(c->dom);

        if (!failure && run && c->dom->live) {
                bool unchanged = qmp_client_changes(guest_qmp(run->guest)) == c->changes;

                run->sizes = disk_sizes_learn(run->sizes, guest_pid(run->guest), unchanged ? c->changes : 0,
                                              c->dom->live, nodes, n, c->ret);
        }
        settle(c, failure);
}

static void ask_disks(Collecting *c, QemuRun *run, QmpClient *qmp)
{
        list_disks(c->dom->live, c->ret);
        c->waiting++;
        qmp_query_blockstats(qmp, &(QmpQueryBlockstats){ 0 }, got_counters, c);
        c->changes = qmp_client_changes(qmp);
        if (disk_sizes_give(run->sizes, guest_pid(run->guest), c->changes, c->ret))
                return;
        c->waiting++;
        qmp_query_named_block_nodes(qmp, &(QmpQueryNamedBlockNodes){ .has_flat = true, .flat = true }, got_sizes, c);
}

static void got_iothreads(void *arg, const QmpIoThread *threads, size_t n, const Error *failure)
{
        Collecting *c = arg;
        Figures *f = c->ret;

        if (!failure) {
                f->iothreads = arena_new_array(f->arena, IothreadFigures, n);
                f->has |= FIGURES_IOTHREADS;
        }
        for (size_t i = 0; !failure && i < n; i++) {
                IothreadFigures *t = &f->iothreads[f->n_iothreads];

                if (!str_starts(threads[i].id, "iothread") ||
                    str_to_u32(threads[i].id + strlen("iothread"), &t->id) < 0)
                        continue;
                t->poll_max_ns = (uint64_t)threads[i].poll_max_ns;
                t->poll_grow = (uint32_t)threads[i].poll_grow;
                t->poll_shrink = (uint32_t)threads[i].poll_shrink;
                f->n_iothreads++;
        }
        settle(c, failure);
}

static void got_dirty_rate(void *arg, const QmpDirtyRate *rate, const Error *failure)
{
        static const char *const words[] = { "unstarted", "measuring", "measured" };
        Collecting *c = arg;
        DirtyRateFigures *d = &c->ret->dirty_rate;

        for (size_t i = 0; !failure && i < ARRAY_LEN(words); i++) {
                if (!str_eq(rate->status, words[i]))
                        continue;
                *d = (DirtyRateFigures){ .status = (int)i,
                                         .started_s = rate->start_time,
                                         .period_s = rate->calc_time,
                                         .mode = arena_dup(c->ret->arena, rate->mode),
                                         .mib_s = rate->has_dirty_rate ? rate->dirty_rate : 0,
                                         .vcpus = arena_new_array(c->ret->arena, VcpuDirtyRateFigures,
                                                                  rate->n_vcpu_dirty_rate) };
                for (size_t v = 0; v < rate->n_vcpu_dirty_rate; v++)
                        d->vcpus[d->n_vcpus++] = (VcpuDirtyRateFigures){
                                .id = (unsigned)rate->vcpu_dirty_rate[v].id,
                                .mib_s = (uint64_t)MAX(rate->vcpu_dirty_rate[v].dirty_rate, (int64_t)0)
                        };
                c->ret->has |= FIGURES_DIRTY_RATE;
        }
        settle(c, NULL); /* a guest without that has the other figures still */
}

void qemu_collect(Domain *dom, unsigned what, Figures *ret, DriverDone *done, void *arg)
{
        Guest *guest = qemu_run(dom) ? qemu_run(dom)->guest : NULL;
        QmpClient *qmp;
        Collecting *c;

        if (!guest || !guest_is_active(guest)) { /* it is about to start, or ends at this moment */
                done(arg, NULL);
                return;
        }
        qmp = guest_qmp(guest);
        c = mem_new(Collecting);
        *c = (Collecting){ .dom = domain_ref(dom), .ret = ret, .done = done, .arg = arg, .waiting = 1 };
        measure_processors(guest, what, ret);
        if (what & FIGURES_BALLOON)
                measure_memory(guest, ret);
        if (qmp && what & FIGURES_BALLOON)
                ask_balloon(c, qmp);
        if (qmp && what & FIGURES_BLOCKS && dom->live->n_disks)
                ask_disks(c, qemu_run(dom), qmp);
        if (qmp && what & FIGURES_IOTHREADS) {
                c->waiting++;
                qmp_query_iothreads(qmp, got_iothreads, c);
        }
        if (qmp && what & FIGURES_DIRTY_RATE) {
                c->waiting++;
                qmp_query_dirty_rate(qmp, got_dirty_rate, c);
        }
        settle(c, NULL);
}
