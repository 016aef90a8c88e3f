/*
 * loop/loop.c - turns, in rounds
 *
 * A round begins with a look at the descriptors and the timers: whatever is ready then has its turn, one after the
 * other, and what comes up meanwhile waits for the next round. So nobody is left out for somebody busy: not a timer, and
 * not the last descriptor. A turn is one function of one owner; it may free and stop whatever it wants, also itself.
 */
#include "loop/loop.h"

#include "base/mem.h"
#include "loop/loop-private.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <time.h>

enum {
        TURNS_LOOKED_AT = 8, /* times in as much time as one turn may use */
        FAKE_BEGIN_US = 1000000,
};

struct Idle {
        Turn turn;
        void (*fn)(void *arg);
        void *arg;
};

static void ring_init(Turn *ring)
{
        ring->before = ring->after = ring;
}

void turn_enter(Turn *turn, Turn *ring)
{
        turn->before = ring->before;
        turn->after = ring;
        ring->before->after = turn;
        ring->before = turn;
}

void turn_leave(Turn *turn)
{
        if (!turn_waits(turn))
                return;
        turn->before->after = turn->after;
        turn->after->before = turn->before;
        turn->before = turn->after = NULL;
}

static Turn *ring_first(const Turn *ring)
{
        return ring->after == ring ? NULL : ring->after;
}

static Loop *make_loop(bool fake, Error *err)
{
        AUTO(Loop) *loop = mem_new(Loop);

        ring_init(&loop->ready);
        ring_init(&loop->later);
        loop->fake = fake;
        loop->fake_now_us = FAKE_BEGIN_US;
        loop->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (loop->epoll < 0) {
                err_errno(err, errno, "cannot make an event loop");
                return NULL;
        }
        return TAKE(loop);
}

Loop *loop_new(Error *err)
{
        return make_loop(false, err);
}

Loop *loop_new_fake(Error *err)
{
        return make_loop(true, err);
}

Loop *loop_free(Loop *loop)
{
        if (!loop)
                return NULL;
        fd_close(&loop->epoll);
        vec_done(&loop->timers);
        free(loop);
        return NULL;
}

static uint64_t read_clock_us(clockid_t clock)
{
        struct timespec now;

        clock_gettime(clock, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t loop_clock_us(void)
{
        return read_clock_us(CLOCK_MONOTONIC);
}

/* One time for a whole turn: a deadline that is compared with it and the timer that was set for it agree. */
uint64_t loop_now_us(const Loop *loop)
{
        if (loop->fake)
                return loop->fake_now_us;
        return loop->turn_us ?: loop_clock_us();
}

uint64_t loop_now_ms(const Loop *loop)
{
        return loop_now_us(loop) / 1000;
}

uint64_t loop_round(const Loop *loop)
{
        return loop->round;
}

void loop_watch_turns(Loop *loop, uint64_t most_us, void (*slow)(void *arg, uint64_t cpu_us, const char *doing),
                      void *arg)
{
        loop->most_us = most_us;
        loop->slow = slow;
        loop->slow_arg = arg;
        loop->cpu_us = read_clock_us(CLOCK_THREAD_CPUTIME_ID);
}

void loop_say_what(Loop *loop, const char *doing)
{
        loop->doing = doing;
}

/*
 * Waiting takes no CPU time, so what the thread used since the last look is its turns'. Looking costs a system call: a
 * turn whose time on the clock is short cannot have used much, and is looked at together with others like it.
 */
static void check_turn(Loop *loop)
{
        uint64_t took_us = loop_clock_us() - loop->turn_us, cpu_us, used_us;

        loop->since_us += took_us;
        if (loop->since_us > loop->most_us / TURNS_LOOKED_AT) {
                cpu_us = read_clock_us(CLOCK_THREAD_CPUTIME_ID);
                used_us = cpu_us - loop->cpu_us;
                loop->cpu_us = cpu_us;
                loop->since_us = 0;
                if (took_us > loop->most_us && used_us > loop->most_us)
                        loop->slow(loop->slow_arg, used_us, loop->doing);
        }
        loop->doing = NULL;
}

/* How long a round may wait for its first descriptor: epoll counts milliseconds, and a timer is never early. */
static int wait_ms(const Loop *loop, int timeout_ms)
{
        uint64_t due_us = loop->fake ? UINT64_MAX : timers_next_us(loop), now_us, left_ms;

        if (ring_first(&loop->later))
                return 0;
        if (due_us == UINT64_MAX)
                return timeout_ms;
        now_us = loop_clock_us();
        left_ms = due_us > now_us ? (due_us - now_us + 999) / 1000 : 0;
        return (int)MIN(left_ms, timeout_ms < 0 ? (uint64_t)INT_MAX : (uint64_t)timeout_ms);
}

/* What came up in the round before, then descriptors, then timers: an answer that is there comes before its deadline. */
static int begin_round(Loop *loop, int timeout_ms, Error *err)
{
        int wait = wait_ms(loop, timeout_ms);
        Turn *turn;

        loop->round++;
        while ((turn = ring_first(&loop->later))) {
                turn_leave(turn);
                turn_enter(turn, &loop->ready);
        }
        if (watches_collect(loop, wait, err) < 0)
                return -1;
        if (!loop->fake)
                timers_collect(loop);
        return 0;
}

int loop_turn(Loop *loop, int timeout_ms, Error *err)
{
        Turn *turn;

        if (!ring_first(&loop->ready) && begin_round(loop, timeout_ms, err) < 0)
                return -1;
        turn = ring_first(&loop->ready);
        if (!turn)
                return 0;
        turn_leave(turn);
        loop->turn_us = loop_clock_us();
        turn->run(turn);
        if (loop->slow)
                check_turn(loop);
        loop->turn_us = 0;
        return 1;
}

int loop_run(Loop *loop, Error *err)
{
        while (!loop->stopped) {
                if (loop_turn(loop, -1, err) < 0)
                        return -1;
        }
        loop->stopped = false;
        return 0;
}

void loop_stop(Loop *loop)
{
        loop->stopped = true;
}

static void run_idle(Turn *turn)
{
        Idle *idle = container_of(turn, Idle, turn);

        idle->fn(idle->arg);
}

Idle *idle_new(Loop *loop, void (*fn)(void *arg), void *arg)
{
        Idle *idle = mem_new(Idle);

        *idle = (Idle){ .turn = { .run = run_idle }, .fn = fn, .arg = arg };
        turn_enter(&idle->turn, &loop->later);
        return idle;
}

Idle *idle_free(Idle *idle)
{
        if (!idle)
                return NULL;
        turn_leave(&idle->turn);
        free(idle);
        return NULL;
}
