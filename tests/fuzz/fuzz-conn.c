/*
 * tests/fuzz/fuzz-conn.c - frames from any bytes, through a real socket
 *
 * The first byte says into how many pieces the rest is cut, so that frames also
 * arrive in parts. Each frame handed over must lie within what was sent.
 */
#include "fuzz.h"
#include "wire/conn.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Seen {
        size_t bytes, frames;
        bool closed;
} Seen;

static void on_frame(void *arg, const Frame *frame)
{
        Seen *seen = arg;

        for (size_t i = 0; i < frame->len; i++)
                seen->bytes += frame->payload[i] & 1; /* the sanitizer sees a read behind it */
        seen->frames++;
}

static void on_closed(void *arg, const Error *why)
{
        Seen *seen = arg;

        if (seen->closed || !err_is_set(why))
                abort();
        seen->closed = true;
}

static const ConnHooks hooks = { .frame = on_frame, .closed = on_closed };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Conn) *conn = NULL;
        Seen seen = { 0 };
        int ends[2];
        size_t piece;

        if (size < 1 || size > 60000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return 0;
        piece = size / (data[0] % 8 + 1) + 1;
        data++;
        size--;
        conn = conn_new(loop, ends[0], &hooks, &seen);
        while (size && !seen.closed) {
                size_t n = MIN(piece, size);

                if (send(ends[1], data, n, MSG_NOSIGNAL) < 0)
                        break;
                data += n;
                size -= n;
                while (loop_turn(loop, 0, NULL) > 0)
                        ;
        }
        close(ends[1]);
        while (loop_turn(loop, 0, NULL) > 0)
                ;
        if (!seen.closed)
                abort();
        return 0;
}
