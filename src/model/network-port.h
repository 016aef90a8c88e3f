#pragma once
/*
 * model/network-port.h - the description of one interface's place on a network
 */
#include "model/domain-def.h"

/* The caller gets the one reference. Warnings are added to; NULL: thrown away. */
int network_port_def_parse(const char *xml, size_t len, unsigned flags, NetworkPortDef **ret, Warnings *warnings,
                           Error *err);
void network_port_def_format(const NetworkPortDef *def, Buf *ret); /* XML ending with a newline */
NetworkPortDef *network_port_def_copy(const NetworkPortDef *def);  /* mutable until it is shared */
NetworkPortDef *network_port_def_new(void);                        /* an empty one, to be filled in */
NetworkPortDef *network_port_def_unref(NetworkPortDef *def);       /* returns NULL */

DEFINE_AUTO(NetworkPortDef, network_port_def_unref)
