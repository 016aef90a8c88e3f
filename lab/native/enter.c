/*
 * native/enter.c - run a program inside a lab host
 *
 * Joins the host's namespaces and control groups, starts the program there, hands on the signals it gets and ends as
 * the program ends. If this process is killed, so is the program. What the program leaves running belongs to the
 * host's own PID 1 and ends with the host.
 *
 * usage: enter PID [-c CGROUP]... [-d DIRECTORY] -- PROGRAM [ARGUMENT]...
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof(array[0]))

static volatile pid_t program;

static void forward(int number)
{
        if (program > 0)
                kill(program, number);
}

static int fail(const char *what, const char *name)
{
        fprintf(stderr, "lab enter: cannot %s %s: %s\n", what, name, strerror(errno));
        return 126;
}

static int cgroup_join(const char *dir)
{
        char path[PATH_MAX];
        int fd;

        snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
                return fail("join", path);
        return close(fd);
}

static int namespaces_join(const char *pid)
{
        static const char *const names[] = { "cgroup", "ipc", "uts", "net", "pid", "mnt" };
        int fds[LENGTH(names)];
        char path[64];

        for (size_t i = 0; i < LENGTH(names); i++) {
                snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, names[i]);
                fds[i] = open(path, O_RDONLY | O_CLOEXEC);
                if (fds[i] < 0)
                        return fail("open", path);
        }
        for (size_t i = 0; i < LENGTH(names); i++) {
                if (setns(fds[i], 0) < 0)
                        return fail("join the namespace", names[i]);
                close(fds[i]);
        }
        return 0;
}

static int run(char **argv, const char *dir)
{
        static const int signals[] = { SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT };
        sigset_t none;
        int status;

        for (size_t i = 0; i < LENGTH(signals); i++)
                signal(signals[i], forward);

        program = fork();
        if (program < 0)
                return fail("fork for", argv[0]);
        if (program == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (size_t i = 0; i < LENGTH(signals); i++)
                        signal(signals[i], SIG_DFL);
                sigemptyset(&none);
                sigprocmask(SIG_SETMASK, &none, NULL);
                if (chdir(dir) < 0)
                        _exit(fail("go to", dir));
                execvp(argv[0], argv);
                _exit(errno == ENOENT ? fail("find", argv[0]) + 1 : fail("run", argv[0]));
        }

        while (waitpid(program, &status, 0) < 0)
                if (errno != EINTR)
                        return fail("wait for", argv[0]);
        if (WIFEXITED(status))
                return WEXITSTATUS(status);

        /* end by the same signal, without a core of our own */
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        signal(WTERMSIG(status), SIG_DFL);
        kill(getpid(), WTERMSIG(status));
        return 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
        const char *pid = argc > 1 ? argv[1] : NULL, *dir = "/";
        int option;

        if (!pid) {
                fprintf(stderr, "usage: enter PID [-c CGROUP]... [-d DIRECTORY] -- PROGRAM [ARGUMENT]...\n");
                return 2;
        }
        optind = 2;
        while ((option = getopt(argc, argv, "+c:d:")) > 0) {
                if (option == 'c' && cgroup_join(optarg) != 0)
                        return 126;
                if (option == 'd')
                        dir = optarg;
                if (option == '?')
                        return 2;
        }
        if (optind == argc)
                return 2;
        if (namespaces_join(pid) != 0)
                return 126;
        return run(argv + optind, dir);
}
