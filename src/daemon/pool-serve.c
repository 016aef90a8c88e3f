/*
 * daemon/pool-serve.c - the process that keeps an eye on a running pool
 */
#include "daemon/pool-serve.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/helper.h"
#include "daemon/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
        POOL_FD = 3,
        LOGIN_FD = 8,
        LOCK_FD = 9,
        CHUNK = 128 * 1024,
        MOST_RECORD = 256 * 1024,
        PIPE = 1024 * 1024,
};

typedef struct Request {
        unsigned number;
        DriverDone *done;
        void *arg;
} Request;

struct PoolServe {
        Pool *pool;
        Helper *helper;
        Fd to, from;
        Watch *watch;
        Timer *patience;
        Buf records;
        VEC(Request) requests; /* number 0: the start */
        unsigned last_number;
        bool gone; /* the process ended */
};

static uint64_t patience_ms(const PoolServe *serve)
{
        return (uint64_t)serve->pool->storage->driver->daemon->config->storage_timeout * 1000;
}

/* Whoever asked may free the serve, so the request leaves first. */
static void answer(PoolServe *serve, size_t i, const Error *failure)
{
        Request request = serve->requests.items[i];

        vec_remove(&serve->requests, i);
        if (!serve->requests.len)
                timer_stop(serve->patience);
        request.done(request.arg, failure);
}

static void fail_all(PoolServe *serve, const Error *failure)
{
        VEC(Request) waiting = { 0 };

        for (size_t i = 0; i < serve->requests.len; i++)
                vec_push(&waiting, serve->requests.items[i]);
        serve->requests.len = 0;
        timer_stop(serve->patience);
        for (size_t i = 0; i < waiting.len; i++)
                waiting.items[i].done(waiting.items[i].arg, failure);
        vec_done(&waiting);
}

static void on_silent(void *arg)
{
        PoolServe *serve = arg;
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_TIMEOUT,
                "storage pool '%s' is not responding: nothing was heard of '%s' for %d seconds", serve->pool->name,
                serve->pool->live ? serve->pool->live->target_path ?: serve->pool->name : serve->pool->name,
                serve->pool->storage->driver->daemon->config->storage_timeout);
        fail_all(serve, &err);
}

/* --- records --- */

static void take_volume(Pool *pool, const char *xml)
{
        AUTO(Error) err = { 0 };
        VolumeDef *def;

        if (volume_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0)
                log_warning("storage pool '%s': a volume is left out: %s", pool->name, err.text);
        else
                pool_put_volume(pool, def);
}

static void take_figures(Pool *pool, const char *text)
{
        unsigned long long capacity, allocation, available;

        if (sscanf(text, "%llu %llu %llu", &capacity, &allocation, &available) != 3)
                return;
        pool->capacity = capacity;
        pool->allocation = allocation;
        pool->available = available;
        if (pool->scanning)
                pool_end_scan(pool);
}

/*
 * Definitions tell two spellings of a directory apart, links and all; the kernel does not. Hosts may have such pools for
 * reasons of their own, so it is said and not refused.
 */
static void take_identity(Pool *pool, const char *text)
{
        const Registry *all = pool->storage->pools;
        unsigned long long device, inode;

        if (sscanf(text, "%llu %llu", &device, &inode) != 2)
                return;
        pool->device = device;
        pool->inode = inode;
        for (size_t i = 0; pool->live && i < registry_len(all); i++) {
                const Pool *other = registry_at(all, i);

                if (other != pool && other->live && other->device == device && other->inode == inode)
                        log_warning(
                                "storage pools '%s' and '%s' are one directory, '%s' and '%s': each shows the other's "
                                "volumes, and neither waits for what the other does with them",
                                other->name, pool->name, other->live->target_path, pool->live->target_path);
        }
}

