#pragma once
/*
 * daemon/migrate-ports.h - the ports that incoming migrations listen on
 */
#include "daemon/migrate.h"

/*
 * Give an incoming migration its port, and one for its disks if they are copied: what the caller asked for, or the
 * first of the configured range that is free. Its own until migrate_ports_release(), which migration_free() calls: it may
 * be a while before its QEMU listens there, and others come meanwhile.
 */
int migrate_ports_take(Migration *m, Error *err);
void migrate_ports_release(Migration *m);
/* "tcp:HOST:PORT" for the source. Owned; NULL: the caller's URI is complete. */
char *migrate_uri_out(const Migration *m);
/* The name or address that the other host reaches this one at. Owned. */
char *migrate_own_address(const Migration *m);
/* The same where no migration has a say in it. Owned. */
char *migrate_host_address(const Config *config);
