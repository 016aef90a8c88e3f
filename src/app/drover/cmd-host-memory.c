/*
 * app/drover/cmd-host-memory.c - the host's memory: what is free, pages, sharing
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/xml.h"

#include "base/str.h"
#include "base/units.h"

enum { MOST_CELLS = 1024 };

static int nodememstats(Session *s, const Args *args, Error *err)
{
        WireNodeGetMemoryStatsArgs call = { .cellNum = VIR_NODE_MEMORY_STATS_ALL_CELLS };
        WireNodeGetMemoryStatsRet now;

        if (arg_i32(args, "cell", &call.cellNum, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_GET_MEMORY_STATS, &call, &now, err) < 0)
                return fail(err, "Unable to get number of memory stats");
        call.nparams = now.nparams;
        if (call.nparams && session_call(s, WIRE_PROC_NODE_GET_MEMORY_STATS, &call, &now, err) < 0)
                return fail(err, "Unable to get memory stats");
        for (uint32_t i = 0; i < now.n_params; i++) {
                AUTOFREE char *key = str_format("%s_kib", now.params[i].field);

                out_print(s->out, "%-7s: %20llu KiB\n", now.params[i].field, (unsigned long long)now.params[i].value);
                out_set_u64(s->out, key, now.params[i].value);
        }
        return 0;
}

/* Numbers of the host's NUMA nodes, from its capabilities. */
static size_t node_numbers(Session *s, uint32_t *numbers, size_t most, Error *err)
{
        WireConnectGetCapabilitiesRet ret;
        AUTO(Xml) *xml = NULL;
        XmlNode *cells[MOST_CELLS];
        size_t n;

        if (session_call(s, WIRE_PROC_CONNECT_GET_CAPABILITIES, NULL, &ret, err) < 0)
                return 0;
        xml = xml_read(ret.capabilities, err);
        if (!xml)
                return 0;
        n = xml_nodes(xml, NULL, "host/topology/cells/cell", cells, MIN(most, (size_t)MOST_CELLS));
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *id = xml_text(xml, cells[i], "@id");

                if (!id || str_to_u32(id, &numbers[i]) < 0)
                        numbers[i] = (uint32_t)i;
        }
        if (n == 0)
                err_set(err, ERR_INTERNAL, "could not get information about NUMA topology");
        return n;
}

static int free_of_cell(Session *s, uint32_t cell, uint64_t *ret, Error *err)
{
        WireNodeGetCellsFreeMemoryRet found;

        if (session_call(s, WIRE_PROC_NODE_GET_CELLS_FREE_MEMORY,
                         &(WireNodeGetCellsFreeMemoryArgs){ (int32_t)cell, 1 }, &found, err) < 0)
                return fail(err, "failed to get free memory for NUMA node number: %u", cell);
        *ret = found.n_cells ? found.cells[0] / 1024 : 0;
        return 0;
}

static int freecell_all(Session *s, Error *err)
{
        uint32_t numbers[MOST_CELLS];
        size_t n = node_numbers(s, numbers, ARRAY_LEN(numbers), err);
        uint64_t total = 0;

        if (n == 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *key = str_format("node_%u_kib", numbers[i]);
                uint64_t kib;

                if (free_of_cell(s, numbers[i], &kib, err) < 0)
                        return -1;
                out_print(s->out, "%5u: %10llu KiB\n", numbers[i], (unsigned long long)kib);
                out_set_u64(s->out, key, kib);
                total += kib;
        }
        if (!s->quiet)
                out_print(s->out, "--------------------\n%5s: %10llu KiB\n", "Total", (unsigned long long)total);
        out_set_u64(s->out, "total_kib", total);
        return 0;
}

static int freecell(Session *s, const Args *args, Error *err)
{
        WireNodeGetFreeMemoryRet total;
        uint32_t cell;
        uint64_t kib;
        int given = arg_u32(args, "cellno", &cell, err);

        if (given < 0 || refuse_both(args, "all", "cellno", err) < 0)
                return -1;
        if (arg_has(args, "all"))
                return freecell_all(s, err);
        if (given) {
                if (free_of_cell(s, cell, &kib, err) < 0)
                        return -1;
                out_print(s->out, "%u: %llu KiB\n", cell, (unsigned long long)kib);
                out_set_u64(s->out, "free_kib", kib);
                return 0;
        }
        if (session_call(s, WIRE_PROC_NODE_GET_FREE_MEMORY, NULL, &total, err) < 0)
                return -1;
        out_print(s->out, "Total: %llu KiB\n", (unsigned long long)(total.freeMem / 1024));
        out_set_u64(s->out, "total_kib", total.freeMem / 1024);
        return 0;
}

