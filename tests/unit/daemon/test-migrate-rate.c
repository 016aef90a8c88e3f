#include "test.h"

#include "daemon/migrate-rate.h"

enum { MIB = 1 << 20 };

/* Looks ten times a second: so many MiB a second, of which QEMU tells `told`. */
static void send(LineRate *r, RateSample *s, unsigned looks, uint64_t mib_s, uint64_t told)
{
        for (unsigned i = 0; i < looks; i++) {
                s->at_ms += 100;
                s->sent += mib_s * MIB / 10;
                s->now_per_s = told * MIB;
                line_rate_take(r, s);
        }
}

TEST(a_rate_is_known_when_it_has_lasted)
{
        LineRate r = { 0 };
        RateSample s = { .left = 1000 * (uint64_t)MIB };

        CHECK_INT(line_rate_lasting(&r), 0);
        send(&r, &s, 5, 100, 100);
        CHECK_INT(line_rate_lasting(&r), 0); /* the first look only begins it */
        send(&r, &s, 5, 100, 100);
        CHECK_INT(line_rate_lasting(&r) / MIB, 100);
}

TEST(where_it_varies_the_lower_rate_counts)
{
        LineRate r = { 0 };
        RateSample s = { .left = 1000 * (uint64_t)MIB };

        send(&r, &s, 40, 100, 100);
        send(&r, &s, 5, 40, 40);
        CHECK(line_rate_lasting(&r) / MIB < 90);
        send(&r, &s, 20, 40, 40);
        CHECK(line_rate_lasting(&r) / MIB < 50);
        send(&r, &s, 10, 100, 100); /* a second alone does not make it quick again */
        CHECK(line_rate_lasting(&r) / MIB < 80);
        send(&r, &s, 80, 100, 100);
        CHECK(line_rate_lasting(&r) / MIB > 95);
}

TEST(a_moment_says_nothing_about_the_rate)
{
        LineRate r = { 0 };
        RateSample s = { .left = 1000 * (uint64_t)MIB };

        for (unsigned i = 0; i < 20; i++) {
                send(&r, &s, 1, 130, 130);
                send(&r, &s, 1, 70, 70);
        }
        CHECK(line_rate_lasting(&r) / MIB >= 90 && line_rate_lasting(&r) / MIB <= 105);
}

TEST(an_idle_guest_and_memory_that_is_zero_say_nothing_about_the_line)
{
        LineRate r = { 0 };
        RateSample s = { .left = 1000 * (uint64_t)MIB };

        send(&r, &s, 20, 100, 100);
        s.left = 4096; /* all but nothing is left */
        send(&r, &s, 50, 1, 1);
        CHECK(line_rate_lasting(&r) / MIB > 95);
        s.left = 1000 * (uint64_t)MIB;
        for (unsigned i = 0; i < 50; i++) {
                s.zero += 100 * (uint64_t)MIB;
                send(&r, &s, 1, 1, 1);
        }
        CHECK(line_rate_lasting(&r) / MIB > 95);
}

/* A longest pause that somebody set is kept although QEMU counts with its last 100 ms, the best of which decide. */
TEST(the_bound_that_qemu_gets_allows_for_its_highest_figure)
{
        LineRate r = { 0 };
        RateSample s = { .left = 1000 * (uint64_t)MIB };

        CHECK_INT(line_rate_bound_ms(&r, 9000), 9000);
        CHECK_INT(line_rate_bound_ms(&r, 0), 1);
        send(&r, &s, 40, 100, 100);
        CHECK_INT(line_rate_bound_ms(&r, 9000), 9000);
        send(&r, &s, 1, 100, 150);
        CHECK_INT(line_rate_bound_ms(&r, 9000), 6000);
        CHECK_INT(line_rate_bound_ms(&r, 1), 1);
        send(&r, &s, 200, 100, 100);
        CHECK(line_rate_bound_ms(&r, 9000) > 8800);
}

TEST(figures_that_go_back_begin_anew)
{
        LineRate r = { 0 };
        RateSample s = { .left = 1000 * (uint64_t)MIB };

        send(&r, &s, 20, 100, 100);
        line_rate_take(&r, &(RateSample){ .at_ms = s.at_ms, .sent = s.sent });
        line_rate_take(&r, &(RateSample){ .at_ms = s.at_ms + 1 });
        CHECK(line_rate_lasting(&r) / MIB > 95);
}
