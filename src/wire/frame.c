/*
 * wire/frame.c - lay out and read frame headers
 */
#include "wire/frame.h"

uint32_t frame_read_word(const uint8_t *data)
{
        return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

void frame_put_word(uint8_t *data, uint32_t word)
{
        data[0] = (uint8_t)(word >> 24);
        data[1] = (uint8_t)(word >> 16);
        data[2] = (uint8_t)(word >> 8);
        data[3] = (uint8_t)word;
}

void frame_begin(Buf *frame)
{
        buf_clear(frame);
        buf_reserve(frame, FRAME_OVERHEAD);
        buf_grow(frame, FRAME_OVERHEAD);
}

void frame_finish(Buf *frame, const FrameHeader *header)
{
        uint8_t *p = (uint8_t *)frame->data;

        frame_put_word(p, (uint32_t)frame->len);
        frame_put_word(p + 4, header->program);
        frame_put_word(p + 8, header->version);
        frame_put_word(p + 12, (uint32_t)header->procedure);
        frame_put_word(p + 16, (uint32_t)header->type);
        frame_put_word(p + 20, header->serial);
        frame_put_word(p + 24, (uint32_t)header->status);
}

void frame_read_header(const uint8_t *data, FrameHeader *ret)
{
        ret->program = frame_read_word(data + 4);
        ret->version = frame_read_word(data + 8);
        ret->procedure = (int32_t)frame_read_word(data + 12);
        ret->type = (int32_t)frame_read_word(data + 16);
        ret->serial = frame_read_word(data + 20);
        ret->status = (int32_t)frame_read_word(data + 24);
}
