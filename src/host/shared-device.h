#pragma once
/*
 * host/shared-device.h - which block devices other hosts see too, and by which name they would know one
 */
#include <stdbool.h>

/*
 * Is this a unit of a network of storage (FC, FCoE, SRP, iSCSI, RBD, NBD, DRBD, NVMe over a fabric), or made of such
 * alone, as multipath and LVM do it (MIG-15, MIG-30)? A name below /dev/disk or /dev/mapper is followed within /dev;
 * what leads out of it is not shared. Reads in /dev and /sys, which hang on nobody's server, and never the device.
 */
bool block_device_is_shared(const char *path);
/* The same below another root; for tests. */
bool block_device_is_shared_in(const char *root, const char *path);

/*
 * What a disk calls itself to every host (STO-37): "wwn:...", "wwid:...", "dm:...", "serial:...", of a partition with its
 * number. Owned; NULL: it says nothing, or the path is none of a device. Reads in /dev and /sys only, like the above.
 */
char *block_device_identity(const char *path);
char *block_device_identity_in(const char *root, const char *path);
/* Two disks for sure: the same kind of name, and another one. Names of two kinds say nothing about each other. */
bool block_device_identities_differ(const char *a, const char *b);
