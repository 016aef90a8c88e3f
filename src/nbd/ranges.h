#pragma once
/*
 * nbd/ranges.h - requests on the same bytes wait for each other
 *
 * An image is changed by several threads at once on ranges that do not
 * overlap; what clients ask for may. Those that read share a range.
 */
#include "base/vec.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Range {
        uint64_t start, end;
        bool write;
} Range;

typedef struct Ranges {
        pthread_mutex_t lock;
        pthread_cond_t freed;
        unsigned waiting;
        VEC(Range) held;
} Ranges;

void ranges_init(Ranges *ranges);
void ranges_done(Ranges *ranges);
/* Blocks until nobody holds a part of it in a way that excludes this. */
void ranges_take(Ranges *ranges, uint64_t start, uint64_t length, bool write);
void ranges_give_back(Ranges *ranges, uint64_t start, uint64_t length, bool write);
