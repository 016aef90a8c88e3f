#pragma once
/*
 * daemon/network-host.h - what the files of the QEMU driver's networks share
 *
 * A network that is active, or on its way there or back, has a NetworkRun. What
 * it has made on this machine - bridge, rules, dnsmasq - outlives the daemon;
 * RUN/network/UUID.status tells the next one about it. The files of its dnsmasq
 * are in RUN/network/UUID/, its leases in STATE/network/UUID/. RUN/network/autostarted
 * says that those that start with the host have; the next boot empties RUN.
 */
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/def-store.h"
#include "daemon/driver.h"
#include "daemon/network-rules.h"
#include "daemon/network.h"
#include "host/process.h"
#include "loop/child.h"
#include "loop/job.h"

typedef struct NetworkHost {
        Driver *driver;
        FileQueue *files;
        DefStore *store;
        NetRules *rules;
        char *run_dir, *state_dir;
        const char *user;           /* whom dnsmasq becomes; static or of the configuration */
        bool loading;               /* which networks are active is not known yet */
        unsigned starting;          /* networks that are started with the host */
        void (*settled)(void *arg); /* called once when none of these is left */
        void *settled_arg;
        Idle *settling;
} NetworkHost;

typedef enum NetworkPhase {
        NETWORK_STARTING,
        NETWORK_ACTIVE,
        NETWORK_STOPPING,
} NetworkPhase;

typedef struct NetworkRun {
        Network *net; /* which owns this */
        NetworkHost *host;
        NetworkPhase phase;
        bool has_bridge; /* made by us */
        bool has_rules;  /* is to have them */
        Job *job;        /* start or stop */
        NetworkDone *done;
        void *arg;
        /* dnsmasq */
        char *files_dir, *leases_dir;
        Child *launcher; /* until it is in the background */
        Fd complaint;
        Process *server;          /* NULL: none runs, or none is needed */
        NetworkDone *server_done; /* of a launch, a reload or a stop */
        void *server_arg;
        Timer *again;    /* a server that died is started again */
        Timer *patience; /* with one that does not end, or does not get to serve */
        uint64_t again_ms, launched_ms;
        bool ending; /* it was told to */
        bool reread; /* what it serves was changed while it was on its way */
} NetworkRun;

static inline NetworkRun *network_run(const Network *net)
{
        return net->run;
}

extern const NetworkOps network_host_ops;

/* network-host.c: all of it. settled(arg) is called when every network that starts with the host has, or has failed to. */
int network_host_load(Driver *driver, FileQueue *files, void (*settled)(void *arg), void *arg, Error *err);
/* The rules of all networks that are active are written anew, whoever changed them (CFG-21). */
void network_host_reload(NetworkHost *host);
/* Networks stay. */
NetworkHost *network_host_free(NetworkHost *host); /* returns NULL */
NetworkRun *network_run_new(NetworkHost *host, Network *net);
NetworkRun *network_run_free(NetworkRun *run); /* what it made stays; returns NULL */

/* network-start.c */
void network_host_start(Network *net, NetworkDone *done, void *arg);
void network_host_stop(Network *net, NetworkDone *done, void *arg);
void network_host_change(Network *net, NetworkDef *def, NetworkDone *done, void *arg);

/* network-links.c: bridge, addresses, switches of the kernel. These do not wait. */
/* Is anything in the way? Nothing is changed. */
int network_links_check(const Network *net, const NetworkDef *def, Error *err);
int network_links_make(NetworkRun *run, Error *err);
/* What a changed definition of an active network asks of its bridge. */
int network_links_change(const NetworkDef *def, Error *err);
void network_links_remove(NetworkRun *run);
/* Put the interfaces of guests that run into the bridge again. */
void network_links_join_guests(const Network *net);
/* A bridge of its own made by an earlier daemon is there. */
bool network_links_are_there(const NetworkDef *def);
/* The host stops forwarding when no network needs it any more and it did not before. */
void network_links_settle_forwarding(NetworkHost *host);

/* network-dnsmasq.c: the server of names and addresses. */
void network_server_init(NetworkRun *run, Loop *loop);
void network_server_let_go(NetworkRun *run); /* it goes on */
void network_server_start(NetworkRun *run, NetworkDone *done, void *arg);
void network_server_stop(NetworkRun *run, NetworkDone *done, void *arg);
/* Its files are written anew; hosts alone are read again by the same process. */
void network_server_change(NetworkRun *run, const NetworkDef *def, NetworkDone *done, void *arg);
/* One that an earlier daemon started: -1 when that is not running any more. */
int network_server_adopt(NetworkRun *run, pid_t pid, uint64_t start_ticks, Error *err);
/* After a crash in the middle: end one that nobody knows the process of, whose files are in this directory. */
void network_server_end_stray(const char *files_dir);
void network_server_relaunch(NetworkRun *run);
void network_server_leases(Network *net, NetworkLeases *done, void *arg);

/* network-status.c: done may be NULL. */
void network_status_save(NetworkRun *run, NetworkDone *done, void *arg);
/* With the server's files. */
void network_status_remove(NetworkRun *run, NetworkDone *done, void *arg);
int network_status_load(NetworkHost *host, Error *err);
void network_status_sweep(NetworkHost *host); /* files of networks that are not active; at the start only */
