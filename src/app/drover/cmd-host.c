/*
 * app/drover/cmd-host.c - the host: what it is, what it has, what it does
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/cpulist.h"
#include "app/drover/xml.h"

#include "base/str.h"
#include "base/units.h"

#include <ctype.h>
#include <unistd.h>

enum { LABEL_WIDTH = 21, CPU_MAP_WIDTH = 16, MOST_CELLS = 1024 };

/* A version as the wire has it: 1,000,000 * major + 1,000 * minor + micro. */
static char *version_text(uint64_t version)
{
        return str_format("%llu.%llu.%llu", (unsigned long long)(version / 1000000),
                          (unsigned long long)(version / 1000 % 1000), (unsigned long long)(version % 1000));
}

static int version(Session *s, const Args *args, Error *err)
{
        WireConnectGetTypeRet type;
        WireConnectGetVersionRet hypervisor;
        WireConnectGetLibVersionRet daemon;
        AUTOFREE char *of_hypervisor = NULL, *of_daemon = NULL;

        if (session_call(s, WIRE_PROC_CONNECT_GET_TYPE, NULL, &type, err) < 0)
                return fail(err, "failed to get hypervisor type");
        if (session_call(s, WIRE_PROC_CONNECT_GET_VERSION, NULL, &hypervisor, err) < 0)
                return fail(err, "failed to get the hypervisor version");
        of_hypervisor = version_text(hypervisor.hv_ver);
        out_print(s->out, "Using library: drover %s\n", DROVER_VERSION);
        out_print(s->out, "Using API: %s %s\n", type.type, "9.0.0");
        out_set_text(s->out, "library", DROVER_VERSION);
        out_set_text(s->out, "api", "9.0.0");
        out_set_text(s->out, "hypervisor", type.type);
        if (hypervisor.hv_ver == 0) {
                out_print(s->out, "Cannot extract running %s hypervisor version\n", type.type);
        } else {
                out_print(s->out, "Running hypervisor: %s %s\n", type.type, of_hypervisor);
                out_set_text(s->out, "hypervisor_version", of_hypervisor);
        }
        if (!arg_has(args, "daemon"))
                return 0;
        if (session_call(s, WIRE_PROC_CONNECT_GET_LIB_VERSION, NULL, &daemon, err) < 0)
                return fail(err, "failed to get the daemon version");
        of_daemon = version_text(daemon.lib_ver);
        out_print(s->out, "Running against daemon: %s\n", of_daemon);
        out_set_text(s->out, "daemon_version", of_daemon);
        return 0;
}

static int hostname(Session *s, const Args *args UNUSED, Error *err)
{
        WireConnectGetHostnameRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_HOSTNAME, NULL, &ret, err) < 0)
                return fail(err, "failed to get hostname");
        out_value(s->out, "hostname", ret.hostname);
        return 0;
}

static int uri(Session *s, const Args *args UNUSED, Error *err)
{
        if (session_open(s, err) < 0)
                return -1;
        out_value(s->out, "uri", session_uri(s));
        return 0;
}

static int nodeinfo(Session *s, const Args *args UNUSED, Error *err)
{
        WireNodeGetInfoRet info;
        char model[sizeof(info.model) + 1] = { 0 };

        if (session_call(s, WIRE_PROC_NODE_GET_INFO, NULL, &info, err) < 0)
                return fail(err, "failed to get node information");
        memcpy(model, info.model, sizeof(info.model));
        out_field(s->out, LABEL_WIDTH, "CPU model", "%s", model);
        out_number(s->out, LABEL_WIDTH, "CPU(s)", (uint64_t)info.cpus, NULL);
        if (info.mhz)
                out_number(s->out, LABEL_WIDTH, "CPU frequency", (uint64_t)info.mhz, "MHz");
        out_number(s->out, LABEL_WIDTH, "CPU socket(s)", (uint64_t)info.sockets, NULL);
        out_number(s->out, LABEL_WIDTH, "Core(s) per socket", (uint64_t)info.cores, NULL);
        out_number(s->out, LABEL_WIDTH, "Thread(s) per core", (uint64_t)info.threads, NULL);
        out_number(s->out, LABEL_WIDTH, "NUMA cell(s)", (uint64_t)info.nodes, NULL);
        out_number(s->out, LABEL_WIDTH, "Memory size", info.memory, "KiB");
        return 0;
}

