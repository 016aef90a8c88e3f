/*
 * daemon/domain-stats.c - statistics of a guest as the groups clients ask for
 *
 * One table of groups. What the definition and the state say is always there;
 * what was measured is there when it was measured.
 */
#include "daemon/domain-stats.h"

#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/vcpu.h"
#include "host/net.h"
#include "wire/constants.h"

typedef struct Put {
        const Domain *dom;
        const DomainDef *def;
        const Figures *figures;
        bool backing;
        Arena *arena;
        Params *params;
} Put;

/* "vcpu." 3 ".time" */
static const char *field(const Put *p, const char *prefix, unsigned number, const char *suffix)
{
        return arena_format(p->arena, "%s%u%s", prefix, number, suffix);
}

static void put_number(const Put *p, const char *prefix, unsigned number, const char *suffix, uint64_t value)
{
        params_put_ullong(p->params, field(p, prefix, number, suffix), value);
}

static void put_state(const Put *p)
{
        params_put_int(p->params, VIR_DOMAIN_STATS_STATE_STATE, p->dom->state);
        params_put_int(p->params, VIR_DOMAIN_STATS_STATE_REASON, p->dom->reason);
}

static void put_cpu(const Put *p)
{
        if (!(p->figures->has & FIGURES_CPU))
                return;
        params_put_ullong(p->params, VIR_DOMAIN_STATS_CPU_TIME, p->figures->cpu_ns);
        params_put_ullong(p->params, VIR_DOMAIN_STATS_CPU_USER, p->figures->user_ns);
        params_put_ullong(p->params, VIR_DOMAIN_STATS_CPU_SYSTEM, p->figures->system_ns);
}

static void put_balloon(const Put *p)
{
        static const char *const names[FIGURES_MEMORY_TAGS] = {
                [VIR_DOMAIN_MEMORY_STAT_SWAP_IN] = VIR_DOMAIN_STATS_BALLOON_SWAP_IN,
                [VIR_DOMAIN_MEMORY_STAT_SWAP_OUT] = VIR_DOMAIN_STATS_BALLOON_SWAP_OUT,
                [VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT] = VIR_DOMAIN_STATS_BALLOON_MAJOR_FAULT,
                [VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT] = VIR_DOMAIN_STATS_BALLOON_MINOR_FAULT,
                [VIR_DOMAIN_MEMORY_STAT_UNUSED] = VIR_DOMAIN_STATS_BALLOON_UNUSED,
                [VIR_DOMAIN_MEMORY_STAT_AVAILABLE] = VIR_DOMAIN_STATS_BALLOON_AVAILABLE,
                [VIR_DOMAIN_MEMORY_STAT_USABLE] = VIR_DOMAIN_STATS_BALLOON_USABLE,
                [VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE] = VIR_DOMAIN_STATS_BALLOON_LAST_UPDATE,
                [VIR_DOMAIN_MEMORY_STAT_DISK_CACHES] = VIR_DOMAIN_STATS_BALLOON_DISK_CACHES,
                [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC] = VIR_DOMAIN_STATS_BALLOON_HUGETLB_PGALLOC,
                [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL] = VIR_DOMAIN_STATS_BALLOON_HUGETLB_PGFAIL,
                [VIR_DOMAIN_MEMORY_STAT_RSS] = VIR_DOMAIN_STATS_BALLOON_RSS,
        };
        const Figures *f = p->figures;
        uint64_t current = domain_is_active(p->dom) ? p->dom->driver->ops->balloon_kib(p->dom)
                                                    : p->def->current_memory_kib;

        if (f->memory_given & 1U << VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON)
                current = f->memory[VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON];
        params_put_ullong(p->params, VIR_DOMAIN_STATS_BALLOON_CURRENT, current);
        params_put_ullong(p->params, VIR_DOMAIN_STATS_BALLOON_MAXIMUM, p->def->memory_kib);
        for (unsigned tag = 0; tag < ARRAY_LEN(names); tag++) {
                if (names[tag] && f->memory_given & 1U << tag)
                        params_put_ullong(p->params, names[tag], f->memory[tag]);
        }
        if (f->memory_given & 1U << VIR_DOMAIN_MEMORY_STAT_RSS) /* ours: of QEMU, by the host (MEM-05) */
                params_put_ullong(p->params, "balloon.swapped", f->swapped_kib);
}

