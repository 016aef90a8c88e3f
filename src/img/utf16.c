/*
 * img/utf16.c - UTF-16 to UTF-8 and back
 */
#include "img/utf16.h"

#include "base/buf.h"
#include "img/bytes.h"
#include "img/driver.h"

static void put_utf8(Buf *text, uint32_t c)
{
        if (c < 0x80) {
                buf_put_char(text, (char)c);
                return;
        }
        if (c < 0x800) {
                buf_put_char(text, (char)(0xc0 | c >> 6));
        } else {
                if (c < 0x10000) {
                        buf_put_char(text, (char)(0xe0 | c >> 12));
                } else {
                        buf_put_char(text, (char)(0xf0 | c >> 18));
                        buf_put_char(text, (char)(0x80 | (c >> 12 & 0x3f)));
                }
                buf_put_char(text, (char)(0x80 | (c >> 6 & 0x3f)));
        }
        buf_put_char(text, (char)(0x80 | (c & 0x3f)));
}

char *utf16_to_text(const uint8_t *units, size_t n, bool big_endian, const ImageFile *file, uint64_t at,
                    const char *field, Error *err)
{
        uint16_t (*load)(const void *) = big_endian ? load_be16 : load_le16;
        AUTO(Buf) text = { 0 };

        for (size_t i = 0; i < n; i++) {
                uint32_t c = load(units + 2 * i);

                if (c == 0)
                        break;
                if (c >= 0xd800 && c < 0xdc00 && i + 1 < n && (load(units + 2 * (i + 1)) & 0xfc00) == 0xdc00) {
                        c = 0x10000 + ((c & 0x3ff) << 10) + (load(units + 2 * ++i) & 0x3ff);
                } else if (c >= 0xd800 && c < 0xe000) {
                        image_bad_field(err, file, at + 2 * i, field, "is not UTF-16");
                        return NULL;
                }
                put_utf8(&text, c);
        }
        return buf_take(&text);
}

/* The next character, 0 at the end, UINT32_MAX where it is none. */
static uint32_t take_utf8(const char **text)
{
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
        const uint8_t *p = (const uint8_t *)*text;
        unsigned more = *p < 0x80             ? 0
                        : (*p & 0xe0) == 0xc0 ? 1
                        : (*p & 0xf0) == 0xe0 ? 2
                        : (*p & 0xf8) == 0xf0 ? 3
                                              : 4;
        uint32_t c = more > 3 ? 0 : more ? *p & (0x3f >> more) : *p;

        if (more > 3)
                return UINT32_MAX;
        for (unsigned i = 1; i <= more; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return UINT32_MAX;
                c = c << 6 | (p[i] & 0x3f);
        }
        *text += more + 1;
        return c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? UINT32_MAX : c;
}

size_t utf16_from_text(const char *text, bool big_endian, uint8_t *units, size_t most)
{
        void (*store)(void *, uint16_t) = big_endian ? store_be16 : store_le16;
        size_t n = 0;

        while (*text) {
                uint32_t c = take_utf8(&text);

                if (c == UINT32_MAX || n + 2 > most)
                        return 0;
                if (c >= 0x10000) {
                        store(units + 2 * n++, (uint16_t)(0xd800 + ((c - 0x10000) >> 10)));
                        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
                }
                store(units + 2 * n++, (uint16_t)c);
        }
        return n;
}
