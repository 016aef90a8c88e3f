/*
 * model/fields-parse.c - from XML to a struct, by its table
 *
 * Fields that conditions look at are read first, wherever they stand. Then the
 * elements are gone through in the order of the table. Whatever was looked at
 * is marked, so that the rest can be reported in the end.
 */
#include "model/fields-internal.h"

#include "base/str.h"

#include <stdarg.h>

typedef struct Place {
        const StructInfo *info;
        const XmlNode *top; /* the element of the struct */
        void *def;
        FieldsReader *reader;
} Place;

int fields_refuse(const XmlNode *node, FieldsReader *reader, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        return err_set(reader->err, ERR_XML, "line %d: <%s>: %s", node->line, node->qname, text);
}

/* Names that drover makes belong to one run. */
static bool is_left_out(const Field *field, const char *text, const FieldsReader *reader)
{
        if (!(reader->flags & DEF_PARSE_INACTIVE))
                return false;
        if (field->runtime)
                return true;
        if (field->notes->kept_prefix)
                return !str_starts(text, field->notes->kept_prefix);
        return field->notes->live_prefix && str_starts(text, field->notes->live_prefix);
}

static int read_text(const Place *place, const Field *field, const XmlNode *node, const char *text)
{
        bool sized = field->type == FIELD_MEMORY || field->type == FIELD_BYTES;
        const char *unit = sized ? xml_attr(node, "unit") : NULL;

        if (is_left_out(field, text, place->reader))
                return 0;
        /* as stock daemons do, so that what they hold can be defined here */
        if (field->notes->kept_prefix && place->reader->flags & DEF_PARSE_INACTIVE && !field_is_plain_name(text)) {
                warnings_add(place->reader->warnings,
                             "line %d: %s '%s' is ignored: it has letters, digits, '-', '_' and '.' only", node->line,
                             field->path, text);
                return 0;
        }
        if (!*text && !field->verbatim && field->type != FIELD_STRING && !field->required &&
            field->type != FIELD_UUID)
                return 0;
        if (field_parse_text(field, text, unit, place->def, place->reader->arena, place->reader->err) < 0)
                return err_prefix(place->reader->err, "line %d: <%s>", node->line, place->top->qname);
        return 0;
}

static int read_content(const Place *place, const Field *field, const XmlNode *node)
{
        for (XmlNode *n = node->first; n; n = n->next)
                n->seen = n->seen || !n->name;
        if (!node->text && field->verbatim)
                return 0;
        return read_text(place, field, node, node->text ?: "");
}

/* "driver/@queues": the attribute name behind the '@'. */
static const char *attr_name(const Field *field)
{
        return strrchr(field->path, '@') + 1;
}

static int read_attrs(const Place *place, const FieldNode *at, const XmlNode *node)
{
        const Field *fields = place->info->fields + at->first_attr;

        for (unsigned i = 0; i < at->n_attrs; i++) {
                const char *text;

                if (!field_applies(&fields[i], place->def))
                        continue;
                text = xml_attr(node, attr_name(&fields[i]));
                if (text && read_text(place, &fields[i], node, text) < 0)
                        return -1;
        }
        return 0;
}

/* A path counts the elements beside each on it: thousands of them would take long. */
static void put_path(const XmlNode *node, const Warnings *warnings, Buf *ret)
{
        buf_clear(ret);
        if (!warnings_are_full(warnings))
                xml_path(node, ret);
}

static void warn_not_applying(const Place *place, const Field *field, const XmlNode *node, const char *attr)
{
        AUTO(Buf) path = { 0 };

        put_path(node, place->reader->warnings, &path);
        warnings_add(place->reader->warnings, "line %d: %s%s%s is ignored: it applies only when %s", node->line,
                     buf_text(&path), attr ? "/@" : "", attr ?: "", field->notes->when->text);
}

/* Attributes that are known, but not for this kind of thing. */
static void warn_of_attrs(const Place *place, const FieldNode *at, const XmlNode *node)
{
        for (unsigned i = 0; i < node->n_attrs; i++) {
                if (node->attrs[i].seen)
                        continue;
                for (unsigned j = 0; j < at->n_attrs; j++) {
                        const Field *field = &place->info->fields[at->first_attr + j];

                        if (strcmp(attr_name(field), node->attrs[i].name) != 0)
                                continue;
                        node->attrs[i].seen = true;
                        warn_not_applying(place, field, node, node->attrs[i].name);
                        break;
                }
        }
}

static int read_list(const Place *place, const Field *field, XmlNode *first)
{
        uint32_t n = 0, *count = (uint32_t *)((char *)place->def + field->extra);
        void **items;

        for (XmlNode *x = first; x; x = xml_next(x->next, first->name))
                n++;
        if (field->range->max && n > field->range->max)
                return fields_refuse(first, place->reader, "there can be only %d", (int)field->range->max);
        items = arena_new_array(place->reader->arena, void *, n);
        n = 0;
        for (XmlNode *x = first; x; x = xml_next(x->next, first->name)) {
                x->seen = true;
                items[n] = fields_new(place->reader->arena, field->of);
                if (fields_parse(field->of, x, items[n++], place->reader) < 0)
                        return -1;
        }
        *(void ***)field_at(field, place->def) = items;
        *count = n;
        return 0;
}

