/*
 * model/fields-format.c - from a struct to XML, by its table
 *
 * Elements are begun on trial and taken back when nothing came of them, so that
 * no row needs to know whether its neighbours are set.
 */
#include "model/fields-internal.h"

#include "base/str.h"

typedef struct Writer {
        const StructInfo *info;
        const void *def;
        unsigned flags;
        Buf *out;
} Writer;

static bool is_hidden(const Writer *w, const Field *field)
{
        bool inactive = w->flags & DEF_FORMAT_INACTIVE;

        if (!field_applies(field, w->def))
                return true;
        if (field->secret && !(w->flags & DEF_FORMAT_SECURE))
                return true;
        if (inactive && field->runtime)
                return true;
        if (inactive && (field->notes->kept_prefix || field->notes->live_prefix)) {
                const char *text = field_text_of(field, w->def);

                if (text && field->notes->kept_prefix)
                        return !str_starts(text, field->notes->kept_prefix);
                return text && str_starts(text, field->notes->live_prefix);
        }
        return false;
}

static void put_unit(const Writer *w, const Field *field)
{
        if (field->type == FIELD_MEMORY)
                buf_put_text(w->out, " unit='KiB'");
        else if (field->type == FIELD_BYTES)
                buf_put_text(w->out, " unit='bytes'");
}

/* The value, escaped. false: not given. */
static bool put_value(const Writer *w, const Field *field)
{
        if (field->type == FIELD_STRING || field->type == FIELD_CPUSET) {
                const char *value = field_text_of(field, w->def);

                if (value)
                        xml_put_escaped(w->out, value);
                return value;
        }
        return field_format_text(field, w->def, w->out); /* numbers and words need no escaping */
}

/* Line breaks in an attribute must be written as references, or they come back as blanks. */
static void mend_attribute(Buf *out, size_t from)
{
        AUTO(Buf) mended = { 0 };

        if (!out->data ||
            (!memchr(out->data + from, '\n', out->len - from) && !memchr(out->data + from, '\t', out->len - from)))
                return;
        for (const char *c = out->data + from; *c; c++) {
                if (*c == '\n' || *c == '\t')
                        buf_format(&mended, "&#%d;", *c);
                else
                        buf_put_char(&mended, *c);
        }
        out->len = from;
        buf_put(out, mended.data, mended.len);
}

static bool put_attrs(const Writer *w, const FieldNode *at)
{
        bool any = false;

        for (unsigned i = 0; i < at->n_attrs; i++) {
                const Field *field = &w->info->fields[at->first_attr + i];
                size_t mark = w->out->len, value;

                if (is_hidden(w, field))
                        continue;
                if (!field_is_set(field, w->def) && !field->always && !field->required)
                        continue;
                buf_put_char(w->out, ' ');
                buf_put_text(w->out, strrchr(field->path, '@') + 1);
                buf_put_text(w->out, "='");
                value = w->out->len;
                if (!put_value(w, field)) {
                        w->out->len = mark;
                        continue;
                }
                mend_attribute(w->out, value);
                buf_put_char(w->out, '\'');
                put_unit(w, field);
                any = true;
        }
        return any;
}

static bool put_node(const Writer *w, const FieldNode *at, const char *name, const char *extra, unsigned depth);

static void put_whole(const Writer *w, const FieldNode *at, unsigned depth)
{
        const Field *field = &w->info->fields[at->first_content];
        void *const pointer = field_pointer(field, w->def);
        size_t mark = w->out->len;

        if (is_hidden(w, field) || !pointer)
                return;
        switch (field->type) {
        case FIELD_LIST:
                for (uint32_t i = 0; i < field_list_len(field, w->def); i++)
                        fields_format(field->of, ((void **)pointer)[i], at->name, NULL, depth, w->flags, w->out);
                break;
        case FIELD_STRUCT: {
                size_t empty;

                fields_format(field->of, pointer, at->name, NULL, depth, w->flags, w->out);
                empty = mark + 2 * depth + strlen(at->name) + strlen("</>\n");
                if (!field->keep && w->out->len == empty)
                        w->out->len = mark;
                break;
        }
        default:
                xml_put_indent(w->out, depth);
                buf_format(w->out, "<%s>\n%s", at->name, (const char *)pointer);
                xml_put_indent(w->out, depth);
                buf_format(w->out, "</%s>\n", at->name);
        }
}

/* The text of the element, with the bracket before it. Flags set *forced: the element is there even when empty. */
static bool put_text(const Writer *w, const FieldNode *at, bool *forced)
{
        for (unsigned i = 0; i < at->n_content; i++) {
                const Field *field = &w->info->fields[at->first_content + i];
                size_t mark = w->out->len;

                if (is_hidden(w, field))
                        continue;
                if (field->type == FIELD_FLAG) {
                        *forced = *forced || *(const bool *)field_at_const(field, w->def);
                        continue;
                }
                put_unit(w, field);
                buf_put_char(w->out, '>');
                if (put_value(w, field))
                        return true;
                w->out->len = mark;
        }
        return false;
}

/* True when the element was written. A struct's own element (extra not NULL) always is. */
static bool put_node(const Writer *w, const FieldNode *at, const char *name, const char *extra, unsigned depth)
{
        size_t begin = w->out->len, open, inside;
        bool forced = extra, attrs, text;

        if (at->whole) {
                put_whole(w, at, depth);
                return w->out->len > begin;
        }
        xml_put_indent(w->out, depth);
        buf_put_char(w->out, '<');
        buf_put_text(w->out, name);
        attrs = put_attrs(w, at);
        if (extra)
                buf_put_text(w->out, extra);
        text = put_text(w, at, &forced);
        if (text) {
                buf_format(w->out, "</%s>\n", name);
                return true;
        }
        open = w->out->len;
        buf_put_text(w->out, ">\n");
        inside = w->out->len;
        for (unsigned i = 0; i < at->n_children; i++) {
                const FieldNode *child = &w->info->nodes[at->first_child + i];

                put_node(w, child, child->name, NULL, depth + 1);
        }
        if (w->out->len > inside) {
                xml_put_indent(w->out, depth);
                buf_format(w->out, "</%s>\n", name);
                return true;
        }
        w->out->len = open;
        if (!attrs && !forced) {
                w->out->len = begin;
                return false;
        }
        buf_put_text(w->out, "/>\n");
        return true;
}

void fields_format(const StructInfo *info, const void *def, const char *name, const char *extra, unsigned depth,
                   unsigned flags, Buf *ret)
{
        Writer w = { info, def, flags, ret };
        AUTOFREE void *copy = NULL;

        if (info->shown) {
                w.def = copy = mem_dup(def, info->size);
                info->shown(copy, flags);
        }
        put_node(&w, info->nodes, name, extra ?: "", depth);
        buf_grow(ret, 0);
}
