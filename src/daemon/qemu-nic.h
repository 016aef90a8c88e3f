#pragma once
/*
 * daemon/qemu-nic.h - the host's side of a guest's network interfaces
 */
#include "daemon/qemu-driver.h"

/*
 * Make what an interface of a definition that is about to run is connected to: a tap in its bridge, with its limits,
 * or a macvtap. nic gets what it became (names, port, bridge), and the MTU of its bridge unless the guest has seen it
 * before: with a move or a restore. fds are closed by the caller, also on failure.
 */
int qemu_nic_open(const Domain *dom, InterfaceDef *nic, bool seen, Arena *arena, NicFds *fds, Error *err);
void qemu_nic_close(NicFds *fds);
/* What does not end with QEMU's descriptors: macvtaps, and what the network promised. */
void qemu_nic_remove(const Domain *dom, const InterfaceDef *nic);
/* The same for all interfaces of a guest that ended. */
void qemu_nic_remove_all(const Domain *dom);
/* Move a running interface to where new says, with its limits; the guest sees its cable as before (NET-29). */
int qemu_nic_move(const Domain *dom, const InterfaceDef *old, InterfaceDef *new, Arena *arena, Error *err);
/* What qemu_nic_move() did of it is undone: new could not be had in full. */
void qemu_nic_move_back(const InterfaceDef *old, const InterfaceDef *new);
/* The limits of a running interface are what new says now, and its network promises what new asks for. */
int qemu_nic_limit(const Domain *dom, const InterfaceDef *old, const InterfaceDef *new, Error *err);
