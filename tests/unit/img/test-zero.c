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

TEST(zeros_at_either_end_are_told_of_however_few_they_are)
{
        static const struct {
                const char *blocks; /* 0 or x for each block */
                size_t least;       /* blocks */
                const char *runs;   /* x1 03: a block of data, three of zeros */
        } cases[] = {
                { "xxxx", 2, "x4" },         { "0000", 8, "04" },          { "0x0", 2, "01x101" },
                { "x0x", 2, "x3" },          { "0xx0x00", 2, "01x402" },   { "x00x0", 2, "x102x101" },
                { "00x00x", 1, "02x102x1" }, { "x0x0x", 1, "x101x101x1" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                static char data[8 * 512];
                size_t n = strlen(cases[i].blocks), at = 0;
                uint32_t runs[8 + 2];

                for (size_t b = 0; b < n; b++)
                        memset(data + b * 512, cases[i].blocks[b] == 'x' ? 'x' : 0, 512);
                zero_runs(data, n * 512, 512, cases[i].least * 512, runs);
                for (size_t r = 0; cases[i].runs[2 * r]; r++) {
                        uint32_t wanted = 512U * (uint32_t)(cases[i].runs[2 * r + 1] - '0');

                        CHECK_INT(runs[r], wanted | (cases[i].runs[2 * r] == '0' ? RUN_OF_ZEROS : 0));
                        at += wanted;
                }
                CHECK_INT(at, n * 512);
        }
}
