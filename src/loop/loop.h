#pragma once
/*
 * loop/loop.h - the event loop that owns all state
 *
 * One thread runs the loop and everything that is called from it. Every pending
 * thing - timer, watch, idle call, signal - is an object its owner frees; freeing
 * cancels it, also from inside its own callback. Callbacks must not block: no path
 * named from outside, no name look-up, no fsync, no waiting for a process.
 *
 * A loop made with loop_new_fake() has a clock that stands still until the test
 * moves it, so tests of deadlines neither sleep nor wait.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Loop Loop;
typedef struct Timer Timer;
typedef struct Watch Watch;
typedef struct Idle Idle;
typedef struct SignalWatch SignalWatch;

Loop *loop_new(Error *err);
Loop *loop_new_fake(Error *err);
Loop *loop_free(Loop *loop);          /* what is still pending must be freed before; returns NULL */
int loop_run(Loop *loop, Error *err); /* until loop_stop() */
void loop_stop(Loop *loop);
/* One turn, of one callback; waits for at most timeout_ms (-1: for ever). 1: it ran, 0: there was none, -1. */
int loop_turn(Loop *loop, int timeout_ms, Error *err);
/*
 * Tell when one turn - one callback - took more CPU time than this; short turns before it may add up to an eighth of it.
 * doing: what loop_say_what() said in it, or NULL.
 */
void loop_watch_turns(Loop *loop, uint64_t most_us, void (*slow)(void *arg, uint64_t cpu_us, const char *doing),
                      void *arg);
void loop_say_what(Loop *loop, const char *doing); /* a text that outlives the turn */
uint64_t loop_now_ms(const Loop *loop);            /* monotonic; within a turn, when it began */
uint64_t loop_round(const Loop *loop);             /* counts; in one round whatever is ready has one turn */
void loop_advance(Loop *loop, uint64_t ms);        /* fake clock only: timers that come due run in order */

/* Runs once, ms from now. timer_set() arms it again, also from its callback; the handle stays the owner's. */
Timer *timer_new(Loop *loop, uint64_t ms, void (*fn)(void *arg), void *arg);
void timer_set(Timer *timer, uint64_t ms);
void timer_stop(Timer *timer);
bool timer_is_armed(const Timer *timer);
Timer *timer_free(Timer *timer); /* returns NULL */

/*
 * events and revents are EPOLLIN, EPOLLOUT, ...; errors and hang-ups are always reported, and everything as long as it is
 * so. fd stays the caller's, who closes it after its watch is freed. EPOLLET among the events is for watch_drained().
 */
Watch *watch_new(Loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t revents), void *arg);
void watch_set_events(Watch *watch, uint32_t events);
/*
 * From the function of a watch with EPOLLET: nothing is left to read, so what comes next is an event of its own and the
 * descriptor need not be asked again, by the kernel when it looks next or by a system call of ours. A stream shows it by a
 * read that gave less than it had room for, with EPOLLRDHUP among the events and not among revents: an end that came with
 * the data would be no event of its own.
 */
void watch_drained(Watch *watch);
/*
 * revents are so already, in all likelihood: the function has its turn in this round, and must find out by itself. For
 * what is certain to be in use at once, like a connection that somebody made to say something.
 */
void watch_expect(Watch *watch, uint32_t revents);
Watch *watch_free(Watch *watch);

/* Runs once, on the next turn, after what is pending now. */
Idle *idle_new(Loop *loop, void (*fn)(void *arg), void *arg);
Idle *idle_free(Idle *idle);

/* Blocks the signal for this thread and reports it here. Freed, the signal does again what it did before. */
SignalWatch *signal_watch_new(Loop *loop, int signum, void (*fn)(void *arg), void *arg, Error *err);
SignalWatch *signal_watch_free(SignalWatch *watch);

DEFINE_AUTO(Loop, loop_free)
DEFINE_AUTO(Timer, timer_free)
DEFINE_AUTO(Watch, watch_free)
DEFINE_AUTO(Idle, idle_free)
DEFINE_AUTO(SignalWatch, signal_watch_free)
