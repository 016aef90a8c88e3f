#include "test.h"

#include "base/arena.h"
#include "base/str.h"

TEST(memory_is_zeroed_and_aligned)
{
        AUTO(Arena) *arena = arena_new();

        for (size_t n = 1; n < 5000; n = n * 3 + 1) {
                char *p = arena_alloc(arena, n);

                CHECK_INT((uintptr_t)p % _Alignof(max_align_t), 0);
                for (size_t i = 0; i < n; i++)
                        CHECK_INT(p[i], 0);
                memset(p, 0xff, n);
        }
}

TEST(a_count_from_outside_cannot_overflow)
{
        AUTO(Arena) *arena = arena_new();

        CHECK_NULL(arena_try_array(arena, SIZE_MAX / 4, 8));
        CHECK_NULL(arena_try_array(arena, 64 * 1024 * 1024 + 1, 1));
        CHECK(arena_try_array(arena, 0, 8) != NULL);
}

TEST(text_is_copied_and_formatted)
{
        AUTO(Arena) *arena = arena_new();

        CHECK_STR(arena_format(arena, "%d-%s", 7, "x"), "7-x");
        CHECK_STR(arena_dup_n(arena, "abcdef", 3), "abc");
        CHECK_NULL(arena_dup(arena, NULL));
}
