/*
 * img/utf16.c - UTF-16 to UTF-8
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
