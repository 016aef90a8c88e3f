#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "loop/loop.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static char trace[64];
static char a[] = "a", b[] = "b", c[] = "c", x[] = "x";

static void note(void *arg)
{
        strcat(trace, arg);
}

TEST(timers_run_in_the_order_they_come_due)
{
        AUTO(Loop) *loop = loop_new_fake(NULL);
        AUTO(Timer) *late = timer_new(loop, 20, note, b);
        AUTO(Timer) *early = timer_new(loop, 10, note, a);
        AUTO(Timer) *never = timer_new(loop, 15, note, x);

        trace[0] = '\0';
        timer_stop(never);
        loop_advance(loop, 9);
        CHECK_STR(trace, "");
        loop_advance(loop, 11);
        CHECK_STR(trace, "ab");
        CHECK(!timer_is_armed(early));
        CHECK(!timer_is_armed(late));
}

TEST(timers_that_come_due_together_run_in_the_order_they_were_armed)
{
        AUTO(Loop) *loop = loop_new_fake(NULL);
        AUTO(Timer) *first = timer_new(loop, 10, note, a);
        AUTO(Timer) *second = timer_new(loop, 10, note, b);
        AUTO(Timer) *third = timer_new(loop, 10, note, c);

        trace[0] = '\0';
        timer_set(first, 10);
        loop_advance(loop, 10);
        CHECK_STR(trace, "bca");
        CHECK(second && third);
}

typedef struct Alarm {
        Loop *loop;
        Timer *timer;
        uint64_t due_ms, ran_ms;
} Alarm;

static uint64_t last_ran_ms;

static void ring(void *arg)
{
        Alarm *alarm = arg;

        CHECK_INT(alarm->ran_ms, 0);
        alarm->ran_ms = loop_now_ms(alarm->loop);
        CHECK(alarm->ran_ms >= last_ran_ms);
        last_ran_ms = alarm->ran_ms;
}

/* A third is stopped, a third is set anew, later or earlier; a multiplicative generator mixes the times. */
TEST(of_thousands_of_timers_each_runs_at_its_time)
{
        enum { N = 5000, LONGEST = 10000 };
        AUTO(Loop) *loop = loop_new_fake(NULL);
        Alarm *alarms = mem_new_array(Alarm, N);
        uint64_t number = 1, now = loop_now_ms(loop);

        last_ran_ms = 0;
        for (size_t i = 0; i < N; i++) {
                number = number * 48271 % 2147483647;
                alarms[i] = (Alarm){ .loop = loop, .due_ms = now + number % LONGEST };
                alarms[i].timer = timer_new(loop, number % LONGEST, ring, &alarms[i]);
        }
        for (size_t i = 0; i < N; i++) {
                number = number * 48271 % 2147483647;
                if (i % 3 == 0) {
                        alarms[i].due_ms = 0;
                        timer_stop(alarms[i].timer);
                } else if (i % 3 == 1) {
                        alarms[i].due_ms = now + number % LONGEST;
                        timer_set(alarms[i].timer, number % LONGEST);
                }
        }
        for (int i = 0; i < LONGEST; i += 100)
                loop_advance(loop, 100);
        for (size_t i = 0; i < N; i++) {
                CHECK_INT(alarms[i].ran_ms, alarms[i].due_ms);
                timer_free(alarms[i].timer);
        }
        free(alarms);
}

static void ring_of_the_clock(void *arg)
{
        Alarm *alarm = arg;

        CHECK(loop_now_ms(alarm->loop) >= alarm->due_ms);
        ring(arg);
}

TEST(by_the_clock_thousands_of_timers_run_in_order_and_none_is_early)
{
        enum { N = 2000, LONGEST = 20 };
        AUTO(Loop) *loop = loop_new(NULL);
        Alarm *alarms = mem_new_array(Alarm, N);
        uint64_t number = 1;

        last_ran_ms = 0;
        for (size_t i = 0; i < N; i++) {
                number = number * 48271 % 2147483647;
                alarms[i] = (Alarm){ .loop = loop, .due_ms = loop_now_ms(loop) + number % LONGEST };
                alarms[i].timer = timer_new(loop, number % LONGEST, ring_of_the_clock, &alarms[i]);
        }
        for (size_t left = N; left;)
                left -= (size_t)loop_turn(loop, -1, NULL);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        for (size_t i = 0; i < N; i++) {
                CHECK(alarms[i].ran_ms);
                timer_free(alarms[i].timer);
        }
        free(alarms);
}

typedef struct Rival {
        Timer *own, *other;
        bool frees; /* the other and itself; else it stops the other */
        int runs;
} Rival;

static void beat(void *arg)
{
        Rival *rival = arg;

        rival->runs++;
        if (rival->frees) {
                rival->other = timer_free(rival->other);
                rival->own = timer_free(rival->own);
        } else {
                CHECK(timer_is_armed(rival->other));
                timer_stop(rival->other);
                CHECK(!timer_is_armed(rival->other));
        }
}