static void take_answer(PoolServe *serve, const char *text, bool failed)
{
        AUTO(Pool) *pool = pool_ref(serve->pool);
        AUTO(Error) err = { 0 };
        char *end;
        unsigned long number = strtoul(text, &end, 10);

        if (failed) {
                helper_error(*end == ' ' ? end + 1 : end, &err);
                serve->pool->scanning = false;
        }
        /* several may wait for the start */
        for (size_t i = 0; pool->serve == serve && i < serve->requests.len;) {
                if (serve->requests.items[i].number == number)
                        answer(serve, i, failed ? &err : NULL);
                else
                        i++;
        }
}

static void take_record(PoolServe *serve, char kind, const char *text)
{
        switch (kind) {
        case 'V':
                take_volume(serve->pool, text);
                return;
        case 'K':
                pool_see_volume(serve->pool, text);
                return;
        case 'G':
                pool_drop_volume(serve->pool, text);
                return;
        case 'S':
                pool_begin_scan(serve->pool);
                return;
        case 'F':
                take_figures(serve->pool, text);
                return;
        case 'I':
                take_identity(serve->pool, text);
                return;
        case 'D':
        case 'E':
                take_answer(serve, text, kind == 'E');
        }
}

static void close_pipe(PoolServe *serve)
{
        serve->watch = watch_free(serve->watch);
        fd_close(&serve->from);
}

static void on_records(void *arg, uint32_t revents UNUSED)
{
        PoolServe *serve = arg;
        AUTO(Pool) *pool = pool_ref(serve->pool);
        ssize_t n = read(serve->from, buf_reserve(&serve->records, CHUNK), CHUNK);
        size_t used = 0;

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0 || serve->records.len + (size_t)n > MOST_RECORD + CHUNK) {
                close_pipe(serve);
                return;
        }
        buf_grow(&serve->records, (size_t)n);
        if (serve->requests.len)
                timer_set(serve->patience, patience_ms(serve));
        /* an answer may end the pool, and this with it */
        for (char *end; pool->serve == serve && used < serve->records.len &&
                        (end = memchr(serve->records.data + used, '\0', serve->records.len - used));) {
                const char *record = serve->records.data + used;

                used = (size_t)(end - serve->records.data) + 1;
                take_record(serve, record[0], record[0] ? record + 1 : record);
        }
        if (pool->serve == serve)
                buf_drop(&serve->records, used);
}

bool pool_serve_is_starting(const PoolServe *serve)
{
        return serve->requests.len && !serve->requests.items[0].number;
}

static void on_ended(void *arg, Buf *said UNUSED, const Error *failure)
{
        PoolServe *serve = arg;
        AUTO(Pool) *pool = pool_ref(serve->pool);
        bool was_ready = !pool_serve_is_starting(serve);
        AUTO(Error) err = { 0 };

        serve->gone = true;
        if (failure)
                err_copy(&err, failure);
        else
                err_set(&err, ERR_OPERATION_FAILED, "the process that watches it ended");
        log_debug("storage pool '%s': %s", pool->name, err.text);
        fail_all(serve, &err);
        /* whoever was told may have stopped the pool */
        if (was_ready && pool->serve == serve)
                pool_watch_again(pool, &err);
}

/* --- asking --- */

static void add_request(PoolServe *serve, unsigned number, DriverDone *done, void *arg)
{
        vec_push(&serve->requests, ((Request){ number, done, arg }));
        if (!timer_is_armed(serve->patience))
                timer_set(serve->patience, patience_ms(serve));
}

static void ask(PoolServe *serve, const char *what, const char *name, DriverDone *done, void *arg)
{
        size_t most = MAX(4U, (size_t)serve->pool->storage->driver->daemon->config->max_workers / 4);
        AUTOFREE char *text = str_format("%u %s%s", ++serve->last_number, what, name);
        AUTO(Error) err = { 0 };

        if (serve->gone)
                err_set(&err, ERR_OPERATION_FAILED, "the process that watched storage pool '%s' has just ended",
                        serve->pool->name);
        else if (serve->requests.len >= most || write(serve->to, text, strlen(text) + 1) != (ssize_t)strlen(text) + 1)
                err_set(&err, ERR_OPERATION_TIMEOUT,
                        "storage pool '%s' is not responding: %zu calls wait for it already", serve->pool->name,
                        serve->requests.len);
        if (err_is_set(&err))
                done(arg, &err);
        else
                add_request(serve, serve->last_number, done, arg);
}

