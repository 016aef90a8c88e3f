/*
 * wire/xdr.c - reading and writing XDR
 */
#include "wire/xdr.h"

#include "base/mem.h"
#include "base/str.h"
#include "wire/constants.h"

#include <endian.h>
#include <string.h>

static size_t padded(size_t n)
{
        return (n + 3) & ~(size_t)3;
}

int xdr_decode(WireDecode *decode, const void *data, size_t len, Arena *arena, void *out, Error *err)
{
        XdrReader r;

        if (!decode)
                return 0;
        xdr_reader_init(&r, data, len, arena);
        decode(&r, out);
        if (r.failure)
                return err_set(err, ERR_RPC, "Unable to decode message payload");
        return 0;
}

int xdr_encode(WireEncode *encode, const void *in, Buf *buf, Error *err)
{
        size_t before = buf->len;
        XdrWriter w;

        if (!encode)
                return 0;
        xdr_writer_init(&w, buf);
        encode(&w, in);
        if (!w.failure && buf->len - before <= WIRE_FRAME_PAYLOAD_MAX)
                return 0;
        buf->len = before;
        return err_set(err, ERR_RPC, "Unable to encode message payload: %s", w.failure ?: "it is too large");
}

void xdr_reader_init(XdrReader *r, const void *data, size_t len, Arena *arena)
{
        *r = (XdrReader){ .at = data, .left = len, .arena = arena };
}

void xdr_reader_fail(XdrReader *r, const char *why)
{
        if (!r->failure)
                r->failure = why;
        r->left = 0;
}

/* n bytes, or NULL after a failure. */
static const uint8_t *take(XdrReader *r, size_t n)
{
        const uint8_t *at = r->at;

        if (r->failure || r->left < n) {
                xdr_reader_fail(r, "it ends early");
                return NULL;
        }
        r->at += n;
        r->left -= n;
        return at;
}

uint32_t xdr_get_u32(XdrReader *r)
{
        const uint8_t *at = take(r, 4);
        uint32_t word;

        if (!at)
                return 0;
        memcpy(&word, at, 4);
        return be32toh(word);
}

int32_t xdr_get_i32(XdrReader *r)
{
        return (int32_t)xdr_get_u32(r);
}

uint64_t xdr_get_u64(XdrReader *r)
{
        const uint8_t *at = take(r, 8);
        uint64_t word;

        if (!at)
                return 0;
        memcpy(&word, at, 8);
        return be64toh(word);
}

int64_t xdr_get_i64(XdrReader *r)
{
        return (int64_t)xdr_get_u64(r);
}

double xdr_get_double(XdrReader *r)
{
        uint64_t bits = xdr_get_u64(r);
        double value;

        memcpy(&value, &bits, sizeof(value));
        return value;
}

char xdr_get_char(XdrReader *r)
{
        return (char)xdr_get_u32(r);
}

uint8_t xdr_get_u8(XdrReader *r)
{
        return (uint8_t)xdr_get_u32(r);
}

int16_t xdr_get_i16(XdrReader *r)
{
        return (int16_t)xdr_get_u32(r);
}

uint16_t xdr_get_u16(XdrReader *r)
{
        return (uint16_t)xdr_get_u32(r);
}

bool xdr_get_present(XdrReader *r)
{
        return xdr_get_u32(r) != 0;
}

/* The bytes of a counted item with their padding, whatever the padding holds; NULL after a failure. */
static const uint8_t *take_counted(XdrReader *r, uint32_t most, uint32_t *ret_n)
{
        uint32_t n = xdr_get_u32(r);
        const uint8_t *at;

        *ret_n = 0;
        if (n > most) {
                xdr_reader_fail(r, "an item is longer than its limit");
                return NULL;
        }
        at = take(r, padded(n));
        if (at)
                *ret_n = n;
        return at;
}

const char *xdr_get_string(XdrReader *r)
{
        uint32_t n;
        const uint8_t *at = take_counted(r, WIRE_STRING_MAX, &n);

        if (at && !str_is_utf8((const char *)at, n)) {
                xdr_reader_fail(r, "a string is not UTF-8");
                at = NULL;
        }
        return at ? arena_dup_n(r->arena, at, n) : "";
}

void xdr_get_uuid(XdrReader *r, Uuid *ret)
{
        const uint8_t *at = take(r, sizeof(ret->bytes));

        if (at)
                memcpy(ret->bytes, at, sizeof(ret->bytes));
}

const uint8_t *xdr_get_opaque(XdrReader *r, uint32_t most, uint32_t *ret_n)
{
        const uint8_t *at = take_counted(r, most, ret_n);

        return at ? (const uint8_t *)arena_dup_n(r->arena, at, *ret_n) : NULL;
}

