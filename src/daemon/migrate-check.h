#pragma once
/*
 * daemon/migrate-check.h - what must hold before a guest may move
 *
 * All that is wrong is said at once, before anything is touched.
 */
#include "daemon/migrate.h"

int migrate_check_source(const Domain *dom, uint32_t flags, const MigrateParams *params, Error *err);
int migrate_check_destination(Driver *driver, const DomainDef *def, uint32_t flags, const MigrateParams *params,
                              Error *err);
