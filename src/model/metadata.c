/*
 * model/metadata.c - elements of applications, one for each namespace
 *
 * A definition keeps the inside of <metadata> as text, indented as it is
 * written. Getting and setting reads that text as a document of its own.
 * Callers give and get elements without the namespace: inside the definition
 * they carry it, under the caller's key as their prefix.
 */
#include "model/domain.h"

#include "base/str.h"

static int parse_metadata(const DomainDef *def, XmlDoc *ret)
{
        AUTO(Buf) text = { 0 };

        buf_format(&text, "<metadata>%s</metadata>", def->metadata ?: "");
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
        if (str_eq(node->uri, uri))
                node->qname = local_name(node->qname);
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

char *domain_def_metadata(const DomainDef *def, const char *uri)
{
        AUTO(XmlDoc) doc = { 0 };

        if (!def->metadata || parse_metadata(def, &doc) < 0)
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
        if (str_eq(doc.root->uri, uri))
                doc.root->uri = NULL;
        add_prefix(doc.root, key, doc.arena);
        declare_namespace(doc.root, key, uri, doc.arena);
        xml_element(doc.root, 2, ret);
        return 0;
}

int domain_def_set_metadata(DomainDef *def, const char *uri, const char *key, const char *xml, Error *err)
{
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Buf) text = { 0 };

        if (def->metadata && parse_metadata(def, &doc) < 0)
                return err_set(err, ERR_INTERNAL, "the metadata of '%s' cannot be read", def->name);
        for (XmlNode *n = doc.root ? xml_next(doc.root->first, NULL) : NULL; n; n = xml_next(n->next, NULL)) {
                if (!str_eq(n->uri, uri))
                        xml_element(n, 2, &text);
        }
        if (xml && put_new(uri, key, xml, &text, err) < 0)
                return -1;
        def->metadata = text.len ? arena_dup_n(def->head.arena, text.data, text.len) : NULL;
        return 0;
}
