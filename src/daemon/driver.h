#pragma once
/*
 * daemon/driver.h - what runs guests: QEMU, or the test driver's memory
 *
 * Handlers check what is the same for every driver - rights, flags, states - and
 * leave the act to the driver. Acts are asynchronous: done(arg, failure) is
 * called once, failure NULL on success, perhaps before the act returns. An act
 * that is NULL is not supported by that driver.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "daemon/domain-list.h"
#include "daemon/domain.h"
#include "daemon/event.h"
#include "daemon/network.h"
#include "host/net.h"
#include "model/cpu-models.h"
#include "model/domain.h"

typedef struct Daemon Daemon;
typedef struct DefLoad DefLoad;
typedef struct HostCapabilities HostCapabilities;
typedef struct LiveChange LiveChange;
typedef struct Figures Figures;
typedef struct NetworkHost NetworkHost;
typedef struct NodeEvents NodeEvents;
typedef struct NwFilters NwFilters;
typedef struct Secrets Secrets;
typedef struct ServerClient ServerClient;
typedef struct Storage Storage;

typedef void DriverDone(void *arg, const Error *failure);

typedef struct StartOptions {
        bool paused;
        bool runs_when_arrived; /* incoming: QEMU lets it run as soon as all of it is here */
        bool bypass_cache;
        bool force_boot; /* a managed save image is thrown away, not restored */
        bool reset_nvram;
        bool incoming;     /* wait for a migration; the guest is not announced as started */
        bool postcopy;     /* ... and may come in post-copy */
        const char *nonce; /* ... of this migration, or NULL; noted before there is a QEMU */
        uint32_t coming_flags;
        const char *image;   /* the save image that its state will come from, or NULL; incoming is set */
        bool managed_image;  /* which goes once the guest runs */
        ServerClient *owner; /* destroy the guest when this client leaves, or NULL */
} StartOptions;

/* Which kind of guest domain capabilities are asked for; NULL: the default. */
typedef struct DomainCapabilitiesAsk {
        const char *emulator, *arch, *machine, *virttype;
} DomainCapabilitiesAsk;

typedef struct DriverOps {
        const char *type; /* "QEMU": what connect_get_type answers */
        const char *uri;  /* the canonical one */
        const NetworkOps *networks;
        int error_domain; /* who speaks in errors */

        int (*load)(Driver *driver, Error *err); /* daemon_driver() says when; the host's own may block */
        void (*go_on)(Driver *driver);           /* clients are let in; what they need not wait for. May be NULL */
        void (*retire)(Driver *driver);          /* it is about to end, its clients still there. May be NULL */
        void (*unload)(Driver *driver);          /* when it ends; guests stay */
        uint64_t (*version)(Driver *driver);     /* of the hypervisor: major * 1000000 + minor * 1000 + release */

        /* The most virtual CPUs of a guest of this type ("kvm", "qemu"; NULL: the default); -1 with err. */
        int (*max_vcpus)(Driver *driver, const char *type, Error *err);
        /* Add what the driver knows of the host to its capabilities. May be NULL. */
        void (*describe_host)(Driver *driver, HostCapabilities *known);
        /* Append a <guest> element for each kind of guest that can be run. */
        void (*put_guest_capabilities)(Driver *driver, Buf *ret);

        /* The domain capabilities document, appended. NULL: there is none. */
        int (*put_domain_capabilities)(Driver *driver, const DomainCapabilitiesAsk *ask, Buf *ret, Error *err);
        /* Names of CPU models; the list is in the arena. NULL: none are named. */
        int (*cpu_models)(Driver *driver, Arena *arena, const char ***ret, size_t *ret_n, Error *err);

        /* What the hypervisor can give to a guest. NULL: as much as the host has. */
        void (*cpu_features)(Driver *driver, CpuFeatures *ret);

        /* What a definition leaves open is filled in; it is not shared yet. */
        int (*complete)(Driver *driver, DomainDef *def, Error *err);
        /* Make definition, absence or mark durable; what the Domain holds is changed by the caller. */
        void (*save_config)(Domain *dom, DomainDef *def, DriverDone *done, void *arg);
        void (*remove_config)(Domain *dom, unsigned undefine_flags, DriverDone *done, void *arg);
        /* The guest has def's name already; its files still have the old one. NULL: it cannot be renamed. */
        void (*rename_config)(Domain *dom, DomainDef *def, const char *old_name, DriverDone *done, void *arg);
        void (*save_autostart)(Domain *dom, bool autostart, DriverDone *done, void *arg);
        /* State or reason of a guest changed: write its status. May be NULL. */
        void (*state_changed)(Domain *dom);

        uint64_t (*balloon_kib)(const Domain *dom); /* memory it has now; active */
        uint64_t (*cpu_time_ns)(const Domain *dom); /* active */

        /*
         * Measure `what` (FIGURES_*) of a running guest, each part or none of it; ret stays until done(). A guest that
         * does not answer in time fails. May be NULL: nothing is measured.
         */
        void (*collect)(Domain *dom, unsigned what, Figures *ret, DriverDone *done, void *arg);
        /* Traffic of one interface of a running guest, as the guest sees it, at once. */
        int (*interface_stats)(const Domain *dom, const InterfaceDef *interface, NetStats *ret, Error *err);

        /* def is taken, not shared. The guest is shut off and holds its job slot; it is active when done() says NULL. */
        void (*start)(Domain *dom, DomainDef *def, const StartOptions *options, DriverDone *done, void *arg);
        void (*destroy)(Domain *dom, bool graceful, DriverDone *done, void *arg);
        void (*shutdown)(Domain *dom, unsigned modes, DriverDone *done, void *arg); /* VIR_DOMAIN_SHUTDOWN_* */
        void (*reboot)(Domain *dom, unsigned modes, DriverDone *done, void *arg);
        void (*reset)(Domain *dom, DriverDone *done, void *arg);
        void (*suspend)(Domain *dom, DriverDone *done, void *arg);
        void (*resume)(Domain *dom, DriverDone *done, void *arg);

        /*
         * Bring the running guest to what def, a changed copy of its live definition, says; `what` says where
         * they differ. The caller keeps def, and makes it the live one when done() says NULL; until then the driver
         * may fill in what a new device lacks. A detached device leaves through change_device_gone(), when the guest
         * has let go of it: def still holds it, and done() comes when the guest was asked. NULL: nothing can change.
         */
        void (*change)(Domain *dom, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg);
} DriverOps;

/* How many CPUs a guest can use at most without being slowed by itself; 0: unknown. */
typedef struct HostShape {
        unsigned cpus, cell_cpus; /* of the host, of its largest NUMA cell */
} HostShape;

struct Driver {
        const DriverOps *ops;
        Daemon *daemon;
        DomainList *domains;
        DefLoad *loading;          /* NULL: all definitions are there */
        Registry *networks;        /* of Network */
        NetworkHost *network_host; /* NULL: this driver's networks are not of this machine */
        NwFilters *nwfilters;      /* NULL: this driver has no network filters */
        EventHub *events;
        Storage *storage; /* its pools */
        Secrets *secrets;
        NodeEvents *node_events; /* NULL: nobody wants to hear of the host's devices */
        HostShape shape;         /* since the start; all 0 where guests do not run on this host */
        void *state;             /* the driver's own */
};

extern const DriverOps driver_qemu_ops;
extern const DriverOps driver_test_ops;
