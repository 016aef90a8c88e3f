/*
 * tests/nbd/talk.c - what a client says, built piece by piece, and what it gets
 */
#include "talk.h"

#include "base/mem.h"
#include "img/bytes.h"
#include "memory-file.h"

#include <stdlib.h>

void talk_begin(Talk *talk, bool read_only)
{
        AUTOFREE uint8_t *content = mem_alloc(TALK_DISK);
        ImageFile *file;

        memset(content, 'd', TALK_DISK / 2);
        file = memory_file_new(content, TALK_DISK);
        *talk = (Talk){ 0 };
        talk->image = image_open(file, IMAGE_FORMAT_RAW, IMAGE_WRITE, NULL);
        talk->export = (NbdExport){ .image = talk->image, .name = "x", .read_only = read_only };
        if (!talk->image || nbd_export_start(&talk->export, NULL) < 0)
                abort();
        talk->session = (NbdSession){ .export = &talk->export };
}

void talk_end(Talk *talk)
{
        nbd_channel_close(talk->session.channel);
        nbd_export_done(&talk->export);
        image_free(talk->image);
        buf_done(&talk->said);
        buf_done(&talk->sent);
}

void say16(Talk *talk, uint16_t v)
{
        store_be16(buf_reserve(&talk->said, 2), v);
        buf_grow(&talk->said, 2);
}

void say32(Talk *talk, uint32_t v)
{
        store_be32(buf_reserve(&talk->said, 4), v);
        buf_grow(&talk->said, 4);
}

void say64(Talk *talk, uint64_t v)
{
        store_be64(buf_reserve(&talk->said, 8), v);
        buf_grow(&talk->said, 8);
}

void say_text(Talk *talk, const char *text)
{
        say32(talk, (uint32_t)strlen(text));
        buf_put_text(&talk->said, text);
}

void say_option(Talk *talk, uint32_t option, uint32_t length)
{
        say64(talk, NBD_OPTION_MAGIC);
        say32(talk, option);
        say32(talk, length);
}

void say_request(Talk *talk, uint16_t flags, uint16_t type, uint64_t handle, uint64_t offset, uint32_t length)
{
        say32(talk, NBD_REQUEST_MAGIC);
        say16(talk, flags);
        say16(talk, type);
        say64(talk, handle);
        say64(talk, offset);
        say32(talk, length);
}

uint64_t heard(Talk *talk, unsigned bytes)
{
        uint64_t value = 0;

        if (talk->sent.len - talk->read < bytes)
                abort();
        while (bytes--)
                value = value << 8 | (uint8_t)talk->sent.data[talk->read++];
        return value;
}
