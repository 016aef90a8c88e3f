#pragma once
/*
 * qemu/disk-limits.h - the limits of a disk, as QEMU takes them
 */
#include "model/domain.h"
#include "qemu/qmp.h"

/* Set all limits to what disk->iotune says; zero is no limit. */
QmpCall *disk_limits_set(QmpClient *qmp, const DiskDef *disk, void (*done)(void *arg, const Error *failure),
                         void *arg);
