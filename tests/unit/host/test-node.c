#include "test.h"

#include "base/str.h"
#include "fake-root.h"
#include "host/node.h"

static void put_cpu(unsigned cpu, unsigned socket, unsigned core)
{
        AUTOFREE char *dir = str_format("/sys/devices/system/cpu/cpu%u/topology", cpu);
        AUTOFREE char *package = str_format("%s/physical_package_id", dir), *of = str_format("%u\n", socket);
        AUTOFREE char *core_id = str_format("%s/core_id", dir), *number = str_format("%u\n", core);

        fake_root_put(package, of);
        fake_root_put(core_id, number);
}

/* The machine of the requirement's sample: 8 CPUs, 2 sockets, 4 cores, 1 thread, 2 cells. */
static void make_machine(void)
{
        fake_root_make();
        fake_root_put("/sys/devices/system/cpu/present", "0-7\n");
        fake_root_put("/sys/devices/system/cpu/online", "0-7\n");
        for (unsigned i = 0; i < 8; i++)
                put_cpu(i, i / 4, i % 4);
        fake_root_put("/sys/devices/system/node/online", "0-1\n");
        fake_root_put("/sys/devices/system/node/node0/cpulist", "0-3\n");
        fake_root_put("/sys/devices/system/node/node1/cpulist", "4-7\n");
        fake_root_put("/sys/devices/system/node/node0/distance", "10 21\n");
        fake_root_put("/sys/devices/system/node/node0/meminfo",
                      "Node 0 MemTotal:  4089588 kB\nNode 0 MemFree:  2203620 kB\n");
        fake_root_put("/sys/devices/system/node/node1/meminfo",
                      "Node 1 MemTotal:  4089588 kB\nNode 1 MemFree:  3354784 kB\n");
        fake_root_put("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
        fake_root_put("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "5\n");
        fake_root_put("/proc/meminfo",
                      "MemTotal:  8179176 kB\nMemFree:  5558404 kB\nBuffers: 10 kB\nCached: 20 kB\n");
        fake_root_put("/proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: Xeon\ncpu MHz\t\t: 1000.000\n"
                                       "flags\t\t: fpu vmx constant_tsc\n");
        fake_root_put("/proc/stat",
                      "cpu  10 1 5 100 3 1 1 0 0 0\ncpu0 4 0 2 50 1 0 0 0 0 0\ncpu1 6 1 3 50 2 1 1 0 0 0\n");
        fake_root_put("/sys/kernel/mm/ksm/pages_to_scan", "100\n");
        fake_root_put("/sys/kernel/mm/ksm/sleep_millisecs", "20\n");
        fake_root_put("/sys/kernel/mm/ksm/pages_shared", "3\n");
        fake_root_put("/sys/kernel/mm/ksm/pages_sharing", "4\n");
        fake_root_put("/sys/kernel/mm/ksm/pages_unshared", "5\n");
        fake_root_put("/sys/kernel/mm/ksm/pages_volatile", "6\n");
        fake_root_put("/sys/kernel/mm/ksm/full_scans", "7\n");
}

TEST(a_guest_is_placed_where_it_fits_as_a_whole_CPU_08)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        NodeTopology topology;

        make_machine();
        CHECK_INT(node_topology(fake_root, arena, &topology, &err), 0);
        /* the sample: 3 GB of memory are free in cell 1 only */
        CHECK(node_place(&topology, 3 << 20, 4) == &topology.cells[1]);
        CHECK(node_place(&topology, 2 << 20, 2) == &topology.cells[1]); /* both: where more is free */
        CHECK(!node_place(&topology, 3 << 20, 5));
        CHECK(!node_place(&topology, 4 << 20, 1));
        fake_root_remove();
}

TEST(swap_is_what_the_kernel_says_MEM_04)
{
        AUTO(Error) err = { 0 };
        uint64_t kib = 1;

        make_machine();
        CHECK_INT(node_swap(fake_root, &kib, &err), 0);
        CHECK_INT(kib, 0);
        fake_root_put("/proc/meminfo", "MemTotal: 10 kB\nSwapTotal:  4096 kB\nSwapFree: 1 kB\n");
        CHECK_INT(node_swap(fake_root, &kib, &err), 0);
        CHECK_INT(kib, 4096);
        fake_root_remove();
}

TEST(nodeinfo_agrees_with_the_sample_LIFE_30_CPU_05)
{
        AUTO(Error) err = { 0 };
        NodeInfo info;

        make_machine();
        CHECK_INT(node_info(fake_root, &info, &err), 0);
        CHECK_INT(info.cpus, 8);
        CHECK_INT(info.mhz, 1000);
        CHECK_INT(info.cells, 2);
        CHECK_INT(info.sockets, 1); /* per cell, as clients multiply */
        CHECK_INT(info.cores, 4);
        CHECK_INT(info.threads, 1);
        CHECK_INT(info.memory_kib, 8179176);
        fake_root_remove();
}

TEST(cells_list_their_processors_memory_and_pages_CPU_06_CPU_07)
{
        AUTO(Arena) *arena = arena_new();
        NodeTopology topology;
        uint64_t pages;

        make_machine();
        CHECK_INT(node_topology(fake_root, arena, &topology, NULL), 0);
        CHECK_INT(topology.n_cells, 2);
        CHECK_INT(topology.cells[0].free_kib, 2203620);
        CHECK_INT(topology.cells[1].n_cpus, 4);
        CHECK_INT(topology.cells[1].cpus[0].id, 4);
        CHECK_INT(topology.cells[1].cpus[0].socket, 1);
        CHECK_INT(topology.cells[0].n_pages, 2);
        CHECK_INT(topology.cells[0].pages[1].total, 8);
        CHECK_INT(topology.cells[0].n_distances, 2);
        CHECK_INT(topology.cells[0].distances[1], 21);
        CHECK_INT(node_free_pages(fake_root, 0, 2048, &pages, NULL), 0);
        CHECK_INT(pages, 5);
        CHECK_INT(node_free_pages(fake_root, 1, 2048, &pages, NULL), -1);
        CHECK_INT(node_alloc_pages(fake_root, 0, 2048, 3, true, &pages, NULL), 0);
        CHECK_INT(pages, 11);
        fake_root_remove();
}

TEST(statistics_are_of_one_processor_or_of_all)
{
        AUTO(Error) err = { 0 };
        NodeMemoryStats memory;
        NodeCpuStats all, one;
        NodeKsm ksm;

        make_machine();
        CHECK_INT(node_cpu_stats(fake_root, -1, &all, &err), 0);
        CHECK_INT(node_cpu_stats(fake_root, 1, &one, &err), 0);
        CHECK_INT(all.idle_ns, 2 * one.idle_ns);
        CHECK(all.user_ns > one.user_ns && one.kernel_ns > 0);
        CHECK_INT(node_cpu_stats(fake_root, 9, &one, &err), -1);
        CHECK_STR(err.text, "this host has no CPU 9");
        CHECK_INT(node_memory_stats(fake_root, -1, &memory, &err), 0);
        CHECK_INT(memory.cached_kib, 20);
        CHECK_INT(node_memory_stats(fake_root, 7, &memory, &err), -1);
        CHECK_INT(node_ksm(fake_root, &ksm, &err), 0);
        CHECK_INT(ksm.full_scans, 7);
        CHECK_INT(node_set_ksm(fake_root, "pages_to_scan", 200, &err), 0);
        CHECK_INT(node_ksm(fake_root, &ksm, &err), 0);
        CHECK_INT(ksm.pages_to_scan, 200);
        CHECK_INT(node_set_ksm(fake_root, "run", 1, &err), -1);
        fake_root_remove();
}

TEST(the_processor_says_what_it_can_CPU_01_CLK_16)
{
        AUTO(Arena) *arena = arena_new();
        NodeCpuModel model;

        make_machine();
        CHECK_INT(node_cpu_model(fake_root, arena, &model, NULL), 0);
        CHECK_STR(model.vendor, "GenuineIntel");
        CHECK(model.virtualization && model.constant_tsc);
        fake_root_remove();
        CHECK_INT(node_cpu_model("", arena, &model, NULL), 0);
}

TEST(this_machine_can_be_described)
{
        AUTO(Error) err = { 0 };
        NodeInfo info;

        CHECK_INT(node_info("", &info, &err), 0);
        CHECK(info.cpus >= 1);
        CHECK_INT(info.cpus, info.cells * info.sockets * info.cores * info.threads);
        CHECK(info.memory_kib > 0);
}
