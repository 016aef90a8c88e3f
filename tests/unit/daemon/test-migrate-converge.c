#include "test.h"

#include "daemon/migrate-converge.h"

enum { MIB = 1 << 20 };

/* At the end of a pass: what is left, at 100 MiB/s. */
static ConvergeVerdict look(Converge *c, uint64_t pass, uint64_t left_mib, uint64_t elapsed_ms)
{
        return converge_look(
                c,
                &(ConvergeFigures){
                        .pass = pass, .left = left_mib * MIB, .bytes_per_s = 100 * MIB, .elapsed_ms = elapsed_ms },
                false);
}

TEST(what_fits_into_the_bound_is_left_to_qemu)
{
        Converge c;

        converge_init(&c, 10, true);
        CHECK_INT(look(&c, 1, 900, 100), CONVERGE_GOES_ON);
        CHECK_INT(look(&c, 2, 1, 10000), CONVERGE_GOES_ON);
}

/* CON-04 */
TEST(the_bound_grows_in_steps_and_then_it_is_said_once)
{
        unsigned raised = 0, reported = 0;
        Converge c;

        converge_init(&c, 10, false);
        for (unsigned pass = 2; pass < 60; pass++) {
                switch (look(&c, pass, 50, pass * 1000)) {
                case CONVERGE_RAISE:
                        raised++;
                        CHECK_INT(reported, 0);
                        break;
                case CONVERGE_REPORT:
                        reported++;
                        break;
                case CONVERGE_STOP:
                        CHECK(false);
                        break;
                case CONVERGE_GOES_ON:
                        break;
                }
        }
        CHECK_INT(raised, 5);
        CHECK_INT(reported, 1);
        CHECK_INT(c.limit_ms, CONVERGE_LAST_STEP_MS);
}

/* MIG-05: all that was sent is dirty again; another pass would find no less */
TEST(a_guest_that_writes_as_fast_as_the_link_is_stopped_after_the_first_pass)
{
        Converge c;

        converge_init(&c, 10, true);
        CHECK_INT(look(&c, 2, 900, 10000), CONVERGE_STOP);
        CHECK_INT(look(&c, 3, 900, 19000), CONVERGE_GOES_ON);
}

TEST(a_guest_that_writes_little_is_sent_again_while_that_pays)
{
        Converge c;

        converge_init(&c, 10, true);
        CHECK_INT(look(&c, 2, 200, 10000), CONVERGE_GOES_ON); /* 2 s more */
        CHECK_INT(look(&c, 3, 40, 12000), CONVERGE_GOES_ON);
        CHECK_INT(look(&c, 4, 38, 12400), CONVERGE_STOP); /* its working set */
}

TEST(a_bound_that_somebody_set_is_kept)
{
        ConvergeFigures f = { .left = 500 * MIB, .bytes_per_s = 100 * MIB };
        Converge c;

        converge_init(&c, 10, true);
        for (f.pass = 2; f.pass < 40; f.pass++) {
                ConvergeVerdict verdict = converge_look(&c, &f, true);

                CHECK(verdict == CONVERGE_GOES_ON || verdict == CONVERGE_REPORT);
        }
        CHECK_INT(c.limit_ms, 10);
        CHECK(c.told);
}

TEST(a_pause_is_what_is_left_by_the_rate)
{
        CHECK_INT(converge_pause_ms(&(ConvergeFigures){ .left = 50 * MIB, .bytes_per_s = 100 * MIB }), 500);
        CHECK_INT(converge_pause_ms(&(ConvergeFigures){ .left = 50 * MIB }), 0);
}

