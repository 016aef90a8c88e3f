/*
 * host/storage/run.c - programs of the host, run and waited for
 */
#include "host/storage/backend.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        MOST_OUTPUT = 16 * 1024 * 1024,
        MOST_COMPLAINT = 4096,
        NOT_RUN = 127,
        KILLED_S = 5, /* what can be killed is gone by then */
};

static StorageRunner *runner;
static void *runner_arg;

void storage_set_runner(StorageRunner *fn, void *arg)
{
        runner = fn;
        runner_arg = arg;
}

static char *password;
static Fd key_file = -1;

int storage_set_password(const void *data, size_t n, Error *err)
{
        AUTOFREE char *text = str_to_base64(data, n);

        free(password);
        password = str_dup_n(data, n);
        fd_close(&key_file);
        key_file = memfd_create("key", MFD_CLOEXEC);
        return key_file < 0 ? err_errno(err, errno, "cannot keep a key")
                            : fd_write_all(key_file, text, strlen(text), err);
}

const char *storage_password(Error *err)
{
        if (!password)
                err_set(err, ERR_NO_SECRET, "the secret that <auth> of the pool names has no value any more");
        return password;
}

/* --- what an earlier daemon left running --- */

static int tools_lock = -1;

void storage_mark_tools(int fd)
{
        tools_lock = fcntl(fd, F_GETFD) < 0 ? -1 : fd;
}

void storage_unmark_tools(void)
{
        if (tools_lock >= 0)
                close(tools_lock);
        tools_lock = -1;
}

void storage_await_tools(void)
{
        if (tools_lock < 0)
                return;
        while (flock(tools_lock, LOCK_EX) < 0 && errno == EINTR)
                ;
        flock(tools_lock, LOCK_UN);
}

static void on_alarm(int signum UNUSED)
{
}

/* false: somebody holds the lock still. */
static bool await_lock(unsigned patience_s)
{
        /* again and again: one that comes before flock() waits ends no wait */
        const struct itimerval patience = { { .tv_sec = 1 }, { .tv_sec = MAX(patience_s, 1U) } }, none = { 0 };
        struct sigaction wake = { .sa_handler = on_alarm }, before;
        int r;

        sigaction(SIGALRM, &wake, &before);
        setitimer(ITIMER_REAL, &patience, NULL);
        r = flock(tools_lock, LOCK_EX);
        setitimer(ITIMER_REAL, &none, NULL);
        sigaction(SIGALRM, &before, NULL);
        if (r == 0)
                flock(tools_lock, LOCK_UN);
        return r == 0;
}

/* Is the standard input of this process the file that belongs to the pool? So it is of those that guard() made. */
static bool is_guard(const char *pid, const struct stat *lock)
{
        AUTOFREE char *path = str_format("/proc/%s/fd/0", pid);
        struct stat st;

        return stat(path, &st) == 0 && st.st_dev == lock->st_dev && st.st_ino == lock->st_ino;
}

/* What a drover-storage runs is in its process group, also when it has ended itself. Our own is not killed. */
static void kill_tools(void)
{
        DIR *all = opendir("/proc");
        struct stat lock;

        for (struct dirent *entry; all && fstat(tools_lock, &lock) == 0 && (entry = readdir(all));) {
                uint32_t pid;
                pid_t group;

                if (str_to_u32(entry->d_name, &pid) < 0 || !is_guard(entry->d_name, &lock))
                        continue;
                group = getpgid((pid_t)pid);
                if (group > 1 && group != getpgrp())
                        kill(-group, SIGKILL);
        }
        if (all)
                closedir(all);
}

int storage_end_tools(const PoolDef *pool, unsigned patience_s, Error *err)
{
        bool mounts = pool_type_mounts(pool->type);

        if (tools_lock < 0 || await_lock(patience_s))
                return 0;
        if (mounts) {
                kill_tools();
                if (await_lock(KILLED_S))
                        return 0;
        }
        return err_set(
                err, ERR_OPERATION_TIMEOUT,
                mounts ? "the mount on '%s' that an earlier start of the pool began does not end, though it was "
                         "killed: the kernel waits for its server"
                       : "a program of the host that was begun for the pool on '%s' does not end",
                pool->target_path ?: pool->name);
}

static bool reads_key(const char *const *argv)
{
        while (*argv && !str_eq(*argv, STORAGE_KEY_FILE))
                argv++;
        return *argv;
}

static char *trim(char *text)
{
        size_t n;

        text += strspn(text, " \t\r");
        for (n = strlen(text); n && strchr(" \t\r", text[n - 1]);)
                text[--n] = '\0';
        return text;
}

static void become(const char *const *argv, int out, int err)
{
        /* where no udev runs, the device mapper's tools must make their nodes themselves instead of waiting for it */
        bool no_udev = access("/run/udev/control", F_OK) < 0;
        const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
                                    "LVM_SUPPRESS_FD_WARNINGS=1", no_udev ? "DM_DISABLE_UDEV=1" : NULL, NULL };
        int null = open("/dev/null", O_RDWR);

        dup2(reads_key(argv) ? key_file : null, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        close_range(3, ~0U, 0); /* what is open here it is not to have */
        execvpe(argv[0], (char *const *)argv, (char *const *)env);
        dprintf(STDERR_FILENO, "cannot run '%s': %m\n", argv[0]);
        _exit(NOT_RUN);
}

/*
 * Holds the lock for as long as the program runs, whoever else ends, and ends as it did. The program itself has no lock:
 * what mounts may leave a process behind that goes on for as long as the mount is there.
 */
