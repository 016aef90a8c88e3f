/*
 * daemon/network-dnsmasq.c - the dnsmasq of a virtual network
 *
 * It goes into the background by itself when it is ready, so its launcher's exit
 * says whether it works, and then it is nobody's child: it outlives the daemon.
 * It runs in a file system that it can only read but for its own two directories,
 * without new privileges, and becomes another user but for binding and raw
 * sockets. When it dies it is started again, and finds its leases.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/network-host.h"
#include "host/confine.h"
#include "host/dnsmasq.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        AGAIN_MS = 100,
        AGAIN_LATEST_MS = 30000,
        CALM_MS = 60000,
        PATIENCE_MS = 5000,
        LAUNCH_PATIENCE_MS = 60000,
        LONGEST_COMPLAINT = 400,
};

static char *file_of(const NetworkRun *run, const char *name)
{
        return str_format("%s/%s", run->files_dir, name);
}

static void server_done(NetworkRun *run, const Error *failure)
{
        NetworkDone *done = run->server_done;

        run->server_done = NULL;
        if (done)
                done(run->server_arg, failure);
}

/* --- its files --- */

static int make_dirs(const NetworkRun *run, Error *err)
{
        return dir_make(run->files_dir, 0755, err) < 0 ? -1 : dir_make(run->leases_dir, 0755, err);
}

static void put_config(const NetworkRun *run, const NetworkDef *def, Buf *ret)
{
        AUTOFREE char *pid = file_of(run, "pid"), *hosts = file_of(run, "hosts"), *fixed = file_of(run, "fixed");
        AUTOFREE char *leases = str_format("%s/leases", run->leases_dir);
        DnsmasqFiles files = {
                .pid = pid, .leases = leases, .hosts = hosts, .fixed = fixed, .user = run->host->user
        };

        dnsmasq_put_config(def, &files, ret);
}

typedef struct Writing {
        NetworkDone *done;
        void *arg;
        Error failure; /* of the first that could not be written */
} Writing;

static void on_part(void *arg, const Error *failure)
{
        Writing *w = arg;

        if (failure && !err_is_set(&w->failure))
                err_copy(&w->failure, failure);
}

static void on_last_part(void *arg, const Error *failure)
{
        Writing *w = arg;

        on_part(w, failure);
        w->done(w->arg, err_is_set(&w->failure) ? &w->failure : NULL);
        err_done(&w->failure);
        free(w);
}

/* Three files, one after the other; the last one's end is the end. */
static void write_files(NetworkRun *run, const NetworkDef *def, NetworkDone *done, void *arg)
{
        Writing *w = mem_new(Writing);
        AUTOFREE char *conf = file_of(run, "conf"), *hosts = file_of(run, "hosts"), *fixed = file_of(run, "fixed");
        AUTO(Buf) conf_text = { 0 };
        AUTO(Buf) hosts_text = { 0 };
        AUTO(Buf) fixed_text = { 0 };

        *w = (Writing){ .done = done, .arg = arg };
        put_config(run, def, &conf_text);
        dnsmasq_put_hosts(def, &hosts_text);
        dnsmasq_put_fixed(def, &fixed_text);
        file_queue_write(run->host->files, hosts, &hosts_text, 0644, false, on_part, w);
        file_queue_write(run->host->files, fixed, &fixed_text, 0644, false, on_part, w);
        file_queue_write(run->host->files, conf, &conf_text, 0644, false, on_last_part, w);
}

/* --- it runs --- */

static void launch(NetworkRun *run);

static void on_again(void *arg)
{
        launch(arg);
}

static void again_later(NetworkRun *run)
{
        bool calm = loop_now_ms(run->host->driver->daemon->loop) - run->launched_ms > CALM_MS;

        run->again_ms = calm || !run->again_ms ? AGAIN_MS : MIN(2 * run->again_ms, (uint64_t)AGAIN_LATEST_MS);
        timer_set(run->again, run->again_ms);
}