/* at 100 MiB/s */
TEST(writes_are_watched_for_a_part_of_the_first_pass)
{
        ConvergeFigures f = { .pass = 1, .left = 1000 * (uint64_t)MIB, .sent = 24 * MIB, .bytes_per_s = 100 * MIB };
        Converge c;

        converge_init(&c, 10, true);
        CHECK_INT(converge_watch_s(&c, &f, true), 0);
        CHECK_INT(converge_watch_s(&c, &f, false), 1);
        converge_watched(&c, (ConvergeWindow){ 1, 100 * MIB });
        CHECK_INT(converge_watch_s(&c, &f, false), 2);
        f.pass = 2;
        CHECK_INT(converge_watch_s(&c, &f, false), 0);
        f.pass = 1;
        converge_watched(&c, (ConvergeWindow){ 2, 200 * MIB });
        CHECK_INT(converge_watch_s(&c, &f, false), 0);
        converge_init(&c, 10, false);
        CHECK_INT(converge_watch_s(&c, &f, false), 0);
        converge_init(&c, 10, true);
        f.left = 50 * MIB; /* over before anything is known */
        CHECK_INT(converge_watch_s(&c, &f, false), 0);
        f.left = 600 * MIB;
        CHECK_INT(converge_watch_s(&c, &f, false), 1); /* one window */
        converge_watched(&c, (ConvergeWindow){ 1, 100 * MIB });
        CHECK_INT(converge_watch_s(&c, &f, false), 0);
        converge_init(&c, 10, true);
        f.bytes_per_s = 0; /* nothing was sent yet */
        CHECK_INT(converge_watch_s(&c, &f, false), 0);
}

/* 100 GiB at 100 MiB/s: the longest that QEMU knows is a minute */
TEST(windows_double_while_they_fit)
{
        ConvergeFigures f = { .pass = 1, .left = 100 * 1024 * (uint64_t)MIB, .bytes_per_s = 100 * MIB };
        Converge c;

        converge_init(&c, 10, true);
        for (unsigned seconds = 1; seconds <= 32; seconds *= 2) {
                CHECK_INT(converge_watch_s(&c, &f, false), seconds);
                CHECK(!converge_is_in_vain(&c, &f)); /* who knows what the next one shows */
                converge_watched(&c, (ConvergeWindow){ seconds, (uint64_t)seconds * 200 * MIB });
        }
        CHECK_INT(converge_watch_s(&c, &f, false), 0);
        CHECK(converge_is_in_vain(&c, &f));
}

/*
 * Is the pass of 1000 MiB at 100 MiB/s in vain after so many ms for a guest that was seen to write these in the first second
 * of it, and in the two that followed?
 */
static bool is_in_vain(uint64_t one_s_mib, uint64_t two_s_mib, uint64_t elapsed_ms, uint64_t *left_mib)
{
        ConvergeFigures f = { .pass = 1,
                              .left = 1000 * (uint64_t)MIB - elapsed_ms * MIB / 10,
                              .sent = elapsed_ms * MIB / 10,
                              .bytes_per_s = 100 * MIB,
                              .elapsed_ms = elapsed_ms };
        Converge c;
        bool found;

        converge_init(&c, 10, true);
        CHECK_INT(converge_watch_s(&c, &f, false), 1);
        CHECK(!converge_is_in_vain(&c, &f));
        converge_watched(&c, (ConvergeWindow){ 1, one_s_mib * MIB });
        CHECK(!converge_is_in_vain(&c, &f));
        converge_watched(&c, (ConvergeWindow){ 2, two_s_mib * MIB });
        found = converge_is_in_vain(&c, &f);
        CHECK_INT(found, c.told);
        *left_mib = f.left / MIB;
        return found;
}

TEST(a_pass_that_is_sent_in_vain_ends_early)
{
        uint64_t left_mib;

        CHECK(is_in_vain(200, 400, 4000, &left_mib)); /* a sweep over everything, twice as fast as the link */
        CHECK_INT(left_mib, 1000);
        CHECK(is_in_vain(60, 120, 4000, &left_mib)); /* 600 MiB of the whole by the end of the pass */
        CHECK_INT(left_mib, 600 + 240);
        CHECK(!is_in_vain(45, 90, 4000, &left_mib));
        CHECK_INT(left_mib, 600);
        CHECK(!is_in_vain(200, 200, 4000, &left_mib)); /* as fast, but always the same 200 MiB */
        CHECK(is_in_vain(150, 250, 4000, &left_mib));  /* at random, in a large part of it */
        CHECK(is_in_vain(0, 300, 4000, &left_mib));
        CHECK(!is_in_vain(0, 0, 4000, &left_mib));
}

