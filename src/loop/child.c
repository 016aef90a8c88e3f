/*
 * loop/child.c - fork, exec and watch processes
 *
 * The child reports a failed exec through a close-on-exec pipe, so the caller
 * gets the reason at once instead of an exit code later. Waiting for that pipe
 * is short: it ends at exec.
 */
#include "loop/child.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WAIT_MS = 20 }; /* for a killed child to end, as it does at once unless it hangs in the kernel */

struct Child {
        Loop *loop;
        pid_t pid;
        Fd pidfd;
        Watch *watch;
        bool keep_going, ended;
        Fd report; /* says whether exec worked; -1 once it has */
        Watch *report_watch;
        char *what;
        void (*started)(void *arg, const Error *why);
        void (*fn)(void *arg, int status);
        void *arg;
};

typedef struct Failure {
        int errnum;
        char step; /* 'f'ds, 'd'irectory, 'p'repare, 'e'xec */
} Failure;

static _Noreturn void give_up(int report, char step, int errnum)
{
        Failure failure = { .errnum = errnum, .step = step };

        if (write(report, &failure, sizeof(failure)) < 0)
                _exit(126);
        _exit(127);
}

/*
 * Move every descriptor out of the way of the target numbers, then put them there. All others are closed now, not by
 * exec: one that prepares may hang with a disk, and would keep clients and monitors connected that the daemon let go.
 */
static void arrange_fds(const ChildSpec *spec, int *report)
{
        enum { FIRST_FREE = 64, MOST = 64 };
        int moved[MOST], null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (spec->n_fds > MOST || null < 0)
                give_up(*report, 'f', E2BIG);
        *report = fcntl(*report, F_DUPFD_CLOEXEC, FIRST_FREE);
        null = fcntl(null, F_DUPFD_CLOEXEC, FIRST_FREE);
        for (size_t i = 0; i < spec->n_fds; i++) {
                moved[i] = fcntl(spec->fds[i].fd, F_DUPFD_CLOEXEC, FIRST_FREE);
                if (moved[i] < 0)
                        give_up(*report, 'f', errno);
        }
        for (int fd = 0; fd <= 2; fd++)
                dup2(null, fd);
        syscall(SYS_close_range, 3, FIRST_FREE - 1, 0);
        for (size_t i = 0; i < spec->n_fds; i++) {
                if (dup2(moved[i], spec->fds[i].at) < 0)
                        give_up(*report, 'f', errno);
        }
        syscall(SYS_close_range, FIRST_FREE, *report - 1, 0);
        syscall(SYS_close_range, *report + 1, ~0U, 0);
}

