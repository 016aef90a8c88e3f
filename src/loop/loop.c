/*
 * loop/loop.c - sd-event, wrapped in our ownership rules
 *
 * sd-event keeps a source alive while its callback runs, so freeing the handle
 * inside the callback is safe: the callback's last act is to call the owner's
 * function, and the handle is not touched after it.
 */
#include "loop/loop.h"

#include "base/mem.h"
#include "base/vec.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>

enum {
        TURNS_LOOKED_AT = 8, /* times in as much time as one turn may use */
};

struct Loop {
        sd_event *event;
        bool fake, stopped;
        uint64_t fake_now_us;
        VEC(Timer *) fake_timers;  /* armed ones, only with a fake clock */
        uint64_t most_us;          /* CPU time of one turn, for who watches */
        uint64_t cpu_us, since_us; /* the thread's CPU time when it was last looked at; how long turns took since */
        const char *doing;         /* what the turn is about, for who watches; NULL: nothing was said */
        void (*slow)(void *arg, uint64_t cpu_us, const char *doing);
        void *slow_arg;
};

struct Timer {
        Loop *loop;
        sd_event_source *source; /* NULL with a fake clock */
        uint64_t due_us;
        bool armed;
        void (*fn)(void *arg);
        void *arg;
};

struct Watch {
        sd_event_source *source;
        bool drained; /* in this turn */
        void (*fn)(void *arg, uint32_t revents);
        void *arg;
};

struct Idle {
        sd_event_source *source;
        void (*fn)(void *arg);
        void *arg;
};

struct SignalWatch {
        sd_event_source *source;
        void (*fn)(void *arg);
        void *arg;
};

static Loop *make_loop(bool fake, Error *err)
{
        AUTO(Loop) *loop = mem_new(Loop);
        int r = sd_event_new(&loop->event);

        if (r < 0) {
                err_errno(err, -r, "cannot make an event loop");
                return NULL;
        }
        loop->fake = fake;
        loop->fake_now_us = 1000000;
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
        sd_event_unref(loop->event);
        vec_done(&loop->fake_timers);
        free(loop);
        return NULL;
}

/* Not sd_event_exit(): that loop would take no new sources, which owners may still need while they are taken apart. */
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

static uint64_t thread_cpu_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void loop_watch_turns(Loop *loop, uint64_t most_us, void (*slow)(void *arg, uint64_t cpu_us, const char *doing),
                      void *arg)
{
        loop->most_us = most_us;
        loop->slow = slow;
        loop->slow_arg = arg;
        loop->cpu_us = thread_cpu_us();
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
        struct timespec now;
        uint64_t woke_us = 0, took_us, cpu_us, used_us;

        clock_gettime(CLOCK_MONOTONIC, &now);
        sd_event_now(loop->event, CLOCK_MONOTONIC, &woke_us); /* when this turn's wait ended */
        took_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - woke_us;
        loop->since_us += took_us;
        if (loop->since_us > loop->most_us / TURNS_LOOKED_AT) {
                cpu_us = thread_cpu_us();
                used_us = cpu_us - loop->cpu_us;
                loop->cpu_us = cpu_us;
                loop->since_us = 0;
                if (took_us > loop->most_us && used_us > loop->most_us)
                        loop->slow(loop->slow_arg, used_us, loop->doing);
        }
        loop->doing = NULL;
}

int loop_turn(Loop *loop, int timeout_ms, Error *err)
{
        int r = sd_event_run(loop->event, timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000);

        if (loop->slow)
                check_turn(loop);
        return r < 0 ? err_errno(err, -r, "the event loop failed") : r > 0;
}

static uint64_t now_us(const Loop *loop)
{
        uint64_t now = loop->fake_now_us;

        if (!loop->fake)
                sd_event_now(loop->event, CLOCK_MONOTONIC, &now);
        return now;
}

uint64_t loop_now_ms(const Loop *loop)
{
        return now_us(loop) / 1000;
}

struct sd_event *loop_sd_event(Loop *loop)
{
        return loop->event;
}

static Timer *next_due(Loop *loop, uint64_t until_us)
{
        Timer *next = NULL;

        for (size_t i = 0; i < loop->fake_timers.len; i++) {
                Timer *t = loop->fake_timers.items[i];

                if (t->due_us <= until_us && (!next || t->due_us < next->due_us))
                        next = t;
        }
        return next;
}

void loop_advance(Loop *loop, uint64_t ms)
{
        uint64_t until_us = loop->fake_now_us + ms * 1000;
        Timer *timer;

        while ((timer = next_due(loop, until_us))) {
                loop->fake_now_us = MAX(loop->fake_now_us, timer->due_us);
                timer_stop(timer);
                timer->fn(timer->arg);
        }
        loop->fake_now_us = until_us;
}

static int on_timer(sd_event_source *source UNUSED, uint64_t usec UNUSED, void *arg)
{
        Timer *timer = arg;

        timer->armed = false;
        timer->fn(timer->arg);
        return 0;
}