static void guard(const char *const *argv, int out, int err)
{
        pid_t pid = fork();
        int status;

        if (pid == 0)
                become(argv, out, err);
        if (pid < 0) {
                dprintf(err, "cannot run '%s': %m\n", argv[0]);
                _exit(NOT_RUN);
        }
        dup2(tools_lock, STDIN_FILENO);
        close_range(1, ~0U, 0);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (WIFSIGNALED(status)) {
                prctl(PR_SET_DUMPABLE, 0); /* the program has left its own core, where one is wanted */
                signal(WTERMSIG(status), SIG_DFL);
                raise(WTERMSIG(status));
        }
        _exit(WEXITSTATUS(status));
}

/* Both pipes to their ends; what is over the limits is read and thrown away. false: that was some of its output. */
static bool collect(int out_fd, int err_fd, Buf *out, Buf *complaint)
{
        struct pollfd fds[] = { { .fd = out_fd, .events = POLLIN }, { .fd = err_fd, .events = POLLIN } };
        Buf *const to[] = { out, complaint };
        const size_t most[] = { MOST_OUTPUT, MOST_COMPLAINT };
        char data[65536];
        bool whole = true;

        while (fds[0].fd >= 0 || fds[1].fd >= 0) {
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return false;
                for (size_t i = 0; i < 2; i++) {
                        ssize_t n;

                        if (fds[i].fd < 0 || !fds[i].revents)
                                continue;
                        n = read(fds[i].fd, data, sizeof(data));
                        if (n > 0 && to[i]) {
                                size_t kept = MIN((size_t)n, most[i] - to[i]->len);

                                buf_put(to[i], data, kept);
                                whole &= kept == (size_t)n || to[i] != out;
                        } else if (n == 0 || (n < 0 && errno != EINTR)) {
                                fds[i].fd = -1;
                        }
                }
        }
        return whole;
}

/* What a program complained of: its first line that is no mere warning. Owned; NULL: nothing. */
static char *complaint_line(const Buf *complaint)
{
        AUTO_STRLIST lines = str_split(buf_text(complaint), "\n");
        char *best = NULL;

        for (char **line = lines; *line; line++) {
                char *text = *line + strspn(*line, " \t");

                if (*text && !strstr(text, "WARNING"))
                        return str_dup(text);
                best = best ?: *text ? text : NULL;
        }
        return str_dup(best);
}

static int ask(const char *const *argv, Buf *out, int *status, Buf *complaint, Error *err)
{
        int out_ends[2], err_ends[2];
        bool whole = true;
        pid_t pid;

        if (pipe2(out_ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        if (pipe2(err_ends, O_CLOEXEC) < 0) {
                close(out_ends[0]);
                close(out_ends[1]);
                return err_errno(err, errno, "cannot make a pipe");
        }
        if (tools_lock >= 0)
                flock(tools_lock, LOCK_SH);
        pid = fork();
        if (pid == 0)
                (tools_lock < 0 ? become : guard)(argv, out_ends[1], err_ends[1]);
        close(out_ends[1]);
        close(err_ends[1]);
        if (pid > 0)
                whole = collect(out_ends[0], err_ends[0], out, complaint);
        close(out_ends[0]);
        close(err_ends[0]);
        if (pid < 0 || waitpid(pid, status, 0) < 0)
                return err_errno(err, errno, "cannot run '%s'", argv[0]);
        if (tools_lock >= 0)
                flock(tools_lock, LOCK_UN);
        if (WIFSIGNALED(*status))
                return err_set(err, ERR_INTERNAL, "%s was killed by signal %d", argv[0], WTERMSIG(*status));
        *status = WEXITSTATUS(*status);
        if (*status == NOT_RUN && complaint->len) {
                AUTOFREE char *line = complaint_line(complaint);

                return err_set(err, ERR_INTERNAL, "%s", line ?: argv[0]);
        }
        return whole ? 0 : err_set(err, ERR_INTERNAL, "%s says more than %d MiB", argv[0], MOST_OUTPUT >> 20);
}

int storage_ask(const char *const *argv, Buf *out, int *status, Error *err)
{
        AUTO(Buf) complaint = { 0 };

        return runner ? runner(runner_arg, argv, out, status, err) : ask(argv, out, status, &complaint, err);
}

int storage_run(const char *const *argv, Buf *out, Error *err)
{
        AUTO(Buf) complaint = { 0 };
        AUTOFREE char *line = NULL;
        int status = 0;

        if ((runner ? runner(runner_arg, argv, out, &status, err) : ask(argv, out, &status, &complaint, err)) < 0)
                return -1;
        if (!status)
                return 0;
        line = complaint_line(&complaint);
        return line ? err_set(err, ERR_INTERNAL, "%s: %s", argv[0], line)
                    : err_set(err, ERR_INTERNAL, "%s exited with status %d", argv[0], status);
}

size_t storage_next_row(char **text, char separator, char **fields, size_t most)
{
        size_t n = 0;

        while (**text) {
                char *line = *text, *end = line + strcspn(line, "\n");

                *text = *end ? end + 1 : end;
                *end = '\0';
                if (line[strspn(line, " \t\r")] == '\0')
                        continue;
                for (char *at = line; at; n++) {
                        char *cut = n + 1 < most ? strchr(at, separator) : NULL;

                        if (cut)
                                *cut = '\0';
                        fields[n] = trim(at);
                        at = cut ? cut + 1 : NULL;
                }
                return n;
        }
        return 0;
}
