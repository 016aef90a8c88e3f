/*
 * daemon/handle-stats.c - statistics of parts of a guest
 */
#include "base/bitmap.h"
#include "daemon/call.h"
#include "daemon/collect-call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/params.h"
#include "daemon/vcpu.h"
#include "host/net.h"
#include "host/node.h"
#include "model/device.h"
#include "wire/constants.h"

enum {
        MOST_MAPS = 8 * 1024 * 1024,
        MOST_MAP = 2048,
};

/* --- memory --- */

static void on_memory(void *arg)
{
        Call *call = arg;
        const WireDomainMemoryStatsArgs *args = call_args(call);
        const Figures *f = collection_figures(call_kept(call), 0);
        const Domain *dom = call_domain(call);
        WireDomainMemoryStat stats[FIGURES_MEMORY_TAGS];
        WireDomainMemoryStatsRet ret = { .stats = stats };
        bool actual = f->memory_given & 1U << VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON;

        if (!actual && domain_is_active(dom) && args->maxStats)
                stats[ret.n_stats++] = (WireDomainMemoryStat){ VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON,
                                                               dom->driver->ops->balloon_kib(dom) };
        for (int tag = 0; tag < FIGURES_MEMORY_TAGS && ret.n_stats < MIN(args->maxStats, ARRAY_LEN(stats)); tag++) {
                if (f->memory_given & 1U << tag)
                        stats[ret.n_stats++] = (WireDomainMemoryStat){ tag, f->memory[tag] };
        }
        call_reply(call, &ret);
}

int handle_domain_memory_stats(Call *call, const WireDomainMemoryStatsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        return collect_for_call(call, &args->dom, FIGURES_BALLOON, on_memory, err);
}

/* --- processors --- */

static void on_cpu(void *arg)
{
        Call *call = arg;
        const WireDomainGetCpuStatsArgs *args = call_args(call);
        const Figures *f = collection_figures(call_kept(call), 0);
        WireDomainGetCpuStatsRet ret = { 0 };
        AUTO(Params) params = { 0 };

        params_put_ullong(&params, VIR_DOMAIN_CPU_STATS_CPUTIME, f->cpu_ns);
        params_put_ullong(&params, VIR_DOMAIN_CPU_STATS_USERTIME, f->user_ns);
        params_put_ullong(&params, VIR_DOMAIN_CPU_STATS_SYSTEMTIME, f->system_ns);
        ret.nparams = (int32_t)params.list.len;
        ret.n_params = MIN(args->nparams, (uint32_t)params.list.len);
        ret.params = params.list.items;
        call_reply(call, &ret);
}

/* The kernel of today counts a group's time in all, no longer by CPU of the host. */
int handle_domain_get_cpu_stats(Call *call, const WireDomainGetCpuStatsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_TYPED_PARAM_STRING_OKAY, err) < 0)
                return -1;
        if (args->start_cpu != -1)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "time by CPU of the host is not counted for guests; ask for the total");
        return collect_for_call(call, &args->dom, FIGURES_CPU, on_cpu, err);
}

static void put_vcpu_maps(const DomainDef *def, WireDomainGetVcpusRet *ret, uint8_t *maps, int maplen)
{
        Bitmap present, host, pin;

        if (node_cpu_map("", &present, &host, NULL) < 0)
                host = (Bitmap){ 0 };
        for (uint32_t i = 0; i < ret->n_info; i++) {
                vcpu_pin(def, ret->info[i].number, &host, &pin);
                for (int cpu = bitmap_next(&pin, -1); cpu >= 0 && cpu < maplen * 8; cpu = bitmap_next(&pin, cpu))
                        maps[(size_t)i * (size_t)maplen + (size_t)cpu / 8] |= (uint8_t)(1U << cpu % 8);
        }
}

static const VcpuFigures *find_vcpu(const Figures *f, unsigned id)
{
        for (size_t i = 0; i < f->n_vcpus; i++) {
                if (f->vcpus[i].id == id)
                        return &f->vcpus[i];
        }
        return NULL;
}

static void on_vcpus(void *arg)
{
        Call *call = arg;
        const WireDomainGetVcpusArgs *args = call_args(call);
        const Figures *f = collection_figures(call_kept(call), 0);
        const DomainDef *def = domain_def(call_domain(call));
        WireDomainGetVcpusRet ret = { 0 };
        uint8_t *maps;

        ret.info = arena_new_array(call_arena(call), WireVcpuInfo, def ? def->vcpus_max : 0);
        for (unsigned id = 0; def && id < def->vcpus_max && ret.n_info < (uint32_t)args->maxinfo; id++) {
                const VcpuFigures *v = find_vcpu(f, id);

                if (vcpu_is_plugged(def, id))
                        ret.info[ret.n_info++] = (WireVcpuInfo){ .number = id,
                                                                 .state = v ? v->state : VIR_VCPU_RUNNING,
                                                                 .cpu_time = v ? v->time_ns : 0,
                                                                 .cpu = v ? v->cpu : VIR_VCPU_INFO_CPU_UNAVAILABLE };
        }
        ret.n_cpumaps = ret.n_info * (uint32_t)args->maplen;
        ret.cpumaps = maps = arena_new_array(call_arena(call), uint8_t, ret.n_cpumaps);
        if (def)
                put_vcpu_maps(def, &ret, maps, args->maplen);
        call_reply(call, &ret);
}

int handle_domain_get_vcpus(Call *call, const WireDomainGetVcpusArgs *args, Error *err)
{
        if (args->maxinfo < 0 || args->maplen < 0 || args->maplen > MOST_MAP ||
            (uint64_t)args->maxinfo * (unsigned)args->maplen > MOST_MAPS)
                return err_set(err, ERR_INVALID_ARG, "%d maps of %d bytes do not fit an answer", args->maxinfo,
                               args->maplen);
        return collect_for_call(call, &args->dom, FIGURES_VCPUS, on_vcpus, err);
}

/* --- one interface --- */

int handle_domain_interface_stats(Call *call, const WireDomainInterfaceStatsArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);
        const InterfaceDef *interface;
        NetStats s;

        if (!dom || domain_must_be_active(dom, err) < 0)
                return -1;
        interface = domain_def_find_interface(dom->live, args->device);
        if (!interface)
                return err_set(err, ERR_INVALID_ARG, "domain '%s' has no interface '%s'", dom->name, args->device);
        if (dom->driver->ops->interface_stats(dom, interface, &s, err) < 0)
                return -1;
        call_reply(call, &(WireDomainInterfaceStatsRet){ .rx_bytes = (int64_t)s.rx_bytes,
                                                         .rx_packets = (int64_t)s.rx_packets,
                                                         .rx_errs = (int64_t)s.rx_errs,
                                                         .rx_drop = (int64_t)s.rx_drop,
                                                         .tx_bytes = (int64_t)s.tx_bytes,
                                                         .tx_packets = (int64_t)s.tx_packets,
                                                         .tx_errs = (int64_t)s.tx_errs,
                                                         .tx_drop = (int64_t)s.tx_drop });
        return 0;
}
