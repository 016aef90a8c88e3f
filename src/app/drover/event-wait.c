/*
 * app/drover/event-wait.c - until an event comes, the time is over, or ^C
 */
#include "app/drover/event-wait.h"

#include <signal.h>

EventWait event_wait_of(Session *s, const Args *args)
{
        return (EventWait){ .session = s, .loop = arg_has(args, "loop"), .timestamp = arg_has(args, "timestamp") };
}

void event_wait_time(EventWait *wait, const struct timespec *when)
{
        Output *out = wait->session->out;
        char text[64], zone[16];
        struct timespec now;
        struct tm parts;

        if (!wait->timestamp)
                return;
        clock_gettime(CLOCK_REALTIME, &now);
        when = when ?: &now;
        localtime_r(&when->tv_sec, &parts);
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
        strftime(zone, sizeof(zone), "%z", &parts);
        out_print(out, "%s.%03ld%s: ", text, when->tv_nsec / 1000000, zone);
        out_set(out, "time", json_object_new_int64(when->tv_sec));
}

void event_wait_got(EventWait *wait)
{
        wait->count++;
        out_flush(wait->session->out);
        if (!wait->loop)
                wait->ended = "";
}

static void timed_out(void *arg)
{
        EventWait *wait = arg;

        wait->ended = "event loop timed out\n";
}

static void interrupted(void *arg)
{
        EventWait *wait = arg;

        wait->ended = "event loop interrupted\n";
}

int event_wait_run(EventWait *wait, const Args *args, Error *err)
{
        Session *s = wait->session;
        AUTO(Timer) *timer = NULL;
        AUTO(SignalWatch) *signals = signal_watch_new(s->loop, SIGINT, interrupted, wait, err);
        uint64_t seconds = 0;
        int given = arg_u64(args, "timeout", &seconds, err);

        if (!signals || given < 0)
                return -1;
        if (given && (seconds == 0 || seconds > UINT32_MAX))
                return err_set(err, ERR_INVALID_ARG, "invalid timeout");
        if (given)
                timer = timer_new(s->loop, seconds * 1000, timed_out, wait);
        while (!wait->ended) {
                if (s->lost)
                        return err_set(err, ERR_INTERNAL, "the connection to the daemon ended");
                if (loop_turn(s->loop, -1, err) < 0)
                        return -1;
        }
        out_print(s->out, "%s", wait->ended);
        out_print(s->out, "events received: %zu\n", wait->count);
        if (wait->count == 0)
                out_set_u64(s->out, "events_received", 0);
        return wait->count > 0 ? 0 : -1;
}
