#pragma once
/*
 * daemon/network-define.h - from XML to a network in a driver's registry
 */
#include "daemon/network.h"

/* Parsed, checked and completed; NULL with err. */
NetworkDef *network_define_parse(Driver *driver, const char *xml, bool validate, Error *err);
/* The network that def is about, or NULL in *ret; -1 when name or UUID is another's, or its bridge. */
int network_define_find(Driver *driver, const NetworkDef *def, Network **ret, Error *err);
