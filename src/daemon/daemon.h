#pragma once
/*
 * daemon/daemon.h - what everything in droverd hangs on
 */
#include "base/uuid.h"
#include "daemon/config.h"
#include "loop/loop.h"
#include "loop/worker.h"

typedef struct Driver Driver;
typedef struct Server Server;
typedef struct Quota Quota;

/* The state directory of the one instance that serves the whole system. */
#define SYSTEM_STATE_DIR "/var/lib/drover"

enum { N_DRIVERS = 2 };

typedef struct DaemonDirs {
        char *config, *state, *run, *log; /* owned */
} DaemonDirs;

typedef struct Daemon {
        Loop *loop;
        WorkerPool *workers;
        Config *config;
        DaemonDirs dirs;
        Uuid host_uuid;
        Quota *quota;
        Server *server;
        Driver *drivers[N_DRIVERS]; /* the first is what an empty URI opens; NULL: nobody has opened it yet */
        size_t large_frames_left;   /* bytes of the budget for frames over FRAME_LARGE */
        int next_callback_id;
        bool loaded; /* the host's own driver has its state */
        bool ending; /* calls that wait for their turn are not begun any more */
} Daemon;

/*
 * Take the sockets' places, load state, take up guests that run, listen: what cannot be listened on is known before
 * anything is started. Takes config and what dirs points to, whatever happens.
 * Blocks for as long as that takes.
 */
Daemon *daemon_new(Loop *loop, Config *config, DaemonDirs dirs, Error *err);
/* Guests stay. Returns NULL. */
Daemon *daemon_free(Daemon *daemon);

/*
 * What a client opens; borrowed. The host's own is loaded at the start, others are imaginary and made, which does not
 * block, when the first client asks for them. NULL with err when there is none of that name.
 */
Driver *daemon_driver(Daemon *daemon, const char *uri, Error *err);

/* SIGHUP: what others may have changed on the host is put right. Guests and definitions stay as they are. */
void daemon_reload(Daemon *daemon);

DEFINE_AUTO(Daemon, daemon_free)
