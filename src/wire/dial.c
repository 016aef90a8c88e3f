/*
 * wire/dial.c - reach the daemon that a URI names
 */
#include "wire/dial.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "loop/child.h"
#include "wire/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
        MOST_ADDRESSES = 16,
        MOST_OUTPUT = 64 * 1024,
        MOST_COMPLAINT = 4096,
        RETRY_MS = 20, /* a socket whose backlog is full */
        MOST_RETRIES = 500,
};

typedef struct Address {
        struct sockaddr_storage at;
        socklen_t len;
} Address;

struct Dial {
        Loop *loop;
        const Uri *uri;
        DialOptions options;
        void (*done)(void *arg, Fd fd, const Error *failure);
        void *arg;
        Idle *start;
        char **sockets; /* unix: what to try */
        size_t socket_at;
        unsigned retries;
        Timer *retry;
        VEC(Address) addresses; /* tcp: what to try */
        size_t address_at;
        Fd fd; /* being connected */
        Watch *watch;
        Child *child; /* getent, ssh or the ext program */
        Fd pipe;      /* what the child says: getent's answer, or complaints */
        Watch *pipe_watch;
        Buf said;
        Error first; /* the most telling failure so far */
        bool first_is_nothing;
};

static void try_sockets(void *arg);
static void try_addresses(Dial *dial);

static void stop_child(Dial *dial)
{
        dial->pipe_watch = watch_free(dial->pipe_watch);
        fd_close(&dial->pipe);
        dial->child = child_free(dial->child);
}

Dial *dial_free(Dial *dial)
{
        if (!dial)
                return NULL;
        stop_child(dial);
        idle_free(dial->start);
        timer_free(dial->retry);
        watch_free(dial->watch);
        fd_close(&dial->fd);
        str_list_free(dial->sockets);
        vec_done(&dial->addresses);
        buf_done(&dial->said);
        err_done(&dial->first);
        free(dial);
        return NULL;
}

static void succeed(Dial *dial, Fd fd)
{
        dial->done(dial->arg, fd, NULL);
}

/* The receiver may free the dial, so the error must not be its own. */
static void fail(Dial *dial, Error *why)
{
        dial->done(dial->arg, -1, why);
}

static void fail_first(Dial *dial)
{
        AUTO(Error) why = { 0 };

        err_move(&why, &dial->first);
        fail(dial, &why);
}

/* Of several failures the first is told, but one that only says that nothing is there gives way. */
static void note_failure(Dial *dial, int errnum, const char *where)
{
        bool nothing_there = errnum == ENOENT || errnum == ECONNREFUSED;

        if (err_is_set(&dial->first) && (nothing_there || !dial->first_is_nothing))
                return;
        dial->first_is_nothing = nothing_there;
        err_set(&dial->first, ERR_SYSTEM, "cannot connect to '%s': %s%s", where, strerror(errnum),
                nothing_there ? "; is the daemon running?" : "");
}

/* --- unix --- */

/* 1: connected, 0: try again soon, -1: try the next. */
static int try_socket(Dial *dial, const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        AUTO(Fd) fd = -1;

        if (strlen(path) >= sizeof(address.sun_path)) {
                note_failure(dial, ENAMETOOLONG, path);
                return -1;
        }
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
                succeed(dial, fd_take(&fd));
                return 1;
        }
        if (errno == EAGAIN && dial->retries++ < MOST_RETRIES)
                return 0;
        note_failure(dial, errno, path);
        return -1;
}

static void try_sockets(void *arg)
{
        Dial *dial = arg;

        while (dial->sockets[dial->socket_at]) {
                int r = try_socket(dial, dial->sockets[dial->socket_at]);

                if (r > 0)
                        return;
                if (r == 0) {
                        if (!dial->retry)
                                dial->retry = timer_new(dial->loop, RETRY_MS, try_sockets, dial);
                        else
                                timer_set(dial->retry, RETRY_MS);
                        return;
                }
                dial->socket_at++;
        }
        if (!err_is_set(&dial->first))
                err_set(&dial->first, ERR_SYSTEM,
                        "a session daemon has its socket below $XDG_RUNTIME_DIR, which is not set");
        fail_first(dial);
}

/* --- tcp --- */

