#pragma once
/*
 * model/xml.h - foreign XML as a small read-only tree
 *
 * The only place that sees libxml2. Nothing is ever fetched, a document type is
 * refused (so there are no entities to expand), and size, depth and number of
 * elements and of an element's attributes are capped. Comments and processing instructions are left out, and
 * so are blanks between elements.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum {
        XML_SIZE_MAX = 10 * 1024 * 1024,
        XML_DEPTH_MAX = 64,
        XML_ITEMS_MAX = 500 * 1000, /* elements, attributes and texts */
        XML_ATTRS_MAX = 1000,       /* of one element */
        XML_URI_MAX = 256,          /* bytes of a namespace's name, which each element in it has */
};

#define XML_NS_QEMU    "http://libvirt.org/schemas/domain/qemu/1.0"
#define XML_NS_DNSMASQ "http://libvirt.org/schemas/network/dnsmasq/1.0"

typedef struct XmlAttr {
        const char *name;
        const char *value;
        bool seen; /* somebody read it; what is never seen is reported */
} XmlAttr;

typedef struct XmlNode XmlNode;
struct XmlNode {
        const char *name;  /* 'disk'; 'qemu:arg' whatever prefix was used; NULL: this is text */
        const char *qname; /* as written */
        const char *uri;   /* of its namespace, or NULL */
        const char *text;  /* of a text node, or the only text of an element; else NULL */
        XmlNode *parent, *first, *last, *next;
        XmlAttr *attrs;
        unsigned n_attrs;
        int line;
        bool seen;
};

typedef struct XmlDoc {
        Arena *arena;
        XmlNode *root;
} XmlDoc;

/* what names the document in errors, like 'domain definition'. The error has the line. */
int xml_parse(const char *text, size_t len, const char *what, XmlDoc *ret, Error *err);
void xml_done(XmlDoc *doc);

/* Finding marks as seen. An element is found by name: the first one. NULL when there is none. */
XmlNode *xml_find(const XmlNode *node, const char *name);
const char *xml_attr(const XmlNode *node, const char *name);
/* The next element (not text) from here on with that name; NULL: any name. */
XmlNode *xml_next(XmlNode *from, const char *name);
/* '/domain/devices/disk[2]' */
void xml_path(const XmlNode *node, Buf *ret);
void xml_mark_all(XmlNode *node); /* everything below counts as seen */
/* The element, or the elements inside it, as XML text that stands alone: namespaces declared outside are declared again. */
void xml_element(const XmlNode *node, unsigned depth, Buf *ret);
void xml_inside(const XmlNode *node, unsigned depth, Buf *ret);

void xml_put_escaped(Buf *buf, const char *text); /* for attributes and text; drops what XML cannot hold */
void xml_put_indent(Buf *buf, unsigned depth);

DEFINE_AUTO_VALUE(XmlDoc, xml_done)
