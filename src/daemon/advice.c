/*
 * daemon/advice.c - what an administrator should know of a guest's size on this host (CPU-08, CPU-13, CPU-16, MEM-02)
 */
#include "daemon/advice.h"

#include "base/bitmap.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "host/node.h"

#include <inttypes.h>

HostShape advice_shape(const char *root)
{
        AUTO(Arena) *arena = arena_new();
        NodeTopology topology;
        HostShape shape = { 0 };

        if (node_topology(root, arena, &topology, NULL) < 0)
                return shape;
        for (size_t i = 0; i < topology.n_cells; i++) {
                shape.cpus += (unsigned)topology.cells[i].n_cpus;
                shape.cell_cpus = MAX(shape.cell_cpus, (unsigned)topology.cells[i].n_cpus);
        }
        return shape;
}

void advise_on_cpus(const HostShape *host, const DomainDef *def, Warnings *ret)
{
        if (host->cpus && def->vcpus_max > host->cpus)
                warnings_add(
                        ret,
                        "it has %u virtual CPUs and this host %u CPUs: they wait for each other, and the guest is "
                        "slower than with %u",
                        def->vcpus_max, host->cpus, host->cpus);
        else if (host->cell_cpus && def->vcpus_max > host->cell_cpus)
                warnings_add(ret,
                             "it has %u virtual CPUs and no NUMA cell of this host more than %u CPUs: two smaller "
                             "guests would be faster than one that spans cells",
                             def->vcpus_max, host->cell_cpus);
}

static char *cpus_of(const NodeCell *cell)
{
        Bitmap cpus = { 0 };

        for (size_t i = 0; i < cell->n_cpus; i++)
                bitmap_set(&cpus, cell->cpus[i].id);
        return bitmap_format(&cpus);
}

static void place(DomainDef *def, const char *root)
{
        bool cpus = def->vcpu_placement == VCPU_PLACEMENT_AUTO && !def->vcpu_cpuset;
        bool memory = def->numatune && def->numatune->memory_placement == VCPU_PLACEMENT_AUTO;
        AUTO(Arena) *arena = arena_new();
        NodeTopology topology;
        const NodeCell *cell;

        if ((!cpus && !memory) || node_topology(root, arena, &topology, NULL) < 0)
                return;
        cell = node_place(&topology, def->memory_kib, def->vcpus_max);
        if (!cell) {
                log_warning("guest '%s' (%" PRIu64
                            " KiB, %u CPUs) fits into no NUMA cell: it runs across them, and slower",
                            def->name, def->memory_kib, def->vcpus_max);
                return;
        }
        if (cpus) {
                AUTOFREE char *list = cpus_of(cell);

                def->vcpu_cpuset = arena_dup(domain_def_arena(def), list);
        }
        if (memory && !def->numatune->memory_mode)
                def->numatune->memory_mode = NUMA_MODE_STRICT;
        if (memory)
                def->numatune->memory_nodeset = arena_format(domain_def_arena(def), "%u", cell->id);
}

static int check_memory(const Domain *dom, const DomainDef *def, const char *root, Error *err)
{
        const Config *config = dom->driver->daemon->config;
        const DomainList *all = dom->driver->domains;
        NodeMemoryStats memory;
        uint64_t swap, asked = def->memory_kib;

        if (str_eq(config->memory_overcommit, "ignore") || node_memory_stats(root, -1, &memory, NULL) < 0 ||
            node_swap(root, &swap, NULL) < 0)
                return 0;
        for (size_t i = 0; i < domain_list_len(all); i++) {
                const Domain *other = domain_list_at(all, i);

                if (other != dom && other->live)
                        asked += other->live->memory_kib;
        }
        if (asked <= memory.total_kib + swap)
                return 0;
        if (str_eq(config->memory_overcommit, "refuse"))
                return err_set(err, ERR_OPERATION_FAILED,
                               "guests would have %" PRIu64 " KiB of memory together, and this host has %" PRIu64
                               " KiB of RAM and swap; stop another one, add swap, or set memory_overcommit",
                               asked, memory.total_kib + swap);
        log_warning("with guest '%s' guests have %" PRIu64 " KiB of memory together, and this host has %" PRIu64
                    " KiB of RAM and swap: when they use it the kernel kills one",
                    def->name, asked, memory.total_kib + swap);
        return 0;
}

int advise_on_start(const Domain *dom, DomainDef *def, const char *root, Error *err)
{
        place(def, root);
        return check_memory(dom, def, root, err);
}
