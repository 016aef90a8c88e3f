#include "test.h"

#include "base/str.h"
#include "loop/loop.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static char trace[64];
static char a[] = "a", b[] = "b";

static void note(void *arg)
{
        strcat(trace, arg);
}

TEST(a_signal_is_a_turn_of_whom_watches_it_and_of_nobody_else)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(SignalWatch) *one = signal_watch_new(loop, SIGUSR1, note, a, NULL);
        AUTO(SignalWatch) *two = signal_watch_new(loop, SIGUSR2, note, b, NULL);

        trace[0] = '\0';
        CHECK(one && two);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(kill(getpid(), SIGUSR2), 0);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_STR(trace, "b");
        CHECK_INT(kill(getpid(), SIGUSR1), 0);
        CHECK_INT(kill(getpid(), SIGUSR2), 0);
        for (int i = 0; i < 2; i++)
                CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK(strlen(trace) == 3 && strchr(trace, 'a'));
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
}

typedef struct Once {
        SignalWatch *watch;
        int runs;
} Once;

static void end(void *arg)
{
        Once *once = arg;

        once->runs++;
        once->watch = signal_watch_free(once->watch);
}

static bool is_blocked(int signum)
{
        sigset_t now;

        CHECK_INT(sigprocmask(SIG_BLOCK, NULL, &now), 0);
        return sigismember(&now, signum);
}

TEST(a_signal_watch_may_free_itself_and_gives_the_signal_back)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Once once = { 0 };

        once.watch = signal_watch_new(loop, SIGHUP, end, &once, NULL);
        CHECK(is_blocked(SIGHUP));
        CHECK_INT(kill(getpid(), SIGHUP), 0);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_NULL(once.watch);
        CHECK(!is_blocked(SIGHUP));
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(once.runs, 1);
}

TEST(a_signal_that_came_before_its_watch_was_freed_does_not_end_the_program)
{
        AUTO(Loop) *loop = loop_new(NULL);
        SignalWatch *watch = signal_watch_new(loop, SIGHUP, note, a, NULL);

        trace[0] = '\0';
        CHECK_INT(kill(getpid(), SIGHUP), 0);
        signal_watch_free(watch);
        CHECK(!is_blocked(SIGHUP));
        CHECK_STR(trace, "");
}

TEST(a_signal_that_was_blocked_before_its_watch_stays_so)
{
        AUTO(Loop) *loop = loop_new(NULL);
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        CHECK_INT(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        signal_watch_free(signal_watch_new(loop, SIGHUP, note, a, NULL));
        CHECK(is_blocked(SIGHUP));
        CHECK_INT(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
}

TEST(a_number_that_is_no_signal_is_refused)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };

        CHECK_NULL(signal_watch_new(loop, 1000, note, a, &err));
        CHECK_STR(err.text, "cannot watch signal 1000: Invalid argument");
}
