#include "test.h"

#include "base/str.h"
#include "loop/child.h"
#include "loop/loop.h"
#include "loop/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char trace[64];
static char a[] = "a", b[] = "b", x[] = "x";

static void note(void *arg)
{
        strcat(trace, arg);
}

static void use_cpu(void *arg)
{
        struct timespec begin, now;

        loop_say_what(arg, "spinning");
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
        do {
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        } while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < 60000000);
}

static void on_slow(void *arg UNUSED, uint64_t cpu_us, const char *doing)
{
        CHECK(cpu_us >= 60000);
        strcat(trace, doing ?: "nothing");
}

TEST(a_turn_that_takes_too_much_cpu_time_is_told_and_others_are_not)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Idle *idle;

        trace[0] = '\0';
        loop_watch_turns(loop, 50000, on_slow, NULL);
        idle = idle_new(loop, note, a);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        idle_free(idle);
        idle = idle_new(loop, use_cpu, loop);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        idle_free(idle);
        idle = idle_new(loop, note, b);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        idle_free(idle);
        CHECK_STR(trace, "aspinningb");
}

typedef struct Calls {
        Loop *loop;
        Idle *first, *second, *third;
} Calls;

static void call_two_more(void *arg)
{
        Calls *calls = arg;

        strcat(trace, "1");
        calls->second = idle_new(calls->loop, note, b);
        calls->first = idle_free(calls->first);
}

TEST(an_idle_call_runs_once_after_what_was_pending_and_may_free_itself)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Calls calls = { .loop = loop };

        trace[0] = '\0';
        calls.first = idle_new(loop, call_two_more, &calls);
        calls.third = idle_new(loop, note, a);
        for (int i = 0; i < 3; i++)
                CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_STR(trace, "1ab");
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        idle_free(calls.second);
        idle_free(calls.third);
}

static void cancel_two(void *arg)
{
        Calls *calls = arg;

        calls->second = idle_free(calls->second);
        calls->third = idle_free(calls->third);
}

TEST(an_idle_call_that_another_frees_does_not_run)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Calls calls = { .loop = loop };

        trace[0] = '\0';
        calls.first = idle_new(loop, cancel_two, &calls);
        calls.second = idle_new(loop, note, x);
        calls.third = idle_new(loop, note, x);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_STR(trace, "");
        idle_free(calls.first);
}

typedef struct Work {
        int value;
        bool done;
        Task *task;
} Work;

static void add_one(void *data)
{
        ((Work *)data)->value++;
}

static void work_done(void *data)
{
        Work *w = data;

        w->done = true;
        w->task = task_free(w->task, NULL);
}

TEST(a_worker_task_comes_back_on_the_loop)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(WorkerPool) *pool = worker_pool_new(loop, 2, NULL);
        Work work[50] = { 0 };
        bool all;

        for (size_t i = 0; i < ARRAY_LEN(work); i++)
                work[i].task = task_new(pool, add_one, work_done, &work[i]);
        do {
                loop_turn(loop, -1, NULL);
                all = true;
                for (size_t i = 0; i < ARRAY_LEN(work); i++)
                        all = all && work[i].done;
        } while (!all);
        for (size_t i = 0; i < ARRAY_LEN(work); i++)
                CHECK_INT(work[i].value, 1);
}

typedef struct Meeting {
        pthread_barrier_t *barrier;
        pthread_t thread;
        bool done;
        Task *task;
} Meeting;

static void meet(void *data)
{
        Meeting *m = data;

        if (m->barrier)
                pthread_barrier_wait(m->barrier);
        m->thread = pthread_self();
}

static void meeting_done(void *data)
{
        Meeting *m = data;

        m->done = true;
        m->task = task_free(m->task, NULL);
}

