#include "test.h"

#include "base/auto.h"
#include "loop/parallel.h"

#include <string.h>

enum { N = 1000 };

static void count(void *data, size_t i)
{
        unsigned *counts = data;

        counts[i]++;
}

TEST(each_item_has_its_turn_once)
{
        static const size_t sizes[] = { 0, 1, 31, 32, 33, N };
        static unsigned counts[N + 1];

        for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
                memset(counts, 0, sizeof(counts));
                parallel_each(sizes[s], count, counts);
                for (size_t i = 0; i <= N; i++)
                        CHECK(counts[i] == (i < sizes[s]));
        }
}