static void put_vcpus(const Put *p)
{
        static const char prefix[] = VIR_DOMAIN_STATS_VCPU_PREFIX;

        params_put_uint(p->params, VIR_DOMAIN_STATS_VCPU_CURRENT, vcpus_plugged(p->def));
        params_put_uint(p->params, VIR_DOMAIN_STATS_VCPU_MAXIMUM, p->def->vcpus_max);
        for (size_t i = 0; i < p->figures->n_vcpus; i++) {
                const VcpuFigures *v = &p->figures->vcpus[i];

                params_put_int(p->params, field(p, prefix, v->id, VIR_DOMAIN_STATS_VCPU_SUFFIX_STATE), v->state);
                put_number(p, prefix, v->id, VIR_DOMAIN_STATS_VCPU_SUFFIX_TIME, v->time_ns);
                put_number(p, prefix, v->id, VIR_DOMAIN_STATS_VCPU_SUFFIX_WAIT, v->wait_ns);
                params_put_bool(p->params, field(p, prefix, v->id, VIR_DOMAIN_STATS_VCPU_SUFFIX_HALTED), v->halted);
        }
}

/* The kernel answers for taps at once; interfaces that have none (user mode) are named only. */
static void put_interfaces(const Put *p)
{
        static const char prefix[] = VIR_DOMAIN_STATS_NET_PREFIX;

        if (!domain_is_active(p->dom))
                return;
        params_put_uint(p->params, VIR_DOMAIN_STATS_NET_COUNT, p->def->n_interfaces);
        for (unsigned i = 0; i < p->def->n_interfaces; i++) {
                const InterfaceDef *interface = p->def->interfaces[i];
                NetStats s;

                if (!interface->target_dev)
                        continue;
                params_put_string(p->params, field(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_NAME),
                                  arena_dup(p->arena, interface->target_dev));
                if (p->dom->driver->ops->interface_stats(p->dom, interface, &s, NULL) < 0)
                        continue;
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_RX_BYTES, s.rx_bytes);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_RX_PKTS, s.rx_packets);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_RX_ERRS, s.rx_errs);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_RX_DROP, s.rx_drop);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_TX_BYTES, s.tx_bytes);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_TX_PKTS, s.tx_packets);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_TX_ERRS, s.tx_errs);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_NET_SUFFIX_TX_DROP, s.tx_drop);
        }
}

static void put_block_figures(const Put *p, unsigned i, const BlockFigures *b)
{
        static const char prefix[] = VIR_DOMAIN_STATS_BLOCK_PREFIX;

        if (b->backing_index)
                params_put_uint(p->params, field(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_BACKINGINDEX),
                                (uint32_t)b->backing_index);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_RD_REQS, b->rd_reqs);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_RD_BYTES, b->rd_bytes);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_RD_TIMES, b->rd_ns);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_WR_REQS, b->wr_reqs);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_WR_BYTES, b->wr_bytes);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_WR_TIMES, b->wr_ns);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_FL_REQS, b->fl_reqs);
        put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_FL_TIMES, b->fl_ns);
        if (b->has_sizes) {
                put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_ALLOCATION, b->highest);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_CAPACITY, b->capacity);
                put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_PHYSICAL, b->physical);
        }
        if (b->threshold)
                put_number(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_THRESHOLD, b->threshold);
}

static void put_block_name(const Put *p, unsigned i, const char *target, const char *path)
{
        static const char prefix[] = VIR_DOMAIN_STATS_BLOCK_PREFIX;

        params_put_string(p->params, field(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_NAME),
                          arena_dup(p->arena, target));
        params_put_string(p->params, field(p, prefix, i, VIR_DOMAIN_STATS_BLOCK_SUFFIX_PATH),
                          arena_dup(p->arena, path));
}

/* As many blocks as are listed: the number stands in front and is known last. */
static void put_blocks(const Put *p)
{
        size_t at = p->params->list.len;
        const Figures *f = p->figures;
        uint32_t n = 0;

        params_put_uint(p->params, VIR_DOMAIN_STATS_BLOCK_COUNT, 0);
        if (f->has & FIGURES_BLOCKS) {
                for (size_t i = 0; i < f->n_blocks; i++) {
                        const BlockFigures *b = &f->blocks[i];

                        if (b->backing_index && !p->backing)
                                continue;
                        put_block_name(p, n, b->target, b->path);
                        put_block_figures(p, n++, b);
                }
        } else {
                for (uint32_t i = 0; i < p->def->n_disks; i++)
                        put_block_name(p, n++, p->def->disks[i]->target_dev, p->def->disks[i]->source.path);
        }
        p->params->list.items[at].value.ui = n;
}

