#pragma once
/*
 * daemon/qemu-unplug.h - devices that QEMU asks the guest to let go of
 */
#include "daemon/qemu-driver.h"

/*
 * Ask for this device (its id, or its QOM path) and wait for what the guest says: done(NULL) when it is gone, a failure
 * when the guest refused. One that does not say anything in time counts as asked, or with `must` as failed.
 */
void qemu_unplug_device(QemuRun *run, const char *device, bool must, DriverDone *done, void *arg);
void qemu_unplug_on_event(QemuRun *run, const QmpEvent *event);
/* The run ends: all that wait fail. */
void qemu_unplug_let_go(QemuRun *run);
