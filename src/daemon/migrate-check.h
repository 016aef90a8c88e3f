#pragma once
/*
 * daemon/migrate-check.h - what must hold before a guest may move
 *
 * All that is wrong is said at once, before anything is touched.
 */
#include "daemon/migrate.h"

int migrate_check_source(const Domain *dom, uint32_t flags, const MigrateParams *params, Error *err);
/* What the devices are that the guest leaves behind, for the destination to compare (STO-37). */
void migrate_tell_disks(const DomainDef *def, uint32_t flags, const MigrateParams *params, MigrateCookie *ret);
/* What the guest's CPU has that QEMU can give here, for the destination to compare. */
void migrate_tell_cpu(const Domain *dom, MigrateCookie *ret);
/*
 * All that is missing here, in one sentence, and disks that are not those of the source. Finds the paths of the disks that
 * name volumes.
 */
int migrate_check_destination(Driver *driver, DomainDef *def, uint32_t flags, const MigrateCookie *from, Error *err);
