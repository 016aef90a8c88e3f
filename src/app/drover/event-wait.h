#pragma once
/*
 * app/drover/event-wait.h - until an event comes, the time is over, or ^C
 */
#include "app/drover/session.h"

#include <time.h>

#define ARGS_EVENT_WAIT                                                                                              \
        "[--loop]           go on after the first\n"                                                                 \
        "[--timeout=NUMBER]  seconds to wait\n"
#define ARG_EVENT_TIMESTAMP "[--timestamp]      with the time"

typedef struct EventWait {
        Session *session;
        bool loop, timestamp;
        size_t count;
        const char *ended; /* why the wait is over; NULL: it goes on */
} EventWait;

/* As the command's switches say. */
EventWait event_wait_of(Session *s, const Args *args);
/* Before what an event says: its time, where that is asked for. NULL: now. */
void event_wait_time(EventWait *wait, const struct timespec *when);
/* An event was written out. */
void event_wait_got(EventWait *wait);
/* Blocks in the session's loop, whose on_event is set. Without any event it is a failure, as in virsh. */
int event_wait_run(EventWait *wait, const Args *args, Error *err);
