#pragma once
/*
 * qemu/qmp-call.h - what the generated QMP wrappers stand on
 *
 * Handwritten code includes qemu/qmp.h; only generated code uses what is declared here.
 */
#include "qemu/qmp-client.h"
#include "qemu/qmp-json.h"

struct QmpCommand {
        const char *name;
        const QmpStruct *args, *ret;
        QmpDeliver *deliver;
        bool urgent; /* QEMU takes it while its main loop is stuck, where that was agreed (QmpHooks.urgent) */
        bool quiet;  /* a command of the guest agent that does not answer when it succeeds */
};

typedef struct QmpEventRow {
        const char *name;
        int type;
        const QmpStruct *data;
        size_t offset;
} QmpEventRow;

/* raw: the text of the arguments, for commands whose arguments have no table. */
QmpCall *qmp_send(QmpClient *qmp, const QmpCommand *command, const void *args, const char *raw, int fd,
                  void (*done)(void), void *arg);

QmpDeliver qmp_deliver_none, qmp_deliver_i64, qmp_deliver_text, qmp_deliver_json, qmp_deliver_struct,
        qmp_deliver_list;
/* The whole reply as text, for commands that a user wrote: done(arg, reply, failure). */
QmpDeliver qmp_deliver_raw;

extern const QmpEventRow qmp_event_rows[]; /* in order of their names */
extern const size_t qmp_n_event_rows;
