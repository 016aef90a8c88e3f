#pragma once
/*
 * wire/xdr.h - reading and writing XDR
 *
 * Everything is big endian and padded to four bytes. Reader and writer remember
 * their first failure: after it reads give zeroes and empty lists, so the
 * generated codecs are straight lines that check nothing, and whoever started
 * asks once at the end. A count is held against its limit and against the bytes
 * that are left before memory is taken for it. What is read is copied into the
 * arena; nothing points into the payload.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct XdrReader {
        const uint8_t *at;
        size_t left;
        Arena *arena;
        const char *failure; /* NULL: none so far */
} XdrReader;

typedef struct XdrWriter {
        Buf *buf;
        const char *failure;
} XdrWriter;

typedef void WireDecode(XdrReader *r, void *out);
typedef void WireEncode(XdrWriter *w, const void *in);

/* Decode a whole payload into *out, which the caller zeroed; bytes left over are ignored. 0, or -1 with ERR_RPC. */
int xdr_decode(WireDecode *decode, const void *data, size_t len, Arena *arena, void *out, Error *err);
/* Append to buf; on failure buf is as it was. decode or encode may be NULL: nothing is to be done. */
int xdr_encode(WireEncode *encode, const void *in, Buf *buf, Error *err);

void xdr_reader_init(XdrReader *r, const void *data, size_t len, Arena *arena);
void xdr_reader_fail(XdrReader *r, const char *why);
int32_t xdr_get_i32(XdrReader *r);
uint32_t xdr_get_u32(XdrReader *r);
int64_t xdr_get_i64(XdrReader *r);
uint64_t xdr_get_u64(XdrReader *r);
double xdr_get_double(XdrReader *r);
char xdr_get_char(XdrReader *r); /* these four: one word each, the upper bytes are ignored */
uint8_t xdr_get_u8(XdrReader *r);
int16_t xdr_get_i16(XdrReader *r);
uint16_t xdr_get_u16(XdrReader *r);
bool xdr_get_present(XdrReader *r);       /* any word but 0 is yes */
const char *xdr_get_string(XdrReader *r); /* "" after a failure, never NULL */
void xdr_get_uuid(XdrReader *r, Uuid *ret);
const uint8_t *xdr_get_opaque(XdrReader *r, uint32_t most, uint32_t *ret_n);
const char *xdr_get_chars(XdrReader *r, uint32_t most,
                          uint32_t *ret_n); /* one word per character; a NUL is put behind */
/* Memory for a list of n elements of size bytes, each at least least bytes on the wire. NULL with *ret_n 0 if none. */
void *xdr_get_list(XdrReader *r, uint32_t most, size_t least, size_t size, uint32_t *ret_n);
void *xdr_get_memory(XdrReader *r, size_t size);

void xdr_writer_init(XdrWriter *w, Buf *buf);
void xdr_writer_fail(XdrWriter *w, const char *why);
void xdr_put_i32(XdrWriter *w, int32_t value);
void xdr_put_u32(XdrWriter *w, uint32_t value);
void xdr_put_i64(XdrWriter *w, int64_t value);
void xdr_put_u64(XdrWriter *w, uint64_t value);
void xdr_put_double(XdrWriter *w, double value);
void xdr_put_char(XdrWriter *w, char value);
void xdr_put_u8(XdrWriter *w, uint8_t value);
void xdr_put_i16(XdrWriter *w, int16_t value);
void xdr_put_u16(XdrWriter *w, uint16_t value);
bool xdr_put_present(XdrWriter *w, const void *p); /* whether p is there, as the optional marker; returns it */
void xdr_put_string(XdrWriter *w, const char *s);
void xdr_put_uuid(XdrWriter *w, const Uuid *uuid);
void xdr_put_opaque(XdrWriter *w, const void *data, uint32_t n, uint32_t most);
void xdr_put_chars(XdrWriter *w, const char *s, uint32_t n, uint32_t most);
bool xdr_put_count(XdrWriter *w, uint32_t n, uint32_t most); /* false: over the limit, a failure */