void pool_serve_scan(PoolServe *serve, DriverDone *done, void *arg)
{
        ask(serve, "scan", "", done, arg);
}

void pool_serve_look(PoolServe *serve, const char *name, DriverDone *done, void *arg)
{
        ask(serve, "look ", name, done, arg);
}

void pool_serve_figures(PoolServe *serve, DriverDone *done, void *arg)
{
        ask(serve, "figures", "", done, arg);
}

bool pool_serve_wait(PoolServe *serve, DriverDone *done, void *arg)
{
        if (!pool_serve_is_starting(serve))
                return false;
        add_request(serve, 0, done, arg);
        return true;
}

bool pool_serve_lives(const PoolServe *serve)
{
        return !serve->gone;
}

/* --- its life --- */

static int start(PoolServe *serve, bool starts, Error *err)
{
        /* volumes that are being made look like what a crash left behind */
        const char *word = starts ? "start" : serve->pool->tasks ? "busy" : NULL;
        const char *argv[] = { serve->pool->storage->program, "serve", word, NULL };
        AUTO(Buf) xml = { 0 };
        AUTO(Fd) pool = -1;
        AUTO(Fd) login = -1;
        AUTO(Fd) lock = -1;
        AUTO(Fd) its_in = -1;
        AUTO(Fd) its_out = -1;
        int in[2], out[2];

        if (pool_open_login(serve->pool, &login, starts ? err : NULL) < 0 && starts)
                return -1;
        pool_def_format(serve->pool->live, DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, &xml);
        if (helper_text_fd(&xml, &pool, err) < 0)
                return -1;
        if (pool_open_lock(serve->pool, &lock, err) < 0)
                return -1;
        if (pipe2(in, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        its_in = in[0];
        serve->to = in[1];
        if (pipe2(out, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        serve->from = out[0];
        its_out = out[1];
        fcntl(serve->from, F_SETPIPE_SZ, PIPE); /* less is slower, and as good */
        if (fd_set_nonblocking(serve->to, err) < 0 || fd_set_nonblocking(serve->from, err) < 0)
                return -1;
        serve->helper = helper_new(serve->pool->storage->driver->daemon->loop,
                                   &(HelperSpec){ .argv = argv,
                                                  .fds = (const ChildFd[]){ { its_in, STDIN_FILENO },
                                                                            { its_out, STDOUT_FILENO },
                                                                            { pool, POOL_FD },
                                                                            { lock, LOCK_FD },
                                                                            { login, LOGIN_FD } },
                                                  .n_fds = login < 0 ? 4 : 5,
                                                  .numbered = true },
                                   on_ended, serve, err);
        return serve->helper ? 0 : -1;
}

PoolServe *pool_serve_new(Pool *pool, bool starts, DriverDone *ready, void *arg, Error *err)
{
        Loop *loop = pool->storage->driver->daemon->loop;
        PoolServe *serve = mem_new(PoolServe);

        *serve = (PoolServe){ .pool = pool, .to = -1, .from = -1 };
        serve->patience = timer_new(loop, 0, on_silent, serve);
        timer_stop(serve->patience);
        if (start(serve, starts, err) < 0)
                return pool_serve_free(serve);
        serve->watch = watch_new(loop, serve->from, EPOLLIN, on_records, serve);
        add_request(serve, 0, ready, arg);
        return serve;
}

PoolServe *pool_serve_free(PoolServe *serve)
{
        AUTO(Error) err = { 0 };

        if (!serve)
                return NULL;
        if (serve->pool->serve == serve)
                serve->pool->serve = NULL;
        err_set(&err, ERR_OPERATION_ABORTED, "storage pool '%s' was stopped", serve->pool->name);
        fail_all(serve, &err);
        helper_free(serve->helper);
        close_pipe(serve);
        fd_close(&serve->to);
        timer_free(serve->patience);
        buf_done(&serve->records);
        vec_done(&serve->requests);
        free(serve);
        return NULL;
}
