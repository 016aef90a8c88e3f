#pragma once
/*
 * qemu/guest.h - a guest that runs: process, monitor and what is known about it
 *
 * Everything is asynchronous; done() runs once, on a later turn, unless the guest is freed before. A guest
 * goes on running when the daemon ends: freeing a Guest lets go of it and harms nothing.
 */
#include "model/domain.h"
#include "qemu/guest-process.h"
#include "qemu/qmp.h"

typedef struct Guest Guest;

typedef enum GuestState {
        GUEST_OFF,      /* not started, or ended */
        GUEST_STARTING, /* QEMU is being started or adopted */
        GUEST_RUNNING,
        GUEST_PAUSED,
        GUEST_SHUTDOWN, /* the guest powered itself off; QEMU waits for what on_poweroff says */
        GUEST_CRASHED,  /* the guest panicked; QEMU waits for what on_crash says */
        GUEST_PMSUSPENDED,
        GUEST_INCOMING, /* waits for a migration */
        GUEST_LOST,     /* there is a process, and its monitor does not answer: what it does is not known */
} GuestState;

typedef enum GuestCause { /* of the last change of state */
                          GUEST_CAUSE_ASKED,
                          GUEST_CAUSE_BOOTED,
                          GUEST_CAUSE_GUEST, /* by itself: it shut down, slept, woke */
                          GUEST_CAUSE_IO_ERROR,
                          GUEST_CAUSE_WATCHDOG,
                          GUEST_CAUSE_PANICKED,
                          GUEST_CAUSE_MIGRATION,
                          GUEST_CAUSE_FAILED,  /* QEMU ended without being asked to */
                          GUEST_CAUSE_UNKNOWN, /* found like this after a restart of the daemon */
} GuestCause;

typedef struct GuestVcpu {
        unsigned index;
        pid_t tid;
        char *qom_path;
} GuestVcpu;

typedef struct GuestIothread {
        unsigned number;
        pid_t tid;
} GuestIothread;

/* The guest may be freed in ended() and in the done() of a start or adoption that failed, nowhere else. */
typedef struct GuestHooks {
        /* While it starts: threads are known and processors stand still. The place to pin them; may be NULL. */
        int (*ready)(void *arg, Error *err);
        void (*changed)(void *arg, GuestState from, GuestState to, GuestCause cause);
        /* Every event of QEMU, after the guest has taken note; json is the whole event. */
        void (*event)(void *arg, const QmpEvent *event, struct json_object *json);
        /* The guest shut down, rebooted where on_reboot is not restart, or panicked: act on the policy. The
         * standard act is guest_act_on_end(). */
        void (*end_of_run)(void *arg, GuestCause cause, bool reboot);
        /* QEMU is gone, the state is GUEST_OFF; the guest may be freed here. */
        void (*ended)(void *arg, GuestCause cause);
} GuestHooks;

typedef void GuestDone(void *arg, const Error *failure);

Guest *guest_new(const GuestEnv *env, const char *name, const Uuid *uuid, const GuestHooks *hooks, void *arg);
Guest *guest_free(Guest *guest); /* lets go; returns NULL */

typedef struct GuestStartOptions {
        const DomainDef *def;      /* what it says and no argument can is set over QMP: limits of disks, cut links */
        bool paused;               /* leave it at its first instruction */
        bool check_cpu;            /* find out what QEMU keeps from its CPU */
        bool incoming;             /* state becomes GUEST_INCOMING */
        const char *vnc_password;  /* set by QMP, never on a command line; NULL: none */
        const char *vnc_valid_to;  /* seconds since 1970 as text, or NULL */
        const char *vnc_connected; /* fail, disconnect, keep, or NULL */
        uint64_t balloon_bytes;    /* 0: as large as its memory */
        unsigned balloon_period_s; /* how often the guest reports its memory; 0: never */
        const char *balloon_path;  /* QOM path of the balloon, for the period */
} GuestStartOptions;