static int nodecpumap(Session *s, const Args *args, Error *err)
{
        WireNodeGetCpuMapRet map;
        AUTO(Buf) shown = { 0 };
        AUTOFREE char *list = NULL;

        if (session_call(s, WIRE_PROC_NODE_GET_CPU_MAP, &(WireNodeGetCpuMapArgs){ 1, 1, 0 }, &map, err) < 0)
                return fail(err, "Unable to get cpu map");
        list = cpulist_format(map.cpumap, map.n_cpumap, (uint32_t)map.ret);
        if (arg_has(args, "pretty"))
                buf_put_text(&shown, list);
        for (int32_t cpu = 0; !arg_has(args, "pretty") && cpu < map.ret; cpu++)
                buf_put_char(&shown, cpulist_has(map.cpumap, map.n_cpumap, (uint32_t)cpu) ? 'y' : '-');
        out_number(s->out, CPU_MAP_WIDTH, "CPUs present", (uint64_t)map.ret, NULL);
        out_number(s->out, CPU_MAP_WIDTH, "CPUs online", map.online, NULL);
        out_print(s->out, "%-15s %s\n", "CPU map:", buf_text(&shown));
        out_set_text(s->out, "cpu_map", list);
        return 0;
}

/* Counters of all CPUs, by name. */
typedef struct CpuTimes {
        uint64_t user, system, idle, iowait, interrupt, utilization;
        bool has_iowait, has_interrupt, has_utilization;
} CpuTimes;

static int get_cpu_times(Session *s, int32_t cpu, CpuTimes *ret, Error *err)
{
        WireNodeGetCpuStatsArgs call = { .cpuNum = cpu };
        WireNodeGetCpuStatsRet now;

        if (session_call(s, WIRE_PROC_NODE_GET_CPU_STATS, &call, &now, err) < 0)
                return fail(err, "Unable to get number of cpu stats");
        call.nparams = now.nparams;
        if (call.nparams && session_call(s, WIRE_PROC_NODE_GET_CPU_STATS, &call, &now, err) < 0)
                return fail(err, "Unable to get node cpu stats");
        *ret = (CpuTimes){ 0 };
        for (uint32_t i = 0; i < now.n_params; i++) {
                const char *field = now.params[i].field;

                if (str_eq(field, VIR_NODE_CPU_STATS_USER))
                        ret->user = now.params[i].value;
                else if (str_eq(field, VIR_NODE_CPU_STATS_KERNEL))
                        ret->system = now.params[i].value;
                else if (str_eq(field, VIR_NODE_CPU_STATS_IDLE))
                        ret->idle = now.params[i].value;
                else if (str_eq(field, VIR_NODE_CPU_STATS_INTR)) {
                        ret->interrupt = now.params[i].value;
                        ret->has_interrupt = true;
                } else if (str_eq(field, VIR_NODE_CPU_STATS_IOWAIT)) {
                        ret->iowait = now.params[i].value;
                        ret->has_iowait = true;
                } else if (str_eq(field, VIR_NODE_CPU_STATS_UTILIZATION)) {
                        ret->utilization = now.params[i].value;
                        ret->has_utilization = true;
                }
        }
        return 0;
}

static void print_percent(Session *s, const char *label, const char *key, double share)
{
        out_print(s->out, "%-15s %5.1lf%%\n", label, share);
        out_set(s->out, key, json_object_new_double(share));
}

