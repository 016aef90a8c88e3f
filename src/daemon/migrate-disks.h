#pragma once
/*
 * daemon/migrate-disks.h - copy a moving guest's disks over NBD
 *
 * Each disk that is to be copied is mirrored to an export of the destination's
 * QEMU. The copies stay in step with the guest's writes until the switch-over,
 * when they are finished while the guest stands still.
 */
#include "daemon/migrate.h"

typedef struct Disks Disks;

/* Is this disk one of those to copy? */
bool disks_is_copied(const Migration *migration, const DiskDef *disk);

/* Source: start all mirrors; done() when each has copied everything once. */
Disks *disks_mirror(Migration *migration, const char *host, int nbd_port,
                    void (*done)(void *arg, const Error *failure), void *arg, Error *err);
/* Source, the guest is stopped: the copies are complete; let go of them. */
void disks_finish(Disks *disks, void (*done)(void *arg, const Error *failure), void *arg);
/* Source: give the copies up. */
void disks_cancel(Disks *disks, void (*done)(void *arg, const Error *failure), void *arg);
void disks_on_event(Disks *disks, const QmpEvent *event);
void disks_figures(const Disks *disks, uint64_t *ret_total, uint64_t *ret_done);
Disks *disks_free(Disks *disks); /* returns NULL */

/* Destination: export each disk that will be copied on this address and port. */
void disks_export(Migration *migration, const char *address, int port, void (*done)(void *arg, const Error *failure),
                  void *arg);
/* Destination: the copies are complete. */
void disks_unexport(Migration *migration, void (*done)(void *arg, const Error *failure), void *arg);