static void next_address(Dial *dial, int errnum)
{
        AUTOFREE char *where = str_format("%s:%u", dial->uri->host, dial->uri->port ?: TRANSPORT_TCP_PORT);

        note_failure(dial, errnum, where);
        dial->watch = watch_free(dial->watch);
        fd_close(&dial->fd);
        dial->address_at++;
        try_addresses(dial);
}

static void on_connected(void *arg, uint32_t revents UNUSED)
{
        Dial *dial = arg;
        int errnum = 0, on = 1;
        socklen_t len = sizeof(errnum);

        if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
                errnum = errno;
        if (errnum) {
                next_address(dial, errnum);
                return;
        }
        dial->watch = watch_free(dial->watch);
        /* calls are small and wait for their answers; a failure only costs time */
        if (setsockopt(dial->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                errnum = errno;
        succeed(dial, fd_take(&dial->fd));
}

static void try_addresses(Dial *dial)
{
        const Address *address;

        if (dial->address_at >= dial->addresses.len) {
                fail_first(dial);
                return;
        }
        address = &dial->addresses.items[dial->address_at];
        dial->fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (dial->fd < 0 ||
            (connect(dial->fd, (const struct sockaddr *)&address->at, address->len) < 0 && errno != EINPROGRESS)) {
                next_address(dial, errno);
                return;
        }
        dial->watch = watch_new(dial->loop, dial->fd, EPOLLOUT, on_connected, dial);
}

/* True when the text is an address; asks nobody. */
static bool add_numeric(Dial *dial, const char *text)
{
        const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
        char port[8];
        struct addrinfo *found = NULL;
        Address address = { 0 };

        snprintf(port, sizeof(port), "%u", dial->uri->port ?: TRANSPORT_TCP_PORT);
        if (getaddrinfo(text, port, &hints, &found) != 0)
                return false;
        if (dial->addresses.len < MOST_ADDRESSES && found->ai_addrlen <= sizeof(address.at)) {
                memcpy(&address.at, found->ai_addr, found->ai_addrlen);
                address.len = found->ai_addrlen;
                vec_push(&dial->addresses, address);
        }
        freeaddrinfo(found);
        return true;
}

/* Lines are "ADDRESS TYPE [NAME]"; each address comes once per type. */
static void read_addresses(Dial *dial)
{
        AUTO_STRLIST lines = str_split(buf_text(&dial->said), "\n");

        for (char **line = lines; *line; line++) {
                AUTO_STRLIST words = str_split(*line, " \t");

                if (str_list_len(words) >= 2 && str_eq(words[1], "STREAM"))
                        add_numeric(dial, words[0]);
        }
}

static void read_pipe(Dial *dial, size_t most)
{
        char chunk[4096];
        ssize_t n;

        while (dial->pipe >= 0 && (n = read(dial->pipe, chunk, sizeof(chunk))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return;
                buf_put(&dial->said, chunk, (size_t)n);
                if (dial->said.len > most)
                        buf_drop(&dial->said, dial->said.len - most);
        }
        dial->pipe_watch = watch_free(dial->pipe_watch);
        fd_close(&dial->pipe);
}

static void on_answer(void *arg, uint32_t revents UNUSED)
{
        read_pipe(arg, MOST_OUTPUT);
}

static void on_looked_up(void *arg, int status)
{
        Dial *dial = arg;
        AUTO(Error) why = { 0 };

        read_pipe(dial, MOST_OUTPUT);
        stop_child(dial);
        if (status == 0)
                read_addresses(dial);
        if (dial->addresses.len) {
                try_addresses(dial);
                return;
        }
        err_set(&why, ERR_SYSTEM, "the host name '%s' cannot be resolved", dial->uri->host);
        fail(dial, &why);
}

/* --- children --- */

static int join_group_of_parent(void *arg UNUSED)
{
        /* a program in another group than the terminal's could not ask for a password */
        return setpgid(0, getpgid(getppid()));
}

/* Start a child whose descriptor `reports` is a pipe to us. */
static int start_child(Dial *dial, const char *const *argv, Fd in_out, int reports,
                       void (*ended)(void *arg, int status), Error *err)
{
        AUTO(Fd) writing = -1;
        int ends[2];
        ChildFd fds[3];
        ChildSpec spec = { .argv = argv, .env = (const char *const *)environ, .fds = fds };

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        dial->pipe = ends[0];
        writing = ends[1];
        if (fd_set_nonblocking(dial->pipe, err) < 0)
                return -1;
        fds[spec.n_fds++] = (ChildFd){ writing, reports };
        if (in_out >= 0) {
                fds[spec.n_fds++] = (ChildFd){ in_out, 0 };
                fds[spec.n_fds++] = (ChildFd){ in_out, 1 };
        }
        if (dial->options.interactive)
                spec.prepare = join_group_of_parent;
        dial->child = child_new(dial->loop, &spec, ended, dial, err);
        if (!dial->child)
                return -1;
        dial->pipe_watch = watch_new(dial->loop, dial->pipe, EPOLLIN, on_answer, dial);
        return 0;
}

static void on_program_ended(void *arg UNUSED, int status UNUSED)
{
        /* its end of the socket pair is closed: the connection notices, and asks dial_explain() why */
}

static int start_program(Dial *dial, Fd *ret, Error *err)
{
        AUTO_STRLIST argv = transport_argv(dial->uri, dial->options.readonly, geteuid() == 0);
        AUTO(Fd) ours = -1, theirs = -1;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return err_errno(err, errno, "cannot make a socket pair");
        ours = ends[0];
        theirs = ends[1];
        if (fd_set_nonblocking(ours, err) < 0 ||
            start_child(dial, (const char *const *)argv, theirs, STDERR_FILENO, on_program_ended, err) < 0)
                return -1;
        *ret = fd_take(&ours);
        return 0;
}

void dial_explain(Dial *dial, Error *err)
{
        const Uri *uri = dial->uri;
        AUTO_STRLIST lines = NULL;
        size_t n;
        bool dropped = false;

        if (uri->transport != URI_SSH && uri->transport != URI_EXT)
                return;
        read_pipe(dial, MOST_COMPLAINT);
        lines = str_split(buf_text(&dial->said), "\r\n");
        n = str_list_len(lines);
        /* MIG-66: what ssh says when it was hung up on before it could say who it is */
        for (size_t i = 0; i < n && uri->transport == URI_SSH; i++)
                dropped = dropped || strstr(lines[i], "kex_exchange_identification");
        if (dropped)
                err_set(err, err->code,
                        "the connection through '%s' ended: %s; an sshd that has MaxStartups connections without a login "
                        "drops more of them (/etc/ssh/sshd_config of %s)",
                        uri->command ?: "ssh", lines[n - 1], uri->host);
        else if (n)
                err_set(err, err->code, "the connection through '%s' ended: %s", uri->command ?: "ssh", lines[n - 1]);
        else
                err_prefix(err, "the connection through '%s' ended", uri->command ?: "ssh");
}

static int start(Dial *dial, Fd *ret, Error *err)
{
        const Uri *uri = dial->uri;
        const char *const lookup[] = { "getent", "ahosts", uri->host, NULL };

        switch (uri->transport) {
        case URI_UNIX:
                dial->sockets = transport_sockets(uri, dial->options.readonly, getenv("XDG_RUNTIME_DIR"));
                try_sockets(dial);
                return 0;
        case URI_TCP:
                if (!add_numeric(dial, uri->host))
                        return start_child(dial, lookup, -1, STDOUT_FILENO, on_looked_up, err);
                try_addresses(dial);
                return 0;
        case URI_SSH:
        case URI_EXT:
                return start_program(dial, ret, err);
        case URI_TLS:
                break;
        }
        return err_set(err, ERR_NO_SUPPORT, "TLS connections are not built in yet; use %s+ssh://%s/ or %s+tcp://%s/",
                       uri->driver, uri->host, uri->driver, uri->host);
}

static void on_start(void *arg)
{
        Dial *dial = arg;
        AUTO(Error) why = { 0 };
        Fd fd = -1;

        dial->start = idle_free(dial->start);
        if (start(dial, &fd, &why) < 0)
                fail(dial, &why);
        else if (fd >= 0)
                succeed(dial, fd);
}

Dial *dial_new(Loop *loop, const Uri *uri, const DialOptions *options,
               void (*done)(void *arg, Fd fd, const Error *failure), void *arg)
{
        Dial *dial = mem_new(Dial);

        *dial = (Dial){
                .loop = loop, .uri = uri, .options = *options, .done = done, .arg = arg, .fd = -1, .pipe = -1
        };
        dial->start = idle_new(loop, on_start, dial);
        return dial;
}
