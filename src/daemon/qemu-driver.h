#pragma once
/*
 * daemon/qemu-driver.h - what the files of the QEMU driver share
 *
 * A QemuRun is one run of a guest, from its start (or its coming back after a
 * restart of the daemon) to its end. The Domain owns it through `guest`.
 */
#include "base/fd.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/file-task.h"
#include "daemon/qemu-images.h"
#include "host/cgroup.h"
#include "host/root.h"
#include "qemu/guest.h"
#include "qemu/qemu-caps.h"

typedef struct AgentClient AgentClient;
typedef struct AskServer AskServer;
typedef struct Autostart Autostart;
typedef struct ClockSave ClockSave;
typedef struct ConsoleUse ConsoleUse;
typedef struct DefStore DefStore;
typedef struct DiskSizes DiskSizes;
typedef struct Drop Drop;
typedef struct Dump Dump;
typedef struct Gift Gift;
typedef struct Interrupted Interrupted;
typedef struct Hook Hook;
typedef struct Migration Migration;
typedef struct NwBind NwBind;
typedef struct PathDial PathDial;
typedef struct PeerMove PeerMove;
typedef struct Preparing Preparing;
typedef struct Restore Restore;
typedef struct Save Save;
typedef struct StatusNote StatusNote;
typedef struct StoreLoad StoreLoad;
typedef struct Tale Tale;
typedef struct Unplug Unplug;

typedef struct MigrateReason {
        char *guest, *text; /* owned */
} MigrateReason;

typedef struct QemuDriver {
        Driver *driver;
        FileQueue *files;
        CgroupHost *cgroups; /* NULL: none on this machine */
        GuestEnv env;
        gid_t groups[1];
        QemuCaps *caps; /* NULL: there is no usable QEMU, because of no_caps */
        char *no_caps;
        DefStore *store;
        StoreLoad *loading; /* NULL: all definitions are there */
        char *status_dir, *save_dir;
        char *guests_run_dir, *log_dir, *nvram_dir, *logger, *saver, *describer;
        char *hook;                       /* the administrator's script; NULL: none */
        unsigned n_migrations;            /* that this host takes part in */
        AskServer *ask;                   /* NULL: no guest ever moved in */
        VEC(const Migration *) listening; /* incoming ones that were given ports */
        VEC(PeerMove *) moves;            /* that this host drives */
        VEC(Preparing *) preparing;       /* guests that another host is about to send */
        VEC(Drop *) drops;                /* guests that came in vain, until their QEMU is gone */
        VEC(MigrateReason) reasons;       /* why, where QEMU said so */
        VEC(Autostart *) autostarts;      /* guests whose start with the host is not over */
        VEC(Gift *) gifts;                /* guests that the other host is told to take */
        VEC(Tale *) tales;                /* what the script is told without an answer */
        VEC(ClockSave *) clock_saves;     /* clocks that guests set, on their way to the disk */
} QemuDriver;

