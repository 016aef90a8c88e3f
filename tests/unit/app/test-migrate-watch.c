/*
 * tests/unit/app/test-migrate-watch.c - how the bar of a migration is drawn
 */
#include "app/drover/migrate-watch.h"

#include "test.h"

#include <string.h>

TEST(the_bar_tells_rate_rest_dirty_rate_pause_and_time_to_go)
{
        MigrateFigures f = { .total = 1ULL << 30,
                             .remaining = 256 << 20,
                             .bytes_per_s = 112 << 20,
                             .dirty_bytes_per_s = 10 << 20,
                             .pause_ms = 35,
                             .iteration = 2 };
        AUTO(Buf) line = { 0 };

        migrate_bar_format(&f, 120, &line);
        CHECK_STR(buf_text(&line), "[==============================>         ] 75 %  112.0 MiB/s  left 256.0 MiB  "
                                   "dirty 10.0 MiB/s  pause 35 ms  ETA 0:02");
}

TEST(an_ordinary_terminal_shows_all_of_the_figures)
{
        MigrateFigures f = { .total = 1ULL << 31,
                             .remaining = 1ULL << 30,
                             .bytes_per_s = 112 << 20,
                             .dirty_bytes_per_s = 10 << 20,
                             .pause_ms = 12345 };
        AUTO(Buf) line = { 0 };
        AUTO(Buf) wide = { 0 };

        migrate_bar_format(&f, 80, &line);
        CHECK_STR(buf_text(&line), " 50 %  112.0 MiB/s  left 1.0 GiB  dirty 10.0 MiB/s  pause 12345 ms  ETA 0:10");
        f.remaining = (1ULL << 30) - 1;
        f.bytes_per_s = 1000 << 20;
        f.dirty_bytes_per_s = 900 << 20;
        migrate_bar_format(&f, 80, &wide);
        CHECK_STR(buf_text(&wide), " 51 %  1000 MiB/s  left 1024 MiB  dirty 900 MiB/s  pause 12345 ms  ETA 0:10");
}

TEST(a_guest_that_changes_faster_than_the_link_has_no_time_to_go)
{
        MigrateFigures f = { .total = 1ULL << 30, .remaining = 1ULL << 30, .bytes_per_s = 1, .dirty_bytes_per_s = 2 };
        AUTO(Buf) line = { 0 };

        migrate_bar_format(&f, 120, &line);
        CHECK(strstr(buf_text(&line), "ETA -:--") != NULL);
}

TEST(the_bar_fits_the_terminal_and_survives_odd_figures)
{
        static const MigrateFigures odd[] = {
                { 0 },
                { .total = 1, .remaining = UINT64_MAX / 200 },
                { .total = UINT64_MAX / 200, .remaining = 0, .bytes_per_s = UINT64_MAX, .pause_ms = UINT64_MAX },
        };

        for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
                for (unsigned columns = 20; columns < 200; columns += 20) {
                        AUTO(Buf) line = { 0 };

                        migrate_bar_format(&odd[i], columns, &line);
                        CHECK(line.len < columns);
                }
        }
}
