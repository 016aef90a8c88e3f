/*
 * host/node-topology.c - NUMA cells with their processors, memory, pages and distances (CPU-06, CPU-07)
 */
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "host/node-read.h"
#include "host/node.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define CELLS "/sys/devices/system/node"
#define CPUS  "/sys/devices/system/cpu"

static uint64_t base_page_kib(void)
{
        return (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static unsigned cpu_fact(const char *root, unsigned cpu, const char *name)
{
        AUTOFREE char *path = str_format(CPUS "/cpu%u/topology/%s", cpu, name);
        uint64_t value = 0;

        node_read_number(root, path, &value, NULL);
        return (unsigned)value;
}

static void read_cpu(const char *root, unsigned id, NodeCpu *ret)
{
        AUTOFREE char *path = str_format(CPUS "/cpu%u/topology/thread_siblings_list", id);

        *ret = (NodeCpu){
                .id = id,
                .socket = cpu_fact(root, id, "physical_package_id"),
                .die = cpu_fact(root, id, "die_id"),
                .core = cpu_fact(root, id, "core_id"),
        };
        if (node_read_list(root, path, &ret->siblings, NULL) < 0 || bitmap_is_empty(&ret->siblings))
                bitmap_set(&ret->siblings, id);
}

static void read_cpus(const char *root, const Bitmap *cpus, Arena *arena, NodeCell *cell)
{
        size_t n = bitmap_count(cpus);

        cell->cpus = arena_new_array(arena, NodeCpu, n);
        for (int cpu = bitmap_next(cpus, -1); cpu >= 0; cpu = bitmap_next(cpus, cpu))
                read_cpu(root, (unsigned)cpu, &cell->cpus[cell->n_cpus++]);
}

/* Where the kernel keeps the huge pages of a cell. Owned. */
static char *pages_dir(const char *root, int cell)
{
        AUTOFREE char *of_cell = str_format("%s" CELLS "/node%d/hugepages", root, cell);

        if (cell >= 0 && access(of_cell, F_OK) == 0)
                return str_format(CELLS "/node%d/hugepages", cell);
        return cell > 0 ? NULL : str_dup("/sys/kernel/mm/hugepages");
}

static void read_pages(const char *root, Arena *arena, NodeCell *cell)
{
        AUTOFREE char *dir = pages_dir(root, (int)cell->id);
        AUTOFREE char *full = str_format("%s%s", root, dir ?: "");
        VEC(NodePages) pages = { 0 };
        NodePages base = { base_page_kib(), 0, cell->free_kib / base_page_kib() };
        uint64_t huge_kib = 0;
        DIR *listing = dir ? opendir(full) : NULL;
        struct dirent *entry;

        vec_push(&pages, base);
        while (listing && (entry = readdir(listing))) {
                NodePages p = { 0 };

                if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &p.size_kib) == 1) {
                        AUTOFREE char *total = str_format("%s/%s/nr_hugepages", dir, entry->d_name);
                        AUTOFREE char *unused = str_format("%s/%s/free_hugepages", dir, entry->d_name);

                        node_read_number(root, total, &p.total, NULL);
                        node_read_number(root, unused, &p.free, NULL);
                        huge_kib += p.total * p.size_kib;
                        vec_push(&pages, p);
                }
        }
        if (listing)
                closedir(listing);
        pages.items[0].total = (cell->memory_kib - MIN(huge_kib, cell->memory_kib)) / base_page_kib();
        cell->pages = arena_new_array(arena, NodePages, pages.len);
        cell->n_pages = pages.len;
        memcpy(cell->pages, pages.items, pages.len * sizeof(*pages.items));
        vec_done(&pages);
}

static void read_distances(const char *root, Arena *arena, NodeCell *cell)
{
        AUTOFREE char *path = str_format(CELLS "/node%u/distance", cell->id);
        AUTO_STRLIST words = NULL;
        AUTO(Buf) text = { 0 };

        if (node_read(root, path, &text, NULL) < 0)
                return;
        words = str_split(buf_text(&text), " \n");
        cell->distances = arena_new_array(arena, unsigned, str_list_len(words));
        for (char **w = words; *w; w++) {
                uint32_t distance;

                if (str_to_u32(*w, &distance) == 0)
                        cell->distances[cell->n_distances++] = distance;
        }
}

