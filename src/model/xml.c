/*
 * model/xml.c - foreign XML as a small read-only tree
 *
 * libxml2 calls us for each element and text; we build the tree in one arena.
 * Text is gathered until the next tag, because libxml2 may cut it anywhere.
 * The first problem stops the parser and is the one reported. The library is
 * loaded at the first use.
 */
#include "model/xml.h"

#include "base/str.h"

#include <ctype.h>
#include <dlfcn.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <pthread.h>

#if LIBXML_VERSION >= 21400
#define LIBRARY "libxml2.so.16"
#else
#define LIBRARY "libxml2.so.2"
#endif

/* What we call of it. */
typedef struct Library {
        __typeof__(xmlSAX2GetLineNumber) *line_number;
        __typeof__(xmlStopParser) *stop;
        __typeof__(xmlInitParser) *init;
        __typeof__(xmlCreateMemoryParserCtxt) *parser_new;
        __typeof__(xmlFreeParserCtxt) *parser_free;
        __typeof__(xmlCtxtUseOptions) *use_options;
        __typeof__(xmlParseDocument) *parse;
        char *missing; /* why there is none; NULL: there is */
} Library;

/*
 * Loaded when the first XML is read, and for the life of the process: with ICU and the C++ runtime, which it brings, it
 * takes a millisecond and 200 kB of memory, and a daemon without definitions needs it for nothing.
 */
static Library library;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_load(void)
{
        static const struct {
                const char *name;
                size_t at;
        } symbols[] = {
                { "xmlSAX2GetLineNumber", offsetof(Library, line_number) },
                { "xmlStopParser", offsetof(Library, stop) },
                { "xmlInitParser", offsetof(Library, init) },
                { "xmlCreateMemoryParserCtxt", offsetof(Library, parser_new) },
                { "xmlFreeParserCtxt", offsetof(Library, parser_free) },
                { "xmlCtxtUseOptions", offsetof(Library, use_options) },
                { "xmlParseDocument", offsetof(Library, parse) },
        };
        void *loaded = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

        if (!loaded) {
                library.missing = str_dup(dlerror());
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
                void *found = dlsym(loaded, symbols[i].name);

                if (!found) {
                        library.missing = str_format(LIBRARY " has no %s", symbols[i].name);
                        return;
                }
                memcpy((char *)&library + symbols[i].at, &found, sizeof(found));
        }
        library.init(); /* workers parse too: its first use must not be two at once */
}

typedef struct Builder {
        xmlParserCtxt *parser;
        const char *what;
        Arena *arena;
        XmlNode *root, *open; /* the innermost element that is not closed yet */
        Buf text;
        unsigned depth, items;
        Error *err;
        bool failed;
} Builder;

static void PRINTF(2, 3) refuse(Builder *b, const char *fmt, ...)
{
        AUTOFREE char *sentence = NULL;
        va_list ap;

        if (b->failed)
                return;
        b->failed = true;
        va_start(ap, fmt);
        sentence = str_vformat(fmt, ap);
        va_end(ap);
        err_set(b->err, ERR_XML, "(%s) line %d: %s", b->what, library.line_number(b->parser), sentence);
        library.stop(b->parser);
}

static bool count_item(Builder *b)
{
        if (++b->items <= XML_ITEMS_MAX)
                return !b->failed;
        refuse(b, "more than %d elements and attributes", XML_ITEMS_MAX);
        return false;
}

static bool is_blank(const char *s)
{
        while (isspace((unsigned char)*s))
                s++;
        return !*s;
}

static XmlNode *add_node(Builder *b)
{
        XmlNode *node = arena_new_one(b->arena, XmlNode);

        node->parent = b->open;
        node->line = library.line_number(b->parser);
        if (!b->open)
                b->root = node;
        else if (b->open->last)
                b->open->last = b->open->last->next = node;
        else
                b->open->first = b->open->last = node;
        return node;
}

/* Blanks count only as the whole content of an element. */
static void flush_text(Builder *b, bool closing)
{
        bool kept = b->text.len && b->open && ((closing && !b->open->first) || !is_blank(buf_text(&b->text)));

        if (kept && count_item(b)) {
                XmlNode *node = add_node(b);

                node->text = arena_dup_n(b->arena, b->text.data, b->text.len);
        }
        buf_clear(&b->text);
}

static const char *qualified(Builder *b, const xmlChar *prefix, const xmlChar *local)
{
        if (prefix)
                return arena_format(b->arena, "%s:%s", (const char *)prefix, (const char *)local);
        return arena_dup(b->arena, (const char *)local);
}

