/*
 * loop/watch.c - descriptors: epoll, and who is to be told
 *
 * One question to the kernel brings the descriptors of a round; each watch keeps what was reported about it until its
 * turn. The kernel forgets a watch before anything of it is freed, so a number that is closed and used again in the same
 * round is never taken for the descriptor that had it before.
 */
#include "base/mem.h"
#include "loop/loop-private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { MOST_EVENTS = 128 }; /* of one round; the kernel begins the next one with those that were left */

struct Watch {
        Turn turn; /* stands in a ring: revents are to be told */
        Loop *loop;
        int fd;
        uint32_t events, revents;
        bool armed; /* with EPOLLET: the kernel will tell of what comes next */
        void (*fn)(void *arg, uint32_t revents);
        void *arg;
};

static void change(Watch *watch, int how)
{
        struct epoll_event event = { .events = watch->events, .data.ptr = watch };

        if (epoll_ctl(watch->loop->epoll, how, watch->fd, &event) < 0)
                abort(); /* the descriptor cannot be polled, or was closed before its watch: a bug of the caller */
        watch->armed = true;
}

int watches_collect(Loop *loop, int wait_ms, Error *err)
{
        struct epoll_event events[MOST_EVENTS];
        int n = epoll_wait(loop->epoll, events, MOST_EVENTS, wait_ms);

        if (n < 0)
                return errno == EINTR ? 0 : err_errno(err, errno, "the event loop failed");
        for (int i = 0; i < n; i++) {
                Watch *watch = events[i].data.ptr;

                watch->revents = events[i].events;
                turn_enter(&watch->turn, &loop->ready);
        }
        return 0;
}

/*
 * With EPOLLET a descriptor is reported once and armed again after its turn, which comes to the same as reporting it as
 * long as it is ready, and costs nothing where the function said that it drained it.
 */
static void run_watch(Turn *turn)
{
        Watch *watch = container_of(turn, Watch, turn);
        Loop *loop = watch->loop;

        loop->running = watch;
        watch->armed = false;
        watch->fn(watch->arg, watch->revents);
        if (loop->running && watch->events & EPOLLET && !watch->armed)
                change(watch, EPOLL_CTL_MOD);
        loop->running = NULL;
}

Watch *watch_new(Loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t revents), void *arg)
{
        Watch *watch = mem_new(Watch);

        *watch = (Watch){
                .turn = { .run = run_watch }, .loop = loop, .fd = fd, .events = events, .fn = fn, .arg = arg
        };
        change(watch, EPOLL_CTL_ADD);
        return watch;
}

void watch_set_events(Watch *watch, uint32_t events)
{
        if (events == watch->events && !(events & EPOLLET))
                return;
        turn_leave(&watch->turn); /* what is still so is reported again */
        watch->events = events;
        change(watch, EPOLL_CTL_MOD);
}

void watch_expect(Watch *watch, uint32_t revents)
{
        if (turn_waits(&watch->turn))
                return;
        watch->revents = revents;
        turn_enter(&watch->turn, &watch->loop->ready);
}

void watch_drained(Watch *watch)
{
        watch->armed = true;
}

Watch *watch_free(Watch *watch)
{
        if (!watch)
                return NULL;
        turn_leave(&watch->turn);
        if (watch->loop->running == watch)
                watch->loop->running = NULL;
        epoll_ctl(watch->loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
        free(watch);
        return NULL;
}
