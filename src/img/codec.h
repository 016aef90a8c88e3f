#pragma once
/*
 * img/codec.h - compress and decompress one cluster
 *
 * A Codec keeps the memory its libraries need from one cluster to the next;
 * one thread uses it at a time. Deflate is written with a window of 4 KiB,
 * because that is all that readers of qcow2 keep.
 */
#include "base/err.h"

#include <stdint.h>

typedef struct Codec Codec;

typedef enum CodecKind {
        CODEC_DEFLATE, /* raw deflate, as qcow2 calls zlib */
        CODEC_ZSTD,
} CodecKind;

typedef enum CodecEffort {
        CODEC_FAST,
        CODEC_BEST,
} CodecEffort;

Codec *codec_new(CodecKind kind);
Codec *codec_free(Codec *codec); /* returns NULL */
/* Compressed length, or 0 when it would not be under `room` bytes. */
size_t codec_pack(Codec *codec, CodecEffort effort, const void *data, size_t n, void *packed, size_t room);
/* Exactly n bytes must come out; what follows the compressed bytes is ignored. */
int codec_unpack(Codec *codec, const void *packed, size_t room, void *data, size_t n, Error *err);

DEFINE_AUTO(Codec, codec_free)
