#pragma once
/*
 * daemon/qemu-dump.h - a running guest's memory to a file, for a debugger
 */
#include "daemon/migrate.h"
#include "daemon/qemu-driver.h"

typedef struct Dump Dump;

typedef struct DumpOptions {
        const char *path;
        int format;       /* VIR_DOMAIN_CORE_DUMP_FORMAT_...; of memory only */
        bool memory_only; /* else the whole state, as a migration sends it */
        bool live;        /* the guest runs on meanwhile, as far as QEMU lets it */
        bool bypass_cache;
        bool crash, reset; /* what becomes of it afterwards; neither: it goes on as it was */
} DumpOptions;

/*
 * The guest holds its job slot (JOB_DUMP). done() comes once; when it says NULL the file has its name and is synced, on
 * failure there is none and the guest goes on as before.
 */
int qemu_dump(Domain *dom, const DumpOptions *options, DriverDone *done, void *arg, Error *err);
/* Give up; -1 when QEMU cannot be made to stop any more. */
int qemu_dump_abort(Dump *dump, Error *err);
const MigrateStats *qemu_dump_stats(const Dump *dump);
void qemu_dump_on_event(Dump *dump, const QmpEvent *event);
/* The guest's QEMU ended and its run is over. */
void qemu_dump_on_guest_ended(Dump *dump);
/* What a later daemon must know to let the guest go on. */
void qemu_dump_put_status(const Dump *dump, Buf *ret);
