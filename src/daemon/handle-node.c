/*
 * daemon/handle-node.c - the host: processors, memory, pages
 *
 * The kernel's own files answer at once, so all of this is read on the loop.
 * Making huge pages can take the kernel long: a worker does that.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/daemon.h"
#include "daemon/handlers.h"
#include "daemon/params.h"
#include "host/node.h"
#include "wire/constants.h"

#include <stdio.h>
#include <string.h>

enum {
        ALL_CPUS = -1,
        ALL_CELLS = -1,
        MOST_CELLS = 1024,
        MOST_COUNTS = 1024,
};

static const char root[] = "";

int handle_node_get_info(Call *call, Error *err)
{
        WireNodeGetInfoRet ret = { 0 };
        NodeInfo info;

        if (node_info(root, &info, err) < 0)
                return -1;
        memcpy(ret.model, info.model, sizeof(ret.model));
        ret.memory = info.memory_kib;
        ret.cpus = (int32_t)info.cpus;
        ret.mhz = (int32_t)info.mhz;
        ret.nodes = (int32_t)info.cells;
        ret.sockets = (int32_t)info.sockets;
        ret.cores = (int32_t)info.cores;
        ret.threads = (int32_t)info.threads;
        call_reply(call, &ret);
        return 0;
}

static int last_bit(const Bitmap *map)
{
        int last = -1;

        for (int bit = bitmap_next(map, -1); bit >= 0; bit = bitmap_next(map, bit))
                last = bit;
        return last;
}

int handle_node_get_cpu_map(Call *call, const WireNodeGetCpuMapArgs *args, Error *err)
{
        WireNodeGetCpuMapRet ret = { 0 };
        Bitmap present, online;

        if (call_check_flags(call, args->flags, 0, err) < 0 || node_cpu_map(root, &present, &online, err) < 0)
                return -1;
        ret.ret = last_bit(&present) + 1;
        if (args->need_map) {
                ret.n_cpumap = (uint32_t)(ret.ret + 7) / 8;
                ret.cpumap = (const uint8_t *)online.words;
        }
        if (args->need_online)
                ret.online = bitmap_count(&online);
        call_reply(call, &ret);
        return 0;
}

int handle_node_get_free_memory(Call *call, Error *err)
{
        NodeMemoryStats stats;

        if (node_memory_stats(root, ALL_CELLS, &stats, err) < 0)
                return -1;
        call_reply(call, &(WireNodeGetFreeMemoryRet){ .freeMem = stats.free_kib * 1024 });
        return 0;
}

/* Cells from `first` on, at most `n` of them: where they begin and end in the topology. */
static int cell_range(const NodeTopology *topology, int first, uint32_t n, size_t *ret_begin, size_t *ret_end,
                      Error *err)
{
        unsigned last = topology->cells[topology->n_cells - 1].id;
        size_t begin = 0, end;

        if (first < 0 || (unsigned)first > last)
                return err_set(err, ERR_INVALID_ARG, "start cell %d is out of range: this host has cells 0 to %u",
                               first, last);
        while (topology->cells[begin].id < (unsigned)first)
                begin++;
        for (end = begin; end < topology->n_cells && end - begin < n;)
                end++;
        *ret_begin = begin;
        *ret_end = end;
        return 0;
}

int handle_node_get_cells_free_memory(Call *call, const WireNodeGetCellsFreeMemoryArgs *args, Error *err)
{
        uint64_t cells[MOST_CELLS];
        WireNodeGetCellsFreeMemoryRet ret = { .cells = cells };
        NodeTopology topology;
        size_t begin, end;

        if (args->maxcells <= 0 || args->maxcells > MOST_CELLS)
                return err_set(err, ERR_INVALID_ARG, "the number of cells must be from 1 to %d, not %d", MOST_CELLS,
                               args->maxcells);
        if (node_topology(root, call_arena(call), &topology, err) < 0 ||
            cell_range(&topology, args->startCell, (uint32_t)args->maxcells, &begin, &end, err) < 0)
                return -1;
        for (size_t i = begin; i < end; i++)
                cells[ret.n_cells++] = topology.cells[i].free_kib * 1024;
        call_reply(call, &ret);
        return 0;
}

