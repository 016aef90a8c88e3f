/*
 * host/process.c - processes that may not be our children: who they are, when they end, where they run
 */
#include "host/process.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_STAT = 4096, MOST_STATUS = 65536 };

struct Process {
        pid_t pid;
        uint64_t start_ticks;
        Fd pidfd;
        Watch *watch;
        void (*ended)(void *arg);
        void *arg;
};

/* The fields behind the name, which may itself hold blanks and brackets. */
int process_stat_parse(const char *text, ProcessStat *ret, Error *err)
{
        const char *behind = strrchr(text, ')');
        unsigned long long utime, stime, start;
        long long rss;
        char state;
        int cpu;

        if (!behind || sscanf(behind + 1,
                              " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu "
                              "%*u %lld %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d",
                              &state, &utime, &stime, &start, &rss, &cpu) != 6)
                return err_set(err, ERR_INTERNAL, "the kernel's process status cannot be read");
        *ret = (ProcessStat){
                .state = state,
                .start_ticks = start,
                .user_ns = utime * (1000000000ULL / (unsigned long)sysconf(_SC_CLK_TCK)),
                .system_ns = stime * (1000000000ULL / (unsigned long)sysconf(_SC_CLK_TCK)),
                .rss_bytes = rss > 0 ? (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE) : 0,
                .cpu = cpu,
        };
        return 0;
}

int process_stat(pid_t pid, pid_t tid, ProcessStat *ret, Error *err)
{
        AUTOFREE char *path = tid ? str_format("/proc/%d/task/%d/stat", pid, tid) : str_format("/proc/%d/stat", pid);
        AUTO(Buf) text = { 0 };

        if (file_read(path, MOST_STAT, &text, err) < 0)
                return -1;
        return process_stat_parse(buf_text(&text), ret, err);
}

static void on_ended(void *arg, uint32_t revents UNUSED)
{
        Process *process = arg;

        process->watch = watch_free(process->watch);
        process->ended(process->arg);
}

Process *process_adopt(Loop *loop, pid_t pid, uint64_t start_ticks, void (*ended)(void *arg), void *arg, Error *err)
{
        AUTO(Process) *process = mem_new(Process);
        ProcessStat stat;

        process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (process->pidfd < 0) {
                err_errno(err, errno, "process %d cannot be watched", pid);
                return NULL;
        }
        /* read after opening: what the descriptor names cannot change any more */
        if (process_stat(pid, 0, &stat, err) < 0)
                return NULL;
        if (start_ticks && stat.start_ticks != start_ticks) {
                err_set(err, ERR_OPERATION_INVALID, "process %d is another one than before", pid);
                return NULL;
        }
        if (stat.state == 'Z') {
                err_set(err, ERR_OPERATION_INVALID, "process %d has ended", pid);
                return NULL;
        }
        process->pid = pid;
        process->start_ticks = stat.start_ticks;
        process->ended = ended;
        process->arg = arg;
        process->watch = watch_new(loop, process->pidfd, EPOLLIN, on_ended, process);
        return TAKE(process);
}

pid_t process_pid(const Process *process)
{
        return process->pid;
}

uint64_t process_start_ticks(const Process *process)
{
        return process->start_ticks;
}

int process_signal(const Process *process, int signum, Error *err)
{
        if (syscall(SYS_pidfd_send_signal, process->pidfd, signum, NULL, 0) < 0 && errno != ESRCH)
                return err_errno(err, errno, "cannot send signal %d to process %d", signum, process->pid);
        return 0;
}

Process *process_free(Process *process)
{
        if (!process)
                return NULL;
        watch_free(process->watch);
        fd_close(&process->pidfd);
        free(process);
        return NULL;
}

int process_threads(pid_t pid, pid_t **ret, size_t *n, Error *err)
{
        AUTOFREE char *path = str_format("/proc/%d/task", pid);
        VEC(pid_t) threads = { 0 };
        DIR *dir = opendir(path);
        struct dirent *entry;

        if (!dir)
                return err_errno(err, errno, "cannot read '%s'", path);
        while ((entry = readdir(dir))) {
                int32_t tid;

                if (str_to_i32(entry->d_name, &tid) == 0)
                        vec_push(&threads, tid);
        }
        closedir(dir);
        *ret = threads.items;
        *n = threads.len;
        return 0;
}

int process_set_affinity(pid_t pid, pid_t tid, const Bitmap *cpus, Error *err)
{
        AUTOFREE char *task = str_format("/proc/%d/task/%d", pid, tid);

        if (access(task, F_OK) < 0)
                return err_set(err, ERR_OPERATION_FAILED, "process %d has no thread %d", pid, tid);
        if (sched_setaffinity(tid, sizeof(*cpus), (const cpu_set_t *)cpus->words) < 0) {
                AUTOFREE char *list = bitmap_format(cpus);

                return err_errno(err, errno, "cannot make thread %d run on CPUs %s", tid, list);
        }
        return 0;
}

int process_get_affinity(pid_t tid, Bitmap *ret, Error *err)
{
        Bitmap map = { 0 };

        if (sched_getaffinity(tid, sizeof(map), (cpu_set_t *)map.words) < 0)
                return err_errno(err, errno, "cannot ask where thread %d may run", tid);
        *ret = map;
        return 0;
}

int process_swapped(pid_t pid, uint64_t *ret_bytes, Error *err)
{
        AUTOFREE char *path = str_format("/proc/%d/status", pid);
        AUTO(Buf) text = { 0 };
        unsigned long long kib = 0;
        const char *line;

        if (file_read(path, MOST_STATUS, &text, err) < 0)
                return -1;
        line = strstr(buf_text(&text), "\nVmSwap:");
        if (line && sscanf(line, "\nVmSwap: %llu", &kib) != 1)
                kib = 0;
        *ret_bytes = kib * 1024;
        return 0;
}
