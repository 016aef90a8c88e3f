#include "test.h"

#include "base/str.h"
#include "host/process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(a_status_line_is_read_whatever_the_name_is)
{
        static const char line[] = "77 (a) b (c) S 1 77 77 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000000 "
                                   "25 18446744073709551615 1 1 0 0 0 0 0 4096 81920 0 0 0 17 3 0 0 0 0 0";
        AUTO(Error) err = { 0 };
        ProcessStat stat;

        CHECK_INT(process_stat_parse(line, &stat, &err), 0);
        CHECK_INT(stat.state, 'S');
        CHECK_INT(stat.start_ticks, 12345);
        CHECK_INT(stat.cpu, 3);
        CHECK_INT(stat.rss_bytes, 25 * sysconf(_SC_PAGESIZE));
        CHECK_INT(stat.user_ns / 1000000, 250 * 1000 / sysconf(_SC_CLK_TCK));
        CHECK_INT(process_stat_parse("77 (a", &stat, &err), -1);
}

static void note_end(void *arg)
{
        *(bool *)arg = true;
}

TEST(the_end_of_an_adopted_process_is_noticed)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };
        bool ended = false;
        pid_t pid = fork();
        Process *process;

        if (pid == 0) {
                pause();
                _exit(0);
        }
        process = process_adopt(loop, pid, 0, note_end, &ended, &err);
        CHECK(process);
        CHECK_INT(process_signal(process, SIGKILL, &err), 0);
        while (!ended)
                loop_turn(loop, -1, NULL);
        CHECK_NULL(process_adopt(loop, pid, 0, note_end, &ended, &err));
        waitpid(pid, NULL, 0);
        CHECK_INT(process_signal(process, SIGKILL, &err), 0);
        process_free(process);
}

TEST(a_reused_pid_is_not_adopted)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) err = { 0 };
        bool ended = false;

        CHECK_NULL(process_adopt(loop, getpid(), 1, note_end, &ended, &err));
        CHECK(str_ends(err.text, "is another one than before"));
}

TEST(affinity_and_threads_of_this_process_can_be_asked)
{
        AUTOFREE pid_t *threads = NULL;
        Bitmap cpus, again;
        size_t n;

        CHECK_INT(process_get_affinity(0, &cpus, NULL), 0);
        CHECK(bitmap_count(&cpus) > 0);
        CHECK_INT(process_set_affinity(getpid(), getpid(), &cpus, NULL), 0);
        CHECK_INT(process_get_affinity(0, &again, NULL), 0);
        CHECK_MEM(&again, &cpus, sizeof(cpus));
        CHECK_INT(process_threads(getpid(), &threads, &n, NULL), 0);
        CHECK(n >= 1);
}

TEST(threads_of_another_process_are_left_where_they_are)
{
        AUTO(Error) err = { 0 }, none = { 0 };
        Bitmap cpus;

        CHECK_INT(process_get_affinity(0, &cpus, NULL), 0);
        CHECK_INT(process_set_affinity(getpid(), getppid(), &cpus, &err), -1);
        CHECK(strstr(err.text, "has no thread"));
        /* the kernel takes that for the caller itself */
        CHECK_INT(process_set_affinity(getpid(), 0, &cpus, &none), -1);
}