int handle_node_get_free_pages(Call *call, const WireNodeGetFreePagesArgs *args, Error *err)
{
        uint64_t counts[MOST_COUNTS];
        WireNodeGetFreePagesRet ret = { .counts = counts };
        NodeTopology topology;
        size_t begin, end;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if ((uint64_t)args->n_pages * args->cellCount > MOST_COUNTS)
                return err_set(err, ERR_INVALID_ARG, "%u sizes in %u cells are more counts than the %d of an answer",
                               args->n_pages, args->cellCount, MOST_COUNTS);
        if (args->startCell == ALL_CELLS) {
                for (uint32_t p = 0; p < args->n_pages; p++, ret.n_counts++) {
                        if (node_free_pages(root, ALL_CELLS, args->pages[p], &counts[ret.n_counts], err) < 0)
                                return -1;
                }
                call_reply(call, &ret);
                return 0;
        }
        if (node_topology(root, call_arena(call), &topology, err) < 0 ||
            cell_range(&topology, args->startCell, args->cellCount, &begin, &end, err) < 0)
                return -1;
        for (size_t i = begin; i < end; i++) {
                for (uint32_t p = 0; p < args->n_pages; p++, ret.n_counts++) {
                        if (node_free_pages(root, (int)topology.cells[i].id, args->pages[p], &counts[ret.n_counts],
                                            err) < 0)
                                return -1;
                }
        }
        call_reply(call, &ret);
        return 0;
}

/* --- huge pages, made by a worker --- */

typedef struct PagesTask {
        Call *call;
        const WireNodeAllocPagesArgs *args; /* lives as long as the call, which waits for this */
        unsigned *cells;                    /* in the call's arena */
        size_t n_cells;
        int pools; /* that were changed */
        Error err;
        Task *task;
} PagesTask;

static void alloc_pages(void *data)
{
        PagesTask *t = data;
        bool add = !(t->args->flags & VIR_NODE_ALLOC_PAGES_SET);
        uint64_t before, has;

        for (size_t c = 0; c < t->n_cells; c++) {
                for (uint32_t i = 0; i < t->args->n_pageSizes; i++) {
                        uint64_t wanted = t->args->pageCounts[i];
                        int cell = (int)t->cells[c];

                        if (node_alloc_pages(root, cell, t->args->pageSizes[i], 0, true, &before, &t->err) < 0 ||
                            node_alloc_pages(root, cell, t->args->pageSizes[i], wanted, add, &has, &t->err) < 0)
                                return;
                        if (has != (add ? before + wanted : wanted)) {
                                err_set(&t->err, ERR_OPERATION_FAILED,
                                        "the kernel made the pool of %u KiB pages in cell %d only %llu pages large: "
                                        "there is not enough free memory in one piece",
                                        t->args->pageSizes[i], cell, (unsigned long long)has);
                                return;
                        }
                        t->pools++;
                }
        }
}

static void on_pages(void *data)
{
        PagesTask *t = data;

        if (err_is_set(&t->err))
                call_fail(t->call, &t->err);
        else
                call_reply(t->call, &(WireNodeAllocPagesRet){ .ret = t->pools });
        task_free(t->task, NULL);
        err_done(&t->err);
        free(t);
}

int handle_node_alloc_pages(Call *call, const WireNodeAllocPagesArgs *args, Error *err)
{
        NodeTopology topology;
        size_t begin, end;
        PagesTask *t;

        if (call_check_flags(call, args->flags, VIR_NODE_ALLOC_PAGES_SET, err) < 0)
                return -1;
        if (args->n_pageSizes != args->n_pageCounts)
                return err_set(err, ERR_INVALID_ARG, "%u page sizes came with %u counts", args->n_pageSizes,
                               args->n_pageCounts);
        if (node_topology(root, call_arena(call), &topology, err) < 0 ||
            cell_range(&topology, args->startCell == ALL_CELLS ? 0 : args->startCell,
                       args->startCell == ALL_CELLS ? UINT32_MAX : args->cellCount, &begin, &end, err) < 0)
                return -1;
        t = mem_new(PagesTask);
        *t = (PagesTask){ .call = call, .args = args, .n_cells = end - begin };
        t->cells = arena_new_array(call_arena(call), unsigned, end - begin);
        for (size_t i = begin; i < end; i++)
                t->cells[i - begin] = topology.cells[i].id;
        t->task = task_new(call_daemon(call)->workers, alloc_pages, on_pages, t);
        return 0;
}

/* --- statistics --- */

int handle_node_get_cpu_stats(Call *call, const WireNodeGetCpuStatsArgs *args, Error *err)
{
        NodeCpuStats stats;

        if (call_check_flags(call, args->flags, 0, err) < 0 ||
            node_cpu_stats(root, MAX(args->cpuNum, ALL_CPUS), &stats, err) < 0)
                return -1;
        if (args->cpuNum < ALL_CPUS || args->nparams < 0)
                return err_set(err, ERR_INVALID_ARG, "CPU %d or %d parameters make no sense", args->cpuNum,
                               args->nparams);
        WireNodeGetCpuStats params[] = {
                { VIR_NODE_CPU_STATS_KERNEL, stats.kernel_ns },
                { VIR_NODE_CPU_STATS_USER, stats.user_ns },
                { VIR_NODE_CPU_STATS_IDLE, stats.idle_ns },
                { VIR_NODE_CPU_STATS_IOWAIT, stats.iowait_ns },
        };
        call_reply(call, &(WireNodeGetCpuStatsRet){
                                 .n_params = MIN((uint32_t)args->nparams, (uint32_t)ARRAY_LEN(params)),
                                 .params = params,
                                 .nparams = ARRAY_LEN(params),
                         });
        return 0;
}

