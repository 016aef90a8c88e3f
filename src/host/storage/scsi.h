#pragma once
/*
 * host/storage/scsi.h - the disks of a SCSI host, as volumes
 */
#include "host/storage/backend.h"

/* Each logical unit of the host that is a disk: "unit:BUS:TARGET:LUN". */
int scsi_scan_host(const PoolDef *pool, unsigned host, StorageFound *found, void *arg, Error *err);
/* Have the kernel look for units that it does not know yet, and wait a while until they have their names. */
int scsi_rescan_host(const PoolDef *pool, unsigned host, Error *err);
/* Sizes of a pool whose volumes are all that it has. */
int scsi_figures(const PoolDef *pool, StorageFigures *ret, Error *err);
/* "host3" or "scsi_host3": 3. 0 or -1. */
int scsi_host_number(const char *name, unsigned *ret);
/* The attribute of an object in sysfs, its line end cut off. Owned; NULL: it cannot be read. */
char *sysfs_read(const char *dir, const char *name);
int sysfs_write(const char *dir, const char *name, const char *text, Error *err);
/* A directory below the class or bus, like "class/fc_host"; owned. For tests it can stand elsewhere. */
char *sysfs_path(const char *below);
void sysfs_set_root(const char *path); /* stays the caller's; NULL: /sys */