typedef struct QemuRun {
        Domain *dom;
        QemuDriver *qemu;
        Guest *guest;
        StartOptions options;
        DriverDone *start_done; /* while it starts */
        Hook *hook;             /* whose consent the start waits for */
        bool is_up;             /* QEMU runs; only that consent is missing */
        Error rejected;         /* ... and will not come */
        void *start_arg;
        ImageUses images;         /* what its disks are in, down to the last backing file */
        ImageLook *looking;       /* at them, before QEMU starts */
        NicFds *nics;             /* of its interfaces, until QEMU has them */
        NwBind *filtering;        /* while their filters are put into force */
        char *image;              /* the save image that it comes from, until that is done with; NULL: none */
        StatusNote *noting;       /* the intent of the start, on its way to the disk; NULL: it is there */
        JobClaim *adopting;       /* holds the guest's slot while it is found again */
        Interrupted *interrupted; /* what an earlier daemon was doing with it; NULL: nothing, or settled */
        int stop_reason;          /* VIR_DOMAIN_SHUTOFF_..., when we stop it; -1: it ended by itself */
        int stop_event_detail;
        int pause_reason, pause_detail; /* for the next pause that we asked for */
        int resume_reason, resume_detail;
        Migration *migration;
        PathDial *agent_dial;       /* while its channel is connected */
        AgentClient *agent;         /* NULL: not connected */
        char *agent_alias;          /* of its channel; NULL: it has none */
        bool found;                 /* QEMU has answered: since its start, or after a restart of the daemon */
        bool agent_open;            /* the guest has opened its end */
        int agent_timeout_s;        /* as clients set it: VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_* or seconds */
        Dump *dump;                 /* while its memory goes to a file */
        Save *save;                 /* while its state goes to a file */
        Restore *restore;           /* while it comes from one */
        const DomainDef *plugging;  /* the definition with a device that is being plugged in; NULL: none is */
        VEC(Unplug *) unplugs;      /* that the guest was asked for */
        VEC(ConsoleUse *) consoles; /* open ones, each owned by its stream */
        uint64_t migrate_speed_mib; /* limit of later migrations; 0: none */
        char *nonce;                /* of the migration that brought it here; NULL: none */
        bool unrun;                 /* that has not told it to run: it may be denied whatever becomes of it */
        uint32_t coming_flags;      /* of that migration */
        /* found again after a restart: the migration that it was in */
        char *moving_nonce, *moving_peer;
        uint32_t moving_flags;
        bool moving_was_running;
        DiskSizes *sizes;     /* NULL: not asked for yet */
        int64_t clock_base_s; /* adjustment of the clock with which QEMU was started */
} QemuRun;

static inline QemuDriver *qemu_driver(const Driver *driver)
{
        return driver->state;
}
static inline QemuRun *qemu_run(const Domain *dom)
{
        return dom->guest;
}

/* qemu-store.c: definitions under the configuration directory. */
/* All guests are in the list afterwards, with the definitions of those that run; the others follow. */
int qemu_store_load(QemuDriver *qemu, Error *err);
void qemu_store_go_on(QemuDriver *qemu);       /* clients are let in: read the rest */
void qemu_store_stop(QemuDriver *qemu);        /* the daemon ends: read no more */
void qemu_store_forget_load(QemuDriver *qemu); /* whoever still waits gets his turn */
void qemu_store_save(Domain *dom, DomainDef *def, DriverDone *done, void *arg);
void qemu_store_remove(Domain *dom, unsigned undefine_flags, DriverDone *done, void *arg);
void qemu_store_autostart(Domain *dom, bool autostart, DriverDone *done, void *arg);

void qemu_store_rename(Domain *dom, DomainDef *def, const char *old_name, DriverDone *done, void *arg);

/* qemu-autostart.c: start the guests that start with the host, as far as no daemon of this boot has; arg: the QemuDriver. */
void qemu_autostart(void *arg);
/* A guest whose start waited to know whether another host has it: that has not (may_start), or this is not to be started. */
void qemu_autostart_settled(QemuDriver *qemu, const Uuid *uuid, bool may_start);
/* The daemon ends: the next one starts those that are left. */
void qemu_autostart_forget(QemuDriver *qemu);

/* qemu-describe.c: what the probe of QEMU says. */
int qemu_max_vcpus(Driver *driver, const char *type, Error *err);
void qemu_describe_host(Driver *driver, HostCapabilities *known);
void qemu_put_guest_capabilities(Driver *driver, Buf *ret);
int qemu_put_domain_capabilities(Driver *driver, const DomainCapabilitiesAsk *ask, Buf *ret, Error *err);
int qemu_cpu_models(Driver *driver, Arena *arena, const char ***ret, size_t *ret_n, Error *err);
void qemu_cpu_features(Driver *driver, CpuFeatures *ret);
int qemu_interface_stats(const Domain *dom, const InterfaceDef *interface, NetStats *ret, Error *err);

