#pragma once
/*
 * model/secret.h - the definition of a secret: what it is for, never its value
 *
 * Like a guest's: immutable once shared, in an arena of its own, counted.
 */
#include "model/domain-def.h"

/* The caller gets the one reference. Warnings are added to; NULL: thrown away. */
int secret_def_parse(const char *xml, size_t len, unsigned flags, SecretDef **ret, Warnings *warnings, Error *err);
void secret_def_format(const SecretDef *def, Buf *ret); /* XML ending with a newline */
SecretDef *secret_def_unref(SecretDef *def);            /* returns NULL */

/* What it is found by besides its UUID: path, target or name. NULL: it has no use. Borrowed. */
const char *secret_def_usage_id(const SecretDef *def);
SecretUsageType secret_def_usage_type(const SecretDef *def);
bool secret_def_is_private(const SecretDef *def);
bool secret_def_is_ephemeral(const SecretDef *def);

DEFINE_AUTO(SecretDef, secret_def_unref)