static void name_node(Builder *b, XmlNode *node, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri)
{
        node->name = node->qname = qualified(b, prefix, local);
        if (!uri)
                return;
        node->uri = arena_dup(b->arena, (const char *)uri);
        if (str_eq(node->uri, XML_NS_QEMU))
                node->name = arena_format(b->arena, "qemu:%s", (const char *)local);
        else if (str_eq(node->uri, XML_NS_DNSMASQ))
                node->name = arena_format(b->arena, "dnsmasq:%s", (const char *)local);
        else
                node->name = arena_format(b->arena, "{%s}%s", node->uri, (const char *)local);
}

static void on_start(void *ctx, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri, int n_ns,
                     const xmlChar **ns, int n_attrs, int n_defaulted UNUSED, const xmlChar **attrs)
{
        Builder *b = ctx;
        XmlNode *node;

        flush_text(b, false);
        if (++b->depth > XML_DEPTH_MAX)
                return refuse(b, "elements are nested more than %d deep", XML_DEPTH_MAX);
        b->items += (unsigned)(n_ns + n_attrs);
        if (!count_item(b))
                return;
        for (int i = 0; i < n_ns; i++) {
                if (strlen((const char *)ns[2 * i + 1]) > XML_URI_MAX)
                        return refuse(b, "the name of a namespace has more than %d bytes", XML_URI_MAX);
        }
        node = add_node(b);
        name_node(b, node, local, prefix, uri);
        node->attrs = arena_new_array(b->arena, XmlAttr, (size_t)(n_ns + n_attrs));
        for (int i = 0; i < n_ns; i++) {
                XmlAttr *attr = &node->attrs[node->n_attrs++];

                attr->name = ns[2 * i] ? arena_format(b->arena, "xmlns:%s", (const char *)ns[2 * i]) : "xmlns";
                attr->value = arena_dup(b->arena, (const char *)ns[2 * i + 1]);
                attr->seen = true;
        }
        for (int i = 0; i < n_attrs; i++) {
                const xmlChar **a = attrs + 5 * (size_t)i; /* name, prefix, URI, value, end of value */
                XmlAttr *attr = &node->attrs[node->n_attrs++];

                attr->name = qualified(b, a[1], a[0]);
                attr->value = arena_dup_n(b->arena, a[3], (size_t)(a[4] - a[3]));
        }
        b->open = node;
}

static void on_end(void *ctx, const xmlChar *local UNUSED, const xmlChar *prefix UNUSED, const xmlChar *uri UNUSED)
{
        Builder *b = ctx;

        if (b->failed)
                return;
        flush_text(b, true);
        if (b->open->first && b->open->first == b->open->last && !b->open->first->name)
                b->open->text = b->open->first->text;
        b->open = b->open->parent;
        b->depth--;
}

static void on_text(void *ctx, const xmlChar *text, int len)
{
        Builder *b = ctx;

        if (!b->failed)
                buf_put(&b->text, text, (size_t)len);
}

static void on_doctype(void *ctx, const xmlChar *name UNUSED, const xmlChar *id UNUSED, const xmlChar *system UNUSED)
{
        refuse(ctx, "a document type (<!DOCTYPE>) is not allowed");
}

static void on_error(void *ctx, xmlError *error)
{
        Builder *b = ctx;
        AUTOFREE char *message = NULL;

        if (error->level < XML_ERR_ERROR || error->code == XML_NS_ERR_UNDEFINED_NAMESPACE)
                return;
        message = str_dup(error->message ? error->message : "malformed");
        message[strcspn(message, "\n")] = '\0';
        refuse(b, "%s", message);
}

static void set_handlers(xmlParserCtxt *parser, Builder *b)
{
        xmlSAXHandler *sax = parser->sax;

        memset(sax, 0, sizeof(*sax));
        sax->initialized = XML_SAX2_MAGIC;
        sax->startElementNs = on_start;
        sax->endElementNs = on_end;
        sax->characters = sax->ignorableWhitespace = sax->cdataBlock = on_text;
        sax->internalSubset = on_doctype;
        sax->serror = on_error;
        parser->userData = b;
}

/* Behind the mark, which is looked for from at on. */
static const char *pass(const char *at, const char *end, const char *mark)
{
        const char *found = memmem(at, (size_t)(end - at), mark, strlen(mark));

        return found ? found + strlen(mark) : end;
}

