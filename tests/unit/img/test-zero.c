#include "test.h"

#include "base/auto.h"
#include "img/zero.h"

#include <string.h>

TEST(one_byte_that_is_not_zero_is_found_wherever_it_stands)
{
        static char data[1000];

        CHECK(bytes_are_zero(data, sizeof(data)));
        CHECK(bytes_are_zero(data, 0));
        for (size_t i = 0; i < sizeof(data); i++) {
                data[i] = 1;
                CHECK(!bytes_are_zero(data, sizeof(data)));
                CHECK(bytes_are_zero(data, i));
                data[i] = 0;
        }
}

TEST(runs_of_zeros_are_as_long_as_asked_for)
{
        static const struct {
                const char *blocks; /* 0 or x for each block */
                size_t least;       /* blocks */
                bool zero;
                size_t run; /* blocks */
        } cases[] = {
                { "xx00xx", 1, false, 2 }, { "00xx", 1, true, 2 }, { "x0x0", 2, false, 4 }, { "0xx", 2, false, 3 },
                { "x0x00x", 2, false, 3 }, { "0000", 2, true, 4 }, { "0", 2, true, 1 },     { "x", 1, false, 1 },
                { "x00", 2, false, 1 },    { "00x", 2, true, 2 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                static char data[8 * 512];
                size_t n = strlen(cases[i].blocks);
                bool zero;

                for (size_t b = 0; b < n; b++)
                        memset(data + b * 512, cases[i].blocks[b] == 'x' ? 'x' : 0, 512);
                CHECK_INT(zero_run(data, n * 512, 512, cases[i].least * 512, &zero), cases[i].run * 512);
                CHECK_INT(zero, cases[i].zero);
        }
}