/* qemu-collect.c, qemu-change.c */
void qemu_change(Domain *dom, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
/* QEMU let go of a device (DEVICE_DELETED): what was behind it goes too. */
void qemu_device_gone(QemuRun *run, const char *alias);
void qemu_collect(Domain *dom, unsigned what, Figures *ret, DriverDone *done, void *arg);

/* Where QEMU has the memory balloon among its objects; NULL: the guest has none. Owned. */
char *qemu_balloon_path(const DomainDef *def);

/* qemu-status.c: what is needed to find a running guest again. */
/*
 * While a guest is found again: the slot goes from that to the job which the guest was in, and nobody who waits comes in
 * between. As job_claim().
 */
void qemu_status_claim(QemuRun *run, JobType type, JobClaim **ret, void (*settled)(void *arg, const Error *refused),
                       void *arg);
void qemu_status_save(Domain *dom); /* soon */
/* done (may be NULL) comes when it is written, or cannot be; the guest is active. */
void qemu_status_save_then(Domain *dom, DriverDone *done, void *arg);
/*
 * The same before something is done that a later daemon must know of: done() when the file is there. Freeing the
 * note cancels done() only; its owner forgets it in done().
 */
StatusNote *qemu_status_note(Domain *dom, DriverDone *done, void *arg);
StatusNote *status_note_free(StatusNote *note); /* returns NULL */
/* A guest that was found again answers now, for the first time or after a silence. */
void qemu_status_found(QemuRun *run);
/* qemu-settle.c: devices that came or went while no daemon looked. */
void qemu_settle_devices(QemuRun *run);
void qemu_status_remove(QemuDriver *qemu, const char *name);
int qemu_status_load(QemuDriver *qemu, Error *err); /* and take up every guest that still runs */

/* migrate-ask.c: listen again where an earlier daemon did. */
void ask_server_restore(QemuDriver *qemu);
/* The guest that this migration brought has ended, and not because it was given up: its source must not go on with it. */
void migrate_note_left(const QemuDriver *qemu, const char *nonce);
AskServer *ask_server_free(AskServer *server); /* returns NULL */

/* qemu-start.c */
void qemu_start(Domain *dom, DomainDef *def, const StartOptions *options, DriverDone *done, void *arg);
/* The guest ended while it was started. */
void qemu_start_ended(QemuRun *run);
/* Show in a definition which pseudo terminal QEMU made for a port. */
void qemu_show_tty(DomainDef *def, ChardevDef *chardev, const char *path);
/* Each display of a definition that is about to run gets a port that is free now. */
int qemu_give_ports(const Driver *driver, DomainDef *def, Error *err);
/* Append the command that starts QEMU for a definition that nobody shares, as a shell takes it (qemu-native.c). */
int qemu_put_command(QemuDriver *qemu, DomainDef *def, Buf *ret, Error *err);
/* A run whose guest does not exist yet, with hooks to qemu-events.c. dom is active with this id or the next (0). */
QemuRun *qemu_run_new(Domain *dom, int id);
/* Forget it without a word; the guest, if there is one, goes on. */
void qemu_run_let_go(QemuRun *run);
/* The run is over: the guest's state, files and list are put right, and whoever waits is told. */
void qemu_run_end(QemuRun *run, int shutoff_reason, int event, int event_detail);

/* The guest is to be destroyed before there is a QEMU. */
void qemu_start_give_up(QemuRun *run);

/* qemu-recover.c: a start, save, restore or dump that a daemon's death cut off, from the status file. */
typedef struct InterruptedFacts {
        int64_t starting, restoring, saving, dumping, managed, was_running, helper_pid, helper_start;
        const char *path, *nonce; /* of the image */
} InterruptedFacts;
/* NULL: nothing was cut off. */
Interrupted *interrupted_new(QemuRun *run, const InterruptedFacts *facts);
Interrupted *interrupted_free(Interrupted *i); /* returns NULL */
void interrupted_put_status(const Interrupted *i, Buf *ret);
/* QEMU answers: put it right. False: nothing is left to be done, the guest simply goes on. */
bool interrupted_settle(Interrupted *i);

/* qemu-events.c */
extern const GuestHooks qemu_guest_hooks; /* arg: the QemuRun */