static _Noreturn void run_child(const ChildSpec *spec, int report)
{
        static const char *const minimal_env[] = {
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", NULL
        };
        sigset_t none;

        for (int s = 1; s < NSIG; s++)
                signal(s, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (spec->keep_going)
                setsid();
        else
                setpgid(0, 0);
        arrange_fds(spec, &report);
        if (chdir(spec->dir ?: "/") < 0)
                give_up(report, 'd', errno);
        if (spec->prepare && spec->prepare(spec->prepare_arg) != 0)
                give_up(report, 'p', errno);
        execvpe(spec->argv[0], (char *const *)spec->argv, (char *const *)(spec->env ?: minimal_env));
        give_up(report, 'e', errno);
}

static int await_exec(int report, const char *what, Error *err)
{
        Failure failure;
        ssize_t n;

        do {
                n = read(report, &failure, sizeof(failure));
        } while (n < 0 && errno == EINTR);
        if (n != sizeof(failure))
                return 0;
        switch (failure.step) {
        case 'e':
                return err_errno(err, failure.errnum, "cannot run '%s'", what);
        case 'd':
                return err_errno(err, failure.errnum, "cannot run '%s': its directory cannot be entered", what);
        default:
                return err_errno(err, failure.errnum, "cannot run '%s': preparing the process failed", what);
        }
}

static void reap(Child *child, int *status)
{
        while (waitpid(child->pid, status, 0) < 0 && errno == EINTR)
                ;
        child->ended = true;
        child->watch = watch_free(child->watch);
}

static void on_started(void *arg, uint32_t revents UNUSED)
{
        Child *child = arg;
        AUTO(Error) why = { 0 };
        bool failed = await_exec(child->report, child->what, &why) < 0;
        int status;

        child->report_watch = watch_free(child->report_watch);
        fd_close(&child->report);
        if (failed)
                reap(child, &status);
        child->started(child->arg, failed ? &why : NULL);
}

static void on_ended(void *arg, uint32_t revents UNUSED)
{
        Child *child = arg;
        int status = 0;

        if (child->report >= 0) {
                on_started(child, 0); /* both are ready; the start is told first */
                return;
        }
        reap(child, &status);
        child->fn(child->arg, status);
}

Child *child_new(Loop *loop, const ChildSpec *spec, void (*ended)(void *arg, int status), void *arg, Error *err)
{
        AUTO(Child) *child = mem_new(Child);
        AUTO(Fd) reading = -1;
        int ends[2];

        child->loop = loop;
        child->pidfd = child->report = -1;
        child->ended = true;
        if (pipe2(ends, O_CLOEXEC) < 0) {
                err_errno(err, errno, "cannot make a pipe");
                return NULL;
        }
        reading = ends[0];
        child->pid = fork();
        if (child->pid == 0)
                run_child(spec, ends[1]);
        close(ends[1]);
        if (child->pid < 0) {
                err_errno(err, errno, "cannot fork for '%s'", spec->argv[0]);
                return NULL;
        }
        child->ended = false;
        if (!spec->started && await_exec(reading, spec->argv[0], err) < 0)
                return NULL;
        child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
        if (child->pidfd < 0) {
                err_errno(err, errno, "cannot watch process %d", child->pid);
                return NULL;
        }
        child->keep_going = spec->keep_going;
        child->fn = ended;
        child->arg = arg;
        child->watch = watch_new(loop, child->pidfd, EPOLLIN, on_ended, child);
        if (spec->started) {
                child->started = spec->started;
                child->what = str_dup(spec->argv[0]);
                child->report = fd_take(&reading);
                child->report_watch = watch_new(loop, child->report, EPOLLIN, on_started, child);
        }
        return TAKE(child);
}

pid_t child_pid(const Child *child)
{
        return child->pid;
}

void child_kill(Child *child, int signum)
{
        if (!child->ended)
                syscall(SYS_pidfd_send_signal, child->pidfd, signum, NULL, 0);
}

/* One that was killed and has not ended: it waits in the kernel for a disk or a server. */
typedef struct Orphan {
        struct Orphan *next;
        Loop *loop;
        pid_t pid;
        Fd pidfd;
        Watch *watch;
} Orphan;

static Orphan *orphans; /* of all loops of this thread */

static void orphan_free(Orphan *orphan)
{
        Orphan **at = &orphans;

        while (*at != orphan)
                at = &(*at)->next;
        *at = orphan->next;
        waitpid(orphan->pid, NULL, WNOHANG);
        watch_free(orphan->watch);
        fd_close(&orphan->pidfd);
        free(orphan);
}

static void on_orphan_ended(void *arg, uint32_t revents UNUSED)
{
        orphan_free(arg);
}

void child_forget_killed(const Loop *loop)
{
        for (Orphan *orphan = orphans, *next; orphan; orphan = next) {
                next = orphan->next;
                if (orphan->loop == loop)
                        orphan_free(orphan);
        }
}

static void abandon(Child *child)
{
        struct pollfd end = { .fd = child->pidfd, .events = POLLIN };
        Orphan *orphan;
        int status;

        kill(child->pid, SIGKILL);
        if (child->pidfd < 0 || poll(&end, 1, MOST_WAIT_MS) > 0) {
                reap(child, &status);
                return;
        }
        orphan = mem_new(Orphan);
        *orphan =
                (Orphan){ .next = orphans, .loop = child->loop, .pid = child->pid, .pidfd = fd_take(&child->pidfd) };
        orphans = orphan;
        child->watch = watch_free(child->watch);
        orphan->watch = watch_new(child->loop, orphan->pidfd, EPOLLIN, on_orphan_ended, orphan);
}

Child *child_free(Child *child)
{
        if (!child)
                return NULL;
        if (!child->ended && !child->keep_going)
                abandon(child);
        watch_free(child->watch);
        watch_free(child->report_watch);
        fd_close(&child->report);
        fd_close(&child->pidfd);
        free(child->what);
        free(child);
        return NULL;
}

const char *child_status_text(int status)
{
        static char text[64];

        if (WIFSIGNALED(status))
                snprintf(text, sizeof(text), "was killed by signal %d", WTERMSIG(status));
        else
                snprintf(text, sizeof(text), "exited with status %d", WEXITSTATUS(status));
        return text;
}
