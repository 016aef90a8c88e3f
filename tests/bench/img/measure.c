/*
 * bench/img/measure.c - run a program and say what it took
 *
 *      measure PROGRAM [ARGUMENT...]
 *
 * Prints wall seconds, processor seconds, peak KiB and the wait status. It is as small as a program can be because
 * the kernel counts what a process had in memory before it executed another program as that one's. Output of the
 * program goes nowhere but for its errors.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
        return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
        double began = now();
        struct rusage usage;
        int status, null;
        pid_t pid;

        if (argc < 2)
                return 2;
        pid = fork();
        if (pid == 0) {
                null = open("/dev/null", O_WRONLY);
                dup2(null, STDOUT_FILENO);
                execvp(argv[1], argv + 1);
                _exit(127);
        }
        if (pid < 0 || wait4(pid, &status, 0, &usage) < 0)
                return 2;
        printf("%.6f %.6f %ld %d\n", now() - began, seconds(usage.ru_utime) + seconds(usage.ru_stime),
               usage.ru_maxrss, status);
        return 0;
}
