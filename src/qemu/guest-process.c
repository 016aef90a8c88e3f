/*
 * qemu/guest-process.c - one QEMU process: its directory, logs, control group, user, and its end
 *
 * The child between fork and exec does what needs root and may take time - owning the images - so the
 * loop never waits for a path that a user named. What it uses is laid out before the fork: there it must
 * not allocate.
 */
#include "qemu/guest-process.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/process.h"
#include "qemu/qmp-client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
        CGROUP_FDS_AT = COMMAND_LINE_MOST_FD, /* where the child finds the descriptors of its control groups */
        FIRST_FD = 3,
        MOST_FDS = 64,
        MOST_LOGS = 32,
        MOST_LAST_WORDS = 4096,
        MOST_STAT = 4096,
};

struct GuestProcess {
        const GuestEnv *env;
        Uuid uuid;
        char *dir, *log_path;
        uint64_t log_start; /* length of the log before this run */
        Cgroup *cgroup;
        Child *child;     /* started by us, or */
        Process *adopted; /* by a daemon before */
        Child *logger;
        pid_t pid;
        uint64_t start_ticks;
        bool ended, qemu_ended, logger_ended;
        Error failure; /* of the start; told when the logger has ended too */
        GuestProcessHooks hooks;
        void *arg;
};

/* What the child needs; it lives on the stack of the starting function, which the child has a copy of. */
typedef struct Preparation {
        const GuestEnv *env;
        const char *note;   /* where the child says who it is */
        const char *holder; /* who it is for the files it is given */
        pid_t daemon;
        const CommandLine *line;
        size_t n_cgroups;
} Preparation;

char *guest_dir(const GuestEnv *env, const Uuid *uuid)
{
        char text[UUID_TEXT_LEN + 1];

        return str_format("%s/%s", env->run_dir, uuid_format(uuid, text));
}

/* Beside the directory, where QEMU cannot write. Owned. */
static char *note_path(const char *dir)
{
        return str_format("%s.pid", dir);
}

static void limit(int resource, uint64_t value)
{
        struct rlimit rlimit = { value, value };

        setrlimit((__rlimit_resource_t)resource, &rlimit);
}

