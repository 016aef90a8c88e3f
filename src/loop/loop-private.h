#pragma once
/*
 * loop/loop-private.h - what the files of the loop share
 *
 * Timers, watches and idle calls that are to run stand in a ring, each through a Turn that is a member of it. So whoever
 * is freed or stopped leaves the ring by itself, and nothing that was reported about it is left behind.
 */
#include "base/fd.h"
#include "base/vec.h"
#include "loop/loop.h"

typedef struct Turn Turn;
struct Turn {
        Turn *before,
                *after; /* in a ring; NULL: it stands in none. A ring's own Turn is an empty one's only member. */
        void (*run)(Turn *turn);
};

struct Loop {
        Fd epoll;
        bool fake, stopped;
        uint64_t fake_now_us;
        uint64_t round;            /* how many there were */
        uint64_t turn_us;          /* when the turn began that goes on; 0: none does */
        Turn ready, later;         /* rings: of this round, in their order; of the next one */
        VEC(Timer *) timers;       /* a heap: none comes due before the one at (i - 1) / 2 */
        uint64_t n_armed;          /* how often a timer was, since the beginning */
        Watch *running;            /* whose function runs; NULL: no watch's, or it was freed meanwhile */
        uint64_t most_us;          /* CPU time of one turn, for who watches */
        uint64_t cpu_us, since_us; /* the thread's CPU time when it was last looked at; how long turns took since */
        const char *doing;         /* what the turn is about, for who watches; NULL: nothing was said */
        void (*slow)(void *arg, uint64_t cpu_us, const char *doing);
        void *slow_arg;
};

void turn_enter(Turn *turn, Turn *ring); /* at the end */
void turn_leave(Turn *turn);             /* whatever ring it stands in, if any */
static inline bool turn_waits(const Turn *turn)
{
        return turn->after;
}

uint64_t loop_clock_us(void);           /* monotonic */
uint64_t loop_now_us(const Loop *loop); /* when the turn began; the clock, outside of turns; a fake clock's time */

uint64_t timers_next_us(const Loop *loop); /* when one comes due; UINT64_MAX: none does */
void timers_collect(Loop *loop);           /* those that are due take their turns in this round */

/* Wait for at most wait_ms (-1: for ever); watches whose descriptors are ready take their turns in this round. */
int watches_collect(Loop *loop, int wait_ms, Error *err);
