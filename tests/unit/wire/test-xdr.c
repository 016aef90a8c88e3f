#include "test.h"

#include "base/mem.h"
#include "wire/constants.h"
#include "wire/xdr.h"

#include <string.h>

TEST(numbers_are_big_endian_words)
{
        static const uint8_t expected[] = {
                0xff, 0xff, 0xff, 0xfe, 0x12, 0x34, 0x56, 0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd,
                0x3f, 0xf8, 0,    0,    0,    0,    0,    0,    0,    0,    0,    0xfe, 0xff, 0xff, 0xff, 0xfb,
        };
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) buf = { 0 };
        XdrWriter w;
        XdrReader r;

        xdr_writer_init(&w, &buf);
        xdr_put_i32(&w, -2);
        xdr_put_u32(&w, 0x12345678);
        xdr_put_i64(&w, -3);
        xdr_put_double(&w, 1.5);
        xdr_put_u8(&w, 0xfe);
        xdr_put_i16(&w, -5);
        CHECK_INT(buf.len, sizeof(expected));
        CHECK_MEM(buf.data, expected, sizeof(expected));

        xdr_reader_init(&r, buf.data, buf.len, arena);
        CHECK(xdr_get_i32(&r) == -2);
        CHECK(xdr_get_u32(&r) == 0x12345678);
        CHECK(xdr_get_i64(&r) == -3);
        CHECK(xdr_get_double(&r) == 1.5);
        CHECK(xdr_get_u8(&r) == 0xfe);
        CHECK(xdr_get_i16(&r) == -5);
        CHECK_NULL(r.failure);
        CHECK(xdr_get_u32(&r) == 0);
        CHECK(r.failure);
}

TEST(strings_are_padded_and_must_be_text)
{
        static const struct {
                const char *bytes;
                size_t len;
                const char *text; /* NULL: refused */
        } cases[] = {
                { "\0\0\0\3abc\0", 8, "abc" }, { "\0\0\0\3abcX", 8, "abc" }, /* padding is not looked at */
                { "\0\0\0\0", 4, "" },         { "\0\0\0\3abc", 7, NULL },
                { "\0\0\0\3a\0c\0", 8, NULL }, { "\0\0\0\2\xc3(\0\0", 8, NULL },
                { "\0\x40\0\1aaaa", 8, NULL }, { "\xff\xff\xff\xff", 4, NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Arena) *arena = arena_new();
                AUTOFREE char *exact = mem_dup(cases[i].bytes, cases[i].len);
                XdrReader r;

                xdr_reader_init(&r, exact, cases[i].len, arena);
                CHECK_STR(xdr_get_string(&r), cases[i].text ?: "");
                CHECK_INT(!r.failure, cases[i].text != NULL);
        }
}

TEST(characters_take_a_word_each)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Buf) buf = { 0 };
        uint32_t n;
        XdrWriter w;
        XdrReader r;

        xdr_writer_init(&w, &buf);
        xdr_put_chars(&w, "abc", 4, 4);
        CHECK_INT(buf.len, 20);
        xdr_reader_init(&r, buf.data, buf.len, arena);
        CHECK_STR(xdr_get_chars(&r, 4, &n), "abc");
        CHECK_INT(n, 4);
        xdr_reader_init(&r, buf.data, buf.len, arena);
        CHECK_STR(xdr_get_chars(&r, 3, &n), "");
        CHECK(r.failure);
        xdr_put_chars(&w, "abc", 3, 2);
        CHECK(w.failure);
}

TEST(a_string_over_the_limit_is_not_written)
{
        AUTOFREE char *text = mem_alloc(WIRE_STRING_MAX + 2);
        AUTO(Buf) buf = { 0 };
        XdrWriter w;

        memset(text, 'x', WIRE_STRING_MAX);
        xdr_writer_init(&w, &buf);
        xdr_put_string(&w, text);
        CHECK_NULL(w.failure);
        text[WIRE_STRING_MAX] = 'x';
        xdr_put_string(&w, text);
        CHECK(w.failure);
}