/* It comes in post-copy, so some commands must overtake others (QmpHooks.urgent). Before its start or adoption. */
void guest_expect_postcopy(Guest *guest);
/* Start QEMU and, unless paused or incoming, let it run. line is used up to the return only. */
int guest_start(Guest *guest, const CommandLine *line, const GuestStartOptions *options, GuestDone *done, void *arg,
                Error *err);
/* Take over a guest that an earlier daemon started: pid, start time and UUID must fit. */
int guest_adopt(Guest *guest, pid_t pid, uint64_t start_ticks, GuestDone *done, void *arg, Error *err);

/* What is known, without asking. */
GuestState guest_state(const Guest *guest);
GuestCause guest_cause(const Guest *guest);
bool guest_is_active(const Guest *guest); /* there is a process */
pid_t guest_pid(const Guest *guest);
/* In ended(), of one that was to come from elsewhere: the end of what its QEMU wrote to its log. NULL: nothing. */
const char *guest_last_words(const Guest *guest);
uint64_t guest_start_ticks(const Guest *guest);
QmpClient *guest_qmp(Guest *guest); /* for the typed commands of qemu/qmp.h; NULL when there is no process */
Cgroup *guest_cgroup(Guest *guest);
const GuestVcpu *guest_vcpus(const Guest *guest, size_t *n);
const GuestIothread *guest_iothreads(const Guest *guest, size_t *n); /* those it started with */
/* Where that was to be found out: features that its CPU was to have, and the accelerator cannot give. */
char *const *guest_withheld_features(const Guest *guest, size_t *n);
uint64_t guest_balloon_bytes(const Guest *guest);                     /* 0: unknown yet */
const char *guest_tty(const Guest *guest, const char *chardev_alias); /* NULL: no pty */
int guest_vnc_port(const Guest *guest);                               /* -1: none */
bool guest_channel_is_open(const Guest *guest, const char *alias);    /* the guest has opened it */
const char *guest_last_end(const Guest *guest); /* "shutdown", "host-signal", ...: reason of SHUTDOWN; NULL */
/* Ask again for processors (after hotplug). */
void guest_refresh_vcpus(Guest *guest, GuestDone *done, void *arg);

/* A migration that the guest waited for (GUEST_INCOMING) is complete: it is paused, until it is resumed. */
void guest_arrived(Guest *guest);

/* What can be done with it. */
void guest_suspend(Guest *guest, GuestDone *done, void *arg);
void guest_resume(Guest *guest, GuestDone *done, void *arg);
void guest_reset(Guest *guest, GuestDone *done, void *arg);
void guest_powerdown(Guest *guest, GuestDone *done, void *arg); /* presses the button; the guest may ignore it */
/* As powerdown, but what follows the shutdown is a reset: the guest reboots. */
void guest_reboot(Guest *guest, GuestDone *done, void *arg);
void guest_wakeup(Guest *guest, GuestDone *done, void *arg);

typedef enum GuestStop {
        GUEST_STOP_GRACEFUL, /* SIGTERM, so that QEMU flushes; fails when it does not end in time */
        GUEST_STOP_NORMAL,   /* SIGTERM, and SIGKILL soon after: works on a guest that hangs (LIFE-26) */
        GUEST_STOP_HARD,     /* SIGKILL */
} GuestStop;
/* done() when the process is gone; then comes the hook ended(). */
void guest_stop(Guest *guest, GuestStop how, GuestDone *done, void *arg);

/* Do what on_poweroff, on_reboot, on_crash of the definition say. True: the guest goes on (restart, preserve). */
bool guest_act_on_end(Guest *guest, const DomainDef *def, GuestCause cause, bool reboot);

/* reboot: "reset" or "shutdown"; panic: "pause", ...: change what QEMU does by itself. */
void guest_set_action(Guest *guest, const char *reboot, const char *panic, GuestDone *done, void *arg);

DEFINE_AUTO(Guest, guest_free)
