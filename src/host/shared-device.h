#pragma once
/*
 * host/shared-device.h - which block devices other hosts see too
 */
#include <stdbool.h>

/*
 * Is this a unit of a network of storage (FC, FCoE, iSCSI, RBD, NBD, DRBD, NVMe over a fabric), or made of such alone,
 * as multipath and LVM do it (MIG-15, MIG-30)? A name below /dev/disk or /dev/mapper is followed within /dev; what
 * leads out of it is not shared. Reads names in /dev and /sys, which hang on nobody's server, and never the device.
 */
bool block_device_is_shared(const char *path);
/* The same below another root; for tests. */
bool block_device_is_shared_in(const char *root, const char *path);