/* Buffers are counted for the machine only, not by cell; nor is the cache, for clients. */
int handle_node_get_memory_stats(Call *call, const WireNodeGetMemoryStatsArgs *args, Error *err)
{
        NodeMemoryStats stats;
        uint32_t n;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (args->cellNum < ALL_CELLS || args->nparams < 0)
                return err_set(err, ERR_INVALID_ARG, "cell %d or %d parameters make no sense", args->cellNum,
                               args->nparams);
        if (node_memory_stats(root, args->cellNum, &stats, err) < 0)
                return -1;
        WireNodeGetMemoryStats params[] = {
                { VIR_NODE_MEMORY_STATS_TOTAL, stats.total_kib },
                { VIR_NODE_MEMORY_STATS_FREE, stats.free_kib },
                { VIR_NODE_MEMORY_STATS_BUFFERS, stats.buffers_kib },
                { VIR_NODE_MEMORY_STATS_CACHED, stats.cached_kib },
        };
        n = args->cellNum == ALL_CELLS ? ARRAY_LEN(params) : 2;
        call_reply(call, &(WireNodeGetMemoryStatsRet){ .n_params = MIN((uint32_t)args->nparams, n),
                                                       .params = params,
                                                       .nparams = (int32_t)n });
        return 0;
}

/* --- KSM, the kernel's merging of equal pages --- */

int handle_node_get_memory_parameters(Call *call, const WireNodeGetMemoryParametersArgs *args, Error *err)
{
        WireNodeGetMemoryParametersRet ret;
        AUTO(Params) params = { 0 };
        NodeKsm ksm;

        if (call_check_flags(call, args->flags, VIR_TYPED_PARAM_STRING_OKAY, err) < 0 ||
            node_ksm(root, &ksm, err) < 0)
                return -1;
        params_put_uint(&params, VIR_NODE_MEMORY_SHARED_PAGES_TO_SCAN, (uint32_t)ksm.pages_to_scan);
        params_put_uint(&params, VIR_NODE_MEMORY_SHARED_SLEEP_MILLISECS, (uint32_t)ksm.sleep_ms);
        params_put_ullong(&params, VIR_NODE_MEMORY_SHARED_PAGES_SHARED, ksm.pages_shared);
        params_put_ullong(&params, VIR_NODE_MEMORY_SHARED_PAGES_SHARING, ksm.pages_sharing);
        params_put_ullong(&params, VIR_NODE_MEMORY_SHARED_PAGES_UNSHARED, ksm.pages_unshared);
        params_put_ullong(&params, VIR_NODE_MEMORY_SHARED_PAGES_VOLATILE, ksm.pages_volatile);
        params_put_ullong(&params, VIR_NODE_MEMORY_SHARED_FULL_SCANS, ksm.full_scans);
        params_put_uint(&params, VIR_NODE_MEMORY_SHARED_MERGE_ACROSS_NODES, (uint32_t)ksm.merge_across_nodes);
        if (params_fit(&params, args->nparams, &ret.n_params, err) < 0)
                return -1;
        ret.params = params.list.items;
        ret.nparams = (int32_t)params.list.len;
        call_reply(call, &ret);
        return 0;
}

/* All are checked before the first is written. */
int handle_node_set_memory_parameters(Call *call, const WireNodeSetMemoryParametersArgs *args, Error *err)
{
        static const char *const settable[] = { VIR_NODE_MEMORY_SHARED_PAGES_TO_SCAN,
                                                VIR_NODE_MEMORY_SHARED_SLEEP_MILLISECS,
                                                VIR_NODE_MEMORY_SHARED_MERGE_ACROSS_NODES };

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        for (uint32_t i = 0; i < args->n_params; i++) {
                const WireTypedParam *p = &args->params[i];
                bool known = false;

                for (size_t s = 0; s < ARRAY_LEN(settable); s++)
                        known = known || str_eq(p->field, settable[s]);
                if (!known)
                        return err_set(err, ERR_INVALID_ARG, "'%s' is not a memory parameter that can be set",
                                       p->field);
                if (p->value.type != PARAM_UINT)
                        return err_set(err, ERR_INVALID_ARG, "'%s' must be of type uint, not %s", p->field,
                                       param_type_text(p->value.type));
        }
        for (uint32_t i = 0; i < args->n_params; i++) {
                if (node_set_ksm(root, args->params[i].field + strlen("shm_"), args->params[i].value.ui, err) < 0)
                        return -1;
        }
        call_reply(call, NULL);
        return 0;
}
