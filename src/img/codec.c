/*
 * img/codec.c - compress and decompress one cluster
 *
 * ISA-L writes deflate (it is the one fast compressor that can be held to a
 * 4 KiB window), deflate.c where the smallest output is asked for, libdeflate
 * reads it, libzstd does both for zstd. What is written depends on the data
 * alone, not on what the same Codec wrote before.
 */
#include "img/codec.h"

#include "base/mem.h"
#include "img/deflate.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <zstd.h>

enum { WINDOW_BITS = 12, FAST_LEVEL = 1, ZSTD_BEST_LEVEL = 12 };

struct Codec {
        CodecKind kind;
        struct libdeflate_decompressor *inflate;
        struct isal_zstream *fast;
        uint8_t *fast_memory;
        Deflater *best;
        ZSTD_CCtx *zstd_pack[2]; /* by effort */
        ZSTD_DCtx *zstd_unpack;
};

Codec *codec_new(CodecKind kind)
{
        Codec *codec = mem_new(Codec);

        codec->kind = kind;
        return codec;
}

Codec *codec_free(Codec *codec)
{
        if (!codec)
                return NULL;
        libdeflate_free_decompressor(codec->inflate);
        free(codec->fast);
        free(codec->fast_memory);
        deflater_free(codec->best);
        ZSTD_freeCCtx(codec->zstd_pack[CODEC_FAST]);
        ZSTD_freeCCtx(codec->zstd_pack[CODEC_BEST]);
        ZSTD_freeDCtx(codec->zstd_unpack);
        free(codec);
        return NULL;
}

static size_t pack_fast(Codec *codec, const void *data, size_t n, void *packed, size_t room)
{
        struct isal_zstream *stream = codec->fast;

        if (!stream) {
                stream = codec->fast = mem_new(struct isal_zstream);
                codec->fast_memory = mem_alloc(ISAL_DEF_LVL1_DEFAULT);
        }
        isal_deflate_init(stream);
        stream->level = FAST_LEVEL;
        stream->level_buf = codec->fast_memory;
        stream->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
        stream->hist_bits = WINDOW_BITS;
        stream->end_of_stream = 1;
        stream->flush = NO_FLUSH;
        stream->next_in = (uint8_t *)(uintptr_t)data;
        stream->avail_in = (uint32_t)n;
        stream->next_out = packed;
        stream->avail_out = (uint32_t)room;
        if (isal_deflate(stream) != COMP_OK || stream->internal_state.state != ZSTATE_END)
                return 0;
        return stream->total_out;
}

static size_t pack_best(Codec *codec, const void *data, size_t n, void *packed, size_t room)
{
        if (!codec->best)
                codec->best = deflater_new();
        return deflater_pack(codec->best, data, n, packed, room);
}

/*
 * In place of level 3, which qemu-img has: its strategy with tables that stay in the processor's first cache and
 * matches from four bytes on. On a disk full of files a fifth less time for 0.5 % more output.
 */
static const struct {
        ZSTD_cParameter what;
        int value;
} zstd_fast[] = {
        { ZSTD_c_strategy, ZSTD_dfast }, { ZSTD_c_hashLog, 12 }, { ZSTD_c_chainLog, 12 },
        { ZSTD_c_searchLog, 1 },         { ZSTD_c_minMatch, 4 },
};

static ZSTD_CCtx *zstd_packer(CodecEffort effort)
{
        ZSTD_CCtx *packer = ZSTD_createCCtx();

        if (packer && effort == CODEC_BEST) {
                ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, ZSTD_BEST_LEVEL);
                return packer;
        }
        for (size_t i = 0; packer && i < sizeof(zstd_fast) / sizeof(*zstd_fast); i++)
                ZSTD_CCtx_setParameter(packer, zstd_fast[i].what, zstd_fast[i].value);
        return packer;
}

static size_t pack_zstd(Codec *codec, CodecEffort effort, const void *data, size_t n, void *packed, size_t room)
{
        ZSTD_CCtx **packer = &codec->zstd_pack[effort];
        size_t done;

        if (!*packer)
                *packer = zstd_packer(effort);
        if (!*packer)
                return 0;
        done = ZSTD_compress2(*packer, packed, room, data, n);
        return ZSTD_isError(done) ? 0 : done;
}

size_t codec_pack(Codec *codec, CodecEffort effort, const void *data, size_t n, void *packed, size_t room)
{
        size_t done;

        if (codec->kind == CODEC_ZSTD)
                done = pack_zstd(codec, effort, data, n, packed, room);
        else if (effort == CODEC_BEST)
                done = pack_best(codec, data, n, packed, room);
        else
                done = pack_fast(codec, data, n, packed, room);
        return done < room ? done : 0;
}

static int unpack_deflate(Codec *codec, const void *packed, size_t room, void *data, size_t n, Error *err)
{
        size_t used, made;

        if (!codec->inflate)
                codec->inflate = libdeflate_alloc_decompressor();
        if (!codec->inflate)
                return err_set(err, ERR_NO_MEMORY, "no memory to decompress");
        if (libdeflate_deflate_decompress_ex(codec->inflate, packed, room, data, n, &used, &made) !=
                    LIBDEFLATE_SUCCESS ||
            made != n)
                return err_set(err, ERR_OPERATION_FAILED, "compressed data is damaged");
        return 0;
}

static int unpack_zstd(Codec *codec, const void *packed, size_t room, void *data, size_t n, Error *err)
{
        ZSTD_inBuffer in = { .src = packed, .size = room };
        ZSTD_outBuffer out = { .dst = data, .size = n };

        if (!codec->zstd_unpack)
                codec->zstd_unpack = ZSTD_createDCtx();
        if (!codec->zstd_unpack)
                return err_set(err, ERR_NO_MEMORY, "no memory to decompress");
        ZSTD_DCtx_reset(codec->zstd_unpack, ZSTD_reset_session_only);
        while (out.pos < out.size) {
                size_t before = in.pos + out.pos;
                size_t left = ZSTD_decompressStream(codec->zstd_unpack, &out, &in);

                /* No progress: the frame ended early or wants bytes that are not there. */
                if (ZSTD_isError(left) || in.pos + out.pos == before)
                        return err_set(err, ERR_OPERATION_FAILED, "compressed data is damaged");
        }
        return 0;
}

int codec_unpack(Codec *codec, const void *packed, size_t room, void *data, size_t n, Error *err)
{
        if (codec->kind == CODEC_ZSTD)
                return unpack_zstd(codec, packed, room, data, n, err);
        return unpack_deflate(codec, packed, room, data, n, err);
}