TEST(a_timer_that_another_of_its_round_stops_or_frees_does_not_run)
{
        for (int frees = 0; frees < 2; frees++) {
                AUTO(Loop) *loop = loop_new(NULL);
                Rival rival = { .frees = frees };

                trace[0] = '\0';
                rival.own = timer_new(loop, 0, beat, &rival);
                rival.other = timer_new(loop, 0, note, x);
                CHECK_INT(loop_turn(loop, -1, NULL), 1);
                CHECK_INT(loop_turn(loop, 0, NULL), 0);
                CHECK_STR(trace, "");
                CHECK_INT(rival.runs, 1);
                timer_free(rival.own);
                timer_free(rival.other);
        }
}

static void put_off(void *arg)
{
        Rival *rival = arg;

        rival->runs++;
        timer_set(rival->other, 100000);
}

TEST(a_timer_that_another_of_its_round_sets_anew_waits_again)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Rival rival = { 0 };

        trace[0] = '\0';
        rival.own = timer_new(loop, 0, put_off, &rival);
        rival.other = timer_new(loop, 0, note, x);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK(timer_is_armed(rival.other));
        timer_set(rival.other, 0);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_STR(trace, "x");
        timer_free(rival.own);
        timer_free(rival.other);
}

typedef struct Ticker {
        Timer *timer;
        int left;
} Ticker;

static void tick(void *arg)
{
        Ticker *ticker = arg;

        CHECK(!timer_is_armed(ticker->timer));
        if (--ticker->left)
                timer_set(ticker->timer, 1);
        else
                ticker->timer = timer_free(ticker->timer);
}

TEST(a_timer_may_arm_itself_again_and_free_itself_in_the_end)
{
        AUTO(Loop) *loop = loop_new(NULL), *fake = loop_new_fake(NULL);
        Ticker ticker = { .left = 5 }, of_fake = { .left = 5 };

        ticker.timer = timer_new(loop, 1, tick, &ticker);
        while (ticker.timer)
                loop_turn(loop, -1, NULL);
        CHECK_INT(ticker.left, 0);
        of_fake.timer = timer_new(fake, 1, tick, &of_fake);
        loop_advance(fake, 4);
        CHECK_INT(of_fake.left, 1);
        loop_advance(fake, 1);
        CHECK_NULL(of_fake.timer);
}

TEST(a_turn_waits_no_longer_than_it_was_told_and_no_longer_than_the_first_timer)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Timer) *timer = timer_new(loop, 1000000, note, a);
        AUTO(Timer) *never = timer_new(loop, UINT64_MAX, note, x);

        trace[0] = '\0';
        CHECK_INT(loop_turn(loop, 1, NULL), 0);
        timer_set(timer, 1);
        CHECK_INT(loop_turn(loop, 1000000, NULL), 1);
        CHECK_STR(trace, "a");
        CHECK(timer_is_armed(never));
}

typedef struct Busy {
        int ends[2];
        Loop *loop;
        Idle *idle;
        int turns;
} Busy;

static void stay_ready(void *arg, uint32_t revents)
{
        Busy *busy = arg;

        CHECK(revents & EPOLLIN);
        busy->turns++;
}

static void come_again(void *arg)
{
        Busy *busy = arg;

        idle_free(busy->idle);
        busy->idle = idle_new(busy->loop, come_again, busy);
}

TEST(a_timer_has_its_turn_beside_descriptors_and_idle_calls_that_are_always_ready)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Busy busy = { .loop = loop };
        Watch *watch;
        AUTO(Timer) *timer = timer_new(loop, 2, note, a);

        CHECK_INT(pipe(busy.ends), 0);
        CHECK_INT(write(busy.ends[1], "x", 1), 1);
        watch = watch_new(loop, busy.ends[0], EPOLLIN, stay_ready, &busy);
        busy.idle = idle_new(loop, come_again, &busy);
        trace[0] = '\0';
        while (!*trace || busy.turns < 10)
                CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_STR(trace, "a");
        CHECK(timer);
        idle_free(busy.idle);
        watch_free(watch);
        close(busy.ends[0]);
        close(busy.ends[1]);
}

typedef struct Clocked {
        Loop *loop;
        uint64_t before_ms, after_ms;
} Clocked;

static void take_long(void *arg)
{
        static const struct timespec while_ms = { .tv_nsec = 5000000 };
        Clocked *clocked = arg;

        clocked->before_ms = loop_now_ms(clocked->loop);
        nanosleep(&while_ms, NULL);
        clocked->after_ms = loop_now_ms(clocked->loop);
}

TEST(a_turn_has_one_time_and_the_next_a_later_one)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Clocked first = { .loop = loop }, second = { .loop = loop };
        AUTO(Timer) *one = timer_new(loop, 0, take_long, &first);
        AUTO(Timer) *two = timer_new(loop, 0, take_long, &second);

        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(first.before_ms, first.after_ms);
        CHECK(second.before_ms >= first.before_ms + 5);
        CHECK(loop_now_ms(loop) >= second.before_ms + 5);
        CHECK(one && two);
}
