#include "nbd/ranges.h"

#include "test.h"

#include <stdatomic.h>

enum { THREADS = 4, ROUNDS = 2000 };

static Ranges ranges;
static unsigned shared; /* changed only by who holds the range */
static atomic_uint readers;

static void *writer(void *arg)
{
        (void)arg;
        for (unsigned i = 0; i < ROUNDS; i++) {
                ranges_take(&ranges, 10 + i % 3, 5, true);
                shared++;
                ranges_give_back(&ranges, 10 + i % 3, 5, true);
        }
        return NULL;
}

TEST(writers_of_the_same_bytes_go_one_after_the_other)
{
        pthread_t threads[THREADS];

        ranges_init(&ranges);
        for (unsigned i = 0; i < THREADS; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, writer, NULL), 0);
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        CHECK_INT(shared, THREADS * ROUNDS);
        CHECK_INT(ranges.held.len, 0);
        ranges_done(&ranges);
}

TEST(readers_share_and_neighbours_do_not_wait)
{
        ranges_init(&ranges);
        ranges_take(&ranges, 0, 10, false);
        ranges_take(&ranges, 5, 10, false);
        ranges_take(&ranges, 15, 5, true);
        ranges_take(&ranges, 20, UINT64_MAX - 20, true);
        CHECK_INT(ranges.held.len, 4);
        ranges_give_back(&ranges, 5, 10, false);
        ranges_give_back(&ranges, 0, 10, false);
        ranges_take(&ranges, 0, 15, true);
        CHECK_INT(ranges.held.len, 3);
        ranges_done(&ranges);
}

static void *reader(void *arg)
{
        (void)arg;
        ranges_take(&ranges, 0, 10, false);
        atomic_fetch_add(&readers, 1);
        ranges_give_back(&ranges, 0, 10, false);
        return NULL;
}

TEST(a_reader_waits_for_the_writer)
{
        pthread_t thread;
        bool waits = false;

        ranges_init(&ranges);
        ranges_take(&ranges, 9, 1, true);
        CHECK_INT(pthread_create(&thread, NULL, reader, NULL), 0);
        while (!waits) {
                pthread_mutex_lock(&ranges.lock);
                waits = ranges.waiting;
                pthread_mutex_unlock(&ranges.lock);
        }
        CHECK_INT(readers, 0);
        ranges_give_back(&ranges, 9, 1, true);
        pthread_join(thread, NULL);
        CHECK_INT(readers, 1);
        ranges_done(&ranges);
}
