#pragma once
/*
 * guest/sweep.h - a stretch of memory whose right contents are known at every moment
 *
 * The pages are filled with seeded pseudo-random words. A sweep goes over them in order and stamps the head of
 * each page with the number of the sweep; so at any time every page before the cursor carries this sweep's stamp
 * and every page behind it the last one's. A page that a migration lost, or brought in an old version, differs
 * from that, and sweep_verify() finds it without any second copy.
 *
 * One thread owns a Sweep; nothing here locks.
 */
#include <stdint.h>

#define SWEEP_PAGE 4096u

typedef struct Sweep {
        uint64_t *memory;
        uint64_t n_pages;
        uint64_t cursor; /* next page to be stamped */
        uint64_t round;  /* of the sweep under way; 0: only filled */
} Sweep;

typedef struct SweepLoss {
        uint64_t n_pages; /* how many pages are wrong */
        uint64_t first;   /* the first of them */
        uint64_t expected, found;
} SweepLoss;

/* Map and fill the memory; -1 where the guest has too little. */
int sweep_init(Sweep *sweep, uint64_t n_pages);

/* Dirty the next n pages. */
void sweep_dirty(Sweep *sweep, uint64_t n);

/* Read every word and compare it with what it must be. */
SweepLoss sweep_verify(const Sweep *sweep);
