#pragma once
/*
 * daemon/qemu-keys.h - the keys of encrypted disks, on their way into QEMU
 *
 * QEMU needs a key only while it opens the disk. It comes in a descriptor at the
 * start and over the monitor later, and is taken from QEMU's objects again:
 * neither arguments nor files hold it.
 */
#include "base/vec.h"
#include "daemon/qemu-driver.h"
#include "daemon/secret.h"
#include "qemu/command-line.h"

typedef struct DiskKeys {
        VEC(DiskKeyFd) list;
} DiskKeys;

/* The keys of all encrypted disks of a guest that is about to start. */
int qemu_keys_open(const Secrets *secrets, const DomainDef *def, DiskKeys *ret, Error *err);
void disk_keys_done(DiskKeys *keys);
/* QEMU has opened its disks. */
void qemu_keys_forget(QemuRun *run);
/* The object-add of one disk's key: owned, to be wiped. NULL: failure. */
char *qemu_key_object(const Secrets *secrets, const DiskDef *disk, const char *id, Error *err);

DEFINE_AUTO_VALUE(DiskKeys, disk_keys_done)
