#include "test.h"

#include "base/mem.h"
#include "img/codec.h"

#include <string.h>
#include <zlib.h>

enum { CLUSTER = 65536 };

/* Text whose repetitions are 5000 bytes apart: a window over 4 KiB would use them. */
static void fill(uint8_t *data)
{
        unsigned state = 1;

        for (size_t i = 0; i < CLUSTER; i++) {
                state = state * 1103515245u + 12345u;
                data[i] = i >= 5000 && i % 7 ? data[i - 5000] : (uint8_t)(state >> 24 & 0x1f);
        }
}

/* Readers of qcow2 keep a window of 4 KiB: so does this one. */
static bool inflates_in_4k(const uint8_t *packed, size_t n, const uint8_t *expected)
{
        AUTOFREE uint8_t *out = mem_alloc(CLUSTER);
        z_stream stream = { .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)n };
        bool same;

        CHECK_INT(inflateInit2(&stream, -12), Z_OK);
        stream.next_out = out;
        stream.avail_out = CLUSTER;
        same = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out == 0 &&
               memcmp(out, expected, CLUSTER) == 0;
        inflateEnd(&stream);
        return same;
}

TEST(deflate_is_written_for_a_window_of_4_kib)
{
        AUTOFREE uint8_t *data = mem_alloc(CLUSTER), *packed = mem_alloc(CLUSTER);
        AUTO(Codec) *codec = codec_new(CODEC_DEFLATE);

        fill(data);
        for (int effort = CODEC_FAST; effort <= CODEC_BEST; effort++) {
                size_t n = codec_pack(codec, (CodecEffort)effort, data, CLUSTER, packed, CLUSTER);

                CHECK(n > 0 && n < CLUSTER);
                CHECK(inflates_in_4k(packed, n, data));
        }
}

TEST(what_is_packed_comes_back)
{
        AUTOFREE uint8_t *data = mem_alloc(CLUSTER), *packed = mem_alloc(CLUSTER), *out = mem_alloc(CLUSTER);
        AUTO(Error) err = { 0 };

        fill(data);
        for (int kind = CODEC_DEFLATE; kind <= CODEC_ZSTD; kind++) {
                AUTO(Codec) *codec = codec_new((CodecKind)kind);
                size_t n = codec_pack(codec, CODEC_FAST, data, CLUSTER, packed, CLUSTER);

                CHECK(n > 0);
                memset(packed + n, 0xaa, MIN((size_t)512, CLUSTER - n)); /* the rest of the last sector */
                CHECK_INT(codec_unpack(codec, packed, MIN(n + 512, (size_t)CLUSTER), out, CLUSTER, &err), 0);
                CHECK_MEM(out, data, CLUSTER);
                CHECK_INT(codec_unpack(codec, packed, n / 2, out, CLUSTER, &err), -1);
                CHECK_STR(err.text, "compressed data is damaged");
        }
}

TEST(noise_is_not_packed)
{
        AUTOFREE uint8_t *data = mem_alloc(CLUSTER), *packed = mem_alloc(CLUSTER);
        unsigned noise = 7;

        for (size_t i = 0; i < CLUSTER; i++) {
                noise = noise * 1664525u + 1013904223u;
                data[i] = (uint8_t)(noise >> 24);
        }
        for (int kind = CODEC_DEFLATE; kind <= CODEC_ZSTD; kind++) {
                AUTO(Codec) *codec = codec_new((CodecKind)kind);

                CHECK_INT(codec_pack(codec, CODEC_FAST, data, CLUSTER, packed, CLUSTER), 0);
        }
}
