#pragma once
/*
 * daemon/change.h - changing a guest: what runs, what the next start uses, or both
 *
 * A change is an edit of a definition. It is made on copies first, of the live
 * definition, of the configured one, or of both as the flags ask; only when every
 * edit is valid does anything happen: the driver applies the live one, then the
 * configured one is written to disk, then both are swapped in and the call is
 * answered. So a change that is refused leaves nothing half done. One whose
 * configured half cannot be written says so, and the live half stays.
 */
#include "daemon/call.h"
#include "model/device.h"

/* What a live change is about; the driver does what it takes. */
typedef enum LiveKind {
        LIVE_NOTHING, /* no act is needed: titles, metadata */
        LIVE_VCPUS,
        LIVE_LIFECYCLE, /* on_poweroff, on_reboot, on_crash */
        LIVE_BALLOON,
        LIVE_STATS_PERIOD,
        LIVE_PIN_VCPU, /* number: which */
        LIVE_PIN_EMULATOR,
        LIVE_PIN_IOTHREAD,
        LIVE_IOTHREAD_ADD,
        LIVE_IOTHREAD_DELETE,
        LIVE_IOTHREAD_SET,
        LIVE_CPU_LIMITS,
        LIVE_MEMORY_LIMITS,
        LIVE_IO_LIMITS,
        LIVE_NUMA,
        LIVE_DISK_LIMITS,      /* index: of the disk */
        LIVE_INTERFACE_LIMITS, /* index: of the interface */
        LIVE_ATTACH,           /* device, index: in the new definition */
        LIVE_DETACH,           /* device, index: in the definition in force */
        LIVE_UPDATE,           /* device, index: in both */
} LiveKind;

typedef struct LiveChange {
        LiveKind kind;
        DeviceKind device;
        unsigned index;
        void *subject; /* LIVE_ATTACH, LIVE_UPDATE: that device of the new definition; others may go, which moves the index */
        unsigned number;
        bool async;        /* a processor that leaves is not waited for */
        bool force;        /* a tray that the guest has locked is opened */
        Mac mac;           /* that an interface without one was given */
        uint32_t n_params; /* settings that no definition holds (poll times of an I/O thread) */
        const WireTypedParam *params;
} LiveChange;

/* Edit one definition, which nobody shares yet. live: it is the one in force, so say what the driver is to do. */
typedef int ChangeEdit(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err);
/* After the change, before the answer: for events. live NULL: the guest does not run, or that side was left alone. */
typedef void ChangeDone(Call *call, Domain *dom, const LiveChange *live);

typedef struct ChangeKind {
        ChangeEdit *edit;
        ChangeDone *done; /* may be NULL */
        bool completes;   /* the edit may leave gaps (addresses) that the driver fills in */
} ChangeKind;

/* VIR_DOMAIN_AFFECT_*: which definitions a call is about. Fails where the guest does not have them. */
int change_targets(const Domain *dom, uint32_t flags, bool *ret_live, bool *ret_config, Error *err);
/* The definition that a reading call is about; NULL with err. */
const DomainDef *change_look(const Domain *dom, uint32_t flags, Error *err);

/*
 * Everything a changing call does after its own checks: flags (known besides VIR_DOMAIN_AFFECT_*), guest, job slot,
 * edits, driver, disk, answer - with an empty reply. kind must be static. Returns 0, or -1 with err.
 */
int change_start(Call *call, const WireDomain *wire, uint32_t flags, uint32_t known, const ChangeKind *kind,
                 Error *err);
/*
 * A device of a running guest is gone, asked for or not: take it out of the live definition and tell clients.
 * Drivers call this; no device of that alias is fine.
 */
void change_device_gone(Domain *dom, const char *alias);