static bool begins(const char *at, const char *end, const char *mark)
{
        return (size_t)(end - at) >= strlen(mark) && memcmp(at, mark, strlen(mark)) == 0;
}

/*
 * The library compares each attribute of an element with all before it, and calls us afterwards: a hundred thousand take it
 * minutes. So they are counted first, by their quotes, where there is room for so many.
 */
static bool has_wide_element(const char *at, const char *end)
{
        enum { LARGE = 64 * 1024 };

        if (end - at < LARGE)
                return false;
        while ((at = memchr(at, '<', (size_t)(end - at)))) {
                unsigned n = 0;
                char quote = '\0';

                if (begins(at, end, "<!--")) {
                        at = pass(at + strlen("<!--"), end, "-->");
                        continue;
                }
                if (begins(at, end, "<![CDATA[")) {
                        at = pass(at, end, "]]>");
                        continue;
                }
                if (begins(at, end, "<?")) {
                        at = pass(at, end, "?>");
                        continue;
                }
                for (at++; at < end && (quote || *at != '>'); at++) {
                        if (quote && *at != quote)
                                continue;
                        n += !quote && (*at == '\'' || *at == '"');
                        quote = quote ? '\0' : *at == '\'' || *at == '"' ? *at : '\0';
                }
                if (n > XML_ATTRS_MAX)
                        return true;
        }
        return false;
}

int xml_parse(const char *text, size_t len, const char *what, XmlDoc *ret, Error *err)
{
        Builder b = { .what = what, .err = err };

        if (len > XML_SIZE_MAX)
                return err_set(err, ERR_XML, "(%s) longer than %d bytes", what, XML_SIZE_MAX);
        if (!len)
                return err_set(err, ERR_XML, "(%s) is empty", what);
        if (has_wide_element(text, text + len))
                return err_set(err, ERR_XML, "(%s) an element has more than %d attributes", what, XML_ATTRS_MAX);
        pthread_once(&library_once, library_load);
        if (library.missing)
                return err_set(err, ERR_INTERNAL, "(%s) reading XML needs the library libxml2: %s", what,
                               library.missing);
        b.parser = library.parser_new(text, (int)len);
        if (!b.parser)
                return err_set(err, ERR_NO_MEMORY, "(%s) no XML parser", what);
        b.arena = arena_new();
        set_handlers(b.parser, &b);
        library.use_options(b.parser, XML_PARSE_NONET | XML_PARSE_NOENT);
        library.parse(b.parser);
        if (!b.failed && (!b.parser->wellFormed || !b.root))
                refuse(&b, "not well-formed");
        library.parser_free(b.parser);
        buf_done(&b.text);
        if (b.failed) {
                arena_free(b.arena);
                return -1;
        }
        *ret = (XmlDoc){ b.arena, b.root };
        return 0;
}

void xml_done(XmlDoc *doc)
{
        arena_free(doc->arena);
        *doc = (XmlDoc){ 0 };
}

XmlNode *xml_next(XmlNode *from, const char *name)
{
        while (from && (!from->name || (name && strcmp(from->name, name) != 0)))
                from = from->next;
        return from;
}

XmlNode *xml_find(const XmlNode *node, const char *name)
{
        XmlNode *found = xml_next(node->first, name);

        if (found)
                found->seen = true;
        return found;
}

const char *xml_attr(const XmlNode *node, const char *name)
{
        for (unsigned i = 0; i < node->n_attrs; i++) {
                if (strcmp(node->attrs[i].name, name) == 0) {
                        node->attrs[i].seen = true;
                        return node->attrs[i].value;
                }
        }
        return NULL;
}

void xml_path(const XmlNode *node, Buf *ret)
{
        unsigned place = 1, same = 0;

        if (!node)
                return;
        xml_path(node->parent, ret);
        buf_format(ret, "/%s", node->qname);
        if (!node->parent)
                return;
        for (XmlNode *n = xml_next(node->parent->first, node->name); n; n = xml_next(n->next, node->name)) {
                same++;
                if (n == node)
                        place = same;
        }
        if (same > 1)
                buf_format(ret, "[%u]", place);
}

void xml_mark_all(XmlNode *node)
{
        node->seen = true;
        for (unsigned i = 0; i < node->n_attrs; i++)
                node->attrs[i].seen = true;
        for (XmlNode *n = node->first; n; n = n->next)
                xml_mark_all(n);
}
