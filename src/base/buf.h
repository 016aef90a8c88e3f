#pragma once
/*
 * base/buf.h - a growing byte buffer
 *
 * Holds bytes, not text, but always keeps a NUL behind the last one, so that
 * buf_text() is free. Zeroed is empty.
 */
#include "base/auto.h"

#include <stdarg.h>
#include <stdint.h>

typedef struct Buf {
        char *data; /* NULL while nothing was ever put in */
        size_t len;
        size_t room;
} Buf;

void buf_put(Buf *buf, const void *data, size_t n);
void buf_put_text(Buf *buf, const char *s);
void buf_put_char(Buf *buf, char c);
/* One word as a shell takes it back unchanged. */
void buf_put_shell_word(Buf *buf, const char *word);
void buf_format(Buf *buf, const char *fmt, ...) PRINTF(2, 3);
void buf_vformat(Buf *buf, const char *fmt, va_list ap) PRINTF(2, 0);
/* Make room for n more bytes and return where they go; buf_grow() then counts them in. */
void *buf_reserve(Buf *buf, size_t n);
void buf_grow(Buf *buf, size_t n);
/* Drop n bytes at the front. */
void buf_drop(Buf *buf, size_t n);
void buf_clear(Buf *buf);             /* keeps the memory */
const char *buf_text(const Buf *buf); /* "" when empty; valid until the next change */
char *buf_take(Buf *buf);             /* owned text; the buffer is empty afterwards */
void buf_done(Buf *buf);

DEFINE_AUTO_VALUE(Buf, buf_done)
