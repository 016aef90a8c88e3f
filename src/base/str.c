/*
 * base/str.c - text: allocated strings, strict number parsing, word lists
 */
#include "base/str.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

char *str_dup(const char *s)
{
        return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *str_dup_n(const char *s, size_t n)
{
        char *copy = mem_alloc(n + 1);

        memcpy(copy, s, n);
        return copy;
}

char *str_vformat(const char *fmt, va_list ap)
{
        char *s;

        if (vasprintf(&s, fmt, ap) < 0)
                abort(); /* out of memory */
        return s;
}

char *str_format(const char *fmt, ...)
{
        va_list ap;
        char *s;

        va_start(ap, fmt);
        s = str_vformat(fmt, ap);
        va_end(ap);
        return s;
}

void str_replace(char **slot, const char *s)
{
        char *copy = str_dup(s);

        free(*slot);
        *slot = copy;
}

bool str_ends(const char *s, const char *suffix)
{
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* The length of the UTF-8 sequence at s (n bytes left), or 0 if it is not one. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
        uint32_t c;

        if (len <= 1)
                return len;
        if (len > n)
                return 0;
        c = s[0] & (0xffU >> (len + 1));
        for (size_t i = 1; i < len; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        return len;
}

bool str_is_utf8(const char *s, size_t n)
{
        const unsigned char *p = (const unsigned char *)s;

        while (n) {
                size_t len = *p ? utf8_sequence(p, n) : 0;

                if (!len)
                        return false;
                p += len;
                n -= len;
        }
        return true;
}

char *str_printable(const char *s, const char *keep)
{
        const unsigned char *p = (const unsigned char *)s;
        size_t n = strlen(s);
        char *ret = mem_alloc(4 * n + 1), *to = ret;

        while (n) {
                size_t len = utf8_sequence(p, n);
                bool control = len == 0 || *p < ' ' || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0);

                len = len ?: 1;
                if (control && !strchr(keep, *p))
                        for (size_t i = 0; i < len; i++)
                                to += sprintf(to, "\\x%02x", p[i]);
                else
                        to = mempcpy(to, p, len);
                p += len;
                n -= len;
        }
        *to = '\0';
        return ret;
}

static bool starts_number(const char *s, bool may_be_negative)
{
        if (may_be_negative && *s == '-')
                s++;
        return *s >= '0' && *s <= '9';
}

int str_to_u64(const char *s, uint64_t *ret)
{
        unsigned long long v;
        char *end;

        if (!starts_number(s, false))
                return -1;
        errno = 0;
        v = strtoull(s, &end, 10);
        if (errno || *end)
                return -1;
        *ret = v;
        return 0;
}

int str_to_i64(const char *s, int64_t *ret)
{
        long long v;
        char *end;

        if (!starts_number(s, true))
                return -1;
        errno = 0;
        v = strtoll(s, &end, 10);
        if (errno || *end)
                return -1;
        *ret = v;
        return 0;
}

int str_to_u32(const char *s, uint32_t *ret)
{
        uint64_t v;

        if (str_to_u64(s, &v) < 0 || v > UINT32_MAX)
                return -1;
        *ret = (uint32_t)v;
        return 0;
}

int str_to_i32(const char *s, int32_t *ret)
{
        int64_t v;

        if (str_to_i64(s, &v) < 0 || v < INT32_MIN || v > INT32_MAX)
                return -1;
        *ret = (int32_t)v;
        return 0;
}

int str_to_double(const char *s, double *ret)
{
        char *end;
        double v;

        if (!starts_number(s, true))
                return -1;
        errno = 0;
        v = strtod(s, &end);
        if (errno || *end)
                return -1;
        *ret = v;
        return 0;
}

int str_to_u64_hex(const char *s, uint64_t *ret)
{
        unsigned long long v;
        char *end;

        if (!str_starts(s, "0x") && !str_starts(s, "0X"))
                return str_to_u64(s, ret);
        if (!s[2] || strspn(s + 2, "0123456789abcdefABCDEF") != strlen(s + 2))
                return -1;
        errno = 0;
        v = strtoull(s + 2, &end, 16);
        if (errno || *end)
                return -1;
        *ret = v;
        return 0;
}

char **str_split(const char *s, const char *separators)
{
        size_t n = 0, room = 4;
        char **list = mem_new_array(char *, room);

        for (s += strspn(s, separators); *s; s += strspn(s, separators)) {
                size_t len = strcspn(s, separators);

                if (n + 1 == room) {
                        room *= 2;
                        list = mem_resize(list, room * sizeof(char *));
                }
                list[n++] = str_dup_n(s, len);
                s += len;
        }
        list[n] = NULL;
        return list;
}

void str_list_free(char **list)
{
        for (char **p = list; p && *p; p++)
                free(*p);
        free(list);
}

size_t str_list_len(char *const *list)
{
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

char *str_to_base64(const void *data, size_t n)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const uint8_t *from = data;
        char *text = mem_alloc((n + 2) / 3 * 4 + 1), *to = text;

        for (size_t i = 0; i < n; i += 3) {
                uint32_t bits = (uint32_t)from[i] << 16 | (i + 1 < n ? from[i + 1] << 8 : 0) |
                                (i + 2 < n ? from[i + 2] : 0);

                *to++ = digits[bits >> 18];
                *to++ = digits[bits >> 12 & 63];
                *to++ = i + 1 < n ? digits[bits >> 6 & 63] : '=';
                *to++ = i + 2 < n ? digits[bits & 63] : '=';
        }
        return text;
}

static int base64_value(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int str_from_base64(const char *s, uint8_t *ret, size_t *ret_n)
{
        uint32_t bits = 0;
        size_t n = 0, digits = 0, padding = 0;

        for (; *s; s++) {
                int value = base64_value(*s);

                if (strchr(" \t\r\n", *s))
                        continue;
                if (*s == '=')
                        padding++;
                else if (value < 0 || padding)
                        return -1;
                else
                        bits = bits << 6 | (uint32_t)value;
                if (++digits % 4 == 0) {
                        if (padding > 2)
                                return -1;
                        bits <<= 6 * padding;
                        ret[n] = (uint8_t)(bits >> 16);
                        ret[n + 1] = (uint8_t)(bits >> 8);
                        ret[n + 2] = (uint8_t)bits;
                        n += 3 - padding;
                        bits = 0;
                }
        }
        *ret_n = n;
        return digits % 4 ? -1 : 0;
}
