/*
 * native/stamp.c - the time at which each line of a guest's serial port arrived
 *
 * A guest's own clocks stand still while it is paused, so only somebody outside can tell how long that was. This
 * listens on a UNIX socket to which QEMU connects the serial port (before a migration the source's QEMU, after it
 * the destination's), and writes "NANOSECONDS CONNECTION LINE" on its standard output, by CLOCK_MONOTONIC. What
 * comes on its standard input goes to the connection that spoke last. It ends when its input does.
 *
 * usage: stamp SOCKET
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
        POLL_INPUT,
        POLL_LISTENER,
        POLL_GUESTS,
        MAX_GUESTS = 64,
        MAX_LINE = 1024,
};

typedef struct Guest {
        char line[MAX_LINE];
        size_t length;
        unsigned number;
} Guest;

static struct pollfd polls[POLL_GUESTS + MAX_GUESTS];
static Guest guests[POLL_GUESTS + MAX_GUESTS];
static nfds_t n_polls = POLL_GUESTS;
static unsigned n_seen, last_speaker;

static int64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int listen_on(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path)) {
                fprintf(stderr, "stamp: the socket's path is too long: %s\n", path);
                return -1;
        }
        strcpy(address.sun_path, path);
        unlink(path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0 ||
            chmod(path, 0666) < 0) {
                fprintf(stderr, "stamp: cannot listen on %s: %s\n", path, strerror(errno));
                return -1;
        }
        return fd;
}

static void on_bytes(Guest *guest, const char *bytes, size_t n, int64_t at)
{
        for (size_t i = 0; i < n; i++) {
                if (bytes[i] != '\n' && guest->length < MAX_LINE) {
                        guest->line[guest->length++] = bytes[i];
                        continue;
                }
                while (guest->length && guest->line[guest->length - 1] == '\r')
                        guest->length--;
                printf("%lld %u %.*s\n", (long long)at, guest->number, (int)guest->length, guest->line);
                guest->length = 0;
        }
}

static void on_guest(nfds_t i)
{
        char bytes[16384];
        ssize_t n = read(polls[i].fd, bytes, sizeof(bytes));

        if (n > 0) {
                last_speaker = guests[i].number;
                on_bytes(&guests[i], bytes, (size_t)n, now_ns());
                return;
        }
        close(polls[i].fd);
        n_polls--;
        memmove(&polls[i], &polls[i + 1], (n_polls - i) * sizeof(polls[0]));
        memmove(&guests[i], &guests[i + 1], (n_polls - i) * sizeof(guests[0]));
}

static void on_listener(void)
{
        int fd = accept(polls[POLL_LISTENER].fd, NULL, NULL);

        if (fd < 0)
                return;
        if (n_polls == POLL_GUESTS + MAX_GUESTS) {
                close(fd);
                return;
        }
        guests[n_polls] = (Guest){ .number = ++n_seen };
        polls[n_polls++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* false: the input ended */
static bool on_input(void)
{
        char bytes[4096];
        ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

        if (n <= 0)
                return false;
        for (nfds_t i = POLL_GUESTS; i < n_polls; i++)
                if (guests[i].number == last_speaker && write(polls[i].fd, bytes, (size_t)n) < 0)
                        fprintf(stderr, "stamp: the guest does not listen: %s\n", strerror(errno));
        return true;
}

int main(int argc, char **argv)
{
        if (argc != 2) {
                fprintf(stderr, "usage: stamp SOCKET\n");
                return 2;
        }
        signal(SIGPIPE, SIG_IGN);
        polls[POLL_INPUT] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
        polls[POLL_LISTENER] = (struct pollfd){ .fd = listen_on(argv[1]), .events = POLLIN };
        if (polls[POLL_LISTENER].fd < 0)
                return 1;

        for (;;) {
                if (poll(polls, n_polls, -1) < 0)
                        continue;
                if (polls[POLL_INPUT].revents && !on_input())
                        return 0;
                for (nfds_t i = n_polls; i > POLL_GUESTS; i--)
                        if (polls[i - 1].revents)
                                on_guest(i - 1);
                if (polls[POLL_LISTENER].revents)
                        on_listener();
                fflush(stdout);
        }
}
