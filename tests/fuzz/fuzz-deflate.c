/*
 * tests/fuzz/fuzz-deflate.c - what a guest has on its disk, compressed
 *
 * The first two bytes say how much room there is for the output. What was packed must come back, for a reader that
 * keeps 4 KiB as for one that keeps all, and must be the same after something else was packed.
 */
#include "img/codec.h"
#include "img/deflate.h"

#include "base/mem.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void check(bool holds)
{
        if (!holds)
                abort();
}

static void comes_back(const uint8_t *packed, size_t n, const uint8_t *data, size_t size)
{
        AUTOFREE uint8_t *out = mem_alloc(size);
        z_stream stream = { .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)n };
        AUTO(Codec) *codec = codec_new(CODEC_DEFLATE);
        AUTO(Error) err = { 0 };

        check(codec_unpack(codec, packed, n, out, size, &err) == 0 && memcmp(out, data, size) == 0);
        memset(out, 0, size);
        check(inflateInit2(&stream, -12) == Z_OK);
        /* In small steps, so that zlib has nothing but its window. */
        for (size_t at = 0; at < size; at += stream.total_out - at) {
                stream.next_out = out + at;
                stream.avail_out = (uInt)MIN(size - at, (size_t)100);
                inflate(&stream, Z_NO_FLUSH);
                check(stream.total_out > at);
        }
        check(memcmp(out, data, size) == 0);
        inflateEnd(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static Deflater *used;
        Deflater *fresh = deflater_new();
        size_t room, n;

        if (!used)
                used = deflater_new();
        if (size > 2) {
                AUTOFREE uint8_t *packed = NULL, *again = NULL;

                room = (size_t)data[0] << 8 | data[1];
                packed = mem_alloc(MAX(room, (size_t)1));
                again = mem_alloc(MAX(room, (size_t)1));
                n = deflater_pack(used, data + 2, size - 2, packed, room);
                check(n <= room && deflater_pack(fresh, data + 2, size - 2, again, room) == n);
                check(memcmp(packed, again, n) == 0);
                if (n)
                        comes_back(packed, n, data + 2, size - 2);
        }
        deflater_free(fresh);
        return 0;
}
