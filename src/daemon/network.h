#pragma once
/*
 * daemon/network.h - a virtual network, as droverd knows it
 *
 * Like a Domain: identity, definitions and state, all of the loop thread's;
 * how it is made to work is its driver's business (`run`). The state is changed
 * through the functions below, which tell clients as well.
 */
#include "base/uuid.h"
#include "base/vec.h"
#include "daemon/job-slot.h"
#include "model/network.h"

typedef struct Call Call;
typedef struct Domain Domain;
typedef struct Driver Driver;
typedef struct Network Network;
typedef struct NetworkOps NetworkOps;
typedef struct Registry Registry;

struct Network {
        unsigned refs;
        Driver *driver;
        Uuid uuid;
        char *name;
        bool persistent, autostart, active;
        bool listed;        /* in the driver's registry; false once undefined and stopped */
        bool is_missed;     /* to be started with this daemon: it was on its way up, or up, or is new on the host */
        NetworkDef *config; /* what the next start uses; NULL while transient */
        NetworkDef *live;   /* what is in force; NULL while inactive */
        VEC(NetworkPortDef *) made; /* ports that clients made, while active */
        JobSlot *jobs;
        void *run; /* the driver's, while active or on the way there and back */
};

typedef void NetworkDone(void *arg, const Error *failure);
/* leases are valid during the call. */
typedef struct DnsmasqLease DnsmasqLease;
typedef void NetworkLeases(void *arg, const DnsmasqLease *leases, size_t n, const Error *failure);

/* What a driver does for its networks. done(arg, failure) is called once, perhaps before the act returns. */
struct NetworkOps {
        /* What only the driver knows: a bridge's name. def is not shared yet. */
        int (*complete)(Driver *driver, NetworkDef *def, Error *err);
        void (*save_config)(Network *net, const NetworkDef *def, NetworkDone *done, void *arg);
        void (*remove_config)(Network *net, NetworkDone *done, void *arg);
        void (*save_autostart)(Network *net, bool autostart, NetworkDone *done, void *arg);
        /* net->live is what is to run; the caller says that it is active when done() says NULL. */
        void (*start)(Network *net, NetworkDone *done, void *arg);
        void (*stop)(Network *net, NetworkDone *done, void *arg);
        /* Bring the active network to def; the caller makes it the live one when done() says NULL. */
        void (*change)(Network *net, NetworkDef *def, NetworkDone *done, void *arg);
        void (*leases)(Network *net, NetworkLeases *done, void *arg);
        /* The next daemon is to know the active network as it is now, with the ports that clients made. */
        void (*save_live)(Network *net, NetworkDone *done, void *arg);
};

/* A network of that name in the driver's registry, which holds the reference that is returned borrowed. */
Network *network_add(Driver *driver, const char *name, const Uuid *uuid);
void network_remove(Network *net);                             /* from the registry */
Network *network_ref(Network *net);                            /* NULL gives NULL */
Network *network_unref(Network *net);                          /* returns NULL */
void network_free_all(Registry *all);                          /* when the driver ends; the registry goes too */
Network *network_find(const Driver *driver, const char *name); /* borrowed, or NULL */

const NetworkDef *network_def(const Network *net); /* the one in force, else the configured one. Borrowed. */
/* Each takes the definition. */
void network_set_config(Network *net, NetworkDef *def);
void network_set_live(Network *net, NetworkDef *def);
/* An event for clients: VIR_NETWORK_EVENT_DEFINED, ... */
void network_tell(const Network *net, int event);

/*
 * Start an inactive network with what net->live says, or stop an active one, and tell clients. A transient network
 * that is not active any more leaves the registry. Takes no job: the caller has it.
 */
void network_start(Network *net, NetworkDone *done, void *arg);
void network_stop(Network *net, NetworkDone *done, void *arg);

DEFINE_AUTO(Network, network_unref)
