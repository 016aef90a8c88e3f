#pragma once
/*
 * daemon/network-port.h - who is on a network
 *
 * A guest's ports are not kept: they are what the live definitions of guests
 * say. A client may make others, for owners that drover knows nothing of; these
 * live as long as the network is active, and count with the rest.
 */
#include "daemon/network.h"
#include "model/network-port.h"

/* One interface on a network. */
typedef struct NetworkPort {
        const Domain *dom; /* NULL: a client made it */
        const InterfaceDef *interface;
        const NetworkPortDef *made; /* by a client, or NULL */
        Uuid id;
} NetworkPort;

/* The ports of an active network, in the arena. */
size_t network_ports(const Network *net, Arena *arena, NetworkPort **ret);

/* What nic leaves open and its portgroup or network says. */
int network_port_settings(const NetworkDef *def, InterfaceDef *nic, Arena *arena, Error *err);
/* These, and where on the active network it goes: its bridge, or the device of it that the fewest use. */
int network_port_place(const Network *net, InterfaceDef *nic, Arena *arena, Error *err);
/* The description of a guest's or another's port, as it is shown. */
void network_port_format(const Network *net, const NetworkPort *port, Buf *ret);

/*
 * Make a port of the active network: what def leaves open is filled in, and what it asks to be promised is. def is
 * taken when it worked. Saving is the caller's (save_live).
 */
int network_port_make(Network *net, NetworkPortDef *def, Error *err);
/* Take one of these away, with what it was promised: the caller's; NULL when there is none, or the kernel refused. */
NetworkPortDef *network_port_unmake(Network *net, const Uuid *id, Error *err);
/* The one that a client made, or NULL. Borrowed. */
const NetworkPortDef *network_port_made(const Network *net, const Uuid *id);
/* def in place of the one with its UUID, with what it is promised now. def is taken; the old one is the caller's. */
int network_port_replace(Network *net, NetworkPortDef *def, NetworkPortDef **ret_old, Error *err);
