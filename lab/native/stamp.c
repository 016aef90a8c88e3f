/*
 * native/stamp.c - the time at which each line of a guest's serial port arrived
 *
 * A guest's own clocks stand still while it is paused, so only somebody outside can tell how long that was. This
 * listens on a UNIX socket to which QEMU connects the serial port (before a migration the source's QEMU, after it
 * the destination's), and writes "NANOSECONDS CONNECTION LINE" on its standard output, by CLOCK_MONOTONIC. It ends
 * when its input does.
 *
 * While a guest moves there are two connections and one guest, and three things follow:
 *   - a line may begin at the source and end at the destination, since QEMU stops between any two bytes: the
 *     destination's first bytes continue what the source's last left unfinished;
 *   - what the source wrote before it stopped may be seen together with what the destination wrote after that, so the
 *     older connection is always read to its end first;
 *   - what comes on our standard input is for the QEMU that runs the guest, and with two of them only the next one to
 *     speak is known to: the input waits until then. With one it goes there at once, whether it has spoken or not.
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
        MAX_INPUT = 4096,
};

/* Connections, oldest first: polls[i] has the number numbers[i]. */
static struct pollfd polls[POLL_GUESTS + MAX_GUESTS];
static unsigned numbers[POLL_GUESTS + MAX_GUESTS];
static nfds_t n_polls = POLL_GUESTS;
static unsigned n_seen;

static char line[MAX_LINE]; /* of the one serial port, unfinished */
static size_t length;

static char input[MAX_INPUT]; /* waits for a guest that listens */
static size_t n_input;

static int64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int listen_on(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

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

static void on_bytes(unsigned number, const char *bytes, size_t n, int64_t at)
{
        for (size_t i = 0; i < n; i++) {
                if (bytes[i] != '\n' && length < MAX_LINE) {
                        line[length++] = bytes[i];
                        continue;
                }
                while (length && line[length - 1] == '\r')
                        length--;
                printf("%lld %u %.*s\n", (long long)at, number, (int)length, line);
                length = 0;
        }
}

static void input_send(int fd)
{
        for (size_t sent = 0; sent < n_input;) {
                ssize_t n = send(fd, input + sent, n_input - sent, 0);

                if (n < 0 && errno != EINTR)
                        return; /* it has left; the next one is told */
                if (n > 0)
                        sent += (size_t)n;
        }
        n_input = 0;
}

/* Reads all there is, and before it all that older ones have said. false: the connection ended. */
static bool on_guest(nfds_t i)
{
        char bytes[4096];
        ssize_t n;

        while ((n = recv(polls[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
                int64_t at = now_ns();

                input_send(polls[i].fd);
                for (nfds_t older = POLL_GUESTS; older < i; older++)
                        on_guest(older);
                on_bytes(numbers[i], bytes, (size_t)n, at);
        }
        return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_listener(void)
{
        int fd;

        while ((fd = accept(polls[POLL_LISTENER].fd, NULL, NULL)) >= 0) {
                if (n_polls == POLL_GUESTS + MAX_GUESTS) {
                        close(fd);
                        continue;
                }
                if (n_polls == POLL_GUESTS)
                        length = 0; /* a guest that begins anew, not one that moves */
                numbers[n_polls] = ++n_seen;
                polls[n_polls++] = (struct pollfd){ .fd = fd, .events = POLLIN };
        }
}

static void drop_guest(nfds_t i)
{
        on_listener(); /* a destination is connected before its source ends */
        close(polls[i].fd);
        n_polls--;
        memmove(&polls[i], &polls[i + 1], (n_polls - i) * sizeof(polls[0]));
        memmove(&numbers[i], &numbers[i + 1], (n_polls - i) * sizeof(numbers[0]));
}

static void on_guests(void)
{
        for (nfds_t i = POLL_GUESTS; i < n_polls;) {
                if (on_guest(i))
                        i++;
                else
                        drop_guest(i);
        }
}

/* false: the input ended */
static bool on_input(void)
{
        ssize_t n = read(STDIN_FILENO, input + n_input, sizeof(input) - n_input);

        if (n <= 0)
                return false;
        n_input += (size_t)n;
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
                polls[POLL_INPUT].events = n_input < sizeof(input) ? POLLIN : 0;
                if (poll(polls, n_polls, -1) < 0)
                        continue;
                if (polls[POLL_INPUT].revents && !on_input())
                        return 0;
                on_guests();
                on_listener();
                if (n_input && n_polls == POLL_GUESTS + 1)
                        input_send(polls[POLL_GUESTS].fd);
                fflush(stdout);
        }
}
