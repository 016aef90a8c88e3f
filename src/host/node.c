/*
 * host/node.c - facts about this machine: processors, memory, NUMA cells, KSM
 */
#include "host/node.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/node-read.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int node_cpu_map(const char *root, Bitmap *present, Bitmap *online, Error *err)
{
        Bitmap all, on;

        if (node_read_list(root, "/sys/devices/system/cpu/present", &all, err) < 0)
                return -1;
        if (node_read_list(root, "/sys/devices/system/cpu/online", &on, NULL) < 0)
                on = all;
        *present = all;
        *online = on;
        return 0;
}

/* The value behind "name" and a colon in /proc/cpuinfo or a meminfo, or NULL. */
static const char *colon_value(const char *text, const char *name)
{
        size_t len = strlen(name);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                const char *at = line += *line == '\n';

                if (!str_starts(at, name))
                        continue;
                at += len;
                at += strspn(at, " \t");
                if (*at == ':')
                        return at + 1 + strspn(at + 1, " \t");
        }
        return NULL;
}

static unsigned read_mhz(const char *root)
{
        AUTO(Buf) text = { 0 };
        const char *value;
        unsigned mhz = 0;

        if (node_read(root, "/proc/cpuinfo", &text, NULL) < 0)
                return 0;
        value = colon_value(buf_text(&text), "cpu MHz");
        return value && sscanf(value, "%u", &mhz) == 1 ? mhz : 0;
}

/* Sockets, cores and threads: the largest of each seen in any cell, as clients multiply them. */
static void count_topology(const NodeTopology *topology, NodeInfo *info)
{
        for (size_t c = 0; c < topology->n_cells; c++) {
                const NodeCell *cell = &topology->cells[c];
                Bitmap sockets = { 0 };

                for (size_t i = 0; i < cell->n_cpus; i++)
                        bitmap_set(&sockets, cell->cpus[i].socket);
                info->sockets = MAX(info->sockets, bitmap_count(&sockets));
                for (int s = bitmap_next(&sockets, -1); s >= 0; s = bitmap_next(&sockets, s)) {
                        Bitmap cores = { 0 };

                        for (size_t i = 0; i < cell->n_cpus; i++) {
                                const NodeCpu *cpu = &cell->cpus[i];

                                if (cpu->socket != (unsigned)s)
                                        continue;
                                bitmap_set(&cores, cpu->core + cpu->die * 256);
                                info->threads = MAX(info->threads, bitmap_count(&cpu->siblings));
                        }
                        info->cores = MAX(info->cores, bitmap_count(&cores));
                }
        }
}

int node_info(const char *root, NodeInfo *ret, Error *err)
{
        AUTO(Arena) *arena = arena_new();
        NodeInfo info = { 0 };
        NodeMemoryStats memory;
        NodeTopology topology;
        struct utsname name;

        if (node_topology(root, arena, &topology, err) < 0 || node_memory_stats(root, -1, &memory, err) < 0)
                return -1;
        uname(&name);
        snprintf(info.model, sizeof(info.model), "%.*s", (int)sizeof(info.model) - 1, name.machine);
        info.memory_kib = memory.total_kib;
        info.mhz = read_mhz(root);
        info.cells = (unsigned)topology.n_cells;
        for (size_t i = 0; i < topology.n_cells; i++)
                info.cpus += (unsigned)topology.cells[i].n_cpus;
        count_topology(&topology, &info);
        /* an uneven machine: clients must not compute more than there are, so say one socket with all */
        if (info.cells * info.sockets * info.cores * info.threads != info.cpus) {
                info.cells = info.sockets = info.threads = 1;
                info.cores = info.cpus;
        }
        *ret = info;
        return 0;
}

int node_cpu_stats(const char *root, int cpu, NodeCpuStats *ret, Error *err)
{
        AUTOFREE char *name = cpu < 0 ? str_dup("cpu ") : str_format("cpu%d ", cpu);
        unsigned long long user, nice, system, idle, iowait, irq, softirq, tick_ns;
        AUTO(Buf) text = { 0 };
        const char *line;

        if (node_read(root, "/proc/stat", &text, err) < 0)
                return -1;
        for (line = buf_text(&text); line && !str_starts(line, name);) {
                line = strchr(line, '\n');
                line = line ? line + 1 : NULL;
        }
        if (!line || sscanf(line + strlen(name), "%llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
                            &iowait, &irq, &softirq) != 7)
                return err_set(err, ERR_INVALID_ARG, "this host has no CPU %d", cpu);
        tick_ns = 1000000000ULL / (unsigned long)sysconf(_SC_CLK_TCK);
        *ret = (NodeCpuStats){
                .kernel_ns = (system + irq + softirq) * tick_ns,
                .user_ns = (user + nice) * tick_ns,
                .idle_ns = idle * tick_ns,
                .iowait_ns = iowait * tick_ns,
        };
        return 0;
}