TEST(tasks_that_find_all_threads_at_work_get_others)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(WorkerPool) *pool = worker_pool_new(loop, 3, NULL);
        pthread_barrier_t barrier;
        Meeting meetings[3] = { 0 };

        CHECK_INT(pthread_barrier_init(&barrier, NULL, ARRAY_LEN(meetings)), 0);
        for (size_t i = 0; i < ARRAY_LEN(meetings); i++) {
                meetings[i].barrier = &barrier; /* nobody leaves it before all have come */
                meetings[i].task = task_new(pool, meet, meeting_done, &meetings[i]);
        }
        while (!meetings[0].done || !meetings[1].done || !meetings[2].done)
                loop_turn(loop, -1, NULL);
        pthread_barrier_destroy(&barrier);
}

TEST(a_task_that_finds_a_thread_idle_makes_no_other)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(WorkerPool) *pool = worker_pool_new(loop, 3, NULL);
        Meeting meetings[4] = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(meetings); i++) {
                meetings[i].task = task_new(pool, meet, meeting_done, &meetings[i]);
                while (!meetings[i].done)
                        loop_turn(loop, -1, NULL);
                CHECK(pthread_equal(meetings[i].thread, meetings[0].thread));
        }
}

typedef struct Chain {
        WorkerPool *pool;
        Task *task;
        int left, worked;
} Chain;

static void work_on(void *data)
{
        ((Chain *)data)->worked++;
}

static void next_of_chain(void *data)
{
        Chain *chain = data;

        chain->task = task_free(chain->task, NULL);
        if (--chain->left > 0)
                chain->task = task_new(chain->pool, work_on, next_of_chain, chain);
}

/* Each change of a queue of files begins when the one before is done: none may be lost when the daemon ends. */
TEST(what_a_done_task_sets_off_is_done_before_the_pool_is_gone)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Chain chain = { .pool = worker_pool_new(loop, 2, NULL), .left = 5 };

        chain.task = task_new(chain.pool, work_on, next_of_chain, &chain);
        worker_pool_free(chain.pool);
        CHECK_INT(chain.worked, 5);
        CHECK(!chain.task);
}

static void dropped(void *data)
{
        ((Work *)data)->value = -1;
}

TEST(a_cancelled_task_is_dropped_not_done)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Work work = { 0 };

        {
                AUTO(WorkerPool) *pool = worker_pool_new(loop, 1, NULL);

                work.task = task_new(pool, add_one, work_done, &work);
                work.task = task_free(work.task, dropped);
        }
        CHECK(!work.done);
        CHECK_INT(work.value, -1);
}

static int ended_status;
static bool ended;

static void on_end(void *arg, int status)
{
        (void)arg;
        ended_status = status;
        ended = true;
}

TEST(a_child_reports_its_end_once)
{
        static const char *const argv[] = { "sh", "-c", "exit 3", NULL };
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };
        AUTO(Child) *child = child_new(loop, &(ChildSpec){ .argv = argv }, on_end, NULL, &err);

        ended = false;
        while (!ended)
                loop_turn(loop, -1, NULL);
        CHECK_STR(child_status_text(ended_status), "exited with status 3");
}

TEST(a_program_that_is_not_there_is_said_at_once)
{
        static const char *const argv[] = { "/no/such/program", NULL };
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };

        CHECK_NULL(child_new(loop, &(ChildSpec){ .argv = argv }, on_end, NULL, &err));
        CHECK_STR(err.text, "cannot run '/no/such/program': No such file or directory");
}

TEST(a_child_inherits_only_what_it_was_given)
{
        static const char *const argv[] = { "sh", "-c", "test \"$(echo $(ls /proc/self/fd))\" = '0 1 2 3 7'", NULL };
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };
        ChildFd fds[] = { { .fd = 1, .at = 7 } };
        AUTO(Child) *child = child_new(loop, &(ChildSpec){ .argv = argv, .fds = fds, .n_fds = 1 }, on_end, NULL,
                                       &err);

        ended = false;
        while (!ended)
                loop_turn(loop, -1, NULL);
        CHECK_INT(ended_status, 0);
}

