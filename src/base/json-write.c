/*
 * base/json-write.c - JSON text, written straight into a buffer
 */
#include "base/json-write.h"

#include "base/str.h"

#include <inttypes.h>
#include <math.h>

/* The length of the UTF-8 sequence at s, or 0 when there is none. */
static size_t sequence_len(const char *s)
{
        unsigned char c = (unsigned char)*s;
        size_t n = c < 0x80                ? 1
                   : c >= 0xc2 && c < 0xe0 ? 2
                   : c >= 0xe0 && c < 0xf0 ? 3
                   : c >= 0xf0 && c < 0xf5 ? 4
                                           : 0;

        if (n == 0 || strnlen(s, n) < n || !str_is_utf8(s, n))
                return 0;
        return n;
}

/* The code point of a sequence of n bytes. */
static uint32_t code_point(const char *s, size_t n)
{
        uint32_t c = (unsigned char)s[0] & (n == 1 ? 0x7f : 0x7fu >> n);

        for (size_t i = 1; i < n; i++)
                c = c << 6 | ((unsigned char)s[i] & 0x3f);
        return c;
}

/* The characters that QEMU writes in another way than as they are: by a letter, or by their number. */
static bool put_escape(Buf *buf, uint32_t c)
{
        static const char letters[] = "btnvfr"; /* from 8 on; JSON has no v */

        if (c >= 8 && c <= 13 && c != 11)
                buf_format(buf, "\\%c", letters[c - 8]);
        else if (c >= 0x10000)
                buf_format(buf, "\\u%04X\\u%04X", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (c < 0x20 || c >= 0x7f)
                buf_format(buf, "\\u%04X", c);
        else
                return false;
        return true;
}

static void put_quoted(const JsonWriter *w, Buf *buf, const char *s)
{
        buf_put_char(buf, '"');
        while (*s) {
                size_t n = sequence_len(s);

                if (n == 0) {
                        buf_put_text(buf, w->pretty ? "\\uFFFD" : "\\ufffd");
                        s++;
                        continue;
                }
                if (w->pretty && put_escape(buf, code_point(s, n))) {
                        s += n;
                        continue;
                }
                if (*s == '"' || *s == '\\') {
                        buf_put_char(buf, '\\');
                        buf_put_char(buf, *s);
                } else if ((unsigned char)*s < 0x20 || *s == 0x7f) {
                        buf_format(buf, "\\u%04x", (unsigned)*s);
                } else {
                        buf_put(buf, s, n);
                }
                s += n;
        }
        buf_put_char(buf, '"');
}

static void put_new_line(JsonWriter *w)
{
        if (w->pretty)
                buf_format(&w->buf, "\n%*s", (int)w->depth * 4, "");
}

static void put_key(JsonWriter *w, const char *key)
{
        if (w->comma)
                buf_put_text(&w->buf, ",");
        if (w->depth)
                put_new_line(w);
        w->comma = true;
        if (key) {
                put_quoted(w, &w->buf, key);
                buf_put_text(&w->buf, w->pretty ? ": " : ":");
        }
}

static void open_with(JsonWriter *w, const char *key, char bracket)
{
        put_key(w, key);
        buf_put_char(&w->buf, bracket);
        w->comma = false;
        w->depth++;
}

static void close_with(JsonWriter *w, char bracket)
{
        w->depth--;
        put_new_line(w);
        buf_put_char(&w->buf, bracket);
        w->comma = true;
}

void json_open_object(JsonWriter *w, const char *key)
{
        open_with(w, key, '{');
}

void json_close_object(JsonWriter *w)
{
        close_with(w, '}');
}

void json_open_array(JsonWriter *w, const char *key)
{
        open_with(w, key, '[');
}

void json_close_array(JsonWriter *w)
{
        close_with(w, ']');
}

void json_put_text(JsonWriter *w, const char *key, const char *value)
{
        if (!value)
                return;
        put_key(w, key);
        put_quoted(w, &w->buf, value);
}

void json_put_format(JsonWriter *w, const char *key, const char *fmt, ...)
{
        AUTOFREE char *value = NULL;
        va_list ap;

        va_start(ap, fmt);
        value = str_vformat(fmt, ap);
        va_end(ap);
        json_put_text(w, key, value);
}

void json_put_bool(JsonWriter *w, const char *key, bool value)
{
        put_key(w, key);
        buf_put_text(&w->buf, value ? "true" : "false");
}

void json_put_u64(JsonWriter *w, const char *key, uint64_t value)
{
        put_key(w, key);
        buf_format(&w->buf, "%" PRIu64, value);
}

void json_put_i64(JsonWriter *w, const char *key, int64_t value)
{
        put_key(w, key);
        buf_format(&w->buf, "%" PRId64, value);
}

void json_put_double(JsonWriter *w, const char *key, double value)
{
        put_key(w, key);
        if (isfinite(value))
                buf_format(&w->buf, "%.17g", value);
        else
                buf_put_text(&w->buf, "null");
}

void json_put_null(JsonWriter *w, const char *key)
{
        put_key(w, key);
        buf_put_text(&w->buf, "null");
}

void json_put_raw(JsonWriter *w, const char *key, const char *json)
{
        if (!json)
                return;
        put_key(w, key);
        buf_put_text(&w->buf, json);
}

const char *json_text(const JsonWriter *w)
{
        return buf_text(&w->buf);
}

char *json_take(JsonWriter *w)
{
        w->comma = false;
        w->depth = 0;
        return buf_take(&w->buf);
}

void json_writer_done(JsonWriter *w)
{
        buf_done(&w->buf);
        w->comma = false;
        w->depth = 0;
}
