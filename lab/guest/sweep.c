/*
 * guest/sweep.c - fill, stamp and verify the known memory
 *
 * A page is 512 words: the first eight hold the stamp of the sweep that wrote it, the rest never changes. Both
 * come from one cheap generator seeded by page (and sweep), which no compressor shrinks, yet a delta encoder
 * finds only one cache line changed: as in a database that updates rows.
 */
#include "sweep.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

enum {
        PAGE_WORDS = SWEEP_PAGE / sizeof(uint64_t),
        STAMP_WORDS = 8,
};

static uint64_t word_seed(uint64_t page, uint64_t round)
{
        uint64_t x = (page + 1) * 0x9e3779b97f4a7c15u + (round + 1) * 0xd1b54a32d192ed03u;

        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        return x ^ (x >> 27);
}

static uint64_t word_next(uint64_t x)
{
        return x * 6364136223846793005u + 1442695040888963407u;
}

static void stamp_page(Sweep *sweep, uint64_t page)
{
        uint64_t *at = sweep->memory + page * PAGE_WORDS;
        uint64_t x = word_seed(page, sweep->round);

        for (unsigned i = 0; i < STAMP_WORDS; i++)
                at[i] = x = word_next(x);
}

int sweep_init(Sweep *sweep, uint64_t n_pages)
{
        void *memory = mmap(NULL, n_pages * SWEEP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
                return -1;

        *sweep = (Sweep){ .memory = memory, .n_pages = n_pages };
        for (uint64_t page = 0; page < n_pages; page++) {
                uint64_t *at = sweep->memory + page * PAGE_WORDS;
                uint64_t x = word_seed(page, UINT64_MAX - 1);

                for (unsigned i = STAMP_WORDS; i < PAGE_WORDS; i++)
                        at[i] = x = word_next(x);
                stamp_page(sweep, page);
        }
        sweep->round = 1;
        return 0;
}

void sweep_dirty(Sweep *sweep, uint64_t n)
{
        if (!sweep->n_pages)
                return;

        for (; n > 0; n--) {
                stamp_page(sweep, sweep->cursor);
                if (++sweep->cursor == sweep->n_pages) {
                        sweep->cursor = 0;
                        sweep->round++;
                }
        }
}

static bool page_is_right(const Sweep *sweep, uint64_t page, uint64_t *expected, uint64_t *found)
{
        const uint64_t *at = sweep->memory + page * PAGE_WORDS;
        uint64_t x = word_seed(page, page < sweep->cursor ? sweep->round : sweep->round - 1);

        for (unsigned i = 0; i < PAGE_WORDS; i++) {
                if (i == STAMP_WORDS)
                        x = word_seed(page, UINT64_MAX - 1);
                x = word_next(x);
                if (at[i] != x) {
                        *expected = x;
                        *found = at[i];
                        return false;
                }
        }
        return true;
}

SweepLoss sweep_verify(const Sweep *sweep)
{
        SweepLoss loss = { 0 };

        for (uint64_t page = 0; page < sweep->n_pages; page++) {
                uint64_t expected, found;

                if (page_is_right(sweep, page, &expected, &found))
                        continue;
                if (loss.n_pages++ == 0) {
                        loss.first = page;
                        loss.expected = expected;
                        loss.found = found;
                }
        }
        return loss;
}
