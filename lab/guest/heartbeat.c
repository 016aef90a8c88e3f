/*
 * guest/heartbeat.c - the guest's pulse, and its proof that no page was lost
 *
 * One thread prints "beat N MONOTONIC_US REALTIME_US" at a fixed period on the serial port. Another fills a
 * stretch of memory, goes on dirtying it at a given rate and verifies it when asked. The main thread reads
 * commands, one a line, from the same port:
 *
 *      verify          compare all of the known memory with what it must be
 *      dirty MIB_S     change the rate; 0 stops
 *      beat MS         change the period; 0 stops
 *
 * What it does at start comes from the kernel command line: drover.beat (ms), drover.touch (MiB),
 * drover.dirty (MiB/s), drover.verify (seconds between checks by itself), drover.port (device). Where that port is
 * also drover.shell's it obeys no commands: of two readers on one terminal each would get some of what is typed.
 *
 * Lines are written with one write() each, so the threads' lines never mix.
 */
#include "cmdline.h"
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S     1000000000LL
#define PAGES_PER_MB (1024u * 1024u / SWEEP_PAGE)

static int port = -1;
static atomic_long beat_ms;
static atomic_long dirty_mb_s;
static atomic_bool verify_wanted;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
        char line[256];
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
        va_end(ap);
        if (n < 0)
                return;
        if (n > (int)sizeof(line) - 2)
                n = sizeof(line) - 2;
        line[n++] = '\n';

        for (int done = 0; done < n;) {
                ssize_t written = write(port, line + done, (size_t)(n - done));

                if (written < 0 && errno != EINTR)
                        return;
                if (written > 0)
                        done += (int)written;
        }
}

static int64_t now_ns(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts);
        return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void sleep_until(int64_t at_ns)
{
        struct timespec ts = { .tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S };

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
                ;
}

/* A beat that is late is not made up for: the gap is what is being measured. */
static void *beat_thread(void *arg)
{
        int64_t next = now_ns(CLOCK_MONOTONIC);
        (void)arg;

        for (uint64_t number = 0;;) {
                int64_t period = atomic_load(&beat_ms) * 1000000LL;
                int64_t now = now_ns(CLOCK_MONOTONIC);

                if (period > 0)
                        say("beat %" PRIu64 " %" PRId64 " %" PRId64, number++, now / 1000,
                            now_ns(CLOCK_REALTIME) / 1000);
                else
                        period = 100000000LL;

                next += period;
                if (next < now)
                        next = now + period;
                sleep_until(next);
        }
        return NULL;
}

static void verify(const Sweep *sweep)
{
        int64_t began = now_ns(CLOCK_MONOTONIC);
        SweepLoss loss = sweep_verify(sweep);
        int64_t took_ms = (now_ns(CLOCK_MONOTONIC) - began) / 1000000;

        if (loss.n_pages == 0)
                say("verify ok pages %" PRIu64 " sweep %" PRIu64 " ms %" PRId64, sweep->n_pages, sweep->round,
                    took_ms);
        else
                say("verify LOST %" PRIu64 " of %" PRIu64 " pages, first %" PRIu64 ": expected %" PRIx64
                    " found %" PRIx64,
                    loss.n_pages, sweep->n_pages, loss.first, loss.expected, loss.found);
}

static void *sweep_thread(void *arg)
{
        Sweep *sweep = arg;
        long every_s = cmdline_number("verify", 0);
        int64_t next = now_ns(CLOCK_MONOTONIC), last_verify = next;
        const int64_t slice = 5000000; /* 5 ms: fine enough that a pause is not filled up by a burst */
        double owed = 0;

        for (;;) {
                int64_t now = now_ns(CLOCK_MONOTONIC);

                owed += (double)atomic_load(&dirty_mb_s) * PAGES_PER_MB * slice / NS_PER_S;
                sweep_dirty(sweep, (uint64_t)owed);
                owed -= (double)(uint64_t)owed;

                if (atomic_exchange(&verify_wanted, false) || (every_s && now - last_verify > every_s * NS_PER_S)) {
                        verify(sweep);
                        last_verify = now_ns(CLOCK_MONOTONIC);
                }

                next += slice;
                if (next < now)
                        next = now;
                sleep_until(next);
        }
        return NULL;
}

/* Whether the port is ours to read, and its modes ours to set. */
static bool port_open(void)
{
        const char *name = cmdline_text("port", "ttyS0");
        bool ours = strcmp(name, cmdline_text("shell", "")) != 0;
        char path[64];
        struct termios mode;

        snprintf(path, sizeof(path), "/dev/%s", name);
        port = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (port < 0)
                port = STDOUT_FILENO;
        if (ours && tcgetattr(port, &mode) == 0) {
                cfmakeraw(&mode);
                mode.c_lflag |= ICANON; /* commands come a line at a time */
                mode.c_iflag |= ICRNL;
                tcsetattr(port, TCSANOW, &mode);
        }
        return ours;
}

static int thread_start(void *(*run)(void *), void *arg, int priority)
{
        struct sched_param param = { .sched_priority = priority };
        pthread_attr_t attr;
        pthread_t thread;
        int r;

        pthread_attr_init(&attr);
        if (priority) {
                pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
                pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
                pthread_attr_setschedparam(&attr, &param);
        }
        r = pthread_create(&thread, &attr, run, arg);
        pthread_attr_destroy(&attr);
        return r;
}

static void command_run(const char *line)
{
        long value;

        if (strcmp(line, "verify\n") == 0)
                atomic_store(&verify_wanted, true);
        else if (sscanf(line, "dirty %ld", &value) == 1)
                atomic_store(&dirty_mb_s, value);
        else if (sscanf(line, "beat %ld", &value) == 1)
                atomic_store(&beat_ms, value);
        else if (*line != '\n')
                say("unknown command");
}

int main(void)
{
        static Sweep sweep;
        uint64_t n_pages = (uint64_t)cmdline_number("touch", 0) * PAGES_PER_MB;
        char line[128];
        size_t length = 0;
        int64_t began = now_ns(CLOCK_MONOTONIC);
        bool obeys = port_open();

        atomic_store(&beat_ms, cmdline_number("beat", 100));
        atomic_store(&dirty_mb_s, cmdline_number("dirty", 0));

        if (thread_start(beat_thread, NULL, 10) != 0)
                say("cannot start the beat");
        if (n_pages && sweep_init(&sweep, n_pages) < 0)
                say("no memory for %" PRIu64 " pages", n_pages);
        if (n_pages)
                say("touched %" PRIu64 " pages ms %" PRId64, sweep.n_pages,
                    (now_ns(CLOCK_MONOTONIC) - began) / 1000000);
        if (thread_start(sweep_thread, &sweep, 0) != 0)
                say("cannot start the sweep");

        while (!obeys)
                pause();
        for (;;) {
                ssize_t n = read(port, line + length, 1);

                if (n <= 0) {
                        sleep_until(now_ns(CLOCK_MONOTONIC) + NS_PER_S);
                        continue;
                }
                if (line[length++] != '\n' && length < sizeof(line) - 1)
                        continue;
                line[length] = '\0';
                length = 0;
                command_run(line);
        }
}
