#pragma once
/*
 * daemon/qemu-plug.h - devices into and out of a running QEMU
 */
#include "daemon/change.h"
#include "daemon/qemu-driver.h"
#include "qemu/command-line.h"

/* Each as the driver's change() for its kind; done() comes once. */
void qemu_plug(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
void qemu_unplug(QemuRun *run, const DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
void qemu_change_medium(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
/*
 * What QEMU was given, or would be, for a device that can be plugged in; -1 for others. dir is the guest's own, where
 * sockets of channels are.
 */
int qemu_plug_parts(const DomainDef *def, const char *dir, DeviceKind kind, const void *device, QemuParts *ret,
                    Error *err);
