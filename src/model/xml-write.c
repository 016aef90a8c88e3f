/*
 * model/xml-write.c - XML text
 */
#include "model/xml.h"

#include "base/str.h"

/* U+FFFE and U+FFFF: UTF-8 has them, XML does not. */
static bool is_noncharacter(const char *text)
{
        return strncmp(text, "\xef\xbf", 2) == 0 && ((unsigned char)text[2] & 0xfe) == 0xbe;
}

void xml_put_escaped(Buf *buf, const char *text)
{
        const char *plain = text;

        for (; *text; text++) {
                const char *as = NULL;
                size_t n = 1;

                switch (*text) {
                case '<':
                        as = "&lt;";
                        break;
                case '>':
                        as = "&gt;";
                        break;
                case '&':
                        as = "&amp;";
                        break;
                case '\'':
                        as = "&apos;";
                        break;
                case '"':
                        as = "&quot;";
                        break;
                case '\r':
                        as = "&#13;";
                        break;
                case '\n':
                case '\t':
                        continue;
                case '\xef':
                        if (!is_noncharacter(text))
                                continue;
                        as = "";
                        n = 3;
                        break;
                default:
                        if ((unsigned char)*text >= ' ')
                                continue;
                        as = ""; /* a control character cannot stand in XML at all */
                }
                buf_put(buf, plain, (size_t)(text - plain));
                buf_put_text(buf, as);
                plain = text + n;
                text += n - 1;
        }
        buf_put(buf, plain, (size_t)(text - plain));
}

void xml_put_indent(Buf *buf, unsigned depth)
{
        static const char blanks[] = "                                ";

        for (size_t n = depth * 2; n;) {
                size_t now = MIN(n, sizeof(blanks) - 1);

                buf_put(buf, blanks, now);
                n -= now;
        }
}

/* Line breaks and tabs of an attribute would come back as blanks. */
static void put_attribute(Buf *buf, const char *name, const char *value)
{
        buf_format(buf, " %s='", name);
        for (size_t n; *value; value += n) {
                AUTOFREE char *piece = NULL;

                n = strcspn(value, "\n\t");
                piece = str_dup_n(value, n);
                xml_put_escaped(buf, piece);
                if (value[n])
                        buf_format(buf, "&#%d;", value[n++]);
        }
        buf_put_char(buf, '\'');
}

static bool declares(const XmlNode *node, const char *attribute)
{
        for (unsigned i = 0; i < node->n_attrs; i++) {
                if (str_eq(node->attrs[i].name, attribute))
                        return true;
        }
        return false;
}

static bool has_prefix(const char *qname, const char *prefix)
{
        size_t n = strcspn(qname, ":");

        return qname[n] ? strlen(prefix) == n && memcmp(qname, prefix, n) == 0 : !*prefix;
}

/* Whether node or what is below has a name with that prefix; "" is no prefix. */
static bool uses_prefix(const XmlNode *node, const char *prefix)
{
        if (!node->name)
                return false;
        if (has_prefix(node->qname, prefix))
                return true;
        for (unsigned i = 0; i < node->n_attrs; i++) {
                if (*prefix && has_prefix(node->attrs[i].name, prefix))
                        return true;
        }
        for (const XmlNode *n = node->first; n; n = n->next) {
                if (uses_prefix(n, prefix))
                        return true;
        }
        return false;
}

/* Namespaces that are used at node but declared above it. */
static void put_outer_namespaces(const XmlNode *node, Buf *ret)
{
        for (const XmlNode *up = node->parent; up; up = up->parent) {
                for (unsigned i = 0; i < up->n_attrs; i++) {
                        const char *name = up->attrs[i].name;
                        bool hidden = false;

                        if (!str_starts(name, "xmlns") || !uses_prefix(node, name[5] ? name + 6 : ""))
                                continue;
                        for (const XmlNode *n = node; n != up; n = n->parent)
                                hidden = hidden || declares(n, name);
                        if (!hidden)
                                put_attribute(ret, name, up->attrs[i].value);
                }
        }
}

/* Elements go on lines of their own, unless text stands among them: then every blank counts. */
static void put_node(const XmlNode *node, unsigned depth, bool top, bool inlined, Buf *ret)
{
        bool mixed = inlined;

        if (!node->name) {
                xml_put_escaped(ret, node->text);
                return;
        }
        for (const XmlNode *n = node->first; n; n = n->next)
                mixed = mixed || !n->name;
        if (!inlined)
                xml_put_indent(ret, depth);
        buf_format(ret, "<%s", node->qname);
        for (unsigned i = 0; i < node->n_attrs; i++)
                put_attribute(ret, node->attrs[i].name, node->attrs[i].value);
        if (top)
                put_outer_namespaces(node, ret);
        if (!node->first) {
                buf_put_text(ret, "/>");
        } else {
                buf_put_text(ret, mixed ? ">" : ">\n");
                for (const XmlNode *n = node->first; n; n = n->next)
                        put_node(n, depth + 1, false, mixed, ret);
                if (!mixed)
                        xml_put_indent(ret, depth);
                buf_format(ret, "</%s>", node->qname);
        }
        if (!inlined)
                buf_put_char(ret, '\n');
}

void xml_element(const XmlNode *node, unsigned depth, Buf *ret)
{
        put_node(node, depth, true, false, ret);
}

void xml_inside(const XmlNode *node, unsigned depth, Buf *ret)
{
        for (const XmlNode *n = node->first; n; n = n->next) {
                if (n->name)
                        xml_element(n, depth, ret);
        }
}
