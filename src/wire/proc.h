#pragma once
/*
 * wire/proc.h - the tables of procedures and events
 *
 * One row per procedure of every program, generated from facts/wire. The
 * dispatcher, the client, the tests and the documentation walk these rows.
 */
#include "wire/procs.h"
#include "wire/xdr.h"

typedef enum WireRuns {
        WIRE_RUNS_NONE, /* nobody implements it yet */
        WIRE_RUNS_NOW,
        WIRE_RUNS_QMP,
        WIRE_RUNS_JOB,
        WIRE_RUNS_WORKER,
        WIRE_RUNS_CHILD,
} WireRuns;

typedef enum WireStream {
        WIRE_STREAM_NONE,
        WIRE_STREAM_READ,  /* the server sends data */
        WIRE_STREAM_WRITE, /* the client sends data */
        WIRE_STREAM_BOTH,
} WireStream;

typedef enum WireFds {
        WIRE_FDS_NONE,
        WIRE_FDS_ONE,
        WIRE_FDS_ANY,
} WireFds;

typedef enum WireAccessWhen {
        ACCESS_ALWAYS,
        ACCESS_ANY_SET,   /* a bit of value is set in the field */
        ACCESS_ALL_CLEAR, /* no bit of value is set */
        ACCESS_EQUAL,     /* the field is value */
} WireAccessWhen;

/* One right a call needs, perhaps only with certain arguments. */
typedef struct WireAccess {
        WireRight right;
        WireAccessWhen when;
        uint32_t value;
        size_t at; /* of the 32-bit field in the arguments */
} WireAccess;

typedef struct WireProc {
        const char *name; /* "domain_get_state"; "qemu_..." and "lxc_..." in those programs */
        const char *api;  /* the public function it serves: what errors name; NULL: none */
        uint32_t program;
        int32_t number;

        WireDecode *args_decode;
        WireEncode *args_encode;
        WireDecode *ret_decode;
        WireEncode *ret_encode;
        uint32_t args_size; /* 0: no arguments, and the two functions are NULL */
        uint32_t ret_size;  /* 0: the reply is empty */

        const WireAccess *access;
        uint32_t sparse_flag;
        uint16_t flags_at; /* of the member `flags`, when has_flags */
        uint8_t n_access;
        WireRight filter : 8; /* a list leaves out what the caller does not have this right on */
        WireStream stream : 8;
        WireFds fds_in : 8, fds_out : 8;
        WireRuns runs : 8;
        bool has_flags;
        bool high_priority;
        bool readonly; /* a read-only connection may call it */
        bool early;    /* answered while definitions are still read */
} WireProc;

typedef struct WireEvent {
        uint32_t program;
        int32_t number;
        const char *name;
        WireClass class;
        int event_id;         /* what a client registers for; -1: nothing */
        bool has_callback_id; /* its message begins with int32_t callbackID */
        bool is_old_style;    /* for registrations made with procedures 105 and 167 only */
        size_t size;
        WireDecode *decode;
        WireEncode *encode;
} WireEvent;

/* Sorted by program and number. */
extern const WireProc wire_procs[N_WIRE_PROCS];
extern const WireEvent wire_events[N_WIRE_EVENTS];
extern const char *const wire_right_names[N_RIGHTS]; /* "domain:read"; NULL for RIGHT_NONE */

bool wire_program_is_known(uint32_t program, uint32_t version);
/* NULL: no such procedure (an event's number is none either). */
const WireProc *wire_proc_find(uint32_t program, int32_t number);
const WireProc *wire_proc_find_name(const char *name);
size_t wire_proc_index(const WireProc *proc); /* in wire_procs */
/* Does the rule hold for these decoded arguments? */
bool wire_access_applies(const WireAccess *access, const void *args);
/* May the stream of this call carry holes? */
bool wire_proc_is_sparse(const WireProc *proc, const void *args);

const WireEvent *wire_event_find(uint32_t program, int32_t number);
/* By what a client registered for; NULL: no such event. */
const WireEvent *wire_event_find_id(WireClass class, int event_id, bool old_style);