/* An element that is a struct of its own, a list of them, or kept word for word. */
static int read_whole(const Place *place, const FieldNode *at, XmlNode *node)
{
        const Field *field = &place->info->fields[at->first_content];
        void **member = field_at(field, place->def);

        if (!field_applies(field, place->def)) {
                node->seen = true;
                warn_not_applying(place, field, node, NULL);
                return 0;
        }
        if (field->runtime && place->reader->flags & DEF_PARSE_INACTIVE) {
                xml_mark_all(node);
                return 0;
        }
        if (field->type == FIELD_LIST)
                return read_list(place, field, node);
        if (field->type == FIELD_STRUCT) {
                *member = fields_new(place->reader->arena, field->of);
                return fields_parse(field->of, node, *member, place->reader);
        }
        Buf text = { 0 };

        xml_mark_all(node);
        xml_inside(node, 2, &text);
        *member = text.len ? arena_dup_n(place->reader->arena, text.data, text.len) : NULL;
        buf_done(&text);
        return 0;
}

static int read_node(const Place *place, const FieldNode *at, XmlNode *node)
{
        node->seen = true;
        if (at->whole)
                return read_whole(place, at, node);
        if (read_attrs(place, at, node) < 0)
                return -1;
        warn_of_attrs(place, at, node);
        for (unsigned i = 0; i < at->n_content; i++) {
                const Field *field = &place->info->fields[at->first_content + i];

                if (!field_applies(field, place->def))
                        continue;
                if (field->type == FIELD_FLAG)
                        *(bool *)field_at(field, place->def) = true;
                else if (read_content(place, field, node) < 0)
                        return -1;
        }
        for (unsigned i = 0; i < at->n_children; i++) {
                const FieldNode *child = &place->info->nodes[at->first_child + i];
                XmlNode *x = node->first ? xml_next(node->first, child->name) : NULL;

                if (x && read_node(place, child, x) < 0)
                        return -1;
        }
        return 0;
}

/* The element below top that the path of a field leads to; NULL: there is none. */
static XmlNode *walk_path(const XmlNode *top, const char *path, char *name, size_t room)
{
        XmlNode *node = (XmlNode *)top;

        for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
                size_t n = (size_t)(slash - path);

                if (n >= room)
                        return NULL;
                memcpy(name, path, n);
                name[n] = '\0';
                node = xml_next(node->first, name);
                if (!node)
                        return NULL;
        }
        return node;
}

static int read_early(const Place *place)
{
        char name[64];

        for (size_t i = 0; i < place->info->n_early; i++) {
                const Field *field = &place->info->fields[place->info->early[i]];
                const XmlNode *node = walk_path(place->top, field->path, name, sizeof(name));
                const char *text;

                if (!node || !field_applies(field, place->def) || !strchr(field->path, '@'))
                        continue;
                text = xml_attr(node, attr_name(field));
                if (text && read_text(place, field, node, text) < 0)
                        return -1;
        }
        return 0;
}

/* For numbers: a 0 may have been given. */
static bool is_given(const Place *place, const Field *field)
{
        char name[64];
        const XmlNode *node = walk_path(place->top, field->path, name, sizeof(name));
        const char *slash = strrchr(field->path, '/');

        if (field->type != FIELD_UINT && field->type != FIELD_MEMORY)
                return false;
        if (strchr(field->path, '@'))
                return node && xml_attr(node, attr_name(field));
        return str_eq(field->path, ".") || (node && xml_find(node, slash ? slash + 1 : field->path));
}

int fields_parse(const StructInfo *info, XmlNode *node, void *def, FieldsReader *reader)
{
        Place place = { info, node, def, reader };

        if (read_early(&place) < 0 || read_node(&place, info->nodes, node) < 0)
                return -1;
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];

                if (field->required && !field_is_set(field, def) && field_applies(field, def) &&
                    !is_given(&place, field))
                        return fields_refuse(node, reader, "'%s' is missing", field->path);
        }
        return info->parsed ? info->parsed(def, node, reader) : 0;
}

/* An element that holds nothing but a line's end is empty. */
static bool is_blank(const char *text)
{
        return !text[strspn(text, " \t\r\n")];
}

static void report_below(const XmlNode *node, Warnings *ret)
{
        AUTO(Buf) path = { 0 };

        for (unsigned i = 0; i < node->n_attrs; i++) {
                if (node->attrs[i].seen)
                        continue;
                put_path(node, ret, &path);
                warnings_add(ret, "line %d: %s/@%s is not known", node->line, buf_text(&path), node->attrs[i].name);
        }
        for (const XmlNode *n = node->first; n; n = n->next) {
                if (n->seen && n->name) {
                        report_below(n, ret);
                } else if (!n->seen && (n->name || !is_blank(n->text))) {
                        put_path(n->name ? n : node, ret, &path);
                        warnings_add(ret, "line %d: %s%s is not known", n->line, n->name ? "" : "text in ",
                                     buf_text(&path));
                }
        }
}

int fields_report_unknown(const XmlNode *root, FieldsReader *reader)
{
        AUTO(Buf) all = { 0 };

        report_below(root, reader->warnings);
        if (!(reader->flags & DEF_PARSE_VALIDATE) || !reader->warnings || !reader->warnings->list.len)
                return 0;
        for (size_t i = 0; i < reader->warnings->list.len; i++)
                buf_format(&all, "%s%s", i ? "\n" : "", reader->warnings->list.items[i]);
        return err_set(reader->err, ERR_XML_INVALID_SCHEMA, "%s", buf_text(&all));
}
