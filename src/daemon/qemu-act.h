#pragma once
/*
 * daemon/qemu-act.h - what the handlers of acts on a running QEMU guest share
 */
#include "daemon/call.h"
#include "daemon/path-dial.h"
#include "daemon/qemu-driver.h"

/* The run of this guest; NULL with err when it does not run, or is no guest of QEMU. */
QemuRun *qemu_act_run(const Call *call, const Domain *dom, Error *err);
/* The same, for a monitor command. */
QmpClient *qemu_act_monitor(const Call *call, const Domain *dom, Error *err);
/*
 * Connect to the socket of a channel or console: the one its definition names (a child does it), or the one in the
 * guest's own directory. NULL with err when it has none that can be connected to; else done() comes, as of path_dial_new().
 */
PathDial *qemu_act_dial(const QemuRun *run, const ChardevDef *chardev,
                        void (*done)(void *arg, Fd fd, const Error *failure), void *arg, Error *err);

/* An event of QEMU, to those who asked for it by name. */
void qemu_act_tell_monitor_event(const Domain *dom, const QmpEvent *event);

/* The run ends: the streams go on to their own end. */
void qemu_consoles_let_go(QemuRun *run);
