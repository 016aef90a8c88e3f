/*
 * nbd/ranges.c - requests on the same bytes wait for each other
 */
#include "nbd/ranges.h"

void ranges_init(Ranges *ranges)
{
        *ranges = (Ranges){ 0 };
        pthread_mutex_init(&ranges->lock, NULL);
        pthread_cond_init(&ranges->freed, NULL);
}

void ranges_done(Ranges *ranges)
{
        pthread_mutex_destroy(&ranges->lock);
        pthread_cond_destroy(&ranges->freed);
        vec_done(&ranges->held);
}

static bool is_free(const Ranges *ranges, const Range *wanted)
{
        for (size_t i = 0; i < ranges->held.len; i++) {
                const Range *held = &ranges->held.items[i];

                if ((held->write || wanted->write) && held->start < wanted->end && wanted->start < held->end)
                        return false;
        }
        return true;
}

void ranges_take(Ranges *ranges, uint64_t start, uint64_t length, bool write)
{
        Range wanted = { start, start + length, write };

        pthread_mutex_lock(&ranges->lock);
        while (!is_free(ranges, &wanted)) {
                ranges->waiting++;
                pthread_cond_wait(&ranges->freed, &ranges->lock);
                ranges->waiting--;
        }
        vec_push(&ranges->held, wanted);
        pthread_mutex_unlock(&ranges->lock);
}

void ranges_give_back(Ranges *ranges, uint64_t start, uint64_t length, bool write)
{
        pthread_mutex_lock(&ranges->lock);
        for (size_t i = 0; i < ranges->held.len; i++) {
                Range *held = &ranges->held.items[i];

                if (held->start == start && held->end == start + length && held->write == write) {
                        *held = ranges->held.items[--ranges->held.len];
                        break;
                }
        }
        if (ranges->waiting)
                pthread_cond_broadcast(&ranges->freed);
        pthread_mutex_unlock(&ranges->lock);
}
