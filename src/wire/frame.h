#pragma once
/*
 * wire/frame.h - the frame that every message travels in
 *
 * A length word that counts itself, six header words, the payload; all words
 * big endian. A frame is built in one Buf: frame_begin() leaves room for the
 * first 28 bytes, the payload is encoded behind it, frame_finish() fills in.
 */
#include "base/buf.h"
#include "base/err.h"
#include "wire/constants.h"

#include <stdbool.h>
#include <stdint.h>

enum {
        FRAME_OVERHEAD = WIRE_FRAME_LENGTH_SIZE + WIRE_FRAME_HEADER_SIZE, /* the length word and the header */
        FRAME_MAX = WIRE_FRAME_LENGTH_SIZE + WIRE_FRAME_BODY_MAX,         /* the largest length word */
        FRAME_MAX_ANONYMOUS = 320 * 1024,                                 /* before authentication (CON-68) */
        FRAME_LARGE = 256 * 1024, /* beyond it room is taken from a common budget */
        FRAME_MAX_FDS = WIRE_FRAME_FDS_MAX,
        STREAM_DATA_MAX = WIRE_STREAM_DATA_MAX,
};

typedef enum FrameType {
        FRAME_CALL,
        FRAME_REPLY,
        FRAME_MESSAGE,
        FRAME_STREAM,
        FRAME_CALL_WITH_FDS,
        FRAME_REPLY_WITH_FDS,
        FRAME_STREAM_HOLE,
} FrameType;

typedef enum FrameStatus {
        FRAME_OK,
        FRAME_ERROR,
        FRAME_CONTINUE,
} FrameStatus;

typedef struct FrameHeader {
        uint32_t program, version;
        int32_t procedure;
        int32_t type; /* FrameType, or what the peer made up */
        uint32_t serial;
        int32_t status; /* FrameStatus, or what the peer made up */
} FrameHeader;

void frame_begin(Buf *frame);
void frame_finish(Buf *frame, const FrameHeader *header);
/* data holds at least FRAME_OVERHEAD bytes. */
void frame_read_header(const uint8_t *data, FrameHeader *ret);
uint32_t frame_read_word(const uint8_t *data);
void frame_put_word(uint8_t *data, uint32_t word);
