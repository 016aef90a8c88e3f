#pragma once
/*
 * daemon/migrate.h - moving a guest to another host: what both sides share
 *
 * Protocol version 3. The client calls begin, prepare, perform, finish and
 * confirm (managed), or perform alone and the source does the rest itself
 * (peer to peer). Either way each side keeps one Migration per guest, and the
 * rule is one: the source lets its guest run again only on positive knowledge
 * that the destination does not run it.
 */
#include "base/uuid.h"
#include "daemon/call.h"
#include "daemon/migrate-promise.h"
#include "daemon/nwfilter.h"
#include "daemon/param-reader.h"
#include "daemon/qemu-driver.h"
#include "loop/job.h"
#include "wire/constants.h"

/* What a caller asked for, however it was said. Texts live in the arena they were read into. */
typedef struct MigrateParams {
        const char *migrate_uri, *dest_name, *dest_xml, *persist_xml, *graphics_uri, *listen_address, *disks_uri;
        const char *tls_destination;
        ParamTexts disks;       /* targets of disks to copy */
        ParamTexts compression; /* xbzrle, mt, zlib, zstd */
        int32_t disks_port;
        uint64_t bandwidth_mib; /* MiB/s; 0: no limit */
        uint64_t bandwidth_postcopy_mib;
        uint64_t switchover_mib; /* MiB/s that the line has for the rest when the guest stands still; 0: not known */
        uint64_t xbzrle_cache;   /* bytes; 0: QEMU's default */
        int32_t throttle_initial, throttle_increment; /* percent; 0: ours */
        int32_t channels;                             /* of a parallel migration; 0: ours */
        int32_t zlib_level, zstd_level;
        bool has_zlib_level, has_zstd_level;
        int32_t mt_level, mt_threads, mt_dthreads;
        bool has_mt_level, has_mt_threads, has_mt_dthreads;
} MigrateParams;

int migrate_params_read(const WireTypedParam *params, uint32_t n, MigrateParams *ret, Arena *arena, Error *err);
/* For the peer of a peer-to-peer move. */
void migrate_params_write(const MigrateParams *params, Params *ret);
/* A copy that lives in another arena. */
void migrate_params_copy(MigrateParams *to, const MigrateParams *from, Arena *arena);
/* Flags and parameters that contradict each other, or that QEMU accepts and should not (reference: multifd and post-copy). */
int migrate_check_flags(uint32_t flags, const MigrateParams *params, Error *err);
/* The driver moves guests, and the flags are ones it knows; what is missing is named as virsh names it. */
int migrate_check_call(const Call *call, uint32_t flags, Error *err);

enum {
        MIGRATE_FLAGS = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_PERSIST_DEST |
                        VIR_MIGRATE_UNDEFINE_SOURCE | VIR_MIGRATE_PAUSED | VIR_MIGRATE_NON_SHARED_DISK |
                        VIR_MIGRATE_NON_SHARED_INC | VIR_MIGRATE_CHANGE_PROTECTION | VIR_MIGRATE_UNSAFE |
                        VIR_MIGRATE_OFFLINE | VIR_MIGRATE_COMPRESSED | VIR_MIGRATE_ABORT_ON_ERROR |
                        VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_POSTCOPY | VIR_MIGRATE_PARALLEL |
                        VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES | VIR_MIGRATE_POSTCOPY_RESUME |
                        VIR_MIGRATE_ZEROCOPY,
        MIGRATE_COPIES_DISKS = VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC,
};

/* Figures of a migration, from QEMU and from our own clock. */
struct MigrateStats {
        uint64_t began_ms, ended_ms; /* loop time; ended 0: it goes on */
        QmpMigrationRam ram;
        bool has_ram;
        bool are_final; /* taken when all was sent */
        QmpXbzrleCache xbzrle;
        bool has_xbzrle;
        uint64_t setup_ms, throttle_percent;
        uint64_t downtime_ms; /* measured by us: STOP here to RESUME there */
        bool has_downtime;
        uint64_t expected_downtime_ms;
        uint64_t announced_ms; /* the pause that the guest was stopped for; 0: none was announced */
        uint64_t disk_total, disk_done, disk_bps;
        int operation; /* VIR_DOMAIN_JOB_OPERATION_... */
        int type;      /* VIR_DOMAIN_JOB_... */
        char *error;   /* owned; of one that failed */
};