/* 450 of 1000 MiB at the end of the pass: too much for another one, and the pause hardly shorter than a bit earlier */
TEST(a_guest_that_writes_half_as_fast_as_the_link_is_stopped_late_in_the_first_pass)
{
        uint64_t left_mib;

        CHECK(!is_in_vain(45, 90, 8000, &left_mib));
        CHECK_INT(left_mib, 200);
        CHECK(is_in_vain(45, 90, 8200, &left_mib)); /* 369 MiB were written, about 302 of them after they were sent */
        CHECK_INT(left_mib, 180 + 369);
        CHECK(!is_in_vain(20, 40, 9900, &left_mib)); /* another pass pays */
}

TEST(one_window_alone_ends_a_pass_when_it_is_enough_by_itself)
{
        ConvergeFigures f = {
                .pass = 1, .left = 300 * MIB, .sent = 200 * MIB, .bytes_per_s = 100 * MIB, .elapsed_ms = 2500
        };
        Converge c;

        converge_init(&c, 10, true);
        CHECK_INT(converge_watch_s(&c, &f, false), 1);
        converge_watched(&c, (ConvergeWindow){ 1, 249 * MIB });
        CHECK(!converge_is_in_vain(&c, &f));
        c.windows[1].written = 250 * MIB;
        f.pass = 2;
        CHECK(!converge_is_in_vain(&c, &f));
        f.pass = 1;
        CHECK(converge_is_in_vain(&c, &f));
        CHECK_INT(f.left / MIB, 500);
}

/* MIG-05: what is announced is kept: it has room for what is written until the guest stops, and for the hand-over */
TEST(an_announced_pause_is_longer_than_what_is_left_takes)
{
        ConvergeFigures f = { .left = 1000 * (uint64_t)MIB, .bytes_per_s = 100 * MIB };

        CHECK_INT(converge_announced_ms(&f), 10000 + 500 + 200);
        f.rest_per_s = 1000 * (uint64_t)MIB; /* the copy is limited, the rest is not */
        CHECK_INT(converge_pause_ms(&f), 1000);
        CHECK_INT(converge_announced_ms(&f), 1000 + 50 + 200);
}

/* By how much a guest has to be slowed that was seen to write so much; the first pass is 1000 MiB at 100 MiB/s. */
static unsigned throttle(uint64_t one_s_mib, uint64_t two_s_mib, uint64_t *pause_ms)
{
        ConvergeFigures f = {
                .pass = 1, .left = 600 * MIB, .sent = 400 * MIB, .bytes_per_s = 100 * MIB, .elapsed_ms = 4000
        };
        Converge c;

        converge_init(&c, 10, false);
        c.slows = true;
        CHECK_INT(converge_throttle(&c, &f, pause_ms), 0);
        CHECK_INT(converge_watch_s(&c, &f, true), 1);
        converge_watched(&c, (ConvergeWindow){ 1, one_s_mib * MIB });
        CHECK_INT(converge_throttle(&c, &f, pause_ms), 0);
        CHECK_INT(converge_watch_s(&c, &f, true), 2);
        converge_watched(&c, (ConvergeWindow){ 2, two_s_mib * MIB });
        CHECK(!converge_is_in_vain(&c, &f)); /* it is slowed, not stopped */
        return converge_throttle(&c, &f, pause_ms);
}

TEST(how_much_a_guest_has_to_be_slowed_is_known_in_the_first_pass)
{
        uint64_t pause_ms;

        CHECK_INT(throttle(160, 320, &pause_ms), 50);
        CHECK_INT(pause_ms, 10000 + 500 + 200);       /* all of it is written in a pass */
        CHECK_INT(throttle(400, 400, &pause_ms), 80); /* always the same 400 MiB */
        CHECK_INT(pause_ms, 4000 + 200 + 200);
        CHECK_INT(throttle(79, 158, &pause_ms), 0); /* it converges by itself */
        CHECK_INT(pause_ms, 0);
        CHECK_INT(throttle(0, 0, &pause_ms), 0);
        CHECK_INT(throttle(100000, 200000, &pause_ms), 99);
        CHECK_INT(throttle(81, 162, &pause_ms), 1);
}
