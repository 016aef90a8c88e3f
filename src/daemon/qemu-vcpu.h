#pragma once
/*
 * daemon/qemu-vcpu.h - virtual CPUs into and out of a running QEMU
 */
#include "daemon/change.h"
#include "daemon/qemu-driver.h"

/* As the driver's change(), for LIVE_VCPUS. */
void qemu_vcpu_change(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
/* QEMU let go of what lies at this QOM path. */
void qemu_vcpu_gone(QemuRun *run, const char *path);
