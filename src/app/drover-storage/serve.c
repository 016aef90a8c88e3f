/*
 * app/drover-storage/serve.c - keep an eye on a running pool
 *
 * The pool is gone through once. From then on the kernel tells what changes in
 * a directory, and the daemon asks when it wants to know a volume as it is now;
 * nothing goes through the whole pool again unless a refresh is asked for, or
 * the kernel's queue ran over.
 */
#include "app/drover-storage/serve.h"

#include "base/map.h"
#include "base/str.h"
#include "img/confine.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        WATCHED = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB,
        MOST_COMMAND = 64 * 1024,
};

typedef struct Server {
        const PoolDef *pool;
        const StorageBackend *backend;
        Fd inotify;          /* -1: nobody tells */
        StorageKnown *known; /* what the daemon has been told */
        Buf commands;
} Server;

static void server_done(Server *server)
{
        fd_close(&server->inotify);
        storage_known_free(server->known);
        buf_done(&server->commands);
}
DEFINE_AUTO_VALUE(Server, server_done)

static void put_record(char kind, const char *fmt, ...) PRINTF(2, 3);

static void put_record(char kind, const char *fmt, ...)
{
        va_list ap;

        putchar(kind);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\0');
}

/* Without the lines and blanks between elements, which cost the daemon a node each. */
static void drop_layout(Buf *xml)
{
        char *to = xml->data;

        for (const char *at = xml->data, *end = at + xml->len; at < end;) {
                const char *next = memchr(at, '>', (size_t)(end - at));
                size_t n = (size_t)((next ? next + 1 : end) - at), blanks = 0;

                memmove(to, at, n);
                to += n;
                at += n;
                if (at < end && *at == '\n')
                        blanks = 1 + strspn(at + 1, " ");
                if (at + blanks == end || at[blanks] == '<')
                        at += blanks;
        }
        *to = '\0';
        xml->len = (size_t)(to - xml->data);
}

static void put_volume(void *arg UNUSED, const VolumeDef *def)
{
        AUTO(Buf) xml = { 0 };

        volume_def_format(def, &xml);
        drop_layout(&xml);
        put_record('V', "%s", buf_text(&xml));
}

static void put_same(void *arg UNUSED, const char *name)
{
        put_record('K', "%s", name);
}

static int put_figures(const Server *server, Error *err)
{
        StorageFigures figures = { 0 };

        if (server->backend->figures && server->backend->figures(server->pool, &figures, err) < 0)
                return -1;
        put_record('F', "%llu %llu %llu", (unsigned long long)figures.capacity,
                   (unsigned long long)figures.allocation, (unsigned long long)figures.available);
        return 0;
}

static int scan(const Server *server, Error *err)
{
        const StorageBackend *backend = server->backend;

        put_record('S', "%s", "");
        if ((backend->rescan ? backend->rescan(server->pool, server->known, put_volume, put_same, NULL, err)
                             : backend->scan(server->pool, put_volume, NULL, err)) < 0)
                return -1;
        return put_figures(server, err);
}

/* The daemon is told how a scan ends that it did not ask for: one that is not over when it failed forgets volumes. */
static void scan_unasked(const Server *server)
{
        AUTO(Error) err = { 0 };

        if (scan(server, &err) < 0)
                put_record('E', "0 %d %s", (int)err.code, err.text);
}

static int look(const Server *server, const char *name, Error *err)
{
        AUTO(VolumeDef) *def = NULL;

        if (!server->backend->look)
                return scan(server, err);
        if (server->backend->look(server->pool, name, &def, err) < 0)
                return -1;
        if (def)
                put_volume(NULL, def);
        else
                put_record('G', "%s", name);
        return 0;
}

/* --- commands --- */

