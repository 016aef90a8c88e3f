/*
 * app/drover-log - write what a guest says into files that cannot grow without end
 *
 *      drover-log BYTES BACKUPS { FD PATH append|new }...
 *
 * One per guest, started by the daemon and independent of it. Reads pipes that QEMU writes to (its own
 * messages, serial ports that log to a file) and keeps each file below BYTES by moving it to PATH.0,
 * PATH.0 to PATH.1 and so on, at most BACKUPS of them. Ends when all writers are gone. A disk that is full
 * loses output, never blocks the guest.
 */
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_STREAMS = 64, CHUNK = 64 << 10 };

typedef struct Stream {
        int from, to; /* to -1: the file cannot be written for now */
        const char *path;
        uint64_t size;
} Stream;

static uint64_t most_bytes;
static uint32_t n_backups;

static void open_file(Stream *s, bool append)
{
        struct stat st;

        s->to = open(s->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (append ? 0 : O_TRUNC), 0600);
        s->size = s->to >= 0 && fstat(s->to, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void rotate(Stream *s)
{
        if (s->to >= 0)
                close(s->to);
        for (uint32_t i = n_backups; i > 0; i--) {
                AUTOFREE char *from = i > 1 ? str_format("%s.%u", s->path, i - 2) : str_dup(s->path);
                AUTOFREE char *to = str_format("%s.%u", s->path, i - 1);

                rename(from, to);
        }
        open_file(s, false);
}

static void put(Stream *s, const char *data, size_t n)
{
        while (n > 0) {
                size_t piece = MIN(n, most_bytes - MIN(s->size, most_bytes));
                ssize_t written;

                if (piece == 0) {
                        rotate(s);
                        piece = MIN(n, most_bytes);
                }
                if (s->to < 0)
                        open_file(s, true); /* what kept it from being written may be over */
                if (s->to < 0)
                        return;
                written = write(s->to, data, piece);
                if (written < 0 && errno == EINTR)
                        continue;
                if (written <= 0)
                        return;
                s->size += (uint64_t)written;
                data += written;
                n -= (size_t)written;
        }
}

/* False: its writers are gone. */
static bool pump(Stream *s)
{
        static char data[CHUNK];
        ssize_t n = read(s->from, data, sizeof(data));

        if (n < 0)
                return errno == EINTR || errno == EAGAIN;
        if (n > 0)
                put(s, data, (size_t)n);
        return n > 0;
}

static void run(Stream *streams, size_t n)
{
        struct pollfd polled[MOST_STREAMS];
        size_t open_ones = n;

        for (size_t i = 0; i < n; i++)
                polled[i] = (struct pollfd){ .fd = streams[i].from, .events = POLLIN };
        while (open_ones > 0) {
                if (poll(polled, n, -1) < 0 && errno != EINTR)
                        return;
                for (size_t i = 0; i < n; i++) {
                        if (polled[i].fd >= 0 && polled[i].revents && !pump(&streams[i])) {
                                polled[i].fd = -1;
                                open_ones--;
                        }
                }
        }
}

int main(int argc, char **argv)
{
        Stream streams[MOST_STREAMS];
        size_t n = (size_t)(argc - 3) / 3;

        if (argc < 6 || (argc - 3) % 3 != 0 || n > MOST_STREAMS || str_to_u64(argv[1], &most_bytes) < 0 ||
            most_bytes == 0 || str_to_u32(argv[2], &n_backups) < 0 || n_backups > 100) {
                fprintf(stderr, "usage: drover-log BYTES BACKUPS { FD PATH append|new }...\n");
                return 2;
        }
        /* ends with its writers, not with whoever signals a group or a terminal */
        signal(SIGHUP, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        for (size_t i = 0; i < n; i++) {
                uint32_t fd;

                if (str_to_u32(argv[3 + 3 * i], &fd) < 0)
                        return 2;
                streams[i] = (Stream){ .from = (int)fd, .path = argv[4 + 3 * i] };
                open_file(&streams[i], str_eq(argv[5 + 3 * i], "append"));
        }
        run(streams, n);
        return 0;
}
