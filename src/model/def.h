#pragma once
/*
 * model/def.h - what all shared definitions have in common
 *
 * A struct whose fact says root begins with a DefHeader: it is immutable once
 * shared, lives in an arena of its own and is counted. Kinds of definitions
 * (guest, network, pool, ...) wrap these with their own types.
 */
#include "model/fields.h"

/* An empty definition with its defaults, to be filled in. */
void *def_new(const StructInfo *info);
/* Mutable until it is shared; packed into an arena that just holds it. */
void *def_copy(const StructInfo *info, const void *def);
void *def_ref(const void *def); /* the loop thread's: the count is not atomic. NULL gives NULL */
void *def_unref(void *def);     /* returns NULL */
/*
 * Read the XML of one; what names the document in errors, like 'network definition'. The caller gets the one
 * reference. Warnings are added to; NULL: thrown away.
 */
int def_parse(const StructInfo *info, const char *what, const char *xml, size_t len, unsigned flags, void **ret,
              Warnings *warnings, Error *err);
/* What its XML held and no row knows stays with the definition and its copies. */
void def_keep_warnings(void *def, const Warnings *warnings);
