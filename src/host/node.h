#pragma once
/*
 * host/node.h - facts about this machine: processors, memory, NUMA cells, KSM
 *
 * Everything is read from /proc and /sys below a root directory, "" for this machine, so tests use
 * fixture trees. Reads are of the kernel's own files and do not wait.
 */
#include "base/arena.h"
#include "base/bitmap.h"

typedef struct NodeInfo { /* LIFE-30, CPU-05 */
        char model[32];   /* the architecture, as clients expect here */
        uint64_t memory_kib;
        unsigned cpus, mhz, cells, sockets, cores, threads; /* cores per socket, threads per core */
} NodeInfo;

typedef struct NodeCpu {
        unsigned id, socket, die, core;
        Bitmap siblings;
} NodeCpu;

typedef struct NodePages {
        uint64_t size_kib, total, free;
} NodePages;

typedef struct NodeCell {
        unsigned id;
        uint64_t memory_kib, free_kib;
        NodePages *pages; /* the base size first */
        size_t n_pages;
        unsigned *distances; /* to each cell, in their order */
        size_t n_distances;
        NodeCpu *cpus;
        size_t n_cpus;
} NodeCell;

typedef struct NodeTopology {
        NodeCell *cells; /* at least one: a machine without NUMA has cell 0 */
        size_t n_cells;
} NodeTopology;

typedef struct NodeCpuStats {
        uint64_t kernel_ns, user_ns, idle_ns, iowait_ns;
} NodeCpuStats;

typedef struct NodeMemoryStats {
        uint64_t total_kib, free_kib, buffers_kib, cached_kib;
} NodeMemoryStats;

typedef struct NodeKsm {
        uint64_t pages_to_scan, sleep_ms, pages_shared, pages_sharing, pages_unshared, pages_volatile, full_scans,
                merge_across_nodes;
} NodeKsm;

int node_info(const char *root, NodeInfo *ret, Error *err);
int node_cpu_map(const char *root, Bitmap *present, Bitmap *online, Error *err);
/* The arena holds what *ret points to. */
int node_topology(const char *root, Arena *arena, NodeTopology *ret, Error *err);
/* cpu, cell -1: the whole machine. */
int node_cpu_stats(const char *root, int cpu, NodeCpuStats *ret, Error *err);
int node_memory_stats(const char *root, int cell, NodeMemoryStats *ret, Error *err);
/* Free pages of one size in a cell; -1: the whole machine. */
int node_free_pages(const char *root, int cell, uint64_t size_kib, uint64_t *ret, Error *err);
/* Make the pool of huge pages n pages large, or with add n pages larger; *ret: pages it has now. */
int node_alloc_pages(const char *root, int cell, uint64_t size_kib, uint64_t n, bool add, uint64_t *ret, Error *err);
/* Swap space of this machine; 0: none (MEM-04). */
int node_swap(const char *root, uint64_t *ret_kib, Error *err);
/*
 * The cell that a guest fits into as a whole: as much free memory as it has memory, as many CPUs as it has (CPU-08). Of
 * several the one with the most free memory; NULL: none. Borrowed.
 */
const NodeCell *node_place(const NodeTopology *topology, uint64_t memory_kib, unsigned cpus);
int node_ksm(const char *root, NodeKsm *ret, Error *err);
/* The ones that can be set: pages_to_scan, sleep_millisecs, merge_across_nodes. */
int node_set_ksm(const char *root, const char *name, uint64_t value, Error *err);

typedef struct NodeCpuModel {
        char vendor[16], name[64];
        bool virtualization; /* svm or vmx (CPU-01) */
        bool constant_tsc;   /* CLK-16 */
        uint64_t tsc_hz;     /* 0: unknown */
        char *flags;         /* words separated by blanks, in the arena */
} NodeCpuModel;
int node_cpu_model(const char *root, Arena *arena, NodeCpuModel *ret, Error *err);
