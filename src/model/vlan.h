#pragma once
/*
 * model/vlan.h - the VLANs of an interface, a portgroup or a network
 */
#include "base/err.h"
#include "model/domain-def.h"

/* NULL is fine. Numbers the kernel has, none twice, several only in a trunk, one native one at most. */
int vlan_def_check(const VlanDef *def, Error *err);
/* Packets of an access port, or of a trunk without a tag, belong to it; 0: those of a trunk without one are dropped. */
unsigned vlan_def_native(const VlanDef *def);
/* Packets of this VLAN reach the guest without a tag. */
bool vlan_tag_is_untagged(const VlanDef *def, const VlanTagDef *tag);
