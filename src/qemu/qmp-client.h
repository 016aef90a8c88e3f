#pragma once
/*
 * qemu/qmp-client.h - one QMP connection, on the loop
 *
 * Commands go out at once and are answered in any order; each has a deadline. A reply is at most 16 MiB
 * and 64 levels deep. The typed wrappers of every command in use are generated: qemu/qmp.h.
 *
 * What done() is told when no reply came: qmp_failure_is_unknown() is true when the command had left us,
 * so that QEMU may or may not have acted on it (the deadline passed, or the connection ended).
 */
#include "base/fd.h"
#include "loop/loop.h"

typedef struct QmpClient QmpClient;
typedef struct QmpCall QmpCall;
typedef struct QmpCommand QmpCommand; /* a row of facts/qmp; see qemu/qmp.h */
struct json_object;

enum {
        QMP_DEADLINE_MS = 10 * 1000,
        QMP_MOST_BYTES = 16 << 20,
};

typedef struct QmpHooks {
        /* QEMU greeted and took our capabilities; commands sent before wait for that by themselves. */
        void (*ready)(void *arg);
        void (*event)(void *arg, const char *name, struct json_object *event); /* the whole event object */
        /* The connection ended; all calls have failed before. The client may be freed here. */
        void (*closed)(void *arg, const Error *why);
        /*
         * Agree that urgent commands overtake the others, as a guest in post-copy needs whose main loop may wait for a
         * page. QEMU reads ahead then: two commands that carry descriptors must not be under way at once.
         */
        bool urgent;
} QmpHooks;

/* Takes fd, a connected stream socket; -1: not connected yet. Members of hooks may be NULL; hooks is copied. */
QmpClient *qmp_client_new(Loop *loop, Fd fd, const QmpHooks *hooks, void *arg);
/*
 * Take another connection to the same QEMU, after closed() or in place of the one there is, whose calls fail without a
 * closed(). While there is none calls fail: they are not sent.
 */
void qmp_client_reopen(QmpClient *qmp, Fd fd);
/* Connect to the monitor socket at path. Does not wait: a full backlog is an error. */
int qmp_client_connect(const char *path, Fd *ret, Error *err);
/* Calls that are pending are dropped: their done() will not come. Returns NULL. */
QmpClient *qmp_client_free(QmpClient *qmp);
/* QEMU is known to be gone: all calls that are pending fail now, and what their owners ask then fails, too. */
void qmp_client_fail_calls(QmpClient *qmp); /* NULL is fine */
bool qmp_client_is_open(const QmpClient *qmp);
/*
 * A number from 1 on that is another one as soon as anything may have changed in QEMU: a command has been sent that does
 * more than ask, or an event has come. What QEMU answered to a question stays true while it is the same as before it.
 */
uint64_t qmp_client_changes(const QmpClient *qmp);

/*
 * Send a command. deliver() runs once, on a later turn of the loop. The call is owned by the client and
 * gone once deliver() has run; before that qmp_call_free() cancels it. args is the JSON text of the
 * arguments object or NULL. fd (-1: none) travels with the command and stays the caller's.
 */
typedef void QmpDeliver(void (*done)(void), void *arg, const QmpCommand *command, struct json_object *reply,
                        const Error *failure);
QmpCall *qmp_client_send(QmpClient *qmp, const char *name, const char *args, int fd, const QmpCommand *command,
                         QmpDeliver *deliver, void (*done)(void), void *arg);
/* Cancel: done() will not come, a late reply is dropped. Returns NULL. */
QmpCall *qmp_call_free(QmpCall *call);
/* Another deadline than QMP_DEADLINE_MS, from now. 0: none. */
void qmp_call_set_deadline(QmpCall *call, uint64_t ms);

/*
 * Pass a command through as a user wrote it: {"execute": ..., "arguments": ...}. reply is the whole
 * answer, an error of QEMU included; NULL when there was none. NULL at once when text is no such object.
 * fd (-1: none) travels with it and stays the caller's.
 */
QmpCall *qmp_raw(QmpClient *qmp, const char *text, int fd,
                 void (*done)(void *arg, const char *reply, const Error *failure), void *arg, Error *err);

bool qmp_failure_is_unknown(const Error *failure);

DEFINE_AUTO(QmpClient, qmp_client_free)