/* Page sizes of the host in KiB, smallest first, each once. */
static size_t page_sizes(Session *s, uint32_t *sizes, size_t most, Error *err)
{
        WireConnectGetCapabilitiesRet ret;
        AUTO(Xml) *xml = NULL;
        XmlNode *pages[MOST_CELLS];
        size_t n, kept = 0;

        if (session_call(s, WIRE_PROC_CONNECT_GET_CAPABILITIES, NULL, &ret, err) < 0)
                return 0;
        xml = xml_read(ret.capabilities, err);
        if (!xml)
                return 0;
        n = xml_nodes(xml, NULL, "host/topology/cells/cell/pages/@size", pages, ARRAY_LEN(pages));
        if (n == 0)
                n = xml_nodes(xml, NULL, "host/cpu/pages/@size", pages, ARRAY_LEN(pages));
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *text = xml_text(xml, pages[i], ".");
                AUTOFREE char *unit = xml_text(xml, pages[i], "../@unit");
                uint64_t size, bytes;
                size_t at = 0;

                if (!text || str_to_u64(text, &size) < 0 ||
                    units_to_bytes(size, unit, 1024, 1ULL << 42, &bytes, NULL) < 0)
                        continue;
                while (at < kept && sizes[at] < bytes / 1024)
                        at++;
                if (kept == most || (at < kept && sizes[at] == bytes / 1024))
                        continue;
                memmove(sizes + at + 1, sizes + at, (kept - at) * sizeof(*sizes));
                sizes[at] = (uint32_t)(bytes / 1024);
                kept++;
        }
        if (kept == 0)
                err_set(err, ERR_INTERNAL, "the host's capabilities name no page size");
        return kept;
}

static int free_pages_of(Session *s, uint32_t cell, uint32_t *sizes, uint32_t n, Error *err)
{
        WireNodeGetFreePagesArgs call = { .n_pages = n, .pages = sizes, .startCell = (int32_t)cell, .cellCount = 1 };
        WireNodeGetFreePagesRet ret;
        struct json_object *object;

        if (session_call(s, WIRE_PROC_NODE_GET_FREE_PAGES, &call, &ret, err) < 0)
                return -1;
        object = json_object_new_object();
        json_object_object_add(object, "node", json_object_new_int64(cell));
        for (uint32_t i = 0; i < n && i < ret.n_counts; i++) {
                AUTOFREE char *key = str_format("%uKiB", sizes[i]);

                out_print(s->out, "%uKiB: %llu\n", sizes[i], (unsigned long long)ret.counts[i]);
                json_object_object_add(object, key, json_object_new_uint64(ret.counts[i]));
        }
        out_add(s->out, object);
        return 0;
}

static int freepages_all(Session *s, const uint32_t *only, Error *err)
{
        uint32_t sizes[32], numbers[MOST_CELLS];
        size_t n_sizes = only ? 1 : page_sizes(s, sizes, ARRAY_LEN(sizes) - 1, err);
        size_t n = n_sizes ? node_numbers(s, numbers, ARRAY_LEN(numbers), err) : 0;

        if (n == 0)
                return -1;
        if (only)
                sizes[0] = *only;
        for (size_t i = 0; i < n; i++) {
                out_print(s->out, "Node %u:\n", numbers[i]);
                if (free_pages_of(s, numbers[i], sizes, (uint32_t)n_sizes, err) < 0)
                        return -1;
                out_print(s->out, "\n");
        }
        return 0;
}

static int freepages(Session *s, const Args *args, Error *err)
{
        uint32_t cell;
        uint64_t bytes;
        uint32_t kib;
        int has_size = arg_size(args, "pagesize", 1024, &bytes, err);
        int has_cell = arg_u32(args, "cellno", &cell, err);

        if (has_size < 0 || has_cell < 0 || refuse_both(args, "all", "cellno", err) < 0)
                return -1;
        kib = has_size ? (uint32_t)(bytes / 1024) : 0;
        if (arg_has(args, "all"))
                return freepages_all(s, has_size ? &kib : NULL, err);
        if (!has_cell)
                return err_set(err, ERR_INVALID_ARG, "missing cellno argument");
        if (!has_size)
                return err_set(err, ERR_INVALID_ARG, "missing pagesize argument");
        return free_pages_of(s, cell, &kib, 1, err);
}

