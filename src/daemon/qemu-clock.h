#pragma once
/*
 * daemon/qemu-clock.h - a guest that sets its clock
 */
#include "daemon/qemu-driver.h"

/* QEMU is being started with this definition. */
void qemu_clock_started(QemuRun *run, const DomainDef *def);
/* RTC_CHANGE said this offset. Returns how far the clock is from the basis of the definition's clock, as clients expect. */
int64_t qemu_clock_changed(QemuRun *run, int64_t offset_s);
/* The daemon ends: what waits to be written is written now (blocks). */
void qemu_clock_forget(QemuDriver *qemu);
