/*
 * model/domain.c - the definition of a guest
 */
#include "model/domain.h"

#include "base/str.h"

DomainDef *domain_def_new(void)
{
        Arena *arena = arena_new();
        DomainDef *def = fields_new(arena, &domain_def_info);

        def->head = (DefHeader){ .arena = arena, .refs = 1 };
        return def;
}

static void keep(DomainDef *def, const char *const *warnings, size_t n)
{
        def->head.warnings = arena_new_array(def->head.arena, const char *, n);
        def->head.n_warnings = (uint32_t)n;
        for (size_t i = 0; i < n; i++)
                def->head.warnings[i] = arena_dup(def->head.arena, warnings[i]);
}

void domain_def_keep_warnings(DomainDef *def, const Warnings *warnings)
{
        keep(def, (const char *const *)warnings->list.items, warnings->list.len);
}

DomainDef *domain_def_copy(const DomainDef *def)
{
        Arena *arena = arena_new_sized(arena_taken(def->head.arena));
        DomainDef *copy = fields_copy(&domain_def_info, def, arena);

        copy->head = (DefHeader){ .arena = arena, .refs = 1 };
        keep(copy, (const char *const *)def->head.warnings, def->head.n_warnings);
        return copy;
}

DomainDef *domain_def_ref(const DomainDef *def)
{
        DomainDef *shared = (DomainDef *)def; /* only the count changes */

        shared->head.refs++;
        return shared;
}

DomainDef *domain_def_unref(DomainDef *def)
{
        if (def && --def->head.refs == 0)
                arena_free(def->head.arena);
        return NULL;
}

int domain_def_parse(const char *xml, size_t len, unsigned flags, DomainDef **ret, Warnings *warnings, Error *err)
{
        AUTO(DomainDef) *def = NULL;
        AUTO(Warnings) own = { 0 };
        AUTO(XmlDoc) doc = { 0 };
        FieldsReader reader = { .flags = flags, .warnings = warnings ?: &own, .err = err };

        if (xml_parse(xml, len, "domain definition", &doc, err) < 0)
                return -1;
        if (!str_eq(doc.root->name, "domain"))
                return err_set(err, ERR_XML, "(domain definition) the root element is <%s>, not <domain>",
                               doc.root->qname);
        def = domain_def_new();
        reader.arena = def->head.arena;
        if (fields_parse(&domain_def_info, doc.root, def, &reader) < 0 ||
            fields_report_unknown(doc.root, &reader) < 0)
                return -1;
        *ret = domain_def_copy(def); /* packed: there may be thousands of them */
        return 0;
}

int domain_def_format(const DomainDef *def, unsigned flags, Buf *ret)
{
        const char *namespaces = def->qemu_commandline ? " xmlns:qemu='" XML_NS_QEMU "'" : NULL;

        /* A peer must get all of it. */
        if (flags & DEF_FORMAT_MIGRATABLE)
                flags |= DEF_FORMAT_SECURE;
        fields_format(&domain_def_info, def, "domain", namespaces, 0, flags, ret);
        return 0;
}

int domain_def_check_abi(const DomainDef *old, const DomainDef *new, Error *err)
{
        AUTO(Buf) differences = { 0 };

        fields_compare_abi(&domain_def_info, old, new, "domain", &differences);
        if (!differences.len)
                return 0;
        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                       "the guest would notice the difference, so it cannot change while it runs:\n%s",
                       buf_text(&differences));
}