static uint64_t kib_value(const char *text, const char *name)
{
        const char *value = colon_value(text, name);
        unsigned long long kib = 0;

        return value && sscanf(value, "%llu", &kib) == 1 ? kib : 0;
}

/* A cell's file has "Node 0 " before each name. */
int node_memory_stats(const char *root, int cell, NodeMemoryStats *ret, Error *err)
{
        AUTOFREE char *path = cell < 0 ? str_dup("/proc/meminfo")
                                       : str_format("/sys/devices/system/node/node%d/meminfo", cell);
        AUTOFREE char *prefix = cell < 0 ? str_dup("") : str_format("Node %d ", cell);
        AUTOFREE char *total = str_format("%sMemTotal", prefix), *unused = str_format("%sMemFree", prefix);
        AUTOFREE char *buffers = str_format("%sBuffers", prefix);
        AUTOFREE char *cached = str_format(cell < 0 ? "%sCached" : "%sFilePages", prefix);
        AUTO(Buf) text = { 0 };

        if (node_read(root, path, &text, NULL) < 0) {
                if (cell == 0)
                        return node_memory_stats(root, -1, ret, err);
                return err_set(err, ERR_INVALID_ARG, "this host has no NUMA cell %d", cell);
        }
        *ret = (NodeMemoryStats){
                .total_kib = kib_value(buf_text(&text), total),
                .free_kib = kib_value(buf_text(&text), unused),
                .buffers_kib = kib_value(buf_text(&text), buffers),
                .cached_kib = kib_value(buf_text(&text), cached),
        };
        return 0;
}

int node_swap(const char *root, uint64_t *ret_kib, Error *err)
{
        AUTO(Buf) text = { 0 };

        if (node_read(root, "/proc/meminfo", &text, err) < 0)
                return -1;
        *ret_kib = kib_value(buf_text(&text), "SwapTotal");
        return 0;
}

static const char *const ksm_files[] = { "pages_to_scan",  "sleep_millisecs", "pages_shared", "pages_sharing",
                                         "pages_unshared", "pages_volatile",  "full_scans",   "merge_across_nodes" };

int node_ksm(const char *root, NodeKsm *ret, Error *err)
{
        NodeKsm ksm = { 0 };
        uint64_t *const slots[] = { &ksm.pages_to_scan, &ksm.sleep_ms,          &ksm.pages_shared,
                                    &ksm.pages_sharing, &ksm.pages_unshared,    &ksm.pages_volatile,
                                    &ksm.full_scans,    &ksm.merge_across_nodes };

        for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
                AUTOFREE char *path = str_format("/sys/kernel/mm/ksm/%s", ksm_files[i]);

                /* kernels without NUMA lack the last one */
                if (node_read_number(root, path, slots[i], i < 7 ? err : NULL) < 0 && i < 7)
                        return -1;
        }
        *ret = ksm;
        return 0;
}

int node_set_ksm(const char *root, const char *name, uint64_t value, Error *err)
{
        static const char *const settable[] = { "pages_to_scan", "sleep_millisecs", "merge_across_nodes" };

        for (size_t i = 0; i < ARRAY_LEN(settable); i++) {
                AUTOFREE char *path = str_format("/sys/kernel/mm/ksm/%s", settable[i]);

                if (str_eq(name, settable[i]))
                        return node_write_number(root, path, value, err);
        }
        return err_set(err, ERR_INVALID_ARG, "'%s' is not a KSM parameter that can be set", name);
}

static void copy_line(char *to, size_t room, const char *from)
{
        if (from)
                snprintf(to, room, "%.*s", (int)MIN(strcspn(from, "\n"), room - 1), from);
}

static bool has_flag(const char *flags, const char *flag)
{
        AUTO_STRLIST words = str_split(flags, " ");

        for (char **w = words; *w; w++) {
                if (str_eq(*w, flag))
                        return true;
        }
        return false;
}

int node_cpu_model(const char *root, Arena *arena, NodeCpuModel *ret, Error *err)
{
        NodeCpuModel model = { 0 };
        AUTO(Buf) text = { 0 };
        const char *flags;

        if (node_read(root, "/proc/cpuinfo", &text, err) < 0)
                return -1;
        copy_line(model.vendor, sizeof(model.vendor), colon_value(buf_text(&text), "vendor_id"));
        copy_line(model.name, sizeof(model.name), colon_value(buf_text(&text), "model name"));
        flags = colon_value(buf_text(&text), "flags") ?: "";
        model.flags = arena_dup_n(arena, flags, strcspn(flags, "\n"));
        model.virtualization = has_flag(model.flags, "svm") || has_flag(model.flags, "vmx");
        model.constant_tsc = has_flag(model.flags, "constant_tsc");
        model.tsc_hz = (uint64_t)read_mhz(root) * 1000000;
        *ret = model;
        return 0;
}
