/*
 * base/service.c - the environment that a service manager makes
 *
 * The variables name the process they are for, so they may stay: a child that inherits them takes nothing for its own.
 */
#include "base/service.h"

#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

uint32_t service_count_sockets(void)
{
        const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
        uint32_t number, n;

        if (!pid || !count || str_to_u32(pid, &number) < 0 || number != (uint32_t)getpid() ||
            str_to_u32(count, &n) < 0)
                return 0;
        return n;
}

char *service_socket_name(uint32_t i)
{
        const char *name = getenv("LISTEN_FDNAMES") ?: "";

        for (; i; i--) {
                name += strcspn(name, ":");
                if (*name)
                        name++;
        }
        return str_dup_n(name, strcspn(name, ":"));
}

int service_notify(const char *state, Error *err)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = path ? strlen(path) : 0;
        AUTO(Fd) fd = -1;

        if (!length)
                return 0;
        if ((*path != '/' && *path != '@') || length >= sizeof(address.sun_path))
                return err_set(err, ERR_INVALID_ARG, "NOTIFY_SOCKET: '%s' is not the name of a socket", path);
        memcpy(address.sun_path, path, length);
        if (*path == '@')
                address.sun_path[0] = '\0'; /* a name without a file, which ends where it ends */
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
                return err_errno(err, errno, "cannot tell '%s' that %s", path, state);
        return 0;
}
