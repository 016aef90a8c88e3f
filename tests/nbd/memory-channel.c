/*
 * tests/nbd/memory-channel.c - a client that has said everything already
 */
#include "memory-channel.h"

#include "base/mem.h"

#include <string.h>

typedef struct MemoryChannel {
        NbdChannel channel;
        const uint8_t *data;
        size_t n;
        Buf *sent;
} MemoryChannel;

static int receive(NbdChannel *channel, void *data, size_t n, size_t *done, Error *err)
{
        MemoryChannel *m = container_of(channel, MemoryChannel, channel);

        (void)err;
        *done = n < m->n ? n : m->n;
        if (*done)
                memcpy(data, m->data, *done);
        m->data += *done;
        m->n -= *done;
        return 0;
}

static int put(NbdChannel *channel, struct iovec *parts, unsigned n, Error *err)
{
        MemoryChannel *m = container_of(channel, MemoryChannel, channel);

        (void)err;
        for (unsigned i = 0; i < n; i++)
                buf_put(m->sent, parts[i].iov_base, parts[i].iov_len);
        return 0;
}

static void close_it(NbdChannel *channel)
{
        free(container_of(channel, MemoryChannel, channel));
}

static const NbdChannelOps ops = { .receive = receive, .send = put, .close = close_it };

NbdChannel *memory_channel_new(const void *data, size_t n, Buf *sent)
{
        MemoryChannel *m = mem_new(MemoryChannel);

        *m = (MemoryChannel){ .channel.ops = &ops, .data = data, .n = n, .sent = sent };
        return &m->channel;
}
