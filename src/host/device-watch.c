/*
 * host/device-watch.c - the kernel says when devices come, go or change their names
 *
 * Its messages begin with what happened, as "add@/devices/...". Which device it
 * was is not read from them: whoever wants to know looks at /sys.
 */
#include "host/device-watch.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FROM_KERNEL = 1, LONGEST_VERB = 16 };

struct DeviceWatch {
        Fd fd;
        Watch *watch;
        void (*happened)(void *arg);
        void *arg;
};

/* One message; 1: it is of interest, 0: it is not, -1: there is none, with errno. */
static int read_message(Fd fd)
{
        static const char *const verbs[] = { "add@", "remove@", "move@" };
        char verb[LONGEST_VERB] = "";
        struct sockaddr_nl from = { 0 };
        socklen_t len = sizeof(from);
        /* the rest of it is thrown away */
        ssize_t n = recvfrom(fd, verb, sizeof(verb) - 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len);

        if (n < 0)
                return -1;
        verb[n] = '\0';
        for (size_t i = 0; i < ARRAY_LEN(verbs) && from.nl_pid == 0; i++) {
                if (str_starts(verb, verbs[i]))
                        return 1;
        }
        return 0;
}

static void on_message(void *arg, uint32_t revents UNUSED)
{
        enum { MOST_A_TURN = 256 };
        DeviceWatch *w = arg;
        bool any = false;

        for (int i = 0; i < MOST_A_TURN; i++) {
                int r = read_message(w->fd);

                any = any || r > 0 || (r < 0 && errno == ENOBUFS);
                if (r < 0 && errno != EINTR && errno != ENOBUFS)
                        break;
        }
        if (any)
                w->happened(w->arg);
}

DeviceWatch *device_watch_new(Loop *loop, void (*happened)(void *arg), void *arg, Error *err)
{
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = FROM_KERNEL };
        AUTO(DeviceWatch) *w = mem_new(DeviceWatch);

        *w = (DeviceWatch){ .happened = happened, .arg = arg };
        w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
        if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                err_errno(err, errno, "cannot hear of this host's devices");
                return NULL;
        }
        w->watch = watch_new(loop, w->fd, EPOLLIN, on_message, w);
        return TAKE(w);
}

DeviceWatch *device_watch_free(DeviceWatch *w)
{
        if (!w)
                return NULL;
        watch_free(w->watch);
        fd_close(&w->fd);
        free(w);
        return NULL;
}