/*
 * The cookie: what one side tells the other through the client, a small XML document that ends with a NUL. It comes
 * from a peer and is checked like anything from outside.
 */
typedef struct MigrateDisk {
        char *target, *identity; /* "vda", and host/shared-device.h's name of what it is on */
} MigrateDisk;

typedef struct MigrateCookie {
        char *name, *hostname;
        Uuid uuid, host_uuid;
        char *ask;          /* destination: host:port/boot where the guest's fate can be asked, or NULL */
        char *nonce;        /* known to the two daemons only, 32 hex digits; NULL: the other host is not drover */
        int nbd_port;       /* destination: of its NBD server; 0: none */
        int64_t resumed_us; /* destination, after finish: wall clock at which the guest ran again; 0: it does not run */
        int64_t stopped_us;     /* source, after perform: wall clock at which it stopped; 0: unknown */
        bool has_stats;         /* source, at the end: the figures of all that was sent */
        int64_t sent_ms;        /* ... and wall clock at which they were told */
        MigrateStats stats;     /* owns nothing */
        VEC(MigrateDisk) disks; /* source: those on devices that must be the same on both hosts (STO-37) */
        char *cpu; /* source: what the guest's CPU has there, QEMU's names with a blank between them; NULL: unknown */
        NwLearnedList
                learned; /* source, with begin and at the end: addresses that its interfaces' filters learned (NET-37) */
} MigrateCookie;

enum { MIGRATE_COOKIE_MOST = 256 * 1024, MIGRATE_COOKIE_MOST_LEARNED = 512 };

void migrate_cookie_format(const MigrateCookie *cookie, Buf *ret);
int migrate_cookie_parse(const void *data, size_t len, MigrateCookie *ret, Error *err);
void migrate_cookie_done(MigrateCookie *cookie);
DEFINE_AUTO_VALUE(MigrateCookie, migrate_cookie_done)

void migrate_stats_done(MigrateStats *stats);
void migrate_stats_take(MigrateStats *stats, const QmpMigrationInfo *info);
/* The fields of domain_get_job_stats. now_ms: loop time. */
void migrate_stats_params(const MigrateStats *stats, uint64_t now_ms, Params *ret);

enum { MIGRATE_DEFAULT_THROTTLE = 20 /* percent */ };

enum { MIGRATE_N_CAPABILITIES = 12 };
/* What QEMU is told before it starts, for this side. Returns how many. */
size_t migrate_capabilities(const Migration *migration, QmpMigrationCapability caps[MIGRATE_N_CAPABILITIES]);
void migrate_parameters(const Migration *migration, QmpMigrateSetParameters *ret);
/* The longest pause that somebody set, or the first bound that is configured; ms. */
uint64_t migrate_bound_ms(const Migration *migration);
/*
 * What QEMU has to be told so that it stops the guest for ms. It counts with the rate of the copy, which may be limited, and
 * sends the rest without that limit; what the line has then is known where somebody said so.
 */
uint64_t migrate_qemu_bound_ms(const Migration *migration, uint64_t ms);

/* Steps of a job that move the memory out; see migrate-transfer.c. */
typedef struct Transfer Transfer;
typedef struct Intent Intent;
/* What the other host was asked and has not answered; see migrate-ask.c. */
typedef struct Question Question;
/* The guest is being taken over here without its move being finished; see migrate-take.c. */
typedef struct Take Take;
/* It is on its way out, because it must not run here; see migrate-finish.c. */
typedef struct Withdrawal Withdrawal;
typedef struct Relisten Relisten;

typedef enum MigrateFate {
        MIGRATE_FATE_ABSENT, /* it does not run there, and never will from this migration */
        MIGRATE_FATE_RUNS,
        MIGRATE_FATE_UNKNOWN, /* nobody can tell */
        MIGRATE_FATE_MOOT, /* the guest here ended while the other host was asked: there is nothing left to decide */
} MigrateFate;

/*
 * Destination: see to it that the guest does not run here, unless it has begun to, and say which. done()
 * comes once, perhaps before this returns; the migration is gone when the fate is ABSENT.
 */
