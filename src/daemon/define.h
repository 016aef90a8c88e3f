#pragma once
/*
 * daemon/define.h - from XML to a definition in a driver's list
 */
#include "daemon/domain.h"
#include "daemon/driver.h"
#include "model/domain.h"

/*
 * Parse and complete a definition for this driver, as its own; warnings are logged. NULL with err on failure. Changes
 * nothing of the driver, so at the start several threads may do it at once.
 */
DomainDef *define_parse(Driver *driver, const char *xml, bool validate, bool inactive, Error *err);
/* The same of an inactive one; *ret_uuid is the UUID that the text holds, null when it holds none and got one here. */
DomainDef *define_parse_stored(Driver *driver, const char *xml, Uuid *ret_uuid, Error *err);
/*
 * The guest that this definition means: the one of its name and UUID. *ret is NULL when there is none. A definition
 * that takes its name from one guest and its UUID from another, or its name with another UUID, is refused.
 */
int define_find(Driver *driver, const DomainDef *def, Domain **ret, Error *err);
/* The same for what only its name and UUID are known of. */
int define_find_named(Driver *driver, const char *name, const Uuid *uuid, Domain **ret, Error *err);
/* A new guest of this name and UUID. Borrowed. */
Domain *define_add(Driver *driver, const DomainDef *def);
