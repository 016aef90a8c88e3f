/*
 * app/drover-nbd/listen.c - the sockets that clients connect to
 */
#include "app/drover-nbd/listen.h"

#include "base/service.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_PASSED = 16, BACKLOG = 128 };

static int put_listening(Sockets *sockets, Fd *fd, const char *name, Error *err)
{
        if (listen(*fd, BACKLOG) < 0 || fd_set_nonblocking(*fd, err) < 0)
                return err_errno(err, errno, "cannot listen on '%s'", name);
        vec_push(&sockets->fds, fd_take(fd));
        return 0;
}

/* A socket where nobody answers is left from a server that was killed. A file refuses connections too, and is no such. */
static bool is_stale(const struct sockaddr_un *address)
{
        AUTO(Fd) fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct stat st;

        return fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
               connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
}

static int open_unix(Sockets *sockets, const char *path, Error *err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        AUTO(Fd) fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return err_errno(err, errno, "cannot make a socket");
        if (strlen(path) >= sizeof(address.sun_path))
                return err_set(err, ERR_INVALID_ARG, "the name of the socket '%s' is longer than %zu bytes", path,
                               sizeof(address.sun_path) - 1);
        strcpy(address.sun_path, path);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                if (errno != EADDRINUSE)
                        return err_errno(err, errno, "Failed to bind socket to %s", path);
                if (!is_stale(&address))
                        return err_errno(err, EADDRINUSE, "Failed to bind socket to %s", path);
                if (unlink(path) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                        return err_errno(err, errno, "Failed to bind socket to %s", path);
        }
        sockets->is_file = true;
        return put_listening(sockets, &fd, path, err);
}

static int open_address(Sockets *sockets, const struct addrinfo *address, const char *name, Error *err)
{
        AUTO(Fd) fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int on = 1;

        if (fd < 0)
                return errno == EAFNOSUPPORT ? 0 : err_errno(err, errno, "cannot make a socket");
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        /* The same port of the older protocol has a socket of its own. */
        if (address->ai_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bind(fd, address->ai_addr, address->ai_addrlen) < 0)
                return errno == EADDRNOTAVAIL && address->ai_next
                               ? 0
                               : err_errno(err, errno, "Failed to bind socket to %s", name);
        return put_listening(sockets, &fd, name, err);
}

static int open_tcp(Sockets *sockets, const ServeOptions *o, Error *err)
{
        struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *found = NULL;
        const char *host = o->address ?: (o->tls ? NULL : "127.0.0.1"), *port = o->port ?: "10809";
        AUTOFREE char *name = str_format("%s:%s", host ?: "*", port);
        int r = getaddrinfo(host, port, &hints, &found);

        if (r)
                return err_set(err, ERR_INVALID_ARG, "cannot listen on '%s': %s", name, gai_strerror(r));
        if (!o->tls && o->address && !str_starts(o->address, "127.") && !str_eq(o->address, "::1") &&
            !str_eq(o->address, "localhost"))
                fprintf(stderr,
                        "drover-img: warning: everybody who can reach %s can use this disk: --tls-creds would "
                        "ask who it is\n",
                        name);
        r = 0;
        for (const struct addrinfo *each = found; each && r == 0; each = each->ai_next)
                r = open_address(sockets, each, name, err);
        freeaddrinfo(found);
        if (r == 0 && !sockets->fds.len)
                r = err_set(err, ERR_SYSTEM, "there is no address to listen on for '%s'", name);
        return r;
}

static int take_passed(Sockets *sockets, uint32_t n, const ServeOptions *o, Error *err)
{
        if (o->socket_path || o->port || o->address || o->use_stdin)
                return err_set(err, ERR_INVALID_ARG,
                               "sockets were passed in: --socket, --port, --bind and --stdin cannot "
                               "be given");
        if (n > MOST_PASSED)
                return err_set(err, ERR_INVALID_ARG, "%u sockets were passed in, %d can be listened on", n,
                               MOST_PASSED);
        for (int fd = SERVICE_FIRST_FD; fd < SERVICE_FIRST_FD + (int)n; fd++) {
                int listens = 0;
                socklen_t size = sizeof(listens);

                if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
                        return err_set(err, ERR_INVALID_ARG,
                                       "descriptor %d, passed in by LISTEN_FDS, does not listen", fd);
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fd_set_nonblocking(fd, err) < 0)
                        return err_errno(err, errno, "cannot take over descriptor %d", fd);
                vec_push(&sockets->fds, fd);
        }
        return 0;
}

static int check_stdin(Error *err)
{
        int type;
        socklen_t size = sizeof(type);

        if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
                return err_errno(err, errno,
                                 "standard input is no socket: --stdin serves the client that is connected to it");
        return 0;
}

int sockets_open(Sockets *sockets, const ServeOptions *o, Error *err)
{
        uint32_t passed = service_count_sockets();

        *sockets = (Sockets){ 0 };
        if (passed)
                return take_passed(sockets, passed, o, err);
        if (o->use_stdin)
                return check_stdin(err);
        return o->socket_path ? open_unix(sockets, o->socket_path, err) : open_tcp(sockets, o, err);
}

void sockets_done(Sockets *sockets, const ServeOptions *o)
{
        for (size_t i = 0; i < sockets->fds.len; i++)
                fd_close(&sockets->fds.items[i]);
        if (sockets->is_file)
                unlink(o->socket_path);
        vec_done(&sockets->fds);
}