void *xdr_get_list(XdrReader *r, uint32_t most, size_t least, size_t size, uint32_t *ret_n)
{
        uint32_t n = xdr_get_u32(r);
        void *list;

        *ret_n = 0;
        if (n > most) {
                xdr_reader_fail(r, "a list is longer than its limit");
                return NULL;
        }
        if (n > r->left / least) {
                xdr_reader_fail(r, "a list ends early");
                return NULL;
        }
        if (n == 0)
                return NULL;
        list = arena_try_array(r->arena, n, size);
        if (!list) {
                xdr_reader_fail(r, "a list is too long");
                return NULL;
        }
        *ret_n = n;
        return list;
}

const char *xdr_get_chars(XdrReader *r, uint32_t most, uint32_t *ret_n)
{
        uint32_t n = xdr_get_u32(r);
        char *text;

        *ret_n = 0;
        if (n > most || n > r->left / 4) {
                xdr_reader_fail(r, "a character list is longer than its limit");
                return "";
        }
        text = arena_alloc(r->arena, n + 1);
        for (uint32_t i = 0; i < n; i++)
                text[i] = xdr_get_char(r);
        *ret_n = n;
        return text;
}

void *xdr_get_memory(XdrReader *r, size_t size)
{
        return arena_alloc(r->arena, size);
}

void xdr_writer_init(XdrWriter *w, Buf *buf)
{
        *w = (XdrWriter){ .buf = buf };
}

void xdr_writer_fail(XdrWriter *w, const char *why)
{
        if (!w->failure)
                w->failure = why;
}

void xdr_put_u32(XdrWriter *w, uint32_t value)
{
        uint32_t word = htobe32(value);

        memcpy(buf_reserve(w->buf, 4), &word, 4);
        buf_grow(w->buf, 4);
}

void xdr_put_i32(XdrWriter *w, int32_t value)
{
        xdr_put_u32(w, (uint32_t)value);
}

void xdr_put_u64(XdrWriter *w, uint64_t value)
{
        uint64_t word = htobe64(value);

        memcpy(buf_reserve(w->buf, 8), &word, 8);
        buf_grow(w->buf, 8);
}

void xdr_put_i64(XdrWriter *w, int64_t value)
{
        xdr_put_u64(w, (uint64_t)value);
}

void xdr_put_double(XdrWriter *w, double value)
{
        uint64_t bits;

        memcpy(&bits, &value, sizeof(bits));
        xdr_put_u64(w, bits);
}

void xdr_put_char(XdrWriter *w, char value)
{
        xdr_put_i32(w, value);
}

void xdr_put_u8(XdrWriter *w, uint8_t value)
{
        xdr_put_u32(w, value);
}

void xdr_put_i16(XdrWriter *w, int16_t value)
{
        xdr_put_i32(w, value);
}

void xdr_put_u16(XdrWriter *w, uint16_t value)
{
        xdr_put_u32(w, value);
}

bool xdr_put_present(XdrWriter *w, const void *p)
{
        xdr_put_u32(w, p ? 1 : 0);
        return p;
}

static void put_padded(XdrWriter *w, const void *data, size_t n)
{
        uint8_t *to = buf_reserve(w->buf, padded(n));

        if (n)
                memcpy(to, data, n);
        memset(to + n, 0, padded(n) - n);
        buf_grow(w->buf, padded(n));
}

bool xdr_put_count(XdrWriter *w, uint32_t n, uint32_t most)
{
        if (n > most) {
                xdr_writer_fail(w, "a list is longer than its limit");
                return false;
        }
        xdr_put_u32(w, n);
        return true;
}

void xdr_put_opaque(XdrWriter *w, const void *data, uint32_t n, uint32_t most)
{
        if (xdr_put_count(w, n, most))
                put_padded(w, data, n);
}

void xdr_put_chars(XdrWriter *w, const char *s, uint32_t n, uint32_t most)
{
        if (!xdr_put_count(w, n, most))
                return;
        for (uint32_t i = 0; i < n; i++)
                xdr_put_char(w, s[i]);
}

void xdr_put_string(XdrWriter *w, const char *s)
{
        size_t n = s ? strlen(s) : 0;

        if (!s) {
                xdr_writer_fail(w, "a string that must be there is missing");
        } else if (n > WIRE_STRING_MAX) {
                xdr_writer_fail(w, "a string is longer than 4 MiB");
        } else {
                xdr_put_u32(w, (uint32_t)n);
                put_padded(w, s, n);
        }
}

void xdr_put_uuid(XdrWriter *w, const Uuid *uuid)
{
        buf_put(w->buf, uuid->bytes, sizeof(uuid->bytes));
}
