/*
 * tests/fuzz/fuzz-wire.c - payloads of every procedure and event from any bytes
 *
 * The first two bytes choose the row and which of its messages follows. What is
 * understood must survive being written and read again.
 */
#include "fuzz.h"
#include "wire/proc.h"

#include <stdlib.h>
#include <string.h>

static void check(size_t size, WireDecode *decode, WireEncode *encode, const uint8_t *data, size_t len)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) first = { 0 }, second = { 0 };
        void *value = arena_alloc(arena, size), *again = arena_alloc(arena, size);

        if (!decode || xdr_decode(decode, data, len, arena, value, NULL) < 0)
                return;
        if (xdr_encode(encode, value, &first, NULL) < 0 || first.len > len ||
            xdr_decode(decode, first.data, first.len, arena, again, NULL) < 0 ||
            xdr_encode(encode, again, &second, NULL) < 0 || first.len != second.len ||
            (first.len && memcmp(first.data, second.data, first.len) != 0))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t row;

        if (size < 2)
                return 0;
        row = (size_t)data[0] << 8 | data[1];
        data += 2;
        size -= 2;
        if (row < N_WIRE_PROCS) {
                const WireProc *proc = &wire_procs[row];

                check(proc->args_size, proc->args_decode, proc->args_encode, data, size);
                check(proc->ret_size, proc->ret_decode, proc->ret_encode, data, size);
        } else if (row < N_WIRE_PROCS + N_WIRE_EVENTS) {
                const WireEvent *event = &wire_events[row - N_WIRE_PROCS];

                check(event->size, event->decode, event->encode, data, size);
        }
        return 0;
}
