#pragma once
/*
 * daemon/migrate-give.h - the source tells the destination to take a guest that is dead here
 */
#include "daemon/migrate.h"

/* The guest is about to be sent: that it may be on another host is noted, before what is put into the queue next. */
void migrate_give_prepare(const Migration *m);
/* It is known where it is: here, or gone for good. The note goes unless the guest is being given away. */
void migrate_give_settled(const Domain *dom);
/*
 * The guest was sent completely and its QEMU here is gone, without anybody having brought the move to its end: the other
 * host is told until it answers. Nothing where the guest was not sent completely. The migration may be freed then.
 */
void migrate_give(const Migration *m);
/* The same for a guest that was moving when an earlier daemon ended, and has ended since. */
void migrate_give_lost(const QemuRun *run);
/*
 * The guest is to be started here, not by a move. Refused while the other host may be taking it, unless somebody says so
 * twice: then that host is not told any more.
 */
int migrate_give_check_start(const Domain *dom, Error *err);
/* It may be on another host. Who starts it unasked waits for qemu_autostart_settled(). */
bool migrate_give_is_pending(const Domain *dom);
/* At the start, behind the guests: those that an earlier daemon gave away are told of again. */
int migrate_give_load(QemuDriver *qemu, Error *err);
void migrate_give_forget(QemuDriver *qemu);