static void on_server_ended(void *arg)
{
        NetworkRun *run = arg;

        run->server = process_free(run->server);
        if (run->ending) {
                run->ending = false;
                timer_stop(run->patience);
                server_done(run, NULL);
                return;
        }
        log_warning("the dnsmasq of network '%s' ended by itself; it is started again, with the leases it had",
                    run->net->name);
        again_later(run);
}

static int read_pid(const char *files_dir, pid_t *ret, Error *err)
{
        AUTOFREE char *path = str_format("%s/pid", files_dir);
        AUTO(Buf) text = { 0 };

        if (file_read(path, 32, &text, err) < 0)
                return -1;
        text.data[strcspn(text.data, "\n")] = '\0';
        if (str_to_i32(buf_text(&text), ret) < 0 || *ret <= 0)
                return err_set(err, ERR_INTERNAL, "'%s' holds no process number", path);
        return 0;
}

static char *read_complaint(Fd fd)
{
        char text[LONGEST_COMPLAINT];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        char *start = text;

        text[MAX(n, 0)] = '\0';
        start += strspn(start, "\n");
        start[strcspn(start, "\n")] = '\0';
        return str_dup(*start ? start : "it did not say why");
}

/* It was told to end while it was on its way. */
static void end_launched(NetworkRun *run)
{
        if (run->server) {
                process_signal(run->server, SIGTERM, NULL);
                timer_set(run->patience, PATIENCE_MS);
                return;
        }
        network_server_end_stray(run->files_dir);
        run->ending = false;
        timer_stop(run->patience);
        server_done(run, NULL);
}

/* The launcher is gone: what it left behind serves, or its words say why not. */
static void on_launched(void *arg, int status)
{
        NetworkRun *run = arg;
        AUTOFREE char *why = read_complaint(run->complaint);
        AUTO(Error) err = { 0 };
        pid_t pid = 0;

        run->launcher = child_free(run->launcher);
        fd_close(&run->complaint);
        if (status != 0)
                err_set(&err, ERR_OPERATION_FAILED, "the dnsmasq of network '%s' %s: %s%s", run->net->name,
                        child_status_text(status), why, dnsmasq_advice(why));
        else if (read_pid(run->files_dir, &pid, &err) == 0)
                network_server_adopt(run, pid, 0, &err);
        run->launched_ms = loop_now_ms(run->host->driver->daemon->loop);
        if (run->ending) {
                end_launched(run);
                return;
        }
        timer_stop(run->patience);
        if (run->server && run->reread)
                process_signal(run->server, SIGHUP, NULL);
        run->reread = false;
        if (run->server && run->phase == NETWORK_ACTIVE)
                network_status_save(run, NULL, NULL);
        if (run->server_done) {
                server_done(run, run->server ? NULL : &err);
        } else if (!run->server) {
                log_error("%s", err.text);
                again_later(run);
        }
}

typedef struct Launch {
        const NetworkRun *run;
        pid_t daemon;
} Launch;

/* Until it serves in the background, where the next daemon finds it by its file, it dies with this one. */
static int prepare(void *arg)
{
        const Launch *to = arg;
        const char *const writable[] = { to->run->files_dir, to->run->leases_dir, NULL };

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != to->daemon)
                return -1;
        return confine_server(writable);
}

static int spawn(NetworkRun *run, Error *err)
{
        AUTOFREE char *conf = str_format("--conf-file=%s/conf", run->files_dir), *pid = file_of(run, "pid");
        const char *argv[] = { "dnsmasq", conf, NULL };
        ChildFd fds[1];
        Launch to = { .run = run, .daemon = getpid() };
        ChildSpec spec = {
                .argv = argv, .fds = fds, .n_fds = ARRAY_LEN(fds), .prepare = prepare, .prepare_arg = &to
        };

        if (make_dirs(run, err) < 0)
                return -1;
        unlink(pid); /* of an earlier one */
        run->complaint = memfd_create("dnsmasq-says", MFD_CLOEXEC);
        if (run->complaint < 0)
                return err_errno(err, errno, "no memory for the messages of dnsmasq");
        fds[0] = (ChildFd){ run->complaint, 2 };
        run->launcher = child_new(run->host->driver->daemon->loop, &spec, on_launched, run, err);
        if (run->launcher) {
                timer_set(run->patience, LAUNCH_PATIENCE_MS);
                return 0;
        }
        fd_close(&run->complaint);
        return -1;
}

