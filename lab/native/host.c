/*
 * native/host.c - the life of one lab host
 *
 * Two processes. The keeper stays outside, holds the pipe from the driver, and outlives whatever happens inside; the
 * first process inside is PID 1 of the host's own namespaces, runs the set-up script, then reaps. When the driver
 * closes the pipe, or dies however hard, the keeper kills PID 1: the kernel takes every process of the host with it,
 * and with the last process go its mounts and its network. Then the keeper removes the control groups and the
 * directory it was told of. So nothing stays behind.
 *
 * usage: host NAME SCRIPT [--remove DIRECTORY] [--cgroup DIRECTORY]...
 * It prints the PID of the inner process and a newline as soon as the host is ready.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
        MAX_CGROUPS = 32,
        CGROUP_TRIES = 6000,
};

static const char *cgroups[MAX_CGROUPS];
static int n_cgroups;
static const char *remove_dir;

static int fail(const char *what, const char *name)
{
        fprintf(stderr, "lab host: cannot %s %s: %s\n", what, name, strerror(errno));
        return -1;
}

static int file_copy(const char *from_dir, const char *to_dir, const char *name)
{
        char from[PATH_MAX], to[PATH_MAX], value[4096];
        ssize_t n = -1;
        int fd;

        snprintf(from, sizeof(from), "%s/%s", from_dir, name);
        snprintf(to, sizeof(to), "%s/%s", to_dir, name);
        fd = open(from, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                n = read(fd, value, sizeof(value));
                close(fd);
        }
        if (n <= 0)
                return 0;
        fd = open(to, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return fail("open", to);
        n = write(fd, value, (size_t)n);
        close(fd);
        return n < 0 ? fail("write", to) : 0;
}

/* A new group of the old cpuset controller has no CPU and no memory node until it is given some. */
static int cgroup_create(const char *dir)
{
        char parent[PATH_MAX];

        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
                return fail("make", dir);
        snprintf(parent, sizeof(parent), "%s/..", dir);
        if (file_copy(parent, dir, "cpuset.cpus") < 0 || file_copy(parent, dir, "cpuset.mems") < 0)
                return -1;
        return 0;
}

static int cgroup_join(const char *dir)
{
        char path[PATH_MAX];
        int fd;

        snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
                return fail("join", path);
        close(fd);
        return 0;
}

static void cgroup_remove(const char *dir)
{
        DIR *stream = opendir(dir);
        char path[PATH_MAX];

        if (!stream)
                return;
        for (struct dirent *entry; (entry = readdir(stream));) {
                if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
                cgroup_remove(path);
        }
        closedir(stream);

        /* the last process has ended, but its group notices a moment later */
        for (int i = 0; i < CGROUP_TRIES && rmdir(dir) < 0 && errno == EBUSY; i++)
                nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

static int run(char *const argv[])
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                execvp(argv[0], argv);
                _exit(127);
        }
        while (pid > 0 && waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -1;
        return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int inside(const char *name, char *script, int ready)
{
        sigset_t children;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < n_cgroups; i++)
                if (cgroup_join(cgroups[i]) < 0)
                        return 1;
        if (unshare(CLONE_NEWCGROUP) < 0)
                return fail("leave the control groups of", name), 1;
        if (sethostname(name, strlen(name)) < 0)
                return fail("name the host", name), 1;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return fail("make the mounts private of", name), 1;
        if (run((char *[]){ "/bin/sh", "-e", script, NULL }) < 0) {
                fprintf(stderr, "lab host: the set-up of %s failed\n", name);
                return 1;
        }
        if (write(ready, "r", 1) != 1)
                return 1;
        close(ready);
        close(STDIN_FILENO);
        close(STDOUT_FILENO);

        sigemptyset(&children);
        sigaddset(&children, SIGCHLD);
        sigprocmask(SIG_BLOCK, &children, NULL);
        for (;;) {
                while (waitpid(-1, NULL, WNOHANG) > 0)
                        ;
                sigwaitinfo(&children, NULL);
        }
}

static int keep(pid_t pid, int ready)
{
        struct pollfd polls[] = {
                { .fd = STDIN_FILENO, .events = POLLIN },
                { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN },
        };
        char byte;

        if (read(ready, &byte, 1) == 1) {
                printf("%d\n", pid);
                fflush(stdout);
                while (poll(polls, 2, -1) < 0 || (polls[0].revents == POLLIN && read(STDIN_FILENO, &byte, 1) == 1))
                        ;
        }
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        for (int i = 0; i < n_cgroups; i++)
                cgroup_remove(cgroups[i]);
        if (remove_dir)
                run((char *[]){ "rm", "-rf", "--one-file-system", (char *)remove_dir, NULL });
        return 0;
}

int main(int argc, char **argv)
{
        const unsigned long spaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC;
        int ready[2];
        pid_t pid;

        if (argc < 3 || argc % 2 == 0) {
                fprintf(stderr, "usage: host NAME SCRIPT [--remove DIRECTORY] [--cgroup DIRECTORY]...\n");
                return 2;
        }
        for (int i = 3; i < argc; i += 2) {
                if (strcmp(argv[i], "--remove") == 0)
                        remove_dir = argv[i + 1];
                else if (n_cgroups < MAX_CGROUPS)
                        cgroups[n_cgroups++] = argv[i + 1];
        }
        signal(SIGINT, SIG_IGN); /* a Ctrl-C is for the driver, which then closes the pipe */
        signal(SIGPIPE, SIG_IGN);
        for (int i = 0; i < n_cgroups; i++)
                if (cgroup_create(cgroups[i]) < 0)
                        return 1;
        if (pipe2(ready, O_CLOEXEC) < 0)
                return fail("make", "a pipe"), 1;

        pid = (pid_t)syscall(SYS_clone, spaces | SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid < 0)
                return fail("make namespaces for", argv[1]), 1;
        if (pid == 0) {
                close(ready[0]);
                return inside(argv[1], argv[2], ready[1]);
        }
        close(ready[1]);
        return keep(pid, ready[0]);
}
