/*
 * model/def.c - what all shared definitions have in common
 */
#include "model/def.h"

#include "base/str.h"

static DefHeader *header_of(const void *def)
{
        return (DefHeader *)def; /* a root's first member; of a shared one only the count changes */
}

void *def_new(const StructInfo *info)
{
        Arena *arena = arena_new();
        void *def = fields_new(arena, info);

        *header_of(def) = (DefHeader){ .arena = arena, .refs = 1 };
        return def;
}

static void keep(DefHeader *head, const char *const *warnings, size_t n)
{
        head->warnings = arena_new_array(head->arena, const char *, n);
        head->n_warnings = (uint32_t)n;
        for (size_t i = 0; i < n; i++)
                head->warnings[i] = arena_dup(head->arena, warnings[i]);
}

void def_keep_warnings(void *def, const Warnings *warnings)
{
        keep(header_of(def), (const char *const *)warnings->list.items, warnings->list.len);
}

void *def_copy(const StructInfo *info, const void *def)
{
        const DefHeader *old = header_of(def);
        Arena *arena = arena_new_sized(arena_taken(old->arena));
        void *copy = fields_copy(info, def, arena);

        *header_of(copy) = (DefHeader){ .arena = arena, .refs = 1 };
        keep(header_of(copy), (const char *const *)old->warnings, old->n_warnings);
        return copy;
}

void *def_ref(const void *def)
{
        if (def)
                header_of(def)->refs++;
        return (void *)def;
}

void *def_unref(void *def)
{
        if (def && --header_of(def)->refs == 0)
                arena_free(header_of(def)->arena);
        return NULL;
}

int def_parse(const StructInfo *info, const char *what, const char *xml, size_t len, unsigned flags, void **ret,
              Warnings *warnings, Error *err)
{
        AUTO(Warnings) own = { 0 };
        AUTO(XmlDoc) doc = { 0 };
        FieldsReader reader = { .flags = flags, .warnings = warnings ?: &own, .err = err };
        void *def;

        if (xml_parse(xml, len, what, &doc, err) < 0)
                return -1;
        if (!str_eq(doc.root->name, info->element) && str_eq(doc.root->qname, info->element))
                return err_set(err, ERR_XML, "(%s) the root element <%s> is in the namespace '%s'; it has none", what,
                               info->element, doc.root->uri ?: "");
        if (!str_eq(doc.root->name, info->element))
                return err_set(err, ERR_XML, "(%s) the root element is <%s>, not <%s>", what, doc.root->qname,
                               info->element);
        def = def_new(info);
        reader.arena = header_of(def)->arena;
        if (fields_parse(info, doc.root, def, &reader) < 0 || fields_report_unknown(doc.root, &reader) < 0) {
                def_unref(def);
                return -1;
        }
        fields_warn_idle(info, def, reader.warnings);
        *ret = def_copy(info, def); /* packed: there may be thousands of them */
        def_unref(def);
        return 0;
}
