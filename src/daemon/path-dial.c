/*
 * daemon/path-dial.c - connect to a unix socket at a path that a user named
 */
#include "daemon/path-dial.h"

#include "base/mem.h"
#include "base/str.h"
#include "loop/child.h"
#include "qemu/qmp-client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 10 * 1000, SOCKET_FD = 3 };

struct PathDial {
        Fd fd;
        struct sockaddr_un address;
        Child *child;
        Idle *connected;
        Timer *patience;
        void (*done)(void *arg, Fd fd, const Error *failure);
        void *arg;
};

PathDial *path_dial_free(PathDial *dial)
{
        if (!dial)
                return NULL;
        child_free(dial->child);
        idle_free(dial->connected);
        timer_free(dial->patience);
        fd_close(&dial->fd);
        free(dial);
        return NULL;
}

/* In the child: its whole life. */
static int connect_there(void *arg)
{
        const PathDial *dial = arg;

        _exit(connect(SOCKET_FD, (const struct sockaddr *)&dial->address, sizeof(dial->address)) < 0 ? errno : 0);
}

static void on_started(void *arg UNUSED, const Error *why UNUSED)
{
        /* it never gets to an exec */
}

static void on_ended(void *arg, int status)
{
        PathDial *dial = arg;
        AUTO(Error) err = { 0 };

        dial->patience = timer_free(dial->patience);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
                dial->done(dial->arg, fd_take(&dial->fd), NULL);
                return;
        }
        if (WIFEXITED(status))
                err_errno(&err, WEXITSTATUS(status), "cannot connect to '%s'", dial->address.sun_path);
        else
                err_set(&err, ERR_OPERATION_FAILED, "cannot connect to '%s': the child %s", dial->address.sun_path,
                        child_status_text(status));
        dial->done(dial->arg, -1, &err);
}

static void on_late(void *arg)
{
        PathDial *dial = arg;
        AUTO(Error) late = { 0 };

        dial->child = child_free(dial->child);
        err_set(&late, ERR_OPERATION_TIMEOUT, "'%s' does not answer", dial->address.sun_path);
        dial->done(dial->arg, -1, &late);
}

PathDial *path_dial_new(Loop *loop, const char *path, void (*done)(void *arg, Fd fd, const Error *failure), void *arg,
                        Error *err)
{
        static const char *const argv[] = { "drover-connect", NULL };
        AUTO(PathDial) *dial = mem_new(PathDial);
        ChildFd fds[] = { { -1, SOCKET_FD } };
        ChildSpec spec = { .argv = argv,
                           .fds = fds,
                           .n_fds = 1,
                           .prepare = connect_there,
                           .prepare_arg = dial,
                           .started = on_started };

        *dial = (PathDial){ .fd = -1, .address = { .sun_family = AF_UNIX }, .done = done, .arg = arg };
        if (strlen(path) >= sizeof(dial->address.sun_path)) {
                err_set(err, ERR_INVALID_ARG, "the path of the socket '%s' is too long", path);
                return NULL;
        }
        strcpy(dial->address.sun_path, path);
        dial->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (dial->fd < 0) {
                err_errno(err, errno, "cannot make a socket");
                return NULL;
        }
        fds[0].fd = dial->fd;
        dial->child = child_new(loop, &spec, on_ended, dial, err);
        if (!dial->child)
                return NULL;
        dial->patience = timer_new(loop, PATIENCE_MS, on_late, dial);
        return TAKE(dial);
}

static void on_connected(void *arg)
{
        PathDial *dial = arg;

        dial->connected = idle_free(dial->connected);
        dial->done(dial->arg, fd_take(&dial->fd), NULL);
}

PathDial *path_dial_own(Loop *loop, const char *path, void (*done)(void *arg, Fd fd, const Error *failure), void *arg,
                        Error *err)
{
        AUTO(PathDial) *dial = mem_new(PathDial);

        *dial = (PathDial){ .fd = -1, .done = done, .arg = arg };
        if (qmp_client_connect(path, &dial->fd, err) < 0)
                return NULL;
        dial->connected = idle_new(loop, on_connected, dial);
        return TAKE(dial);
}
