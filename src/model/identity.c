/*
 * model/identity.c - name and UUID of a definition without parsing it
 *
 * At start there may be thousands of definitions, of which only the names are
 * needed. This reads the layout that domain_def_format() writes: <domain ...>
 * first, then <name> and <uuid> as plain elements on its level. At the first
 * thing that is not so it gives up, and the file is parsed.
 */
#include "model/domain.h"

#include "base/str.h"

/* The start of the text after literal, or NULL. */
static const char *skip(const char *at, const char *end, const char *literal)
{
        size_t n = strlen(literal);

        return (size_t)(end - at) >= n && memcmp(at, literal, n) == 0 ? at + n : NULL;
}

static const char *skip_blanks(const char *at, const char *end)
{
        while (at < end && strchr(" \t\r\n", *at))
                at++;
        return at;
}

/* Behind declaration and comments. A comment that says less than "-->" belongs to the parser. */
static const char *skip_prolog(const char *at, const char *end)
{
        for (;;) {
                const char *inside, *close;

                at = skip_blanks(at, end);
                if ((inside = skip(at, end, "<?xml ")))
                        close = memmem(inside, (size_t)(end - inside), "?>", 2);
                else if ((inside = skip(at, end, "<!--")))
                        close = memmem(inside, (size_t)(end - inside), "-->", 3);
                else
                        return at;
                if (!close)
                        return NULL;
                at = close + (*close == '?' ? 2 : 3);
        }
}

/* The text of <element>text</element> without entities or markup; moves *at behind it. */
static const char *take_plain(const char **at, const char *end, const char *open, const char *close, size_t *len)
{
        const char *text = skip(skip_blanks(*at, end), end, open), *stop;

        stop = text ? memchr(text, '<', (size_t)(end - text)) : NULL;
        if (!stop || stop == text || memchr(text, '&', (size_t)(stop - text)))
                return NULL;
        *at = skip(stop, end, close);
        *len = (size_t)(stop - text);
        return *at ? text : NULL;
}

static bool has_edge_blanks(const char *text, size_t len)
{
        return strchr(" \t\r\n", text[0]) || strchr(" \t\r\n", text[len - 1]);
}

bool domain_xml_identity(const char *xml, size_t len, char **name, Uuid *uuid)
{
        const char *end = xml + len, *at, *name_text, *uuid_text;
        char uuid_copy[UUID_TEXT_LEN + 1] = { 0 };
        size_t name_len, uuid_len;

        if (memchr(xml, '\0', len))
                return false;
        at = skip_prolog(xml, end);
        at = at ? skip(at, end, "<domain ") : NULL;
        at = at ? memchr(at, '>', (size_t)(end - at)) : NULL;
        if (!at || at[-1] == '/')
                return false;
        at++;
        name_text = take_plain(&at, end, "<name>", "</name>", &name_len);
        uuid_text = name_text ? take_plain(&at, end, "<uuid>", "</uuid>", &uuid_len) : NULL;
        if (!uuid_text || uuid_len >= sizeof(uuid_copy) || has_edge_blanks(name_text, name_len) ||
            !str_is_utf8(name_text, name_len))
                return false;
        memcpy(uuid_copy, uuid_text, uuid_len);
        if (uuid_parse(uuid_copy, uuid) < 0)
                return false;
        *name = str_dup_n(name_text, name_len);
        return true;
}
