#pragma once
/*
 * daemon/migrate-transfer.h - move a guest's memory (and disks) out of this host
 *
 * The part that is the same for every way to drive a migration: from a guest
 * that runs here to a QEMU here that has sent everything and is stopped.
 */
#include "daemon/migrate.h"

/*
 * Start. fd: a connected stream to take the memory (a tunnel), taken; -1: connect to host:port. done(arg, failure):
 * NULL when all was sent and the destination's QEMU has it; else the guest is as it was before - unless
 * migration->completed or ->committed says that only the peer knows.
 */
Transfer *transfer_start(Migration *migration, const char *host, int port, int nbd_port, Fd fd,
                         void (*done)(void *arg, const Error *failure), void *arg);
/* Connect a post-copy transfer that broke again, at a new address of the peer; done() as above. */
Transfer *transfer_resume(Migration *migration, const char *host, int port,
                          void (*done)(void *arg, const Error *failure), void *arg);
Transfer *transfer_free(Transfer *transfer); /* finished; returns NULL */
/*
 * The rest is on its way: the other host may run the guest before we hear of it. Nobody may cancel on a whim now, for QEMU
 * would let the guest go on here too (LATE_CANCEL in models/handover.pml).
 */
bool transfer_is_handing_over(const Transfer *transfer);
/* Undo it. -1 when it has gone too far. */
int transfer_cancel(Transfer *transfer, const Error *why, Error *err);
/* What QEMU is told so that a longest pause of ms, which somebody set, is kept. */
uint64_t transfer_bound_ms(const Transfer *transfer, uint64_t ms);
/* QEMU has begun to send memory, and has not said that the rest can go. */
bool transfer_is_sending(const Transfer *transfer);
/* Let the guest run there before its memory has arrived. */
void transfer_start_postcopy(Transfer *transfer, void (*done)(void *arg, const Error *failure), void *arg);
void transfer_on_event(Transfer *transfer, const QmpEvent *event, int64_t at_us);
const char *transfer_step(const Transfer *transfer);
bool transfer_is_over(const Transfer *transfer); /* done() was called */
/* The guest is gone, and with it what was not sent. done() comes. */
void transfer_on_guest_ended(Transfer *transfer, const Error *why);
