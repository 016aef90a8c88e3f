#pragma once
/*
 * daemon/domain.h - a guest, as droverd knows it
 *
 * A Domain is the identity, the definitions and the state; how it runs is its
 * driver's business (`guest`). All fields belong to the loop thread. State is
 * changed through the functions below only, which tell clients and write the
 * status file as well.
 */
#include "base/uuid.h"
#include "daemon/job-slot.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Domain Domain;
typedef struct DomainDef DomainDef;
typedef struct DomainList DomainList;
typedef struct Driver Driver;
typedef struct MigrateStats MigrateStats;
typedef struct ServerClient ServerClient;

struct Domain {
        unsigned refs;
        Driver *driver;
        Uuid uuid;
        char *name;
        int id;     /* -1 while shut off */
        int state;  /* VIR_DOMAIN_RUNNING, ... */
        int reason; /* VIR_DOMAIN_RUNNING_BOOTED, ...: of that state's own list */
        bool persistent;
        bool autostart;
        bool has_managed_save;
        bool updated;         /* its live configuration was changed since it started */
        bool listed;          /* in the driver's list; false once undefined and stopped */
        DomainDef *config;    /* what the next start uses; NULL while transient */
        DomainDef *live;      /* what runs; NULL while shut off */
        DomainDef *live_next; /* what a change under way will make of it, or NULL; the change's */
        JobSlot *jobs;
        unsigned calls;          /* in flight for this guest */
        ServerClient *owner;     /* destroy it when this client leaves, or NULL */
        MigrateStats *last_job;  /* figures of the last long job that ended; NULL: none */
        void *guest;             /* the driver's, while active */
        uint64_t state_since_ms; /* loop time of the last change of state */
};

Domain *domain_ref(Domain *dom);   /* NULL gives NULL */
Domain *domain_unref(Domain *dom); /* returns NULL */

static inline bool domain_is_active(const Domain *dom)
{
        return dom->id >= 0;
}

/* The definition that is in force: the live one, else the configured one. Borrowed. */
const DomainDef *domain_def(const Domain *dom);
/* ERR_OPERATION_INVALID unless it runs (or is shut off). */
int domain_must_be_active(const Domain *dom, Error *err);
int domain_must_be_inactive(const Domain *dom, Error *err);
/* ERR_NO_DOMAIN once it left its driver's list: what was found may be undefined while a call waits for its turn. */
int domain_must_be_listed(const Domain *dom, Error *err);

/* Each takes the definition. */
void domain_set_config(Domain *dom, DomainDef *config);
void domain_set_live(Domain *dom, DomainDef *live);

/* The guest has an id and a live definition now, in this state. Emits STARTED with this detail. */
void domain_started(Domain *dom, int state, int reason, int event_detail);
/* It ended: no id, no live definition; a transient guest leaves the list. Emits STOPPED or CRASHED. */
void domain_stopped(Domain *dom, int shutoff_reason, int event, int event_detail);
void domain_paused(Domain *dom, int paused_reason, int event_detail);
void domain_resumed(Domain *dom, int running_reason, int event_detail);
/* Any other change of state, without a lifecycle event. */
void domain_set_state(Domain *dom, int state, int reason);

/* Keep a copy of these figures as those of the last job; migrate-stats are the figures of any long job. */
void domain_keep_stats(Domain *dom, const MigrateStats *stats);
void domain_forget_stats(Domain *dom);

DEFINE_AUTO(Domain, domain_unref)
