/*
 * model/domain.c - the definition of a guest
 */
#include "model/domain.h"

#include "model/def.h"

DomainDef *domain_def_new(void)
{
        return def_new(&domain_def_info);
}

void domain_def_keep_warnings(DomainDef *def, const Warnings *warnings)
{
        def_keep_warnings(def, warnings);
}

DomainDef *domain_def_copy(const DomainDef *def)
{
        return def_copy(&domain_def_info, def);
}

DomainDef *domain_def_ref(const DomainDef *def)
{
        return def_ref(def);
}

DomainDef *domain_def_unref(DomainDef *def)
{
        return def_unref(def);
}

int domain_def_parse(const char *xml, size_t len, unsigned flags, DomainDef **ret, Warnings *warnings, Error *err)
{
        void *def;

        if (def_parse(&domain_def_info, "domain definition", xml, len, flags, &def, warnings, err) < 0)
                return -1;
        *ret = def;
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
