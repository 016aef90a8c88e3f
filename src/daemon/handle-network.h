#pragma once
/*
 * daemon/handle-network.h - what the handlers of networks share
 */
#include "daemon/call.h"
#include "daemon/network.h"

/* The network an argument names, by its UUID; NULL with the error that clients expect. Borrowed. */
Network *find_network(const Call *call, const WireNetwork *wire, Error *err);
WireNetwork wire_network(const Network *net);
/* Leases that ran out stay in the server's file for a while. */
bool lease_is_over(const DnsmasqLease *lease);
unsigned lease_prefix(const Network *net, const DnsmasqLease *lease); /* length of its network's prefix */
/* ERR_OPERATION_INVALID unless it is active. */
int network_must_be_active(const Network *net, Error *err);
