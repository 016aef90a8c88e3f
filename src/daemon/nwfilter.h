#pragma once
/*
 * daemon/nwfilter.h - the network filters of this host, and the devices they are in force on
 *
 * Filters are definitions on the disk. A binding puts one into force on a
 * device: guests have them for as long as their interfaces are there - they are
 * what the live definitions say, and are not kept - and clients make others,
 * which RUN/nwfilter/DEVICE.xml tells the next daemon of. All of the loop
 * thread's.
 */
#include "base/mac.h"
#include "base/net-address.h"
#include "base/vec.h"
#include "daemon/def-store.h"
#include "daemon/domain.h"
#include "daemon/job-slot.h"
#include "daemon/nft-table.h"
#include "daemon/registry.h"
#include "host/device-watch.h"
#include "host/nw-rules.h"

typedef struct Driver Driver;
typedef struct NwFilters NwFilters;
typedef struct NwBind NwBind;
typedef struct NwCreate NwCreate;
typedef struct NwLearner NwLearner;
typedef void NwDone(void *arg, const Error *failure);

typedef struct NwStored {
        char *name;
        Uuid uuid;
        const NwStock *stock; /* what it is, as long as nobody has asked: nw_stored_def() then makes def of it */
        NwFilter *def;        /* NULL until it is defined for the first time */
        NwFilter *next;       /* what it is about to be, and its devices have already; NULL: nothing */
        bool going;           /* it is being undefined */
} NwStored;

/* How a guest's address is found out when nobody says it (CTRL_IP_LEARNING). */
typedef enum NwLearning {
        NW_LEARN_ANY,  /* from what it sends, or is given by DHCP */
        NW_LEARN_DHCP, /* from what it is given by DHCP */
        NW_LEARN_NONE,
} NwLearning;

/* An address that was learned of an interface, for the host that its guest moves to. */
typedef struct NwLearned {
        Mac mac;
        NetAddress address;
        int64_t left_s; /* of its lease; 0: for as long as the interface is there */
} NwLearned;

typedef VEC(NwLearned) NwLearnedList;

typedef struct NwBinding {
        NwFilters *filters;
        NwBindingDef *def;
        bool by_user;    /* a client made it */
        NwChains chains; /* that it has */
        NwLearning learning;
        bool needs_ip;      /* and nobody gave one */
        NwLearner *learner; /* while it may be learned; NULL: it need not, or the device is not there */
} NwBinding;

struct NwFilters {
        Driver *driver;
        Registry *all; /* of NwStored */
        FileQueue *files;
        DefStore *store;
        JobSlot *jobs; /* changes of filters follow one another */
        NftTable *table;
        VEC(NwBinding *) bindings;
        VEC(NwCreate *) creating; /* bindings that clients are making */
        DeviceWatch *devices;     /* while addresses are learned on devices that clients named; else NULL */
        char *run_dir, *state_dir;
};

/* Definitions; the guests that run are known. Blocks. */
int nw_filters_load(Driver *driver, FileQueue *files, Error *err);
NwFilters *nw_filters_free(NwFilters *filters); /* rules stay; NULL gives NULL; returns NULL */

bool nw_stored_is_defined(const NwStored *stored);
/* Its definition, borrowed; NULL: there is none, or it cannot be read, which the log says. */
NwFilter *nw_stored_def(NwStored *stored);
NwStored *nw_filters_find(const NwFilters *filters, const char *name); /* a defined one, or NULL; borrowed */
/* What compiles filters asks: the newest of that name. arg: NwFilters. */
const NwFilter *nw_filters_newest(void *arg, const char *name);
/*
 * Define a filter, or change one: devices that it is in force on have the new rules, or all stay as they were. The
 * filter is taken. *ret_stored is valid in done(). In a job of filters->jobs.
 */
void nw_filters_define(NwFilters *filters, NwFilter *filter, NwDone *done, void *arg);
void nw_filters_undefine(NwFilters *filters, NwStored *stored, NwDone *done, void *arg);

/* --- bindings (daemon/nwfilter-binding.c, daemon/nwfilter-bind.c) --- */

NwBinding *nw_binding_find(const NwFilters *filters, const char *dev); /* or NULL; borrowed */
/* All that are there already, after the filters were loaded. Blocks. */
int nw_bindings_load(NwFilters *filters, Error *err);
void nw_bindings_free(NwFilters *filters);
/* One that a client wants; def is taken. */
void nw_binding_create(NwFilters *filters, NwBindingDef *def, NwDone *done, void *arg);
void nw_binding_delete(NwBinding *binding, NwDone *done, void *arg);
/* Devices that a changed filter (`next`) is in force on get its rules. */
void nw_bindings_refresh(NwFilters *filters, const NwStored *changed, NwDone *done, void *arg);

/* Every filter in force as its definition says now. Does not block; a failure is logged, and cuts the device off. */
void nw_bindings_restore(NwFilters *filters);
/* One device's rules again: an address was learned, or is not its own any more. */
void nw_binding_renew(NwBinding *binding);
bool nw_bindings_use(const NwFilters *filters, const char *filter);

/*
 * The filters of a guest's interfaces, all at once, before any of them carries a packet. NULL without err: there is
 * nothing to do. done() comes later; freeing the task cancels it only - what is in force goes by nw_unbind().
 */
NwBind *nw_bind_new(Domain *dom, InterfaceDef *const *nics, size_t n, NwDone *done, void *arg, Error *err);
NwBind *nw_bind_free(NwBind *bind); /* returns NULL */
/* The interface is gone, or has no filter any more. */
void nw_unbind(const Domain *dom, const InterfaceDef *nic);
/* What was learned about a guest here, and what another host learned about one that runs here now (NET-37). */
void nw_learned_list(const Domain *dom, NwLearnedList *ret);
void nw_learned_take(const Domain *dom, const NwLearnedList *list);
/* The filter of a running interface is what `new` says in place of `old`; as before when done() has a failure. */
void nw_rebind(Domain *dom, const InterfaceDef *old, InterfaceDef *new, NwDone *done, void *arg);
