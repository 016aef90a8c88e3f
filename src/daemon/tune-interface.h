#pragma once
/*
 * daemon/tune-interface.h - limits of one network interface, as typed parameters
 */
#include "daemon/change.h"
#include "model/domain-def.h"

/*
 * Put what a client sent into *limits, made in the arena when it is NULL; NULL afterwards: nothing is limited any more.
 * The definition it is of is the caller's, and shared with nobody yet.
 */
int interface_limits_set(BandwidthDef **limits, Arena *arena, const WireTypedParam *params, uint32_t n, Error *err);
/* The same for one interface of a definition; ret says what the driver is to do. */
int interface_limits_edit(DomainDef *def, InterfaceDef *interface, const WireTypedParam *params, uint32_t n,
                          LiveChange *ret, Error *err);
