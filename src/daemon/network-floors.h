#pragma once
/*
 * daemon/network-floors.h - what guests on a network are sure to receive
 */
#include "daemon/network.h"

/*
 * An interface leaves an active network or joins it, or both at once when it changes; each may be NULL. When one of
 * them has a floor the network's bridge is told all floors anew. The error says when the network promises more than
 * it has, or has no limit that floors could be part of. Does not wait.
 */
int network_floors_change(const Network *net, const InterfaceDef *gone, const InterfaceDef *come, Error *err);
/*
 * The bridge is told all floors anew: those of a guest that ended go, or, when ended is NULL, those of all guests are
 * given back to a bridge that was made anew.
 */
int network_floors_forget(const Network *net, const Domain *ended, Error *err);
