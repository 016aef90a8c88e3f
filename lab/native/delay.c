/*
 * native/delay.c - a network cable with latency
 *
 * Two taps, one in the host's network namespace and one in the switch's; each packet read from one is written to the
 * other a fixed time later, in order. It stands in for netem where the kernel has none. It ends when its standard
 * input does.
 *
 * usage: delay PID_A NAME_A PID_B NAME_B MICROSECONDS
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
        QUEUE = 4096, /* packets on the way; more are dropped, as a router would */
        MAX_PACKET = 2048,
};

typedef struct Packet {
        int64_t due_ns;
        size_t length;
        char bytes[MAX_PACKET];
} Packet;

typedef struct Line {
        int from, to;
        unsigned head, n;
        Packet *packets;
} Line;

static int64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* A tap stays in the namespace where it was made, wherever its descriptor is used. */
static int tap_open(const char *pid, const char *name)
{
        struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
        char path[64];
        int space, fd;

        snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
        space = open(path, O_RDONLY | O_CLOEXEC);
        if (space < 0 || setns(space, CLONE_NEWNET) < 0)
                return -1;
        close(space);

        fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
        if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
                return -1;
        return fd;
}

static void line_take(Line *line, int64_t delay_ns)
{
        char scrap[MAX_PACKET];

        for (;;) {
                Packet *packet = line->n < QUEUE ? &line->packets[(line->head + line->n) % QUEUE] : NULL;
                ssize_t n = read(line->from, packet ? packet->bytes : scrap, MAX_PACKET);

                if (n <= 0)
                        return;
                if (!packet)
                        continue;
                packet->length = (size_t)n;
                packet->due_ns = now_ns() + delay_ns;
                line->n++;
        }
}

/* Pass on what is due; the time at which the next packet is, or INT64_MAX. A full tap drops, as hardware does. */
static int64_t line_give(Line *line)
{
        while (line->n > 0) {
                Packet *packet = &line->packets[line->head];

                if (packet->due_ns > now_ns())
                        return packet->due_ns;
                if (write(line->to, packet->bytes, packet->length) < 0 && errno == EINVAL)
                        fprintf(stderr, "delay: a packet was refused\n");
                line->head = (line->head + 1) % QUEUE;
                line->n--;
        }
        return INT64_MAX;
}

static int forward(Line lines[2], int64_t delay_ns)
{
        int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        struct pollfd polls[] = {
                { .fd = STDIN_FILENO, .events = POLLIN },
                { .fd = timer, .events = POLLIN },
                { .fd = lines[0].from, .events = POLLIN },
                { .fd = lines[1].from, .events = POLLIN },
        };

        for (;;) {
                int64_t first = line_give(&lines[0]), second = line_give(&lines[1]);
                int64_t due = first < second ? first : second;
                struct itimerspec at = { 0 };

                if (due != INT64_MAX)
                        at.it_value = (struct timespec){ due / 1000000000, due % 1000000000 };
                timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
                if (poll(polls, 4, -1) < 0)
                        continue;
                if (polls[0].revents)
                        return 0;
                for (int i = 0; i < 2; i++)
                        line_take(&lines[i], delay_ns);
        }
}

int main(int argc, char **argv)
{
        Line lines[2] = { { 0 } };

        if (argc != 6) {
                fprintf(stderr, "usage: delay PID_A NAME_A PID_B NAME_B MICROSECONDS\n");
                return 2;
        }
        lines[0].from = lines[1].to = tap_open(argv[1], argv[2]);
        lines[1].from = lines[0].to = tap_open(argv[3], argv[4]);
        for (int i = 0; i < 2; i++) {
                lines[i].packets = calloc(QUEUE, sizeof(Packet));
                if (lines[i].from < 0 || !lines[i].packets) {
                        fprintf(stderr, "delay: cannot make %s: %s\n", argv[2 + 2 * i], strerror(errno));
                        return 1;
                }
        }
        printf("ready\n");
        fflush(stdout);
        return forward(lines, atoll(argv[5]) * 1000);
}
