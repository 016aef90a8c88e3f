/*
 * model/metadata.c - title, description, and elements of applications, one for each namespace
 *
 * A definition keeps the inside of <metadata> as text, indented as it is
 * written. Getting and setting reads that text as a document of its own.
 * Callers give and get elements without the namespace: inside the definition
 * they carry it, under the caller's key as their prefix.
 */
#include "model/metadata.h"

#include "base/str.h"
#include "model/xml.h"

static int parse_elements(const char *elements, XmlDoc *ret)
{
        AUTO(Buf) text = { 0 };

        buf_format(&text, "<metadata>%s</metadata>", elements ?: "");
        return xml_parse(text.data, text.len, "metadata", ret, NULL);
}

static const char *local_name(const char *qname)
{
        const char *colon = strchr(qname, ':');

        return colon ? colon + 1 : qname;
}

/* Take node and what is below out of the namespace. */
static void strip_namespace(XmlNode *node, const char *uri)
{
        unsigned kept = 0;

        if (!node->name)
                return;
        for (unsigned i = 0; i < node->n_attrs; i++) {
                const XmlAttr *attr = &node->attrs[i];

                if (!(str_starts(attr->name, "xmlns") && str_eq(attr->value, uri)))
                        node->attrs[kept++] = *attr;
        }
        node->n_attrs = kept;
        if (str_eq(node->uri, uri)) {
                node->qname = local_name(node->qname);
                node->uri = NULL;
        }
        for (XmlNode *n = node->first; n; n = n->next)
                strip_namespace(n, uri);
}

/* Put node and what is below into the namespace, unless it has one. */
static void add_prefix(XmlNode *node, const char *key, Arena *arena)
{
        if (!node->name)
                return;
        if (!node->uri)
                node->qname = arena_format(arena, "%s:%s", key, node->qname);
        for (XmlNode *n = node->first; n; n = n->next)
                add_prefix(n, key, arena);
}

static void declare_namespace(XmlNode *node, const char *key, const char *uri, Arena *arena)
{
        XmlAttr *attrs = arena_new_array(arena, XmlAttr, (size_t)node->n_attrs + 1);

        attrs[0] = (XmlAttr){ arena_format(arena, "xmlns:%s", key), arena_dup(arena, uri), true };
        if (node->n_attrs)
                memcpy(attrs + 1, node->attrs, node->n_attrs * sizeof(*attrs));
        node->attrs = attrs;
        node->n_attrs++;
}

/* NULL: there is none. The caller's. */
static char *find_element(const char *elements, const char *uri)
{
        AUTO(XmlDoc) doc = { 0 };

        if (!elements || parse_elements(elements, &doc) < 0)
                return NULL;
        for (XmlNode *n = xml_next(doc.root->first, NULL); n; n = xml_next(n->next, NULL)) {
                Buf text = { 0 };

                if (!str_eq(n->uri, uri))
                        continue;
                strip_namespace(n, uri);
                xml_element(n, 0, &text);
                return buf_take(&text);
        }
        return NULL;
}

static int put_new(const char *uri, const char *key, const char *xml, Buf *ret, Error *err)
{
        AUTO(XmlDoc) doc = { 0 };

        if (!key || !*key ||
            strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != strlen(key))
                return err_set(err, ERR_INVALID_ARG, "the metadata key '%s' cannot be an XML prefix", key ?: "");
        if (xml_parse(xml, strlen(xml), "metadata", &doc, err) < 0)
                return -1;
        strip_namespace(doc.root, uri);
        add_prefix(doc.root, key, doc.arena);
        declare_namespace(doc.root, key, uri, doc.arena);
        xml_element(doc.root, 2, ret);
        return 0;
}

static int set_element(Metadata *of, Arena *arena, const char *uri, const char *key, const char *xml, Error *err)
{
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Buf) text = { 0 };

        if (of->elements && parse_elements(of->elements, &doc) < 0)
                return err_set(err, ERR_INTERNAL, "the metadata that is there cannot be read");
        for (XmlNode *n = doc.root ? xml_next(doc.root->first, NULL) : NULL; n; n = xml_next(n->next, NULL)) {
                if (!str_eq(n->uri, uri))
                        xml_element(n, 2, &text);
        }
        if (xml && put_new(uri, key, xml, &text, err) < 0)
                return -1;
        of->elements = text.len ? arena_dup_n(arena, text.data, text.len) : NULL;
        return 0;
}

int metadata_check_kind(int kind, const char *uri, Error *err)
{
        if (kind < METADATA_DESCRIPTION || kind > METADATA_ELEMENT)
                return err_set(err, ERR_INVALID_ARG,
                               "there is no metadata of type %d: it is description (0), title (1) or element (2)",
                               kind);
        if (kind == METADATA_ELEMENT && (!uri || !*uri))
                return err_set(err, ERR_INVALID_ARG, "an element of metadata needs the URI of its namespace");
        return 0;
}

int metadata_set(Metadata *of, Arena *arena, int kind, const char *uri, const char *key, const char *given,
                 Error *err)
{
        const char *text = given && *given ? arena_dup(arena, given) : NULL;

        if (metadata_check_kind(kind, uri, err) < 0)
                return -1;
        if (kind == METADATA_ELEMENT)
                return set_element(of, arena, uri, key, given, err);
        if (kind == METADATA_TITLE && text && strchr(text, '\n'))
                return err_set(err, ERR_INVALID_ARG, "a title is one line; put more into the description");
        *(kind == METADATA_TITLE ? &of->title : &of->description) = text;
        return 0;
}

int metadata_get(const Metadata *of, int kind, const char *uri, char **ret, Error *err)
{
        const char *text;

        if (metadata_check_kind(kind, uri, err) < 0)
                return -1;
        if (kind == METADATA_ELEMENT) {
                *ret = find_element(of->elements, uri);
                return 0;
        }
        text = kind == METADATA_TITLE ? of->title : of->description;
        *ret = text ? str_dup(text) : NULL;
        return 0;
}
