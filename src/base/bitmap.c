/*
 * base/bitmap.c - a set of small numbers: processors, NUMA cells
 */
#include "base/bitmap.h"

#include "base/buf.h"
#include "base/str.h"

static int parse_number(const char **at, unsigned *ret)
{
        unsigned n = 0;

        if (**at < '0' || **at > '9')
                return -1;
        while (**at >= '0' && **at <= '9') {
                n = n * 10 + (unsigned)(**at - '0');
                if (n >= BITMAP_BITS)
                        return -1;
                (*at)++;
        }
        *ret = n;
        return 0;
}

int bitmap_parse(const char *text, Bitmap *ret, Error *err)
{
        Bitmap map = { 0 };
        const char *at = text;

        do {
                unsigned first, last;
                bool out = false;

                while (*at == ' ')
                        at++;
                if (*at == '^') {
                        out = true;
                        at++;
                }
                if (parse_number(&at, &first) < 0)
                        goto wrong;
                last = first;
                if (*at == '-') {
                        at++;
                        if (out || parse_number(&at, &last) < 0 || last < first)
                                goto wrong;
                }
                for (unsigned i = first; i <= last; i++)
                        out ? bitmap_clear(&map, i) : bitmap_set(&map, i);
                while (*at == ' ' || *at == '\n')
                        at++;
        } while (*at == ',' && at++);
        if (*at == '\0') {
                *ret = map;
                return 0;
        }
wrong:
        return err_set(err, ERR_INVALID_ARG, "'%s' is not a list of numbers below %d such as 0-3,^2,8", text,
                       BITMAP_BITS);
}

char *bitmap_format(const Bitmap *map)
{
        AUTO(Buf) buf = { 0 };

        for (int first = bitmap_next(map, -1); first >= 0;) {
                int last = first;

                while (bitmap_has(map, (unsigned)last + 1))
                        last++;
                buf_format(&buf, "%s%d", buf.len ? "," : "", first);
                if (last > first)
                        buf_format(&buf, "-%d", last);
                first = bitmap_next(map, last);
        }
        return buf.len ? buf_take(&buf) : str_dup("");
}

void bitmap_set(Bitmap *map, unsigned bit)
{
        if (bit < BITMAP_BITS)
                map->words[bit / BITMAP_WORD] |= UINT64_C(1) << bit % BITMAP_WORD;
}

void bitmap_clear(Bitmap *map, unsigned bit)
{
        if (bit < BITMAP_BITS)
                map->words[bit / BITMAP_WORD] &= ~(UINT64_C(1) << bit % BITMAP_WORD);
}

bool bitmap_has(const Bitmap *map, unsigned bit)
{
        return bit < BITMAP_BITS && (map->words[bit / BITMAP_WORD] >> bit % BITMAP_WORD & 1);
}

unsigned bitmap_count(const Bitmap *map)
{
        unsigned n = 0;

        for (size_t i = 0; i < ARRAY_LEN(map->words); i++)
                n += (unsigned)__builtin_popcountll(map->words[i]);
        return n;
}

int bitmap_next(const Bitmap *map, int after)
{
        for (unsigned bit = (unsigned)(after + 1); bit < BITMAP_BITS; bit++) {
                uint64_t rest = map->words[bit / BITMAP_WORD] >> bit % BITMAP_WORD;

                if (rest)
                        return (int)bit + __builtin_ctzll(rest);
                bit |= BITMAP_WORD - 1;
        }
        return -1;
}

bool bitmap_is_empty(const Bitmap *map)
{
        return bitmap_next(map, -1) < 0;
}

bool bitmap_is_subset(const Bitmap *map, const Bitmap *of)
{
        for (size_t i = 0; i < ARRAY_LEN(map->words); i++) {
                if (map->words[i] & ~of->words[i])
                        return false;
        }
        return true;
}

void bitmap_set_first(Bitmap *map, unsigned n)
{
        *map = (Bitmap){ 0 };
        for (unsigned i = 0; i < n; i++)
                bitmap_set(map, i);
}
