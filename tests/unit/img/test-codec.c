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

/* Text, noise, zeros and what a disk has of each in one cluster, told apart by `kind`. */
static void fill_kind(uint8_t *data, unsigned kind)
{
        unsigned state = kind * 7919 + 1;

        for (size_t i = 0; i < CLUSTER; i++) {
                unsigned part = kind % 5 == 4 ? (unsigned)(i >> 13) % 4 : kind % 5;

                state = state * 1664525u + 1013904223u;
                data[i] = part == 0   ? (uint8_t)(state >> 24)
                          : part == 1 ? (uint8_t)("the same text again and again\n"[i % 30] + kind / 5)
                          : part == 2 ? (uint8_t)(state >> 30)
                                      : (uint8_t)(i >> 6);
        }
}

TEST(what_is_packed_depends_on_the_data_alone)
{
        AUTOFREE uint8_t *data = mem_alloc(CLUSTER), *used = mem_alloc(CLUSTER), *fresh = mem_alloc(CLUSTER);

        for (int way = 0; way < 4; way++) {
                CodecKind kind = way & 1 ? CODEC_ZSTD : CODEC_DEFLATE;
                CodecEffort effort = way & 2 ? CODEC_BEST : CODEC_FAST;
                AUTO(Codec) *codec = codec_new(kind);

                for (unsigned i = 0; i < 60; i++) {
                        AUTO(Codec) *other = codec_new(kind);
                        size_t n;

                        /* What came before: each kind once after each other one, and the other effort. */
                        fill_kind(data, i * 7 % 25);
                        codec_pack(codec, i % 9 ? effort : (CodecEffort)!effort, data, CLUSTER, used, CLUSTER);
                        fill_kind(data, i % 25);
                        n = codec_pack(codec, effort, data, CLUSTER, used, CLUSTER);
                        CHECK_INT(codec_pack(other, effort, data, CLUSTER, fresh, CLUSTER), n);
                        CHECK_MEM(used, fresh, n);
                }
        }
}

TEST(the_best_effort_is_no_larger_than_zlib_and_comes_back)
{
        AUTOFREE uint8_t *data = mem_alloc(CLUSTER), *packed = mem_alloc(CLUSTER), *zlibs = mem_alloc(CLUSTER);
        AUTO(Codec) *codec = codec_new(CODEC_DEFLATE);
        size_t ours = 0, theirs = 0;

        for (unsigned kind = 0; kind < 50; kind++) {
                z_stream stream = { .avail_in = CLUSTER, .next_in = data, .next_out = zlibs, .avail_out = CLUSTER };
                size_t n;

                fill_kind(data, kind);
                n = codec_pack(codec, CODEC_BEST, data, CLUSTER, packed, CLUSTER);
                CHECK(n == 0 || inflates_in_4k(packed, n, data));
                CHECK_INT(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
                theirs += deflate(&stream, Z_FINISH) == Z_STREAM_END ? stream.total_out : CLUSTER;
                ours += n ? n : CLUSTER;
                deflateEnd(&stream);
        }
        CHECK(ours <= theirs);
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
