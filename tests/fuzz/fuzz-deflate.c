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

/* Made once: their tables are larger than most inputs. */
typedef struct Tools {
        Deflater *used;
        Codec *codec;
        z_stream stream;
} Tools;

static Tools *tools(void)
{
        static Tools only;

        if (!only.used) {
                only.used = deflater_new();
                only.codec = codec_new(CODEC_DEFLATE);
                check(inflateInit2(&only.stream, -12) == Z_OK);
        }
        return &only;
}

static void comes_back(const uint8_t *packed, size_t n, const uint8_t *data, size_t size)
{
        AUTOFREE uint8_t *out = mem_alloc(size);
        z_stream *stream = &tools()->stream;
        AUTO(Error) err = { 0 };

        check(codec_unpack(tools()->codec, packed, n, out, size, &err) == 0 && memcmp(out, data, size) == 0);
        memset(out, 0, size);
        check(inflateReset(stream) == Z_OK);
        stream->next_in = (Bytef *)(uintptr_t)packed;
        stream->avail_in = (uInt)n;
        /* In small steps, so that zlib has nothing but its window. */
        for (size_t at = 0; at < size; at = stream->total_out) {
                stream->next_out = out + at;
                stream->avail_out = (uInt)MIN(size - at, (size_t)100);
                inflate(stream, Z_NO_FLUSH);
                check(stream->total_out > at);
        }
        check(memcmp(out, data, size) == 0);
}

/* A new Deflater, whose tables nobody has written to, makes the same of it. */
static void is_the_same(const uint8_t *packed, size_t n, const uint8_t *data, size_t size, size_t room)
{
        AUTOFREE uint8_t *again = mem_alloc(MAX(room, (size_t)1));
        Deflater *fresh = deflater_new();

        check(deflater_pack(fresh, data, size, again, room) == n);
        check(memcmp(packed, again, n) == 0);
        deflater_free(fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTOFREE uint8_t *packed = NULL;
        size_t room, n;

        if (size <= 2)
                return 0;
        room = (size_t)data[0] << 8 | data[1];
        packed = mem_alloc(MAX(room, (size_t)1));
        n = deflater_pack(tools()->used, data + 2, size - 2, packed, room);
        check(n <= room);
        is_the_same(packed, n, data + 2, size - 2, room);
        if (n)
                comes_back(packed, n, data + 2, size - 2);
        return 0;
}