static int cpu_percent(Session *s, int32_t cpu, Error *err)
{
        CpuTimes first, second;
        double user, system, idle, iowait, interrupt, all;

        if (get_cpu_times(s, cpu, &first, err) < 0)
                return -1;
        if (first.has_utilization) {
                print_percent(s, "usage:", "usage_percent", (double)first.utilization);
                return 0;
        }
        sleep(1);
        if (get_cpu_times(s, cpu, &second, err) < 0)
                return -1;
        user = (double)(second.user - first.user);
        system = (double)(second.system - first.system);
        idle = (double)(second.idle - first.idle);
        iowait = (double)(second.iowait - first.iowait);
        interrupt = (double)(second.interrupt - first.interrupt);
        all = user + system + idle + iowait + interrupt;
        print_percent(s, "usage:", "usage_percent", (user + system + interrupt) / all * 100);
        print_percent(s, "user:", "user_percent", user / all * 100);
        print_percent(s, "system:", "system_percent", system / all * 100);
        print_percent(s, "idle:", "idle_percent", idle / all * 100);
        if (second.has_iowait)
                print_percent(s, "iowait:", "iowait_percent", iowait / all * 100);
        if (second.has_interrupt)
                print_percent(s, "intr:", "intr_percent", interrupt / all * 100);
        return 0;
}

static void print_cpu_time(Session *s, const char *label, const char *key, uint64_t ns)
{
        out_print(s->out, "%-15s %20llu\n", label, (unsigned long long)ns);
        out_set_u64(s->out, key, ns);
}

static int nodecpustats(Session *s, const Args *args, Error *err)
{
        int32_t cpu = VIR_NODE_CPU_STATS_ALL_CPUS;
        CpuTimes now;

        if (arg_i32(args, "cpu", &cpu, err) < 0)
                return -1;
        if (arg_has(args, "percent"))
                return cpu_percent(s, cpu, err);
        if (get_cpu_times(s, cpu, &now, err) < 0)
                return -1;
        print_cpu_time(s, "user:", "user_ns", now.user);
        print_cpu_time(s, "system:", "system_ns", now.system);
        print_cpu_time(s, "idle:", "idle_ns", now.idle);
        if (now.has_iowait)
                print_cpu_time(s, "iowait:", "iowait_ns", now.iowait);
        if (now.has_interrupt)
                print_cpu_time(s, "intr:", "intr_ns", now.interrupt);
        return 0;
}

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
        xml = xml_parse(ret.capabilities, err);
        if (!xml)
                return 0;
        n = xml_find(xml, NULL, "host/topology/cells/cell", cells, MIN(most, (size_t)MOST_CELLS));
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
        xml = xml_parse(ret.capabilities, err);
        if (!xml)
                return 0;
        n = xml_find(xml, NULL, "host/topology/cells/cell/pages/@size", pages, ARRAY_LEN(pages));
        if (n == 0)
                n = xml_find(xml, NULL, "host/cpu/pages/@size", pages, ARRAY_LEN(pages));
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

static int capabilities(Session *s, const Args *args UNUSED, Error *err)
{
        WireConnectGetCapabilitiesRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_CAPABILITIES, NULL, &ret, err) < 0)
                return fail(err, "failed to get capabilities");
        out_value(s->out, "xml", ret.capabilities);
        return 0;
}

static int get_domain_capabilities(Session *s, const char *emulator, const char *arch, const char *machine,
                                   const char *virttype, const char **ret, Error *err)
{
        WireConnectGetDomainCapabilitiesArgs call = { emulator, arch, machine, virttype, 0 };
        WireConnectGetDomainCapabilitiesRet found;

        if (session_call(s, WIRE_PROC_CONNECT_GET_DOMAIN_CAPABILITIES, &call, &found, err) < 0)
                return -1;
        *ret = found.capabilities;
        return 0;
}

static int domcapabilities(Session *s, const Args *args, Error *err)
{
        const char *xml;

        if (get_domain_capabilities(s, arg_text(args, "emulatorbin"), arg_text(args, "arch"),
                                    arg_text(args, "machine"), arg_text(args, "virttype"), &xml, err) < 0)
                return fail(err, "failed to get emulator capabilities");
        out_value(s->out, "xml", xml);
        return 0;
}

