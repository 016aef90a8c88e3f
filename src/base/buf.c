/*
 * base/buf.c - a growing byte buffer
 */
#include "base/buf.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void *buf_reserve(Buf *buf, size_t n)
{
        size_t need = buf->len + n + 1;

        if (need > buf->room) {
                size_t room = buf->room ? buf->room : 64;

                while (room < need)
                        room += room / 2 + 64;
                buf->data = mem_resize(buf->data, room);
                buf->room = room;
                buf->data[buf->len] = '\0';
        }
        return buf->data + buf->len;
}

void buf_grow(Buf *buf, size_t n)
{
        buf->len += n;
        buf->data[buf->len] = '\0';
}

void buf_put(Buf *buf, const void *data, size_t n)
{
        void *at = buf_reserve(buf, n);

        if (n)
                memcpy(at, data, n);
        buf_grow(buf, n);
}

void buf_put_text(Buf *buf, const char *s)
{
        buf_put(buf, s, strlen(s));
}

void buf_put_char(Buf *buf, char c)
{
        buf_put(buf, &c, 1);
}

void buf_vformat(Buf *buf, const char *fmt, va_list ap)
{
        char *at = buf_reserve(buf, 64);
        size_t room = buf->room - buf->len;
        va_list again;
        int n;

        /* Nearly always it fits at once; else the length is known now. */
        va_copy(again, ap);
        n = vsnprintf(at, room, fmt, ap);
        if (n > 0 && (size_t)n >= room)
                n = vsnprintf(buf_reserve(buf, (size_t)n), (size_t)n + 1, fmt, again);
        va_end(again);
        if (n > 0)
                buf_grow(buf, (size_t)n);
}

void buf_put_shell_word(Buf *buf, const char *word)
{
        bool plain = *word != '\0';

        for (const char *c = word; *c; c++)
                plain = plain && (isalnum((unsigned char)*c) || strchr("_-+./:=@%,", *c));
        if (plain) {
                buf_put_text(buf, word);
                return;
        }
        buf_put_char(buf, '\'');
        for (; *word; word++) {
                if (*word == '\'')
                        buf_put_text(buf, "'\\''");
                else
                        buf_put_char(buf, *word);
        }
        buf_put_char(buf, '\'');
}

void buf_format(Buf *buf, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        buf_vformat(buf, fmt, ap);
        va_end(ap);
}

void buf_drop(Buf *buf, size_t n)
{
        if (!n)
                return;
        memmove(buf->data, buf->data + n, buf->len - n + 1);
        buf->len -= n;
}

void buf_clear(Buf *buf)
{
        buf->len = 0;
        if (buf->data)
                buf->data[0] = '\0';
}

const char *buf_text(const Buf *buf)
{
        return buf->data ? buf->data : "";
}

char *buf_take(Buf *buf)
{
        char *text = buf->data ? buf->data : str_dup("");

        *buf = (Buf){ 0 };
        return text;
}

void buf_done(Buf *buf)
{
        free(buf->data);
        *buf = (Buf){ 0 };
}
