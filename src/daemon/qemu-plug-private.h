#pragma once
/*
 * daemon/qemu-plug-private.h - what the files of plugging share
 *
 * A Plug is one change of a running QEMU: what its disk's files need (qemu-plug-files.c), then the steps that were
 * planned for it (qemu-plug.c), one after the other (qemu-plug-steps.c).
 */
#include "base/vec.h"
#include "daemon/nwfilter.h"
#include "daemon/qemu-nic.h"
#include "daemon/qemu-plug.h"
#include "loop/child.h"

typedef struct Plug Plug;

typedef enum StepKind {
        STEP_ADD,    /* part */
        STEP_REMOVE, /* part, by its id */
        STEP_OPEN_TRAY,
        STEP_REMOVE_MEDIUM,
        STEP_INSERT_MEDIUM, /* id2: the node */
        STEP_CLOSE_TRAY,
        STEP_FIND_TTY, /* id: alias of a port whose terminal the definition shall show */
        STEP_GIVE_TAP, /* number: which of the interface's; id: its name for QEMU */
} StepKind;

typedef struct Step {
        StepKind kind;
        QemuPart part; /* id: what it is about; text NULL where nothing is added */
        char *id2;
        bool force;
        size_t number;
} Step;

struct Plug {
        QemuRun *run;
        Domain *dom;
        VEC(Step) steps;
        size_t at;
        unsigned tries;      /* with the tray */
        const DiskDef *disk; /* whose files QEMU will open; NULL: none */
        DomainDef *def;      /* which holds it; referenced */
        ImageLook *looking;
        StatusNote *noting;
        RootUser user;
        char holder[UUID_TEXT_LEN + 1];
        Child *child;
        NicFds taps;       /* until QEMU has them */
        InterfaceDef *nic; /* whose they are */
        NwBind *filtering; /* while its filter is put into force */
        bool plugs;        /* a device that was not there */
        LiveChange what;
        int (*plan)(Plug *p, Error *err); /* the steps, once it is known what is below the disk */
        DriverDone *done;
        void *arg;
};

/* qemu-plug-steps.c. A Plug is gone when its done() was called, by plug_finish(). */
Plug *plug_new(QemuRun *run, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
/* Everything is copied; number and force are the last step's, to be set afterwards. */
void plug_push(Plug *p, StepKind kind, QemuPartKind part, const char *text, const char *id, const char *id2);
/* The next step, or the end. */
void plug_next(Plug *p);
/* With a failure what was added is taken back. */
void plug_finish(Plug *p, const Error *failure);
void plug_remove_part(QmpClient *qmp, QemuPartKind kind, const char *id, void (*done)(void *, const Error *),
                      void *arg);
void plug_ignore(void *arg, const Error *failure);

/* qemu-plug-files.c: look at the disk's images, plan, make them accessible, note it, put filters into force; then the steps. */
void plug_begin(Plug *p);
/* The disk is in these images now, or is not. */
void plug_settle_images(Plug *p, bool failed);
/* The disk with this target is in no image any more. */
void plug_drop_images(QemuRun *run, const char *target);