static void stop_loop(void *arg)
{
        loop_stop(arg);
}

TEST(a_stopped_loop_still_takes_what_its_owners_add_while_they_end)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Idle) *stop = idle_new(loop, stop_loop, loop);
        AUTO(Idle) *late = NULL;

        CHECK_INT(loop_run(loop, NULL), 0);
        late = idle_new(loop, stop_loop, loop);
        CHECK_INT(loop_run(loop, NULL), 0);
        CHECK(stop && late);
}

static int hold_until_told(void *arg)
{
        char byte;

        return read(*(int *)arg, &byte, 1) == 1 && byte == 'y' ? 0 : -1;
}

static void note_start(void *arg UNUSED, const Error *why)
{
        strcat(trace, why ? "failed " : "started ");
}

static void note_exit(void *arg UNUSED, int status)
{
        strcat(trace, child_status_text(status));
}

TEST(a_child_that_prepares_slowly_does_not_hold_up_the_loop)
{
        static const char *const good[] = { "true", NULL }, *const bad[] = { "/no/such/program", NULL };
        const struct {
                const char *const *argv;
                char say;
                const char *expected;
        } cases[] = { { good, 'y', "started exited with status 0" },
                      { bad, 'y', "failed " },
                      { good, 'n', "failed " } };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Loop) *loop = loop_new(NULL);
                int ends[2], in_child = 3;
                ChildFd fds[] = { { .at = 3 } };
                ChildSpec spec = { .argv = cases[i].argv,
                                   .fds = fds,
                                   .n_fds = 1,
                                   .prepare = hold_until_told,
                                   .prepare_arg = &in_child,
                                   .started = note_start };
                AUTO(Child) *child = NULL;

                CHECK_INT(pipe(ends), 0);
                fds[0].fd = ends[0];
                trace[0] = '\0';
                child = child_new(loop, &spec, note_exit, NULL, NULL);
                CHECK(child);
                CHECK_STR(trace, "");
                CHECK_INT(write(ends[1], &cases[i].say, 1), 1);
                while (!strstr(trace, "failed") && !strstr(trace, "exited"))
                        loop_turn(loop, -1, NULL);
                CHECK_STR(trace, cases[i].expected);
                close(ends[0]);
                close(ends[1]);
        }
}

TEST(a_child_that_prepares_keeps_nothing_of_its_parent_open)
{
        enum { HIGH = 200 }; /* as in a daemon with many clients */
        static const char *const argv[] = { "true", NULL };
        AUTO(Loop) *loop = loop_new(NULL);
        int told[2], others[2], in_child = 3;
        ChildFd fds[] = { { .at = 3 } };
        ChildSpec spec = { .argv = argv,
                           .fds = fds,
                           .n_fds = 1,
                           .prepare = hold_until_told,
                           .prepare_arg = &in_child,
                           .started = note_start };
        AUTO(Child) *child = NULL;
        char byte;

        CHECK_INT(pipe2(told, O_CLOEXEC), 0);
        CHECK_INT(pipe2(others, O_CLOEXEC), 0);
        CHECK_INT(dup3(others[1], HIGH, O_CLOEXEC), HIGH);
        fds[0].fd = told[0];
        trace[0] = '\0';
        child = child_new(loop, &spec, note_exit, NULL, NULL);
        CHECK(child);
        close(others[1]);
        close(HIGH);
        CHECK_INT(poll(&(struct pollfd){ .fd = others[0], .events = POLLIN }, 1, 20 * 1000), 1);
        CHECK_INT(read(others[0], &byte, 1), 0); /* nobody holds the other end */
        CHECK_INT(write(told[1], "y", 1), 1);
        while (!strstr(trace, "exited"))
                loop_turn(loop, -1, NULL);
        close(others[0]);
        close(told[0]);
        close(told[1]);
}
