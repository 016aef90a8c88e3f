/*
 * loop/timer.c - timers: a heap by the time they come due
 *
 * A timer stands in the heap, or in a round's ring once it is due, or it is not armed. Timers that come due at the same
 * time run in the order in which they were armed.
 */
#include "base/mem.h"
#include "loop/loop-private.h"

struct Timer {
        Turn turn; /* stands in a ring: it is due */
        Loop *loop;
        uint64_t due_us, order;
        size_t at; /* its place in the heap; NOWHERE: it is not there */
        void (*fn)(void *arg);
        void *arg;
};

static const size_t NOWHERE = SIZE_MAX;

static bool is_before(const Timer *a, const Timer *b)
{
        return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void put(Loop *loop, size_t at, Timer *timer)
{
        loop->timers.items[at] = timer;
        timer->at = at;
}

/* Place a timer in the hole at a place, moving what is later down. */
static void sift_up(Loop *loop, size_t at, Timer *timer)
{
        while (at) {
                Timer *above = loop->timers.items[(at - 1) / 2];

                if (!is_before(timer, above))
                        break;
                put(loop, at, above);
                at = (at - 1) / 2;
        }
        put(loop, at, timer);
}

/* Place a timer in the hole at a place, moving what is earlier up. */
static void sift_down(Loop *loop, size_t at, Timer *timer)
{
        size_t below;

        while ((below = 2 * at + 1) < loop->timers.len) {
                Timer *const *two = &loop->timers.items[below];

                if (below + 1 < loop->timers.len && is_before(two[1], two[0]))
                        below++;
                if (!is_before(loop->timers.items[below], timer))
                        break;
                put(loop, at, loop->timers.items[below]);
                at = below;
        }
        put(loop, at, timer);
}

static void heap_fill(Loop *loop, size_t at, Timer *timer)
{
        if (at && is_before(timer, loop->timers.items[(at - 1) / 2]))
                sift_up(loop, at, timer);
        else
                sift_down(loop, at, timer);
}

static void heap_remove(Timer *timer)
{
        Loop *loop = timer->loop;
        Timer *last = loop->timers.items[--loop->timers.len];

        if (last != timer)
                heap_fill(loop, timer->at, last);
        timer->at = NOWHERE;
}

uint64_t timers_next_us(const Loop *loop)
{
        return loop->timers.len ? loop->timers.items[0]->due_us : UINT64_MAX;
}

void timers_collect(Loop *loop)
{
        uint64_t now_us = loop->timers.len ? loop_clock_us() : 0;

        while (timers_next_us(loop) <= now_us) {
                Timer *timer = loop->timers.items[0];

                heap_remove(timer);
                turn_enter(&timer->turn, &loop->ready);
        }
}

void loop_advance(Loop *loop, uint64_t ms)
{
        uint64_t until_us = loop->fake_now_us + ms * 1000;

        while (timers_next_us(loop) <= until_us) {
                Timer *timer = loop->timers.items[0];

                loop->fake_now_us = MAX(loop->fake_now_us, timer->due_us);
                heap_remove(timer);
                timer->fn(timer->arg);
        }
        loop->fake_now_us = until_us;
}

static void run_timer(Turn *turn)
{
        Timer *timer = container_of(turn, Timer, turn);

        timer->fn(timer->arg);
}

Timer *timer_new(Loop *loop, uint64_t ms, void (*fn)(void *arg), void *arg)
{
        Timer *timer = mem_new(Timer);

        *timer = (Timer){ .turn = { .run = run_timer }, .loop = loop, .at = NOWHERE, .fn = fn, .arg = arg };
        timer_set(timer, ms);
        return timer;
}

void timer_set(Timer *timer, uint64_t ms)
{
        Loop *loop = timer->loop;
        uint64_t now_us = loop_now_us(loop);

        turn_leave(&timer->turn);
        timer->due_us = ms < (UINT64_MAX - now_us) / 1000 ? now_us + ms * 1000 : UINT64_MAX;
        timer->order = loop->n_armed++;
        if (timer->at == NOWHERE) {
                vec_push(&loop->timers, timer);
                timer->at = loop->timers.len - 1;
        }
        heap_fill(loop, timer->at, timer);
}

void timer_stop(Timer *timer)
{
        turn_leave(&timer->turn);
        if (timer->at != NOWHERE)
                heap_remove(timer);
}

bool timer_is_armed(const Timer *timer)
{
        return timer->at != NOWHERE || turn_waits(&timer->turn);
}

Timer *timer_free(Timer *timer)
{
        if (!timer)
                return NULL;
        timer_stop(timer);
        free(timer);
        return NULL;
}
