/*
 * bench/hammer.c - calls per second and time per call, with as little client as possible
 *
 * usage: hammer call SOCKET CONNECTIONS CALLS FRAMES    every connection sends all frames but the last once, then the
 *                                                       last again and again, each after the reply to the one before
 *        hammer open SOCKET COUNT FRAMES                connects, sends all frames, disconnects, COUNT times
 *        hammer echo SOCKET                             a server that answers every frame at once with an empty reply:
 *                                                       the floor that any daemon can be compared with
 *
 * FRAMES is a file of whole frames; serial numbers are filled in here. One line of JSON comes out. A reply that is an
 * error ends the run.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
        HEADER = 28,
        AT_TYPE = 16,
        AT_SERIAL = 20,
        AT_STATUS = 24,
        TYPE_REPLY = 1,
        MAX_FRAMES = 8,
        MAX_REPLY = 32 << 20,
        EVENTS = 64,
};

typedef struct Link {
        int fd;
        int frame; /* the one whose reply is awaited */
        uint32_t serial;
        int64_t sent_ns;
        uint8_t *bytes; /* of the reply so far */
        size_t n, size;
} Link;

static uint8_t script[65536];
static const uint8_t *frames[MAX_FRAMES];
static int n_frames;

static void die(const char *what)
{
        fprintf(stderr, "hammer: %s: %s\n", what, strerror(errno));
        exit(1);
}

static int64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static uint32_t word(const uint8_t *at)
{
        uint32_t value;

        memcpy(&value, at, sizeof(value));
        return be32toh(value);
}

static void put_word(uint8_t *at, uint32_t value)
{
        value = htobe32(value);
        memcpy(at, &value, sizeof(value));
}

static void script_load(const char *path)
{
        FILE *file = fopen(path, "re");
        size_t length;

        if (!file)
                die(path);
        length = fread(script, 1, sizeof(script), file);
        fclose(file);
        for (size_t at = 0; at + HEADER <= length && n_frames < MAX_FRAMES; at += word(script + at))
                frames[n_frames++] = script + at;
}

static struct sockaddr_un address_of(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path))
                die("the socket's path is too long");
        strcpy(address.sun_path, path);
        return address;
}

static int link_open(const char *path)
{
        struct sockaddr_un address = address_of(path);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die(path);
        return fd;
}

static void link_send(Link *link, int frame)
{
        uint8_t copy[8192];
        size_t length = word(frames[frame]);

        memcpy(copy, frames[frame], length);
        put_word(copy + AT_SERIAL, ++link->serial);
        link->frame = frame;
        link->sent_ns = now_ns();
        if (write(link->fd, copy, length) != (ssize_t)length)
                die("write");
}

/* Read what there is; true when the reply to the call under way is complete. Anything else the server says is skipped. */
static bool link_receive(Link *link)
{
        ssize_t n;

        if (link->size < link->n + 65536) {
                link->size = link->size ? link->size * 2 : 131072;
                link->bytes = realloc(link->bytes, link->size);
                if (!link->bytes || link->size > MAX_REPLY)
                        die("the reply is too long");
        }
        n = read(link->fd, link->bytes + link->n, link->size - link->n);
        if (n <= 0)
                die("the server closed the connection");
        link->n += (size_t)n;

        while (link->n >= HEADER && link->n >= word(link->bytes)) {
                size_t length = word(link->bytes);
                bool ours = word(link->bytes + AT_TYPE) == TYPE_REPLY &&
                            word(link->bytes + AT_SERIAL) == link->serial;

                if (ours && word(link->bytes + AT_STATUS) != 0) {
                        fprintf(stderr, "hammer: frame %d was answered with an error: %.200s\n", link->frame,
                                (const char *)link->bytes + HEADER + 16);
                        exit(1);
                }
                link->n -= length;
                memmove(link->bytes, link->bytes + length, link->n);
                if (ours)
                        return true;
        }
        return false;
}