/* In the child. What cannot be copied is missing for QEMU, which says so. */
static void make_copy(const CommandLineCopy *copy)
{
        char data[16384];
        int from, to;
        ssize_t n;

        if (!copy->always && access(copy->to, F_OK) == 0)
                return;
        from = open(copy->from, O_RDONLY | O_CLOEXEC);
        to = open(copy->beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        do {
                n = from < 0 || to < 0 ? -1 : read(from, data, sizeof(data));
        } while (n > 0 && write(to, data, (size_t)n) == n);
        if (n == 0 && fsync(to) == 0)
                rename(copy->beside, copy->to);
        else
                unlink(copy->beside);
        close(from);
        close(to);
}

/* In the child: its pid and start time, as the kernel says them. Until that is written it dies with the daemon. */
static int note_self(const Preparation *p)
{
        char text[MOST_STAT];
        ssize_t n = -1;
        int from, to;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -1;
        if (getppid() != p->daemon)
                _exit(0);
        from = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        to = open(p->note, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (from >= 0 && to >= 0)
                n = read(from, text, sizeof(text));
        if (n <= 0 || write(to, text, (size_t)n) != n)
                return -1;
        close(from);
        close(to);
        return prctl(PR_SET_PDEATHSIG, 0);
}

/* In the child. Errors of single files are left for QEMU to meet: it names the file and the reason. */
static int prepare(void *arg)
{
        const Preparation *p = arg;

        if (note_self(p) < 0)
                return -1;
        for (size_t i = 0; i < p->line->copies.len; i++)
                make_copy(&p->line->copies.items[i]);
        /* before what may fail, so that whatever is given is given back */
        for (size_t i = 0; !p->env->leave_files && i < p->line->files.len; i++)
                root_give_file(p->line->files.items[i].path, &p->env->user, p->holder, p->line->files.items[i].write);
        for (size_t i = 0; i < p->n_cgroups; i++) {
                int fd = CGROUP_FDS_AT + (int)i;

                if (write(fd, "0", 1) != 1)
                        return -1;
                close(fd);
        }
        if (p->env->most_files)
                limit(RLIMIT_NOFILE, p->env->most_files);
        if (p->env->most_processes)
                limit(RLIMIT_NPROC, p->env->most_processes);
        if (!p->env->core_dumps)
                limit(RLIMIT_CORE, 0);
        umask(0007);
        errno = root_drop_to(&p->env->user);
        if (errno)
                return -1;
        guest_files_explain(p->line, &p->env->user);
        return 0;
}

/* The end. */

static void remove_dir(const char *dir)
{
        DIR *listing = opendir(dir);
        struct dirent *entry;

        while (listing && (entry = readdir(listing))) {
                AUTOFREE char *path = str_format("%s/%s", dir, entry->d_name);

                if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
                        unlink(path);
        }
        if (listing)
                closedir(listing);
        rmdir(dir);
}

static void clean_up(GuestProcess *process)
{
        AUTOFREE char *note = note_path(process->dir);

        guest_files_give_back(process->env, &process->uuid);
        remove_dir(process->dir);
        unlink(note);
}

static void note_end(GuestProcess *process)
{
        if (process->ended)
                return;
        process->ended = true;
        clean_up(process);
        if (process->cgroup) {
                AUTO(Error) err = { 0 };

                cgroup_kill(process->cgroup, NULL); /* what QEMU may have started */
                if (cgroup_remove(process->cgroup, &err) < 0)
                        log_debug("%s", err.text);
        }
        process->hooks.ended(process->arg);
}

/* QEMU's last words are complete when the logger has written them. */
static void note_end_of_one(GuestProcess *process)
{
        if (process->qemu_ended && (process->logger_ended || !process->logger))
                note_end(process);
}

static void fail_start(GuestProcess *process)
{
        AUTO(Error) why = { 0 };

        err_move(&why, &process->failure);
        process->ended = true;
        clean_up(process);
        if (process->cgroup)
                cgroup_remove(process->cgroup, NULL);
        process->hooks.started(process->arg, &why);
}

static void on_logger_ended(void *arg, int status UNUSED)
{
        GuestProcess *process = arg;

        process->logger_ended = true;
        if (err_is_set(&process->failure))
                fail_start(process);
        else
                note_end_of_one(process);
}

static void on_child_ended(void *arg, int status)
{
        GuestProcess *process = arg;

        log_debug("QEMU process %d %s", process->pid, child_status_text(status));
        process->qemu_ended = true;
        note_end_of_one(process);
}

static void on_adopted_ended(void *arg)
{
        note_end(arg);
}

static void on_started(void *arg, const Error *why)
{
        GuestProcess *process = arg;
        ProcessStat stat;

        if (why) {
                err_copy(&process->failure, why);
                if (process->logger_ended)
                        fail_start(process);
                return;
        }
        if (process_stat(process->pid, 0, &stat, NULL) == 0)
                process->start_ticks = stat.start_ticks;
        process->hooks.started(process->arg, NULL);
}

/* The start. */

static int make_dir(const GuestEnv *env, const char *dir, Error *err)
{
        remove_dir(dir); /* left by a guest that ended while no daemon ran */
        if (mkdir(dir, 0700) < 0)
                return err_errno(err, errno, "cannot make the directory '%s'", dir);
        if (env->user.uid != 0 && chown(dir, env->user.uid, env->user.gid) < 0)
                return err_errno(err, errno, "cannot give '%s' to the user of QEMU", dir);
        return 0;
}

static int listen_monitor(const char *path, Fd *ret, Error *err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        AUTO(Fd) fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return err_errno(err, errno, "cannot make a socket");
        if (strlen(path) >= sizeof(address.sun_path))
                return err_set(err, ERR_INTERNAL, "the path of the monitor socket '%s' is too long", path);
        strcpy(address.sun_path, path);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
                return err_errno(err, errno, "cannot listen on '%s'", path);
        *ret = fd_take(&fd);
        return 0;
}

static uint64_t file_size(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* The pipes between QEMU and its logger: QEMU's messages first, then each log of the command line. */
typedef struct LogPipes {
        Fd readers[MOST_LOGS], writers[MOST_LOGS];
        size_t n;
} LogPipes;

static void close_pipes(LogPipes *pipes)
{
        for (size_t i = 0; i < pipes->n; i++) {
                fd_close(&pipes->readers[i]);
                fd_close(&pipes->writers[i]);
        }
}

static int open_pipes(size_t n, LogPipes *ret, Error *err)
{
        if (n > MOST_LOGS)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "more than %d devices log to files", MOST_LOGS - 1);
        for (; ret->n < n; ret->n++) {
                int ends[2];

                if (pipe2(ends, O_CLOEXEC) < 0)
                        return err_errno(err, errno, "cannot make a pipe");
                ret->readers[ret->n] = ends[0];
                ret->writers[ret->n] = ends[1];
        }
        return 0;
}

/* A process apart, in no group of the guest: it must live until the last word is written. */
static int start_logger(GuestProcess *process, const CommandLine *line, const LogPipes *pipes, Error *err)
{
        AUTO(Arena) *arena = arena_new();
        VEC(const char *) argv = { 0 };
        ChildFd fds[MOST_LOGS];
        ChildSpec spec = { .fds = fds, .n_fds = pipes->n, .keep_going = true };

        vec_push(&argv, process->env->logger);
        vec_push(&argv, arena_format(arena, "%" PRIu64, process->env->log_bytes));
        vec_push(&argv, arena_format(arena, "%u", process->env->log_backups));
        for (size_t i = 0; i < pipes->n; i++) {
                fds[i] = (ChildFd){ pipes->readers[i], FIRST_FD + (int)i };
                vec_push(&argv, arena_format(arena, "%d", FIRST_FD + (int)i));
                vec_push(&argv, i == 0 ? process->log_path : line->logs.items[i - 1].path);
                vec_push(&argv, i == 0 || line->logs.items[i - 1].append ? "append" : "new");
        }
        vec_push(&argv, NULL);
        spec.argv = argv.items;
        process->logger = child_new(process->env->loop, &spec, on_logger_ended, process, err);
        vec_done(&argv);
        return process->logger ? 0 : -1;
}

/* Everything QEMU gets besides the descriptors of the command line. */
static size_t gather_fds(const CommandLine *line, int monitor, const LogPipes *pipes, const Fd *cgroups, ChildFd *ret)
{
        size_t n = 0;

        ret[n++] = (ChildFd){ monitor, COMMAND_LINE_MONITOR_FD };
        ret[n++] = (ChildFd){ pipes->writers[0], 1 };
        ret[n++] = (ChildFd){ pipes->writers[0], 2 };
        for (size_t i = 0; i < line->logs.len; i++)
                ret[n++] = (ChildFd){ pipes->writers[i + 1], line->logs.items[i].at };
        for (size_t i = 0; cgroups[i] >= 0; i++)
                ret[n++] = (ChildFd){ cgroups[i], CGROUP_FDS_AT + (int)i };
        for (size_t i = 0; i < line->fds.len; i++)
                ret[n++] = line->fds.items[i];
        return n;
}

static int spawn(GuestProcess *process, const CommandLine *line, int monitor, const LogPipes *pipes, Error *err)
{
        Fd cgroups[CGROUP_MOST_DIRS + 1] = { -1 };
        AUTOFREE char *note = note_path(process->dir);
        char holder[UUID_TEXT_LEN + 1];
        Preparation preparation = { .env = process->env,
                                    .line = line,
                                    .note = note,
                                    .holder = guest_files_holder(process->env, &process->uuid, holder),
                                    .daemon = getpid() };
        ChildFd fds[MOST_FDS];
        ChildSpec spec = {
                .argv = (const char *const *)line->argv.items,
                .env = (const char *const *)line->env.items,
                .fds = fds,
                .prepare = prepare,
                .prepare_arg = &preparation,
                .keep_going = true,
                .started = on_started,
        };

        if (line->fds.len + line->logs.len + CGROUP_MOST_DIRS + 3 > MOST_FDS)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the guest needs too many descriptors");
        if (process->cgroup && cgroup_open_procs(process->cgroup, cgroups, err) < 0)
                return -1;
        unlink(note);
        spec.n_fds = gather_fds(line, monitor, pipes, cgroups, fds);
        for (size_t i = 0; cgroups[i] >= 0; i++)
                preparation.n_cgroups++;
        process->child = child_new(process->env->loop, &spec, on_child_ended, process, err);
        for (size_t i = 0; cgroups[i] >= 0; i++)
                fd_close(&cgroups[i]);
        if (!process->child)
                return -1;
        process->pid = child_pid(process->child);
        return 0;
}

static GuestProcess *process_new(const GuestEnv *env, const char *name, const Uuid *uuid,
                                 const GuestProcessHooks *hooks, void *arg, Error *err)
{
        AUTO(GuestProcess) *process = mem_new(GuestProcess);
        char group[UUID_TEXT_LEN + 1];

        *process = (GuestProcess){ .env = env, .uuid = *uuid, .hooks = *hooks, .arg = arg };
        process->dir = guest_dir(env, uuid);
        process->log_path = str_format("%s/%s.log", env->log_dir, name);
        if (env->cgroups) {
                process->cgroup = cgroup_new(env->cgroups, uuid_format(uuid, group), err);
                if (!process->cgroup)
                        return NULL;
        }
        return TAKE(process);
}

GuestProcess *guest_process_start(const GuestEnv *env, const char *name, const Uuid *uuid, const CommandLine *line,
                                  const GuestProcessHooks *hooks, void *arg, Fd *monitor, Error *err)
{
        AUTO(GuestProcess) *process = process_new(env, name, uuid, hooks, arg, err);
        AUTOFREE char *socket = NULL;
        AUTO(Fd) listening = -1;
        LogPipes pipes = { .n = 0 };

        if (!process || make_dir(env, process->dir, err) < 0)
                return NULL;
        socket = str_format("%s/monitor", process->dir);
        process->log_start = file_size(process->log_path);
        if (guest_files_keep(env, uuid, line, err) == 0 && listen_monitor(socket, &listening, err) == 0 &&
            qmp_client_connect(socket, monitor, err) == 0 && open_pipes(line->logs.len + 1, &pipes, err) == 0 &&
            start_logger(process, line, &pipes, err) == 0 && spawn(process, line, listening, &pipes, err) == 0) {
                close_pipes(&pipes);
                return TAKE(process);
        }
        close_pipes(&pipes);
        fd_close(monitor);
        clean_up(process);
        if (process->cgroup)
                cgroup_remove(process->cgroup, NULL);
        return NULL;
}

int guest_process_find(const GuestEnv *env, const Uuid *uuid, pid_t *pid, uint64_t *start_ticks)
{
        AUTOFREE char *dir = guest_dir(env, uuid), *note = note_path(dir);
        AUTO(Buf) text = { 0 };
        ProcessStat noted, now;
        int32_t number;

        if (file_read(note, MOST_STAT, &text, NULL) < 0 || process_stat_parse(buf_text(&text), &noted, NULL) < 0)
                return -1;
        *strchr(text.data, ' ') = '\0';
        if (str_to_i32(text.data, &number) < 0 || process_stat(number, 0, &now, NULL) < 0 ||
            now.start_ticks != noted.start_ticks || now.state == 'Z' || now.state == 'X')
                return -1;
        *pid = number;
        *start_ticks = noted.start_ticks;
        return 0;
}

void guest_process_sweep(const GuestEnv *env, const Uuid *uuid)
{
        static const GuestProcessHooks none;
        AUTO(GuestProcess) *process = process_new(env, "", uuid, &none, NULL, NULL);

        if (!process)
                return;
        clean_up(process);
        if (process->cgroup)
                cgroup_remove(process->cgroup, NULL);
}

int guest_process_connect(const GuestProcess *process, Fd *ret, Error *err)
{
        AUTOFREE char *socket = str_format("%s/monitor", process->dir);

        return qmp_client_connect(socket, ret, err);
}

GuestProcess *guest_process_adopt(const GuestEnv *env, const char *name, const Uuid *uuid, pid_t pid,
                                  uint64_t start_ticks, const GuestProcessHooks *hooks, void *arg, Fd *monitor,
                                  Error *err)
{
        AUTO(GuestProcess) *process = process_new(env, name, uuid, hooks, arg, err);
        AUTO(Error) no_answer = { 0 };

        if (!process)
                return NULL;
        process->pid = pid;
        process->log_start = file_size(process->log_path);
        process->adopted = process_adopt(env->loop, pid, start_ticks, on_adopted_ended, process, err);
        if (!process->adopted) {
                clean_up(process);
                if (process->cgroup)
                        cgroup_remove(process->cgroup, NULL);
                return NULL;
        }
        process->start_ticks = process_start_ticks(process->adopted);
        if (guest_process_connect(process, monitor, &no_answer) < 0)
                log_debug("guest '%s': %s", name, no_answer.text);
        return TAKE(process);
}

pid_t guest_process_pid(const GuestProcess *process)
{
        return process->pid;
}

uint64_t guest_process_start_ticks(const GuestProcess *process)
{
        return process->start_ticks;
}

Cgroup *guest_process_cgroup(GuestProcess *process)
{
        return process->cgroup;
}

bool guest_process_has_ended(const GuestProcess *process)
{
        return process->ended;
}

void guest_process_signal(GuestProcess *process, int signum)
{
        if (process->child)
                child_kill(process->child, signum);
        else if (process->adopted)
                process_signal(process->adopted, signum, NULL);
}

/* The log may be as large as its owner likes: no more is read than is told. */
char *guest_process_last_words(const GuestProcess *process)
{
        uint64_t size = file_size(process->log_path);
        uint64_t from = process->log_start > size ? 0 : process->log_start; /* the log was rotated */
        AUTO(Fd) fd = open(process->log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        char text[MOST_LAST_WORDS];
        ssize_t n;

        from = MAX(from, size - MIN(size, (uint64_t)MOST_LAST_WORDS));
        n = fd < 0 ? -1 : pread(fd, text, sizeof(text), (off_t)from);
        while (n > 0 && text[n - 1] == '\n')
                n--;
        return n > 0 ? str_dup_n(text, (size_t)n) : NULL;
}

GuestProcess *guest_process_free(GuestProcess *process)
{
        if (!process)
                return NULL;
        child_free(process->child);
        child_free(process->logger);
        process_free(process->adopted);
        cgroup_free(process->cgroup);
        err_done(&process->failure);
        free(process->dir);
        free(process->log_path);
        free(process);
        return NULL;
}
