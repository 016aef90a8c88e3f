#pragma once
/*
 * daemon/define-call.h - definitions that come with a call
 */
#include "daemon/call.h"
#include "model/domain.h"

/* Behaves like a handler; def is taken. */
typedef int DefineThen(Call *call, DomainDef *def, Error *err);

/*
 * Parse and complete the XML for the call's driver as define_parse() does, on a worker when it is large, and go on with
 * then(). xml lives as long as the call's arguments do.
 */
int define_for_call(Call *call, const char *xml, bool validate, DefineThen *then, Error *err);
