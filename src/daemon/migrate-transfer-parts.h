#pragma once
/*
 * daemon/migrate-transfer-parts.h - what the files that a transfer is written in share, and nobody else sees
 */
#include "daemon/migrate-disks.h"
#include "daemon/migrate-pace.h"
#include "daemon/migrate-transfer.h"
#include "host/root.h"
#include "wire/dial.h"

struct Transfer {
        Migration *migration;
        QmpClient *qmp;
        Job *job;
        Loop *loop;
        char *host;
        int port, nbd_port;
        Fd fd;
        Uri *uri;
        Dial *dial;
        QmpCall *call;    /* what the current step waits for */
        StatusNote *note; /* that it moves, on its way to the disk */
        QmpCall *query;
        QmpCall *postcopy; /* that QEMU is to switch to it */
        Timer *poll;
        Timer *patience; /* with QEMU's last figures */
        Disks *disks;
        bool sending;    /* QEMU has begun and has not ended */
        bool ready;      /* it waits before the switch-over */
        bool arrived;    /* it has sent everything */
        bool cancelling; /* we told it to give up */
        bool dead;       /* QEMU is gone: there is nothing left to undo in it */
        bool continued;  /* we told it to send the rest */
        MemLock locks;   /* what QEMU might lock before; 0: that was not changed */
        Pace pace;
        void (*postcopy_done)(void *arg, const Error *failure);
        void *postcopy_arg;
        void (*done)(void *arg, const Error *failure);
        void *arg;
};

/* The step's command was answered: a QMP completion with the Transfer as its argument. */
void transfer_step_done(void *arg, const Error *failure);
/* Nothing that QEMU was asked is waited for any more. */
void transfer_drop_calls(Transfer *t);

/* Asks QEMU for the figures, unless it has been asked already. arg: the Transfer; it waits for its end. */
void transfer_look(void *arg);

/* Steps of the job, in migrate-connect.c: a stream to the destination's QEMU, and QEMU gets it. */
StepResult transfer_connect(void *state, Job *job, Error *err);
StepResult transfer_hang_up(void *state, Job *job, Error *err);
StepResult transfer_pass_stream(void *state, Job *job, Error *err);
/* What QEMU is told to send to. Owned by the caller. */
char *transfer_uri(const Transfer *t);
