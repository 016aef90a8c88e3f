/*
 * app/drover-img/progress.c - how far it is, and being stopped
 *
 * While a command that tells its progress is at it, SIGINT, SIGTERM and SIGHUP
 * end it between two steps, with a sentence that says what is left. At any
 * other time, and when one has come before and the step does not end, they end
 * the program at once, and the handler removes the new files that have no name
 * of their own yet. SIGUSR1 asks how far it is, as with qemu-img.
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted, asked, stops_between_steps;
static NewImage *volatile unnamed;

static void on_stop(int number)
{
        NewImage *made = unnamed;
        bool again = interrupted;

        interrupted = number;
        if (stops_between_steps && !again)
                return;
        if (made)
                new_image_unlink(made);
        signal(number, SIG_DFL);
        raise(number); /* ends the program when this returns */
}

static void on_question(int number)
{
        (void)number;
        asked = 1;
}

void interrupt_catch(void)
{
        static const int stops[] = { SIGINT, SIGTERM, SIGHUP };
        struct sigaction action = { .sa_handler = on_stop };

        for (size_t i = 0; i < ARRAY_LEN(stops); i++)
                sigaction(stops[i], &action, NULL);
}

void interrupt_removes(NewImage *made)
{
        unnamed = made;
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A line that no terminal sees, as qemu-img prints it. */
static void print_share(int percent_x100)
{
        printf("    (%d.%02d/100%%)\r", percent_x100 / 100, percent_x100 % 100);
        fflush(stdout);
}

void progress_begin(Progress *progress, bool shown, const char *left)
{
        struct sigaction action = { .sa_handler = on_question, .sa_flags = SA_RESTART };

        *progress = (Progress){ .shown = shown, .left = left, .begun = now() };
        stops_between_steps = 1;
        sigaction(SIGUSR1, &action, NULL);
        if (shown && !isatty(STDOUT_FILENO))
                print_share(0);
}

/* "1:02:03", or "2:03" below an hour. */
static void put_time(char *ret, size_t room, double seconds)
{
        unsigned long s = seconds < 360000 ? (unsigned long)(seconds + 0.5) : 359999;

        if (s >= 3600)
                snprintf(ret, room, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
        else
                snprintf(ret, room, "%lu:%02lu", s / 60, s % 60);
}

static void draw(const Progress *progress, uint64_t done, uint64_t total, double at)
{
        enum { WIDTH = 30 };
        double share = total ? (double)done / (double)total : 1, spent = at - progress->begun;
        int full = (int)(share * WIDTH);
        char rate[32], bar[WIDTH + 1], left[32] = "-:--";

        for (int i = 0; i < WIDTH; i++)
                bar[i] = i < full ? '#' : '.';
        bar[WIDTH] = '\0';
        if (share > 0)
                put_time(left, sizeof(left), spent / share - spent);
        printf("\r    (%.2f/100%%) [%s] %s/s, %s left \033[K", share * 100, bar,
               size_to_text(spent > 0 ? (uint64_t)((double)done / spent) : 0, rate), left);
        fflush(stdout);
}

static void show(Progress *progress, int percent, uint64_t done, uint64_t total)
{
        if (isatty(STDOUT_FILENO)) {
                double at = now();

                if (at - progress->last < 0.1 && done < total)
                        return;
                progress->last = at;
                draw(progress, done, total, at);
        } else if (percent / 100 != progress->percent_x100 / 100 || percent == 10000) {
                print_share(percent);
        }
        progress->percent_x100 = percent;
}

int progress_report(void *arg, uint64_t done, uint64_t total, Error *err)
{
        Progress *progress = arg;
        int percent;

        done += progress->base;
        total = progress->whole ?: total;
        percent = total ? (int)((double)done / (double)total * 10000 + 0.5) : 10000;

        if (interrupted)
                return err_set(err, ERR_OPERATION_ABORTED, "interrupted by signal %d: %s", (int)interrupted,
                               progress->left);
        if (asked && !progress->shown)
                fprintf(stderr, "    (%3.2f/100%%)\n", (double)percent / 100);
        asked = 0;
        if (progress->shown && percent != progress->percent_x100)
                show(progress, percent, done, total);
        return 0;
}

void progress_done(Progress *progress, bool whole)
{
        bool terminal = isatty(STDOUT_FILENO);

        stops_between_steps = 0;
        if (!progress->shown)
                return;
        if (whole && progress->percent_x100 < 10000)
                print_share(10000);
        if (terminal)
                printf("\n");
}

void progress_end_line(const Progress *progress)
{
        if (progress->shown && !isatty(STDOUT_FILENO))
                printf("\n");
}

void progress_end(Progress *progress)
{
        /* Once for the last bytes, and once for all that follows them. */
        if (progress->shown && progress->percent_x100 == 10000 && !isatty(STDOUT_FILENO))
                print_share(10000);
        progress_done(progress, true);
        progress_end_line(progress);
}
