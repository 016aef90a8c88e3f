/*
 * host/storage/run.c - programs of the host, run and waited for
 */
#include "host/storage/backend.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_OUTPUT = 16 * 1024 * 1024, MOST_COMPLAINT = 4096 };

static StorageRunner *runner;
static void *runner_arg;

void storage_set_runner(StorageRunner *fn, void *arg)
{
        runner = fn;
        runner_arg = arg;
}

static void become(const char *const *argv, int out, int err)
{
        static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                           "LC_ALL=C", NULL };
        int null = open("/dev/null", O_RDWR);

        dup2(null, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        close_range(3, ~0U, 0);
        execvpe(argv[0], (char *const *)argv, (char *const *)env);
        dprintf(STDERR_FILENO, "cannot run '%s': %m\n", argv[0]);
        _exit(127);
}

/* Both pipes to their ends; what is over the limits is read and thrown away. */
static void collect(int out_fd, int err_fd, Buf *out, Buf *complaint)
{
        struct pollfd fds[] = { { .fd = out_fd, .events = POLLIN }, { .fd = err_fd, .events = POLLIN } };
        Buf *const to[] = { out, complaint };
        const size_t most[] = { MOST_OUTPUT, MOST_COMPLAINT };
        char data[65536];

        while (fds[0].fd >= 0 || fds[1].fd >= 0) {
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return;
                for (size_t i = 0; i < 2; i++) {
                        ssize_t n;

                        if (fds[i].fd < 0 || !fds[i].revents)
                                continue;
                        n = read(fds[i].fd, data, sizeof(data));
                        if (n > 0 && to[i] && to[i]->len + (size_t)n <= most[i])
                                buf_put(to[i], data, (size_t)n);
                        else if (n == 0 || (n < 0 && errno != EINTR))
                                fds[i].fd = -1;
                }
        }
}

static int judge(const char *program, int status, const Buf *complaint, Error *err)
{
        AUTOFREE char *line = str_dup(buf_text(complaint));

        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        line[strcspn(line, "\n")] = '\0';
        if (*line)
                return err_set(err, ERR_INTERNAL, "%s: %s", program, line);
        return WIFEXITED(status)
                       ? err_set(err, ERR_INTERNAL, "%s exited with status %d", program, WEXITSTATUS(status))
                       : err_set(err, ERR_INTERNAL, "%s was killed by signal %d", program, WTERMSIG(status));
}

int storage_run(const char *const *argv, Buf *out, Error *err)
{
        AUTO(Buf) complaint = { 0 };
        int out_ends[2], err_ends[2], status = 0;
        pid_t pid;

        if (runner)
                return runner(runner_arg, argv, out, err);
        if (pipe2(out_ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        if (pipe2(err_ends, O_CLOEXEC) < 0) {
                close(out_ends[0]);
                close(out_ends[1]);
                return err_errno(err, errno, "cannot make a pipe");
        }
        pid = fork();
        if (pid == 0)
                become(argv, out_ends[1], err_ends[1]);
        close(out_ends[1]);
        close(err_ends[1]);
        if (pid > 0)
                collect(out_ends[0], err_ends[0], out, &complaint);
        close(out_ends[0]);
        close(err_ends[0]);
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return err_errno(err, errno, "cannot run '%s'", argv[0]);
        return judge(argv[0], status, &complaint, err);
}