static void launch(NetworkRun *run)
{
        AUTO(Error) err = { 0 };

        if (run->launcher || run->server)
                return;
        if (spawn(run, &err) == 0)
                return;
        if (run->server_done) {
                server_done(run, &err);
                return;
        }
        log_error("%s", err.text);
        again_later(run);
}

int network_server_adopt(NetworkRun *run, pid_t pid, uint64_t start_ticks, Error *err)
{
        run->server = process_adopt(run->host->driver->daemon->loop, pid, start_ticks, on_server_ended, run, err);
        return run->server ? 0 : -1;
}

void network_server_relaunch(NetworkRun *run)
{
        timer_set(run->again, 0);
}

static void on_late(void *arg);

void network_server_init(NetworkRun *run, Loop *loop)
{
        run->again = timer_new(loop, AGAIN_LATEST_MS, on_again, run);
        run->patience = timer_new(loop, LAUNCH_PATIENCE_MS, on_late, run);
        timer_stop(run->again);
        timer_stop(run->patience);
}

void network_server_let_go(NetworkRun *run)
{
        run->launcher = child_free(run->launcher);
        run->server = process_free(run->server);
        fd_close(&run->complaint);
        run->again = timer_free(run->again);
        run->patience = timer_free(run->patience);
}

/* --- start, stop, change --- */

static void on_written(void *arg, const Error *failure)
{
        NetworkRun *run = arg;

        if (failure)
                server_done(run, failure);
        else
                launch(run);
}

void network_server_start(NetworkRun *run, NetworkDone *done, void *arg)
{
        AUTO(Error) err = { 0 };

        run->server_done = done;
        run->server_arg = arg;
        if (make_dirs(run, &err) < 0)
                server_done(run, &err);
        else
                write_files(run, run->net->live, on_written, run);
}

static void on_late(void *arg)
{
        NetworkRun *run = arg;

        if (run->server)
                process_signal(run->server, SIGKILL, NULL);
        else if (run->launcher)
                child_kill(run->launcher, SIGKILL);
}

/* One that is on its way has to arrive first: what its launcher leaves in the background is known to nobody before. */
void network_server_stop(NetworkRun *run, NetworkDone *done, void *arg)
{
        timer_stop(run->again);
        run->server_done = NULL;
        run->reread = false;
        if (!run->server && !run->launcher) {
                network_server_end_stray(run->files_dir);
                done(arg, NULL);
                return;
        }
        run->server_done = done;
        run->server_arg = arg;
        run->ending = true;
        if (run->server)
                process_signal(run->server, SIGTERM, NULL);
        timer_set(run->patience, PATIENCE_MS);
}

/* A change that needs another process: the one that is there ends first. */
typedef struct Restart {
        NetworkRun *run;
        NetworkDone *done;
        void *arg;
        Error failure;
} Restart;

static void restart_end(Restart *r, const Error *failure)
{
        r->done(r->arg, failure);
        err_done(&r->failure);
        free(r);
}

static void on_put_back(void *arg, const Error *failure)
{
        Restart *r = arg;

        if (failure)
                log_error("network '%s': its dnsmasq is not as it was: %s", r->run->net->name, failure->text);
        launch(r->run); /* unless it was never ended */
        restart_end(r, &r->failure);
}

/* What is in force is served on, from its own files. */
static void put_back(Restart *r, const Error *failure)
{
        err_copy(&r->failure, failure);
        write_files(r->run, r->run->net->live, on_put_back, r);
}

static void on_restarted(void *arg, const Error *failure)
{
        if (failure)
                put_back(arg, failure);
        else
                restart_end(arg, NULL);
}

