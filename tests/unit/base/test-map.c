#include "test.h"

#include "base/map.h"
#include "base/str.h"

TEST(what_was_put_is_found_until_removed)
{
        AUTO(Map) *map = map_new();
        static int values[5000];
        size_t at = 0, seen = 0;

        for (int i = 0; i < 5000; i++) {
                AUTOFREE char *key = str_format("guest-%d", i);

                CHECK_NULL(map_put_text(map, key, &values[i]));
        }
        CHECK_INT(map_len(map), 5000);
        for (int i = 0; i < 5000; i += 2) {
                AUTOFREE char *key = str_format("guest-%d", i);

                CHECK(map_remove_text(map, key) == &values[i]);
                CHECK_NULL(map_remove_text(map, key));
        }
        for (int i = 0; i < 5000; i++) {
                AUTOFREE char *key = str_format("guest-%d", i);

                CHECK(map_find_text(map, key) == (i % 2 ? &values[i] : NULL));
        }
        while (map_next(map, &at))
                seen++;
        CHECK_INT(seen, 2500);
}

TEST(a_second_put_returns_the_first_value)
{
        AUTO(Map) *map = map_new();
        int a, b;

        map_put_text(map, "k", &a);
        CHECK(map_put_text(map, "k", &b) == &a);
        CHECK_INT(map_len(map), 1);
        CHECK(map_find_text(map, "k") == &b);
}
