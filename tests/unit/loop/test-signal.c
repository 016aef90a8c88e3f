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

TEST(a_signal_watch_may_free_itself_and_the_signal_stays_blocked)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Once once = { 0 };
        sigset_t pending;

        once.watch = signal_watch_new(loop, SIGHUP, end, &once, NULL);
        CHECK_INT(kill(getpid(), SIGHUP), 0);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_NULL(once.watch);
        CHECK_INT(kill(getpid(), SIGHUP), 0); /* would end this program */
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(sigpending(&pending), 0);
        CHECK_INT(sigismember(&pending, SIGHUP), 1);
        once.watch = signal_watch_new(loop, SIGHUP, end, &once, NULL); /* and the next watch hears of it */
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(once.runs, 2);
}

TEST(a_number_that_is_no_signal_is_refused)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };

        CHECK_NULL(signal_watch_new(loop, 1000, note, a, &err));
        CHECK_STR(err.text, "cannot watch signal 1000: Invalid argument");
}