static void on_stopped_for_change(void *arg, const Error *failure UNUSED)
{
        Restart *r = arg;

        r->run->server_done = on_restarted;
        r->run->server_arg = r;
        launch(r->run);
}

static void on_written_for_change(void *arg, const Error *failure)
{
        Restart *r = arg;

        if (failure)
                put_back(r, failure);
        else
                network_server_stop(r->run, on_stopped_for_change, r);
}

static void on_written_for_reload(void *arg, const Error *failure)
{
        Restart *r = arg;

        if (failure) {
                put_back(r, failure);
                return;
        }
        if (r->run->server)
                process_signal(r->run->server, SIGHUP, NULL);
        r->run->reread = r->run->launcher != NULL; /* it may have read them before */
        restart_end(r, NULL);
}

void network_server_change(NetworkRun *run, const NetworkDef *def, NetworkDone *done, void *arg)
{
        AUTO(Buf) before = { 0 };
        AUTO(Buf) after = { 0 };
        Restart *r = mem_new(Restart);

        *r = (Restart){ .run = run, .done = done, .arg = arg };
        put_config(run, run->net->live, &before);
        put_config(run, def, &after);
        write_files(run, def,
                    str_eq(buf_text(&before), buf_text(&after)) ? on_written_for_reload : on_written_for_change, r);
}

/* Is this process a dnsmasq with our configuration? Numbers are used again. */
static bool is_ours(const char *files_dir, pid_t pid)
{
        AUTOFREE char *path = str_format("/proc/%d/cmdline", pid), *conf = str_format("%s/conf", files_dir);
        AUTO(Buf) line = { 0 };

        return file_read(path, 65536, &line, NULL) == 0 && line.len > 0 &&
               memmem(line.data, line.len, conf, strlen(conf) + 1);
}

void network_server_end_stray(const char *files_dir)
{
        pid_t pid;

        if (read_pid(files_dir, &pid, NULL) == 0 && is_ours(files_dir, pid))
                kill(pid, SIGKILL);
}

/* --- leases --- */

typedef struct LeaseRead {
        Network *net;
        Task *task;
        char *path;
        Buf text;
        Error err;
        NetworkLeases *done;
        void *arg;
} LeaseRead;

/* On a worker. The file is written by a process that we do not trust: it is a plain file, or it is not read. */
static void read_leases(void *data)
{
        LeaseRead *r = data;
        AUTO(Fd) fd = open(r->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0 && errno == ENOENT)
                return;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > DNSMASQ_MOST_LEASE_BYTES) {
                err_set(&r->err, ERR_OPERATION_FAILED, "the file of leases '%s' cannot be read", r->path);
                return;
        }
        for (off_t at = 0; at < st.st_size;) {
                ssize_t n = read(fd, buf_reserve(&r->text, 65536), 65536);

                if (n <= 0)
                        return;
                buf_grow(&r->text, (size_t)n);
                at += n;
        }
}

static void on_leases_read(void *data)
{
        LeaseRead *r = data;
        AUTO(Arena) *arena = arena_new();
        DnsmasqLease *leases = NULL;
        size_t n = 0;

        dnsmasq_parse_leases(buf_text(&r->text), arena, &leases, &n);
        r->done(r->arg, leases, n, err_is_set(&r->err) ? &r->err : NULL);
        task_free(r->task, NULL);
        network_unref(r->net);
        buf_done(&r->text);
        err_done(&r->err);
        free(r->path);
        free(r);
}

void network_server_leases(Network *net, NetworkLeases *done, void *arg)
{
        const NetworkRun *run = network_run(net);
        LeaseRead *r;

        if (!run || !network_has_own_bridge(net->live)) {
                done(arg, NULL, 0, NULL);
                return;
        }
        r = mem_new(LeaseRead);
        *r = (LeaseRead){
                .net = network_ref(net), .path = str_format("%s/leases", run->leases_dir), .done = done, .arg = arg
        };
        r->task = task_new(run->host->driver->daemon->workers, read_leases, on_leases_read, r);
}
