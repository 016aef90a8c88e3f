#pragma once
/*
 * app/drover/xml.h - look into XML that a daemon sent, or a user wrote
 *
 * Without network, entities or external files. Paths are XPath 1.0.
 */
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

typedef struct Xml Xml;
typedef struct _xmlNode XmlNode; /* libxml2's */

Xml *xml_read(const char *text, Error *err); /* keeps blanks between elements */
Xml *xml_free(Xml *xml);                     /* returns NULL */
DEFINE_AUTO(Xml, xml_free)

/* All nodes that the path finds from `from` (NULL: the root), at most `most`; how many. Nodes stay the document's. */
size_t xml_nodes(Xml *xml, XmlNode *from, const char *path, XmlNode **nodes, size_t most);
XmlNode *xml_find_one(Xml *xml, XmlNode *from, const char *path); /* the first, or NULL */
/* The text of what the path finds; NULL when it finds nothing or nothing is in it. Owned. */
char *xml_text(Xml *xml, XmlNode *from, const char *path);
bool xml_has(Xml *xml, XmlNode *from, const char *path);
void xml_set(XmlNode *node, const char *attribute, const char *value);
XmlNode *xml_add(XmlNode *parent, const char *name);
/* Before this element, on a line of its own where that has one. */
XmlNode *xml_add_before(XmlNode *element, const char *name);
void xml_remove(XmlNode *node); /* the node is gone afterwards */
/* One element with all that is in it, without the rest of the document. Owned. */
char *xml_format_node(Xml *xml, XmlNode *node);
/* For --xpath: every node found, as text one a line, or inside <nodes>. */
int xml_print_found(const char *text, const char *path, bool wrap, Buf *to, Error *err);
/* Text with what means something in XML escaped. */
void xml_escape(const char *text, Buf *to);

enum { MOST_NODES = 16384 }; /* more than a guest can have disks, or a bridge of the kernel ports */
