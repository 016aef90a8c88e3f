/*
 * app/drover/xml.c - libxml2, as little of it as the commands need
 */
#include "app/drover/xml.h"

#include "base/mem.h"
#include "base/str.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>

struct Xml {
        xmlDocPtr doc;
        xmlXPathContextPtr context;
};

static void keep_quiet(void *arg UNUSED, const char *fmt UNUSED, ...)
{
}

static Xml *parse(const char *text, int more_options, Error *err)
{
        AUTO(Xml) *xml = mem_new(Xml);
        int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | more_options;

        xml->doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, options);
        if (!xml->doc || !xmlDocGetRootElement(xml->doc)) {
                const xmlError *why = xmlGetLastError();

                err_set(err, ERR_XML, "the XML cannot be read: line %d: %.*s", why ? why->line : 0,
                        why ? (int)strcspn(why->message, "\n") : 0, why ? why->message : "");
                return NULL;
        }
        xml->context = xmlXPathNewContext(xml->doc);
        xmlSetStructuredErrorFunc(xml->context, NULL);
        xmlSetGenericErrorFunc(NULL, keep_quiet);
        return TAKE(xml);
}

Xml *xml_read(const char *text, Error *err)
{
        return parse(text, 0, err);
}

Xml *xml_free(Xml *xml)
{
        if (!xml)
                return NULL;
        xmlXPathFreeContext(xml->context);
        xmlFreeDoc(xml->doc);
        free(xml);
        return NULL;
}

static xmlXPathObjectPtr evaluate(Xml *xml, XmlNode *from, const char *path)
{
        xml->context->node = from ? from : xmlDocGetRootElement(xml->doc);
        return xmlXPathEval((const xmlChar *)path, xml->context);
}

size_t xml_nodes(Xml *xml, XmlNode *from, const char *path, XmlNode **nodes, size_t most)
{
        xmlXPathObjectPtr found = evaluate(xml, from, path);
        size_t n = 0;

        if (found && found->type == XPATH_NODESET && found->nodesetval)
                for (int i = 0; i < found->nodesetval->nodeNr && n < most; i++)
                        nodes[n++] = found->nodesetval->nodeTab[i];
        xmlXPathFreeObject(found);
        return n;
}

XmlNode *xml_find_one(Xml *xml, XmlNode *from, const char *path)
{
        XmlNode *node;

        return xml_nodes(xml, from, path, &node, 1) ? node : NULL;
}

char *xml_text(Xml *xml, XmlNode *from, const char *path)
{
        AUTOFREE char *as_string = str_format("string(%s)", path);
        xmlXPathObjectPtr found = evaluate(xml, from, as_string);
        char *text = NULL;

        if (found && found->stringval && *found->stringval)
                text = str_dup((const char *)found->stringval);
        xmlXPathFreeObject(found);
        return text;
}

bool xml_has(Xml *xml, XmlNode *from, const char *path)
{
        return xml_find_one(xml, from, path) != NULL;
}

void xml_set(XmlNode *node, const char *attribute, const char *value)
{
        xmlSetProp(node, (const xmlChar *)attribute, (const xmlChar *)value);
}

XmlNode *xml_add(XmlNode *parent, const char *name)
{
        return xmlNewChild(parent, NULL, (const xmlChar *)name, NULL);
}

XmlNode *xml_add_before(XmlNode *element, const char *name)
{
        XmlNode *node = xmlNewDocNode(element->doc, NULL, (const xmlChar *)name, NULL);

        xmlAddPrevSibling(element, node);
        if (node->prev && xmlIsBlankNode(node->prev))
                xmlAddPrevSibling(element, xmlDocCopyNode(node->prev, element->doc, 1));
        return node;
}

void xml_remove(XmlNode *node)
{
        xmlUnlinkNode(node);
        xmlFreeNode(node);
}

char *xml_format_node(Xml *xml, XmlNode *node)
{
        xmlBufferPtr buffer = xmlBufferCreate();
        char *text = NULL;

        if (xmlNodeDump(buffer, xml->doc, node, 0, 1) >= 0)
                text = str_dup((const char *)xmlBufferContent(buffer));
        xmlBufferFree(buffer);
        return text ?: str_dup("");
}

static void print_node(Xml *xml, XmlNode *node, Buf *to)
{
        AUTOFREE char *text = xml_format_node(xml, node);

        buf_format(to, "%s\n", text);
}

/* All nodes found, as children of one element. */
static void print_wrapped(xmlNodeSetPtr set, Buf *to)
{
        xmlDocPtr doc = xmlNewDoc((const xmlChar *)"1.0");
        xmlNodePtr root = xmlNewNode(NULL, (const xmlChar *)"nodes");
        xmlBufferPtr buffer = xmlBufferCreate();

        xmlDocSetRootElement(doc, root);
        for (int i = 0; set && i < set->nodeNr; i++)
                xmlAddChild(root, xmlDocCopyNode(set->nodeTab[i], doc, 1));
        if (xmlNodeDump(buffer, doc, root, 0, 1) >= 0)
                buf_format(to, "%s\n", (const char *)xmlBufferContent(buffer));
        xmlBufferFree(buffer);
        xmlFreeDoc(doc);
}

int xml_print_found(const char *text, const char *path, bool wrap, Buf *to, Error *err)
{
        AUTO(Xml) *xml = parse(text, XML_PARSE_NOBLANKS, err);
        xmlXPathObjectPtr found;

        if (!xml)
                return -1;
        found = evaluate(xml, NULL, path);
        if (!found)
                return err_set(err, ERR_INVALID_ARG, "'%s' is no valid XPath expression", path);
        if (found->type != XPATH_NODESET) {
                xmlChar *value = xmlXPathCastToString(found);

                buf_format(to, "%s\n", value);
                xmlFree(value);
        } else {
                if (wrap)
                        print_wrapped(found->nodesetval, to);
                for (int i = 0; !wrap && found->nodesetval && i < found->nodesetval->nodeNr; i++)
                        print_node(xml, found->nodesetval->nodeTab[i], to);
        }
        xmlXPathFreeObject(found);
        return 0;
}

void xml_escape(const char *text, Buf *to)
{
        for (; *text; text++) {
                switch (*text) {
                case '<':
                        buf_put_text(to, "&lt;");
                        break;
                case '>':
                        buf_put_text(to, "&gt;");
                        break;
                case '&':
                        buf_put_text(to, "&amp;");
                        break;
                case '"':
                        buf_put_text(to, "&quot;");
                        break;
                case '\'':
                        buf_put_text(to, "&apos;");
                        break;
                default:
                        buf_put_char(to, *text);
                }
        }
}