static int allocpages(Session *s, const Args *args, Error *err)
{
        uint64_t bytes, count;
        uint32_t kib, cell;
        uint32_t numbers[MOST_CELLS];
        WireNodeAllocPagesArgs call = { .n_pageSizes = 1,
                                        .pageSizes = &kib,
                                        .n_pageCounts = 1,
                                        .pageCounts = &count,
                                        .startCell = -1,
                                        .cellCount = 1,
                                        .flags = arg_has(args, "add") ? 0 : VIR_NODE_ALLOC_PAGES_SET };
        WireNodeAllocPagesRet ret;
        int has_cell = arg_u32(args, "cellno", &cell, err);

        if (has_cell < 0 || refuse_both(args, "all", "cellno", err) < 0 ||
            arg_size(args, "pagesize", 1024, &bytes, err) < 0 || arg_u64(args, "pagecount", &count, err) < 0)
                return -1;
        kib = (uint32_t)(bytes / 1024);
        if (has_cell)
                call.startCell = (int32_t)cell;
        if (arg_has(args, "all")) {
                call.startCell = 0;
                call.cellCount = (uint32_t)node_numbers(s, numbers, ARRAY_LEN(numbers), err);
                if (call.cellCount == 0)
                        return -1;
        }
        return session_call(s, WIRE_PROC_NODE_ALLOC_PAGES, &call, &ret, err);
}

static int node_memory_tune(Session *s, const Args *args, Error *err)
{
        static const char *const options[][2] = {
                { "shm-pages-to-scan", VIR_NODE_MEMORY_SHARED_PAGES_TO_SCAN },
                { "shm-sleep-millisecs", VIR_NODE_MEMORY_SHARED_SLEEP_MILLISECS },
                { "shm-merge-across-nodes", VIR_NODE_MEMORY_SHARED_MERGE_ACROSS_NODES },
        };
        WireNodeGetMemoryParametersArgs get = { 0, VIR_TYPED_PARAM_STRING_OKAY };
        WireNodeGetMemoryParametersRet now;
        ParamList params = { .arena = session_arena(s) };

        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
                uint32_t value;
                int given = arg_u32(args, options[i][0], &value, err);

                if (given < 0)
                        return -1;
                if (given)
                        params_add_u32(&params, options[i][1], value);
        }
        if (params.len) {
                WireNodeSetMemoryParametersArgs set = { params.len, params.items, 0 };

                if (session_call(s, WIRE_PROC_NODE_SET_MEMORY_PARAMETERS, &set, NULL, err) < 0)
                        return fail(err, "Unable to change memory parameters");
                return 0;
        }
        if (session_call(s, WIRE_PROC_NODE_GET_MEMORY_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get number of memory parameters");
        get.nparams = now.nparams;
        if (!get.nparams)
                return 0;
        if (session_call(s, WIRE_PROC_NODE_GET_MEMORY_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get memory parameters");
        out_print(s->out, "Shared memory:\n");
        for (uint32_t i = 0; i < now.n_params; i++) {
                AUTOFREE char *text = param_text(&now.params[i]);
                const char *field = now.params[i].field;

                out_print(s->out, "\t%-15s %s\n", field, text);
                out_set(s->out, field, param_json(&now.params[i]));
        }
        return 0;
}

const Command host_memory_commands[] = {
        { .name = "nodememstats",
          .group = GROUP_HOST,
          .args = "[--cell NUMBER]  of this NUMA node",
          .summary = "show what the host's memory is used for",
          .run = nodememstats },
        { .name = "freecell",
          .group = GROUP_HOST,
          .args = "[--cellno NUMBER]  of this NUMA node\n"
                  "[--all]            of all NUMA nodes",
          .summary = "show the host's free memory",
          .run = freecell },
        { .name = "freepages",
          .group = GROUP_HOST,
          .args = "[--cellno NUMBER]  of this NUMA node\n"
                  "[--pagesize SIZE]  of this size, in KiB\n"
                  "[--all]            of all NUMA nodes",
          .summary = "show the host's free pages",
          .run = freepages },
        { .name = "allocpages",
          .group = GROUP_HOST,
          .args = "PAGESIZE:SIZE      in KiB\n"
                  "PAGECOUNT:NUMBER   how many\n"
                  "[--cellno NUMBER]  on this NUMA node\n"
                  "[--add]            so many more\n"
                  "[--all]            on all NUMA nodes",
          .summary = "change how many huge pages the host has",
          .run = allocpages },
        { .name = "node-memory-tune",
          .group = GROUP_HOST,
          .args = "[--shm-pages-to-scan NUMBER]      pages to look at before it rests\n"
                  "[--shm-sleep-millisecs NUMBER]    how long it rests\n"
                  "[--shm-merge-across-nodes NUMBER]  1: also of different NUMA nodes",
          .summary = "show or set how the host merges equal pages",
          .run = node_memory_tune },
        { 0 },
};
