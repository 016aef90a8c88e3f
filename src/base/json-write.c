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

static void put_quoted(Buf *buf, const char *s)
{
        buf_put_char(buf, '"');
        while (*s) {
                size_t n = sequence_len(s);

                if (n == 0) {
                        buf_put_text(buf, "\\ufffd");
                        s++;
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

static void put_key(JsonWriter *w, const char *key)
{
        if (w->comma)
                buf_put_text(&w->buf, ",");
        w->comma = true;
        if (key) {
                put_quoted(&w->buf, key);
                buf_put_char(&w->buf, ':');
        }
}

static void open_with(JsonWriter *w, const char *key, char bracket)
{
        put_key(w, key);
        buf_put_char(&w->buf, bracket);
        w->comma = false;
}

static void close_with(JsonWriter *w, char bracket)
{
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
        put_quoted(&w->buf, value);
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
        return buf_take(&w->buf);
}

void json_writer_done(JsonWriter *w)
{
        buf_done(&w->buf);
        w->comma = false;
}
