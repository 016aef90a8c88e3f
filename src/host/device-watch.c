/*
 * host/device-watch.c - the kernel says when devices come, go, change their names or their state
 *
 * Its messages begin with what happened, as "add@/devices/...". Which device
 * came or went is not read from them: whoever wants to know looks at /sys.
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

enum { FROM_KERNEL = 1, LONGEST = 2048 };

#define CHANGE "change@"
#define SYSFS  "/sys"

struct DeviceWatch {
        Fd fd;
        Watch *watch;
        DeviceHappened *happened;
        void *arg;
};

typedef enum Message { MESSAGE_NONE = -1, MESSAGE_OTHER, MESSAGE_DIFFERENT, MESSAGE_CHANGE } Message;

/* One message, as text in ret; none: errno says why. */
static Message read_message(Fd fd, char ret[LONGEST])
{
        static const char *const verbs[] = { "add@", "remove@", "move@" };
        struct sockaddr_nl from = { 0 };
        socklen_t len = sizeof(from);
        /* the rest of it is thrown away */
        ssize_t n = recvfrom(fd, ret, LONGEST - 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len);

        if (n < 0)
                return MESSAGE_NONE;
        ret[n] = '\0';
        if (from.nl_pid != 0)
                return MESSAGE_OTHER;
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
                if (str_starts(ret, verbs[i]))
                        return MESSAGE_DIFFERENT;
        }
        return str_starts(ret, CHANGE) ? MESSAGE_CHANGE : MESSAGE_OTHER;
}

static void tell_changed(const DeviceWatch *w, const char *message)
{
        AUTOFREE char *path = str_format(SYSFS "%s", message + strlen(CHANGE));

        w->happened(w->arg, path);
}

static void on_message(void *arg, uint32_t revents UNUSED)
{
        enum { MOST_A_TURN = 256 };
        DeviceWatch *w = arg;
        char text[LONGEST];
        bool any = false;

        for (int i = 0; i < MOST_A_TURN; i++) {
                Message message = read_message(w->fd, text);

                any = any || message == MESSAGE_DIFFERENT || (message == MESSAGE_NONE && errno == ENOBUFS);
                if (message == MESSAGE_CHANGE)
                        tell_changed(w, text);
                else if (message == MESSAGE_NONE && errno != EINTR && errno != ENOBUFS)
                        break;
        }
        if (any)
                w->happened(w->arg, NULL);
}

DeviceWatch *device_watch_new(Loop *loop, DeviceHappened *happened, void *arg, Error *err)
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
