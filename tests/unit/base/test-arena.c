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

TEST(texts_are_packed_and_things_stay_aligned)
{
        AUTO(Arena) *arena = arena_new_sized(64);

        for (int i = 0; i < 10; i++) {
                const char *text = arena_dup(arena, "ab");
                uint64_t *thing = arena_new_one(arena, uint64_t);

                CHECK_STR(text, "ab");
                CHECK_INT((uintptr_t)thing % _Alignof(max_align_t), 0);
                CHECK_INT(*thing, 0);
        }
        CHECK_INT(arena_taken(arena), 10 * (3 + 16));
}

TEST(an_arena_of_the_right_size_holds_one_block)
{
        AUTO(Arena) *rough = arena_new();
        AUTO(Arena) *exact = NULL;

        for (int i = 0; i < 100; i++)
                arena_dup(rough, "some text");
        exact = arena_new_sized(arena_taken(rough));
        for (int i = 0; i < 100; i++)
                arena_dup(exact, "some text");
        CHECK(arena_size(exact) < arena_size(rough));
        CHECK(arena_size(exact) < 1000 + 128);
}