void migrate_withdraw(Migration *m, void (*done)(void *arg, MigrateFate fate, const Error *failure), void *arg);

enum { MIGRATE_RESUMED_SOMETIME = 1 }; /* resumed_us: it runs, and when it began to is not known any more */

/* --- the two sides --- */

typedef enum MigrateSide {
        MIGRATE_OUT,
        MIGRATE_IN,
} MigrateSide;

struct Migration {
        MigrateSide side;
        Domain *dom; /* referenced */
        uint32_t flags;
        Arena *arena; /* of params */
        MigrateParams params;
        MigrateStats stats;
        JobClaim *claim;      /* the guest's slot, from begin to confirm, from prepare to finish */
        ServerClient *client; /* who began it; NULL: it left, or the move does not depend on it */
        char *nonce;
        /* outgoing */
        Call *waiting;          /* for what it does now: begin, perform or confirm */
        Transfer *transfer;     /* while memory moves */
        bool completed;         /* all of it has arrived: from now on only the peer knows */
        bool broke;             /* or so it may be: QEMU here saw the transfer fail at its end */
        bool committed;         /* post-copy: the guest runs there */
        bool wants_postcopy;    /* as soon as memory is sent: it was asked for before */
        bool driven_here;       /* peer to peer: that job ends the migration, nobody else */
        bool recovered;         /* taken up after a restart of the daemon */
        bool downtime_is_fixed; /* somebody set it: no steps */
        uint64_t downtime_ms;   /* 0: the configured first bound */
        Promise promise;        /* outgoing: how long it stands still at most */
        int64_t stopped_us;
        uint64_t stopped_ms; /* the same in loop time, which nobody sets */
        bool was_running;
        char *ask; /* where the peer can be asked */
        /* incoming */
        int port, nbd_port;
        bool is_new; /* prepare made the Domain */
        bool told_started;
        bool arrived;
        bool failed;         /* its memory did not come completely: it never runs here */
        bool runs_by_itself; /* as soon as its memory is here; else finish says when */
        int64_t resumed_us;
        bool postcopy;      /* the guest runs here before all of it is */
        bool listens_again; /* after a break: nobody has connected yet */
        Relisten *relisten; /* it is about to */
        bool broken;        /* both sides: QEMU waits for a new connection in post-copy */
        bool asking;        /* outgoing: the peer is being asked, or will be soon */
        bool asked_in_vain; /* ... once at least */
        Question *question; /* outgoing, owned: while no answer is here */
        Timer *recovery;    /* outgoing, after a restart: the next look */
        Call *finishing;    /* a finish that waits for the memory */
        Intent *intent;     /* incoming: that it is about to run is being written */
        QmpCall *query;
        Take *take;             /* incoming, owned */
        Withdrawal *withdrawal; /* incoming, owned: while QEMU stops */
        NwLearnedList learned;  /* incoming: addresses of its interfaces that the other host learned */
        char *source_name;      /* incoming: the host it comes from; NULL: not known */
        uint64_t warned_ms;     /* incoming: loop time at which a person heard what taking it risks; 0: never */
};

/*
 * After a restart: the guest was moving out. peer: where it can be asked about, or NULL. Decides from what QEMU and the
 * peer say whether it goes on here.
 */
void migrate_recover(Domain *dom, const char *nonce, const char *peer, uint32_t flags, bool was_running);
/* Outgoing, all was sent, and nobody is left to confirm: the peer decides. */
void migrate_settle_alone(Migration *m);
/* The same when it has just given no answer. */
void migrate_ask_later(Migration *m);
/* Clients hear that it is here, before they hear what it does. */
void migrate_tell_started(Migration *m);
void migrate_incoming_event(Migration *m, const QmpEvent *event, int64_t at_us);
/* Ends it on this side, giving the slot back. Returns NULL. */
Migration *migration_free(Migration *migration);
/* The daemon ends, with its clients still there: who waits is told so, and the rest is left to the next one. */
void migrate_retire(QemuDriver *qemu);
/* A QMP event of a guest that moves. */
void migration_on_event(Migration *migration, const QmpEvent *event, struct json_object *json);
/* The guest's QEMU ended while it moved. */
void migration_on_guest_ended(Migration *migration);
