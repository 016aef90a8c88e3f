#include "test.h"

#include "base/bitmap.h"
#include "base/str.h"

TEST(lists_of_processors_are_read_and_written_CPU_11)
{
        static const struct {
                const char *text, *expected; /* NULL: refused */
        } cases[] = {
                { "0,2-3", "0,2-3" }, { "4-7", "4-7" },   { "0-7,^3", "0-2,4-7" }, { "1,0,2", "0-2" },
                { "63-65", "63-65" }, { "4095", "4095" }, { "4096", NULL },        { "", NULL },
                { "3-1", NULL },      { "1,", NULL },     { "a", NULL },           { "1-", NULL },
                { "^1-2", NULL },     { "0-1\n", "0-1" }, { "0, 2", "0,2" },       { "99999999999", NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                Bitmap map = { 0 };
                int r = bitmap_parse(cases[i].text, &map, NULL);
                AUTOFREE char *text = bitmap_format(&map);

                CHECK_INT(r, cases[i].expected ? 0 : -1);
                CHECK_STR(text, cases[i].expected ?: "");
        }
}

TEST(members_are_counted_and_walked)
{
        Bitmap map = { 0 }, all;

        bitmap_set(&map, 5);
        bitmap_set(&map, 130);
        bitmap_set_first(&all, 131);
        CHECK_INT(bitmap_count(&map), 2);
        CHECK_INT(bitmap_next(&map, -1), 5);
        CHECK_INT(bitmap_next(&map, 5), 130);
        CHECK_INT(bitmap_next(&map, 130), -1);
        CHECK(bitmap_is_subset(&map, &all));
        CHECK(!bitmap_is_subset(&all, &map));
}