Timer *timer_new(Loop *loop, uint64_t ms, void (*fn)(void *arg), void *arg)
{
        Timer *timer = mem_new(Timer);

        *timer = (Timer){ .loop = loop, .fn = fn, .arg = arg };
        timer_set(timer, ms);
        return timer;
}

void timer_set(Timer *timer, uint64_t ms)
{
        Loop *loop = timer->loop;

        timer_stop(timer);
        timer->due_us = now_us(loop) + ms * 1000;
        timer->armed = true;
        if (loop->fake) {
                vec_push(&loop->fake_timers, timer);
                return;
        }
        /* 1 ms of slack lets the kernel join wake-ups */
        if (!timer->source &&
            sd_event_add_time(loop->event, &timer->source, CLOCK_MONOTONIC, timer->due_us, 1000, on_timer, timer) < 0)
                abort();
        sd_event_source_set_time(timer->source, timer->due_us);
        sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

void timer_stop(Timer *timer)
{
        if (timer->source)
                sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
        else if (timer->armed)
                vec_remove_item(&timer->loop->fake_timers, timer);
        timer->armed = false;
}

bool timer_is_armed(const Timer *timer)
{
        return timer->armed;
}

Timer *timer_free(Timer *timer)
{
        if (!timer)
                return NULL;
        timer_stop(timer);
        sd_event_source_disable_unref(timer->source);
        free(timer);
        return NULL;
}

/*
 * A descriptor is reported once and armed again after its turn, which comes to the same as reporting it as long as it
 * is ready. Otherwise each turn would ask about every descriptor that still waits for its own: with ten thousand
 * connections closed at once the loop would do little else.
 */
static int on_watch(sd_event_source *source, int fd UNUSED, uint32_t revents, void *arg)
{
        Watch *watch = arg;
        uint32_t events;

        sd_event_source_ref(source); /* the watch may be freed meanwhile, which switches its source off */
        watch->drained = false;
        watch->fn(watch->arg, revents);
        if (sd_event_source_get_enabled(source, NULL) > 0 && !watch->drained &&
            sd_event_source_get_io_events(source, &events) == 0)
                sd_event_source_set_io_events(source, events);
        sd_event_source_unref(source);
        return 0;
}

Watch *watch_new(Loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t revents), void *arg)
{
        Watch *watch = mem_new(Watch);

        *watch = (Watch){ .fn = fn, .arg = arg };
        if (sd_event_add_io(loop->event, &watch->source, fd, events | EPOLLET, on_watch, watch) < 0)
                abort(); /* the descriptor cannot be polled: a bug of the caller */
        return watch;
}

void watch_set_events(Watch *watch, uint32_t events)
{
        sd_event_source_set_io_events(watch->source, events | EPOLLET);
}

void watch_drained(Watch *watch)
{
        watch->drained = true;
}

Watch *watch_free(Watch *watch)
{
        if (!watch)
                return NULL;
        sd_event_source_disable_unref(watch->source);
        free(watch);
        return NULL;
}

static int on_idle(sd_event_source *source UNUSED, void *arg)
{
        Idle *idle = arg;

        idle->fn(idle->arg);
        return 0;
}

Idle *idle_new(Loop *loop, void (*fn)(void *arg), void *arg)
{
        Idle *idle = mem_new(Idle);

        *idle = (Idle){ .fn = fn, .arg = arg };
        if (sd_event_add_defer(loop->event, &idle->source, on_idle, idle) < 0)
                abort();
        return idle;
}

Idle *idle_free(Idle *idle)
{
        if (!idle)
                return NULL;
        sd_event_source_disable_unref(idle->source);
        free(idle);
        return NULL;
}

static int on_signal(sd_event_source *source UNUSED, const struct signalfd_siginfo *info UNUSED, void *arg)
{
        SignalWatch *watch = arg;

        watch->fn(watch->arg);
        return 0;
}

SignalWatch *signal_watch_new(Loop *loop, int signum, void (*fn)(void *arg), void *arg, Error *err)
{
        AUTO(SignalWatch) *watch = mem_new(SignalWatch);
        sigset_t set;
        int r;

        *watch = (SignalWatch){ .fn = fn, .arg = arg };
        sigemptyset(&set);
        sigaddset(&set, signum);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
                err_errno(err, errno, "cannot block signal %d", signum);
                return NULL;
        }
        r = sd_event_add_signal(loop->event, &watch->source, signum, on_signal, watch);
        if (r < 0) {
                err_errno(err, -r, "cannot watch signal %d", signum);
                return NULL;
        }
        return TAKE(watch);
}

SignalWatch *signal_watch_free(SignalWatch *watch)
{
        if (!watch)
                return NULL;
        sd_event_source_disable_unref(watch->source);
        free(watch);
        return NULL;
}
