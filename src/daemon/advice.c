/*
 * daemon/advice.c - what an administrator should know of a guest on this host (CPU-08, CPU-13, CPU-16, MEM-02, STO-38)
 */
#include "daemon/advice.h"

#include "base/bitmap.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "host/node.h"

#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

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

/* Only what stands in /dev itself: a name that leads there would have to be followed, and sysfs knows partitions. */
static bool has_partitions(const char *root, const char *path)
{
        const char *name = str_starts(path, "/dev/") ? path + strlen("/dev/") : "";
        AUTOFREE char *device = str_format("%s/sys/class/block/%s", root, name);
        DIR *dir = name[0] && name[0] != '.' && !strchr(name, '/') ? opendir(device) : NULL;
        bool found = false;

        for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
                AUTOFREE char *mark = str_format("%s/%s/partition", device, entry->d_name);

                found = str_starts(entry->d_name, name) && access(mark, F_OK) == 0;
        }
        if (dir)
                closedir(dir);
        return found;
}

void advise_on_disks(const char *root, const DomainDef *def, Warnings *ret)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];

                if (disk->type == DISK_TYPE_BLOCK && disk->source.path && has_partitions(root, disk->source.path))
                        warnings_add(
                                ret,
                                "disk '%s' is all of '%s', which has partitions: give the guest one of them or a "
                                "logical volume, and see that the host mounts none of its file systems by label",
                                disk->target_dev, disk->source.path);
        }
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
