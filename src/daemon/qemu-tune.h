#pragma once
/*
 * daemon/qemu-tune.h - limits and pins of a guest, as its definition says
 */
#include "base/bitmap.h"
#include "daemon/qemu-driver.h"

/* Set, or lift, the limits of one kind; cgroup NULL: this host has none, an error. */
int qemu_limit_cpu(Cgroup *cgroup, const DomainDef *def, Error *err);
int qemu_limit_memory(Cgroup *cgroup, const DomainDef *def, Error *err);
int qemu_limit_io(Cgroup *cgroup, const DomainDef *def, Error *err);
int qemu_limit_nodes(Cgroup *cgroup, const DomainDef *def, Error *err);

int qemu_host_cpus(Bitmap *ret, Error *err);
/* All threads of QEMU but the processors and these others go where the emulator is pinned. */
int qemu_pin_emulator(QemuRun *run, const DomainDef *def, const pid_t *others, size_t n, const Bitmap *host,
                      Error *err);

/* Before QEMU is started: the limits that its definition asks for stand before it takes memory. */
int qemu_tune_group(QemuRun *run, const DomainDef *def, Error *err);
/* Its threads are known and its processors stand still (GuestHooks.ready). */
int qemu_tune_threads(QemuRun *run, const DomainDef *def, Error *err);
