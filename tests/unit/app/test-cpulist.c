/*
 * tests/unit/app/test-cpulist.c - sets of CPUs as text and bits
 */
#include "app/drover/cpulist.h"

#include "test.h"

TEST(lists_of_cpus_are_read_and_written_back)
{
        static const struct {
                const char *text, *written; /* NULL: refused */
        } cases[] = {
                { "0-3", "0-3" },  { "0-3,^2", "0-1,3" }, { "7", "7" },   { "r", "0-7" }, { "0,2,4-5", "0,2,4-5" },
                { "5-99", "5-7" }, { "8", NULL },         { "", NULL },   { "x", NULL },  { "3-1", NULL },
                { "^0", NULL },    { "1-", NULL },        { "-1", NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Arena) *arena = arena_new();
                AUTO(Error) err = { 0 };
                AUTOFREE char *written = NULL;
                CpuMap map;

                if (cpulist_parse(arena, cases[i].text, 8, &map, &err) < 0) {
                        CHECK_NULL(cases[i].written);
                        CHECK(err_is_set(&err));
                        continue;
                }
                written = cpulist_format(map.bits, map.n_bytes, map.n_cpus);
                CHECK_STR(written, cases[i].written);
        }
}
