#pragma once
/*
 * qemu/guest-private.h - what guest.c, guest-start.c and guest-event.c share
 */
#include "base/vec.h"
#include "qemu/guest.h"

typedef struct GuestWaiter {
        GuestDone *done;
        void *arg;
} GuestWaiter;

typedef VEC(GuestWaiter) GuestWaiters;

typedef struct GuestTty {
        char *alias, *path;
} GuestTty;

struct Guest {
        const GuestEnv *env;
        char *name;
        Uuid uuid;
        GuestHooks hooks;
        void *arg;

        GuestProcess *process;
        QmpClient *qmp;
        bool urgent; /* agree with QEMU's monitor on urgent commands */
        GuestState state;
        GuestCause cause;
        GuestCause stop_cause; /* why the next STOP comes */
        bool end_of_run;       /* the next STOP ends this run of the guest */
        bool end_is_reboot;
        bool reboot_wanted; /* the next shutdown is to become a reset */
        bool stop_asked;
        char *last_end;
        char *last_words; /* of QEMU, when it is gone; of a guest that was to come from elsewhere */

        /* the start or adoption that is going on */
        GuestWaiter starting; /* done NULL: none */
        GuestStartOptions options;
        unsigned unanswered; /* questions asked while it starts */
        bool executed;       /* the process that starts has become QEMU */
        bool adopting;       /* a QEMU that runs is asked everything: found by a new daemon, or reached again */
        Error failure;
        Timer *start_deadline;
        Timer *retry; /* the next attempt to reach the monitor */
        unsigned retry_ms;

        GuestWaiters stopping;
        Timer *kill_timer;
        bool kill_at_deadline;

        VEC(GuestVcpu) vcpus;
        VEC(GuestIothread) iothreads;
        VEC(GuestTty) ttys;
        VEC(char *) open_channels;
        VEC(char *) withheld; /* features of its CPU */
        uint64_t balloon_bytes;
        int vnc_port;
};

void guest_set_state(Guest *guest, GuestState state, GuestCause cause);
void guest_take_vcpus(Guest *guest, const QmpCpu *cpus, size_t n);
void guest_take_chardevs(Guest *guest, const QmpChardev *chardevs, size_t n);
void guest_set_channel(Guest *guest, const char *alias, bool open);
/* The process is gone, or was never there: everybody who waits is told. */
void guest_end(Guest *guest);
/* Who asked for its end. They are the caller's: what they set off may go on for longer than the guest is there. */
GuestWaiters guest_take_stoppers(Guest *guest);
void guest_tell(GuestWaiters *waiters, const Error *why); /* and empties the list */
void guest_on_event(void *arg, const char *name, struct json_object *json);
void guest_forget_facts(Guest *guest);

/* Ask a QEMU that runs for all that must be known; what it says becomes the state. */
void guest_ask_all(Guest *guest);
/* There is a process and nobody can talk to it: GUEST_LOST. */
void guest_lose(Guest *guest, const Error *why);
/* Reach the monitor again, a little later each time, for as long as there is a process. */
void guest_retry(Guest *guest);
