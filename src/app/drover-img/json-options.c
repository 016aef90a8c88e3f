/*
 * app/drover-img/json-options.c - json:{"driver": "qcow2", "file": {"filename": "x"}} as options
 *
 * Objects and lists are flattened: members are named by what they stand in,
 * items by their number. Numbers and words are kept as they are written.
 */
#include "app/drover-img/command.h"

#include "base/str.h"

enum { DEEPEST = 32, LONGEST_NAME = 1024 };

typedef struct Reader {
        const char *at;
        const char *begin;
        Options *options;
        Error *err;
} Reader;

static int read_value(Reader *r, const char *name, unsigned depth);

static int wrong(const Reader *r, const char *what)
{
        return err_set(r->err, ERR_INVALID_ARG, "%s at character %zu", what, (size_t)(r->at - r->begin) + 1);
}

static void skip_blanks(Reader *r)
{
        r->at += strspn(r->at, " \t\r\n");
}

static bool take_char(Reader *r, char c)
{
        skip_blanks(r);
        if (*r->at != c)
                return false;
        r->at++;
        return true;
}

static void put_utf8(Buf *out, uint32_t c)
{
        if (c < 0x80) {
                buf_put_char(out, (char)c);
        } else if (c < 0x800) {
                buf_put_char(out, (char)(0xc0 | c >> 6));
                buf_put_char(out, (char)(0x80 | (c & 0x3f)));
        } else {
                if (c >= 0x10000) {
                        buf_put_char(out, (char)(0xf0 | c >> 18));
                        buf_put_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
                } else {
                        buf_put_char(out, (char)(0xe0 | c >> 12));
                }
                buf_put_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
                buf_put_char(out, (char)(0x80 | (c & 0x3f)));
        }
}

/* The four digits behind \u. */
static bool take_hex(Reader *r, uint32_t *ret)
{
        char digits[7] = "0x";
        uint64_t value;

        if (strnlen(r->at, 4) < 4 || strspn(r->at, "0123456789abcdefABCDEF") < 4)
                return false;
        memcpy(digits + 2, r->at, 4);
        if (str_to_u64_hex(digits, &value) < 0)
                return false;
        *ret = (uint32_t)value;
        r->at += 4;
        return true;
}

static int take_unicode(Reader *r, Buf *out)
{
        uint32_t c, low;

        if (!take_hex(r, &c))
                return wrong(r, "four hexadecimal digits are missing");
        if (c >= 0xd800 && c < 0xdc00) {
                if (r->at[0] != '\\' || r->at[1] != 'u')
                        return wrong(r, "the second half of a character is missing");
                r->at += 2;
                if (!take_hex(r, &low) || low < 0xdc00 || low > 0xdfff)
                        return wrong(r, "the second half of a character is missing");
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
        if (c == 0 || (c >= 0xdc00 && c < 0xe000))
                return wrong(r, "a character that cannot be");
        put_utf8(out, c);
        return 0;
}

static int read_string(Reader *r, Buf *out)
{
        static const char names[] = "\"\\/bfnrt'", chars[] = "\"\\/\b\f\n\r\t'";

        skip_blanks(r);
        if (*r->at != '"')
                return wrong(r, "a string in quotes is missing");
        for (r->at++; *r->at != '"';) {
                const char *escape;

                if ((unsigned char)*r->at < ' ')
                        return wrong(r, "a string does not end");
                if (*r->at != '\\') {
                        buf_put_char(out, *r->at++);
                        continue;
                }
                r->at++;
                if (*r->at == 'u') {
                        r->at++;
                        if (take_unicode(r, out) < 0)
                                return -1;
                        continue;
                }
                escape = *r->at ? strchr(names, *r->at) : NULL;
                if (!escape)
                        return wrong(r, "an escape that is not known");
                buf_put_char(out, chars[escape - names]);
                r->at++;
        }
        r->at++;
        return 0;
}

static void put_option(Reader *r, const char *name, const char *value)
{
        Option option = { .name = str_dup(name), .value = str_dup(value) };

        vec_push(r->options, option);
}

/* A number, true or false; null is as good as nothing. */
static int read_word(Reader *r, const char *name)
{
        size_t n = strcspn(r->at, " \t\r\n,]}");
        AUTOFREE char *word = str_dup_n(r->at, n);
        double number;

        if (str_eq(word, "true") || str_eq(word, "false"))
                put_option(r, name, str_eq(word, "true") ? "on" : "off");
        else if (str_to_double(word, &number) == 0)
                put_option(r, name, word);
        else if (!str_eq(word, "null"))
                return wrong(r, "a value is missing");
        r->at += n;
        return 0;
}

static int read_member(Reader *r, const char *name, unsigned i, bool list, unsigned depth)
{
        AUTO(Buf) key = { 0 };
        AUTOFREE char *number = list ? str_format("%u", i) : NULL, *whole = NULL;

        if (!list && read_string(r, &key) < 0)
                return -1;
        if (!list && !take_char(r, ':'))
                return wrong(r, "a colon is missing");
        whole = str_format("%s%s%s", name, *name ? "." : "", list ? number : buf_text(&key));
        if (strlen(whole) > LONGEST_NAME)
                return wrong(r, "a name is too long");
        return read_value(r, whole, depth + 1);
}

static int read_members(Reader *r, const char *name, bool list, unsigned depth)
{
        char end = list ? ']' : '}';

        if (depth >= DEEPEST)
                return wrong(r, "objects are nested too deep");
        if (take_char(r, end))
                return 0;
        for (unsigned i = 0;; i++) {
                if (read_member(r, name, i, list, depth) < 0)
                        return -1;
                if (take_char(r, end))
                        return 0;
                if (!take_char(r, ','))
                        return wrong(r, "a comma is missing");
        }
}

static int read_value(Reader *r, const char *name, unsigned depth)
{
        AUTO(Buf) text = { 0 };

        skip_blanks(r);
        if (*r->at == '{' || *r->at == '[')
                return read_members(r, name, *r->at++ == '[', depth);
        if (*r->at != '"')
                return read_word(r, name);
        if (read_string(r, &text) < 0)
                return -1;
        put_option(r, name, buf_text(&text));
        return 0;
}

int json_options_add(Options *options, const char *json, Error *err)
{
        Reader r = { .at = json, .begin = json, .options = options, .err = err };

        if (!take_char(&r, '{'))
                return wrong(&r, "an object is missing");
        if (read_members(&r, "", false, 0) < 0)
                return -1;
        skip_blanks(&r);
        return *r.at ? wrong(&r, "there is something behind the object") : 0;
}
