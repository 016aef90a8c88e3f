#pragma once
/*
 * daemon/qemu-plug.h - devices into and out of a running QEMU
 */
#include "daemon/change.h"
#include "daemon/qemu-driver.h"

/* Each as the driver's change() for its kind; done() comes once. */
void qemu_plug(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
void qemu_unplug(QemuRun *run, const DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
void qemu_change_medium(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