static int maxvcpus(Session *s, const Args *args, Error *err)
{
        const char *type = arg_text(args, "type");
        WireConnectGetMaxVcpusRet most;
        const char *text;
        uint32_t n = 0;

        if (get_domain_capabilities(s, NULL, NULL, NULL, type, &text, NULL) == 0) {
                AUTO(Xml) *xml = xml_parse(text, NULL);
                AUTOFREE char *max = xml ? xml_text(xml, NULL, "vcpu/@max") : NULL;

                if (max && str_to_u32(max, &n) < 0)
                        n = 0;
        }
        if (n == 0) {
                if (session_call(s, WIRE_PROC_CONNECT_GET_MAX_VCPUS, &(WireConnectGetMaxVcpusArgs){ type }, &most,
                                 err) < 0)
                        return -1;
                n = (uint32_t)most.max_vcpus;
        }
        out_print(s->out, "%u\n", n);
        out_set_u64(s->out, "max_vcpus", n);
        return 0;
}

static int sysinfo(Session *s, const Args *args UNUSED, Error *err)
{
        WireConnectGetSysinfoRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_SYSINFO, &(WireConnectGetSysinfoArgs){ 0 }, &ret, err) < 0)
                return fail(err, "failed to get sysinfo");
        out_print(s->out, "%s", ret.sysinfo);
        out_set_text(s->out, "xml", ret.sysinfo);
        return 0;
}

static int nodesuspend(Session *s, const Args *args, Error *err)
{
        static const char *const targets[] = { "mem", "disk", "hybrid" };
        WireNodeSuspendForDurationArgs call = { 0 };

        if (arg_u64(args, "duration", &call.duration, err) < 0)
                return -1;
        while (call.target < ARRAY_LEN(targets) && !str_eq(targets[call.target], arg_text(args, "target")))
                call.target++;
        if (call.target == ARRAY_LEN(targets))
                return err_set(err, ERR_INVALID_ARG, "Invalid target");
        if (session_call(s, WIRE_PROC_NODE_SUSPEND_FOR_DURATION, &call, NULL, err) < 0)
                return fail(err, "The host was not suspended");
        return 0;
}

const Command host_commands[] = {
        { .name = "version",
          .group = GROUP_HOST,
          .args = "[--daemon]  of the daemon too",
          .summary = "show versions",
          .run = version },
        { .name = "hostname", .group = GROUP_HOST, .summary = "print the host's name", .run = hostname },
        { .name = "uri", .group = GROUP_HOST, .summary = "print the hypervisor's URI", .run = uri },
        { .name = "nodeinfo", .group = GROUP_HOST, .summary = "show the host's CPUs and memory", .run = nodeinfo },
        { .name = "nodecpumap",
          .group = GROUP_HOST,
          .args = "[--pretty]  as a list",
          .summary = "show which CPUs of the host are online",
          .run = nodecpumap },
        { .name = "nodecpustats",
          .group = GROUP_HOST,
          .args = "[--cpu NUMBER]  of this CPU\n"
                  "[--percent]     shares of the next second instead of sums",
          .summary = "show what the host's CPUs do",
          .run = nodecpustats },
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
          .args = "PAGESIZE           in KiB\n"
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
        { .name = "nodesuspend",
          .group = GROUP_HOST,
          .args = "TARGET{mem,disk,hybrid}  where its memory goes\n"
                  "DURATION:NUMBER  seconds until it wakes; at least 60",
          .summary = "suspend the host for a while",
          .run = nodesuspend },
        { .name = "capabilities",
          .group = GROUP_HOST,
          .summary = "print what host and hypervisor can do, as XML",
          .run = capabilities },
        { .name = "domcapabilities",
          .group = GROUP_HOST,
          .args = "[--virttype TYPE{kvm,qemu}]  kind of virtualization\n"
                  "[--emulatorbin FILE]  emulator\n"
                  "[--arch NAME]         architecture\n"
                  "[--machine NAME]      machine type",
          .summary = "print what a guest can have, as XML",
          .run = domcapabilities },
        { .name = "maxvcpus",
          .group = GROUP_HOST,
          .args = "[--type TYPE{kvm,qemu}]  kind of virtualization",
          .summary = "print how many CPUs a guest can have",
          .run = maxvcpus },
        { .name = "sysinfo",
          .group = GROUP_HOST,
          .summary = "print what the host's firmware says of it, as XML",
          .run = sysinfo },
        { 0 },
};
