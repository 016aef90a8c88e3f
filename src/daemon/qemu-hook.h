#pragma once
/*
 * daemon/qemu-hook.h - the administrator's script that is asked at turns of a guest's life (MIG-29)
 *
 * hook_dir/qemu GUEST OPERATION PHASE -, with the guest's XML on standard input,
 * as libvirt calls it. It runs as a child with a deadline; its failure stops what
 * it was asked about. Whether there is one is looked at when the daemon starts.
 */
#include "daemon/qemu-driver.h"

typedef struct Hook Hook;

/* The script, owned by the caller; NULL: there is none. */
char *hook_find(const Daemon *daemon);
/* done() comes once: failure, or what it printed, "" if nothing. The hook may be freed there. Needs a script. */
Hook *hook_new(const QemuDriver *qemu, const char *guest, const char *operation, const char *phase, const Buf *xml,
               void (*done)(void *arg, const char *said, const Error *failure), void *arg, Error *err);
/* With the guest's definition as it runs. */
Hook *hook_new_def(const QemuDriver *qemu, const DomainDef *def, const char *operation,
                   void (*done)(void *arg, const char *said, const Error *failure), void *arg, Error *err);
Hook *hook_free(Hook *hook); /* ends the script; returns NULL */
/* Nobody waits: its QEMU is gone ("stopped", if there was one), and so is what it used ("release"). */
void hook_tell_end(QemuDriver *qemu, const DomainDef *def, bool ran);
/* A guest was found again after a restart of the daemon. Nobody waits either. */
void hook_tell_found(QemuDriver *qemu, const DomainDef *def);
/* The daemon ends: a script that is being told is ended, the rest is not told. */
void hook_forget(QemuDriver *qemu);