static void put_iothreads(const Put *p)
{
        static const char prefix[] = VIR_DOMAIN_STATS_IOTHREAD_PREFIX;

        if (!(p->figures->has & FIGURES_IOTHREADS))
                return;
        params_put_uint(p->params, VIR_DOMAIN_STATS_IOTHREAD_COUNT, (uint32_t)p->figures->n_iothreads);
        for (size_t i = 0; i < p->figures->n_iothreads; i++) {
                const IothreadFigures *t = &p->figures->iothreads[i];

                put_number(p, prefix, t->id, VIR_DOMAIN_STATS_IOTHREAD_SUFFIX_POLL_MAX_NS, t->poll_max_ns);
                params_put_uint(p->params, field(p, prefix, t->id, VIR_DOMAIN_STATS_IOTHREAD_SUFFIX_POLL_GROW),
                                t->poll_grow);
                params_put_uint(p->params, field(p, prefix, t->id, VIR_DOMAIN_STATS_IOTHREAD_SUFFIX_POLL_SHRINK),
                                t->poll_shrink);
        }
}

static void put_dirty_rate(const Put *p)
{
        static const char prefix[] = VIR_DOMAIN_STATS_DIRTYRATE_VCPU_PREFIX;
        const DirtyRateFigures *d = &p->figures->dirty_rate;

        if (!(p->figures->has & FIGURES_DIRTY_RATE))
                return;
        params_put_int(p->params, VIR_DOMAIN_STATS_DIRTYRATE_CALC_STATUS, d->status);
        params_put_llong(p->params, VIR_DOMAIN_STATS_DIRTYRATE_CALC_START_TIME, d->started_s);
        params_put_int(p->params, VIR_DOMAIN_STATS_DIRTYRATE_CALC_PERIOD, (int32_t)d->period_s);
        params_put_string(p->params, VIR_DOMAIN_STATS_DIRTYRATE_CALC_MODE, arena_dup(p->arena, d->mode));
        if (d->status != VIR_DOMAIN_DIRTYRATE_MEASURED)
                return;
        params_put_llong(p->params, VIR_DOMAIN_STATS_DIRTYRATE_MEGABYTES_PER_SECOND, d->mib_s);
        for (size_t i = 0; i < d->n_vcpus; i++)
                put_number(p, prefix, d->vcpus[i].id, VIR_DOMAIN_STATS_DIRTYRATE_VCPU_SUFFIX_MEGABYTES_PER_SECOND,
                           d->vcpus[i].mib_s);
}

static const struct {
        unsigned group, figures;
        void (*put)(const Put *p);
} groups[] = {
        { VIR_DOMAIN_STATS_STATE, 0, put_state },
        { VIR_DOMAIN_STATS_CPU_TOTAL, FIGURES_CPU, put_cpu },
        { VIR_DOMAIN_STATS_BALLOON, FIGURES_BALLOON, put_balloon },
        { VIR_DOMAIN_STATS_VCPU, FIGURES_VCPUS, put_vcpus },
        { VIR_DOMAIN_STATS_INTERFACE, 0, put_interfaces },
        { VIR_DOMAIN_STATS_BLOCK, FIGURES_BLOCKS, put_blocks },
        { VIR_DOMAIN_STATS_IOTHREAD, FIGURES_IOTHREADS, put_iothreads },
        { VIR_DOMAIN_STATS_DIRTYRATE, FIGURES_DIRTY_RATE, put_dirty_rate },
};

unsigned domain_stats_known(void)
{
        unsigned known = 0;

        for (size_t i = 0; i < ARRAY_LEN(groups); i++)
                known |= groups[i].group;
        return known;
}

unsigned domain_stats_figures(unsigned wanted)
{
        unsigned what = 0;

        for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
                if (wanted & groups[i].group)
                        what |= groups[i].figures;
        }
        return what;
}

void domain_stats_put(const Domain *dom, const Figures *figures, unsigned wanted, bool backing, Arena *arena,
                      Params *ret)
{
        Put p = { .dom = dom,
                  .def = domain_def(dom),
                  .figures = figures,
                  .backing = backing,
                  .arena = arena,
                  .params = ret };

        for (size_t i = 0; p.def && i < ARRAY_LEN(groups); i++) {
                if (wanted & groups[i].group)
                        groups[i].put(&p);
        }
}