static void run_command(const Server *server, const char *text)
{
        const char *verb = strchr(text, ' ');
        AUTOFREE char *number = verb ? str_dup_n(text, (size_t)(verb - text)) : str_dup("0");
        AUTO(Error) err = { 0 };
        int r;

        if (verb && str_starts(verb, " look "))
                r = look(server, verb + strlen(" look "), &err);
        else if (verb && str_eq(verb, " figures"))
                r = put_figures(server, &err);
        else
                r = scan(server, &err);
        if (r < 0)
                put_record('E', "%s %d %s", number, (int)err.code, err.text);
        else
                put_record('D', "%s", number);
}

/* 1: go on, 0: the daemon is gone. */
static int read_commands(Server *server)
{
        ssize_t n = read(STDIN_FILENO, buf_reserve(&server->commands, MOST_COMMAND), MOST_COMMAND);
        char *end;

        if (n <= 0)
                return n < 0 && errno == EINTR;
        buf_grow(&server->commands, (size_t)n);
        while (server->commands.len && (end = memchr(server->commands.data, '\0', server->commands.len))) {
                size_t used = (size_t)(end - server->commands.data) + 1;

                run_command(server, server->commands.data);
                buf_drop(&server->commands, used);
        }
        return 1;
}

/* --- what the kernel tells --- */

/* A file that is written often is told often: each name once a turn. */
static void read_changes(const Server *server)
{
        char data[64 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n = read(server->inotify, data, sizeof(data));
        AUTO(Map) *seen = map_new();
        AUTO(Error) err = { 0 };
        static char mark;

        for (ssize_t at = 0; at < n;) {
                const struct inotify_event *event = (const void *)(data + at);

                at += (ssize_t)(sizeof(*event) + event->len);
                if (event->mask & IN_Q_OVERFLOW) {
                        scan_unasked(server);
                        return;
                }
                if (event->len && !map_put_text(seen, event->name, &mark))
                        look(server, event->name, NULL);
        }
        if (n > 0)
                put_figures(server, &err);
}

static void watch_directory(Server *server)
{
        struct stat st;

        if (!pool_type_is_directory(server->pool->type))
                return;
        if (stat(server->pool->target_path, &st) == 0)
                put_record('I', "%llu %llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        server->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        /* without it a refresh is needed, as on servers whose changes nobody tells */
        if (server->inotify >= 0)
                inotify_add_watch(server->inotify, server->pool->target_path, WATCHED | IN_ONLYDIR);
}

/* Such a pool needs none of the host's programs once it is started. */
static bool reads_images(PoolType type)
{
        return pool_type_is_directory(type) || type == POOL_TYPE_GLUSTER;
}

int serve(const PoolDef *pool, const StorageBackend *backend, bool starts, bool busy, Error *err)
{
        AUTO(Server) server = { .pool = pool, .backend = backend, .inotify = -1, .known = storage_known_new() };
        static char records[256 * 1024]; /* a large pool wakes the daemon seldom */
        bool started = true;

        setvbuf(stdout, records, _IOFBF, sizeof(records));
        if (!starts && backend->is_started && backend->is_started(pool, &started, err) < 0)
                return -1;
        if (!started)
                return err_set(err, ERR_OPERATION_INVALID, "storage pool '%s' is not active", pool->name);
        if (starts && backend->start && backend->start(pool, err) < 0)
                return -1;
        storage_unmark_tools(); /* what only looks goes with us */
        /* what cannot be removed yet is no volume all the same, and tried again next time */
        if (backend->tidy && !busy)
                backend->tidy(pool, NULL);
        watch_directory(&server);
        /* from here on bytes from strangers are read; other kinds of pools run the host's programs */
        if (reads_images(pool->type) &&
            image_confine(&(Confinement){ .may_open = true, .memory_bytes = 1ULL << 30 }, err) < 0)
                return -1;
        if (scan(&server, err) < 0)
                return -1;
        put_record('D', "0");
        for (;;) {
                struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                                        { .fd = server.inotify, .events = POLLIN } };

                fflush(stdout);
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return err_errno(err, errno, "cannot wait");
                if (fds[1].revents & POLLIN)
                        read_changes(&server);
                if (fds[0].revents && !read_commands(&server))
                        return 0;
        }
}
