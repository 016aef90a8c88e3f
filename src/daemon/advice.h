#pragma once
/*
 * daemon/advice.h - what an administrator should know of a guest's size and disks on this host
 */
#include "daemon/driver.h"

/* CPUs of the host and of its largest NUMA cell; what is not known is 0. Reads /proc and /sys. */
HostShape advice_shape(const char *root);
/* More virtual CPUs than the host (CPU-16), or than any of its NUMA cells (CPU-13), has CPUs. */
void advise_on_cpus(const HostShape *host, const DomainDef *def, Warnings *ret);
/* A disk that is all of a device with partitions (STO-38), of which the host may use one. Reads /sys below root. */
void advise_on_disks(const char *root, const DomainDef *def, Warnings *ret);
/*
 * Before a start: choose the NUMA cell of a guest that asks for it (placement='auto', CPU-08) and write it down in def,
 * its own, which nobody shares yet; and see that all guests' memory fits into RAM and swap (MEM-02). Fails only where
 * memory_overcommit is "refuse". A warning is logged.
 */
int advise_on_start(const Domain *dom, DomainDef *def, const char *root, Error *err);