static int read_cell(const char *root, unsigned id, const Bitmap *cpus, Arena *arena, NodeCell *ret, Error *err)
{
        NodeMemoryStats memory;

        *ret = (NodeCell){ .id = id };
        if (node_memory_stats(root, (int)id, &memory, err) < 0)
                return -1;
        ret->memory_kib = memory.total_kib;
        ret->free_kib = memory.free_kib;
        read_cpus(root, cpus, arena, ret);
        read_pages(root, arena, ret);
        read_distances(root, arena, ret);
        return 0;
}

int node_topology(const char *root, Arena *arena, NodeTopology *ret, Error *err)
{
        Bitmap present, online, ids = { 0 };
        NodeTopology topology = { 0 };

        if (node_cpu_map(root, &present, &online, err) < 0)
                return -1;
        if (node_read_list(root, CELLS "/online", &ids, NULL) < 0 || bitmap_is_empty(&ids)) {
                topology.cells = arena_new_one(arena, NodeCell);
                topology.n_cells = 1;
                *ret = topology;
                return read_cell(root, 0, &online, arena, topology.cells, err);
        }
        topology.cells = arena_new_array(arena, NodeCell, bitmap_count(&ids));
        for (int id = bitmap_next(&ids, -1); id >= 0; id = bitmap_next(&ids, id)) {
                AUTOFREE char *path = str_format(CELLS "/node%d/cpulist", id);
                Bitmap cpus;

                if (node_read_list(root, path, &cpus, err) < 0)
                        return -1;
                for (size_t i = 0; i < ARRAY_LEN(cpus.words); i++)
                        cpus.words[i] &= online.words[i];
                if (read_cell(root, (unsigned)id, &cpus, arena, &topology.cells[topology.n_cells++], err) < 0)
                        return -1;
        }
        *ret = topology;
        return 0;
}

static int pages_path(const char *root, int cell, uint64_t size_kib, const char *file, char **ret, Error *err)
{
        AUTOFREE char *dir = pages_dir(root, cell);
        AUTOFREE char *path = dir ? str_format("%s/hugepages-%" PRIu64 "kB/%s", dir, size_kib, file) : NULL;
        AUTOFREE char *full = str_format("%s%s", root, path ?: "/absent");

        if (access(full, F_OK) < 0)
                return err_set(err, ERR_INVALID_ARG, "this host has no pages of %" PRIu64 " KiB in cell %d", size_kib,
                               cell);
        *ret = TAKE(path);
        return 0;
}

int node_free_pages(const char *root, int cell, uint64_t size_kib, uint64_t *ret, Error *err)
{
        AUTOFREE char *path = NULL;
        NodeMemoryStats memory;

        if (size_kib == base_page_kib()) {
                if (node_memory_stats(root, cell, &memory, err) < 0)
                        return -1;
                *ret = memory.free_kib / size_kib;
                return 0;
        }
        if (pages_path(root, cell, size_kib, "free_hugepages", &path, err) < 0)
                return -1;
        return node_read_number(root, path, ret, err);
}

int node_alloc_pages(const char *root, int cell, uint64_t size_kib, uint64_t n, bool add, uint64_t *ret, Error *err)
{
        AUTOFREE char *path = NULL;
        uint64_t has;

        if (size_kib == base_page_kib())
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "the number of base pages cannot be set");
        if (pages_path(root, cell, size_kib, "nr_hugepages", &path, err) < 0 ||
            node_read_number(root, path, &has, err) < 0)
                return -1;
        if (node_write_number(root, path, add ? has + n : n, err) < 0)
                return -1;
        return node_read_number(root, path, ret, err);
}

const NodeCell *node_place(const NodeTopology *topology, uint64_t memory_kib, unsigned cpus)
{
        const NodeCell *best = NULL;

        for (size_t i = 0; i < topology->n_cells; i++) {
                const NodeCell *cell = &topology->cells[i];

                if (cell->free_kib >= memory_kib && cell->n_cpus >= cpus &&
                    (!best || cell->free_kib > best->free_kib))
                        best = cell;
        }
        return best;
}
