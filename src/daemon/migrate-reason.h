#pragma once
/*
 * daemon/migrate-reason.h - why a guest that was to come did not
 */
#include "daemon/qemu-driver.h"

/* The last words of the QEMU that was to have this guest; NULL: none. Kept for whoever drove the move, if they say why (MIG-25). */
void migrate_keep_reason(QemuDriver *qemu, const char *guest, const char *words);
/* A sentence, owned by the caller and told once; NULL: there is none. */
char *migrate_take_reason(QemuDriver *qemu, const char *guest);
/* All of them. */
void migrate_forget_reasons(QemuDriver *qemu);
