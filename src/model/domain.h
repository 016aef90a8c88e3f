#pragma once
/*
 * model/domain.h - the definition of a guest
 *
 * A DomainDef is immutable once shared: it lives in an arena of its own and is
 * counted. A change is made on a domain_def_copy(), which is then shared in the
 * old one's place. Pure: nothing here touches the host.
 */
#include "model/domain-def.h"

/* The caller gets the one reference. Warnings are added to; NULL: thrown away. */
int domain_def_parse(const char *xml, size_t len, unsigned flags, DomainDef **ret, Warnings *warnings, Error *err);
/* XML ending with a newline. */
int domain_def_format(const DomainDef *def, unsigned flags, Buf *ret);
/* An empty definition with its defaults, to be filled in. */
DomainDef *domain_def_new(void);
DomainDef *domain_def_copy(const DomainDef *def); /* mutable until it is shared */
DomainDef *domain_def_ref(const DomainDef *def);  /* the loop thread's: the count is not atomic */
DomainDef *domain_def_unref(DomainDef *def);      /* returns NULL */

/* What its XML held and no row knows stays with the definition and its copies. */
void domain_def_keep_warnings(DomainDef *def, const Warnings *warnings);

/* Whether a running guest could go on under the new definition; the error lists every difference (MIG-55). */
int domain_def_check_abi(const DomainDef *old, const DomainDef *new, Error *err);

static inline Arena *domain_def_arena(const DomainDef *def)
{
        return def->head.arena;
}

DEFINE_AUTO(DomainDef, domain_def_unref)