static void link_call(Link *link, int frame)
{
        link_send(link, frame);
        while (!link_receive(link))
                ;
}

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static void report(int64_t *times, long n, int64_t total_ns)
{
        qsort(times, (size_t)n, sizeof(times[0]), compare);
        printf("{\"p50_us\": %.2f, \"p99_us\": %.2f, \"rate\": %.1f}\n", (double)times[n / 2] / 1000,
               (double)times[n * 99 / 100] / 1000, (double)n * 1e9 / (double)total_ns);
}

static int run_calls(const char *path, int n_links, long n_calls)
{
        Link *links = calloc((size_t)n_links, sizeof(*links));
        int64_t *times = calloc((size_t)n_calls, sizeof(*times)), began;
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        long sent = 0, done = 0;

        if (!links || !times || epoll < 0)
                die("start");
        for (int i = 0; i < n_links; i++) {
                struct epoll_event event = { .events = EPOLLIN, .data.ptr = &links[i] };

                links[i].fd = link_open(path);
                for (int frame = 0; frame < n_frames - 1; frame++)
                        link_call(&links[i], frame);
                epoll_ctl(epoll, EPOLL_CTL_ADD, links[i].fd, &event);
        }

        began = now_ns();
        for (; sent < n_links && sent < n_calls; sent++)
                link_send(&links[sent], n_frames - 1);
        while (done < n_calls) {
                struct epoll_event events[EVENTS];
                int n = n_links == 1 ? 1 : epoll_wait(epoll, events, EVENTS, -1);

                for (int i = 0; i < n; i++) {
                        Link *link = n_links == 1 ? links : events[i].data.ptr;

                        if (!link_receive(link))
                                continue;
                        times[done++] = now_ns() - link->sent_ns;
                        if (sent++ < n_calls)
                                link_send(link, n_frames - 1);
                }
        }
        report(times, n_calls, now_ns() - began);
        return 0;
}

static int run_opens(const char *path, long count)
{
        int64_t *times = calloc((size_t)count, sizeof(*times)), first = now_ns();
        Link link = { 0 };

        for (long i = 0; i < count; i++) {
                int64_t began = now_ns();

                link.fd = link_open(path);
                link.n = 0;
                for (int frame = 0; frame < n_frames; frame++)
                        link_call(&link, frame);
                close(link.fd);
                times[i] = now_ns() - began;
        }
        report(times, count, now_ns() - first);
        return 0;
}

static void run_echo(const char *path)
{
        struct sockaddr_un address = address_of(path);
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
        uint8_t bytes[8192];

        unlink(path);
        if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 256) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
                die(path);
        printf("ready\n");
        fflush(stdout);

        for (;;) {
                ssize_t n;

                if (epoll_wait(epoll, &event, 1, -1) != 1)
                        continue;
                if (event.data.fd == listener) {
                        event.data.fd = accept(listener, NULL, NULL);
                        epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
                        continue;
                }
                n = read(event.data.fd, bytes, sizeof(bytes));
                if (n < HEADER) {
                        close(event.data.fd);
                        continue;
                }
                put_word(bytes, HEADER);
                put_word(bytes + AT_TYPE, TYPE_REPLY);
                if (write(event.data.fd, bytes, HEADER) != HEADER)
                        close(event.data.fd);
        }
}

int main(int argc, char **argv)
{
        if (argc == 3 && strcmp(argv[1], "echo") == 0)
                run_echo(argv[2]);
        if (argc == 6 && strcmp(argv[1], "call") == 0) {
                script_load(argv[5]);
                return run_calls(argv[2], atoi(argv[3]), atol(argv[4]));
        }
        if (argc == 5 && strcmp(argv[1], "open") == 0) {
                script_load(argv[4]);
                return run_opens(argv[2], atol(argv[3]));
        }
        fprintf(stderr,
                "usage: hammer call SOCKET CONNECTIONS CALLS FRAMES | open SOCKET COUNT FRAMES | echo SOCKET\n");
        return 2;
}
