#pragma once
/*
 * daemon/figures.h - what a running guest uses, as its driver measures it
 *
 * Collected for one guest at a time, asynchronously: a driver fills in what it
 * knows and leaves the rest at zero. Times are nanoseconds.
 */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

enum { /* what to collect */
       FIGURES_CPU = 1 << 0,
       FIGURES_VCPUS = 1 << 1,
       FIGURES_BALLOON = 1 << 2,
       FIGURES_BLOCKS = 1 << 3,
       FIGURES_IOTHREADS = 1 << 4,
       FIGURES_DIRTY_RATE = 1 << 5,
};

typedef struct VcpuFigures {
        unsigned id;
        int state; /* VIR_VCPU_RUNNING, ... */
        int cpu;   /* of the host, where it runs now; -1: unknown */
        uint64_t time_ns, wait_ns;
        bool halted;
} VcpuFigures;

typedef struct BlockFigures {
        const char *target; /* "vda"; of the definition that is in force, or in the arena, like path */
        const char *path;   /* NULL: none */
        int backing_index;  /* 0: the disk itself; others are below it */
        uint64_t rd_reqs, rd_bytes, rd_ns, wr_reqs, wr_bytes, wr_ns, fl_reqs, fl_ns;
        uint64_t highest;   /* how far into its image has been written since QEMU opened it */
        bool has_sizes;     /* what follows is known */
        bool is_file;       /* not a device, or on a server */
        uint64_t capacity;  /* what the guest sees */
        uint64_t physical;  /* what the image takes: of a file what is allocated, else all of it */
        uint64_t length;    /* of the file or device */
        uint64_t threshold; /* 0: none is set */
} BlockFigures;

typedef struct IothreadFigures {
        unsigned id;
        uint64_t poll_max_ns;
        uint32_t poll_grow, poll_shrink;
} IothreadFigures;

/* How fast the guest writes its memory, as it was measured last. */
typedef struct DirtyRateFigures {
        int status;                         /* VIR_DOMAIN_DIRTYRATE_*; the others are there from MEASURING on */
        int64_t started_s, period_s;        /* on QEMU's clock */
        const char *mode;                   /* "page-sampling" */
        int64_t mib_s;                      /* MEASURED only */
        struct VcpuDirtyRateFigures *vcpus; /* of the mode that knows them apart */
        size_t n_vcpus;
} DirtyRateFigures;

typedef struct VcpuDirtyRateFigures {
        unsigned id;
        uint64_t mib_s;
} VcpuDirtyRateFigures;

enum { FIGURES_MEMORY_TAGS = 16 };

typedef struct Figures {
        Arena *arena; /* of the one who asks; holds the lists */
        unsigned has; /* FIGURES_*: what was measured */
        uint64_t cpu_ns, user_ns, system_ns;
        VcpuFigures *vcpus;
        size_t n_vcpus;
        uint32_t memory_given;                /* bit N: memory[N] was measured */
        uint64_t swapped_kib;                 /* of QEMU itself, by the host (MEM-05) */
        uint64_t memory[FIGURES_MEMORY_TAGS]; /* by VIR_DOMAIN_MEMORY_STAT_*, KiB where they are sizes */
        BlockFigures *blocks;
        size_t n_blocks;
        IothreadFigures *iothreads;
        size_t n_iothreads;
        DirtyRateFigures dirty_rate;
} Figures;
