#pragma once
/*
 * daemon/call.h - one call of a client, from its frame to its reply
 *
 * A handler gets the call and its decoded arguments, both alive until the call
 * is answered, and returns at once: 0 when it has answered or will, -1 with err
 * when it failed. Later answers come through call_reply(), call_fail() or
 * call_done(); each call is answered exactly once, and is gone then. If the
 * client leaves meanwhile the call still runs to its end; the answer is thrown
 * away.
 */
#include "base/arena.h"
#include "daemon/dispatch.h"
#include "daemon/domain.h"
#include "wire/conn.h"
#include "wire/proc.h"
#include "wire/structs.h"

typedef struct Call Call;
typedef struct Daemon Daemon;
typedef struct Driver Driver;
typedef struct ServerClient ServerClient;

/* Take up the call a frame carries: everything from the checks to the handler, or an error reply. */
void call_new(ServerClient *client, const Frame *frame);
void call_lose_client(Call *call);

Arena *call_arena(Call *call); /* for the reply; dropped with the call */
Daemon *call_daemon(const Call *call);
ServerClient *call_client(const Call *call); /* NULL once it has left */
const WireProc *call_proc(const Call *call);
const void *call_args(const Call *call);
uint32_t call_serial(const Call *call);
bool call_is_readonly(const Call *call);
/* It counts against max_workers at this moment. */
bool call_is_in_flight(const Call *call);
/* The driver that the client opened; never NULL in a handler that runs behind connect_open. */
Driver *call_driver(const Call *call);
/* The descriptors that came with the call; take them with fd_take(). */
Fd *call_fds(Call *call, size_t *ret_n);

/* ret is the row's reply struct, or NULL where the reply is empty. */
void call_reply(Call *call, const void *ret);
/* The same, with descriptors, which are taken. */
void call_reply_fds(Call *call, const void *ret, const Fd *fds, size_t n_fds);
/* A reply that was written behind frame_begin() already, for one that is too long to be made in one turn. */
void call_reply_written(Call *call, Buf *frame);
void call_fail(Call *call, const Error *failure);
/* As a completion: an empty reply, or the failure. arg is the call. */
void call_done(void *arg, const Error *failure);

/* 0, or -1 with the error that clients expect for flags a call does not know. */
int call_check_flags(const Call *call, uint32_t flags, uint32_t known, Error *err);

/* One pair of a list's filter: no bit of the group is set, or both are, or the one that is true. */
static inline bool list_passes(uint32_t flags, uint32_t group, uint32_t is)
{
        return !(flags & group) || flags & is;
}

/*
 * Find the guest an argument names. It stays referenced until the call is answered. While more than a quarter of
 * max_workers calls wait for this guest, one that would wait too is refused.
 */
Domain *call_find_domain(Call *call, const WireDomain *dom, Error *err);
/* The same for a guest that was found by other means. */
void call_use_domain(Call *call, Domain *dom);
/* The guest found before; NULL: none. Borrowed. */
Domain *call_domain(const Call *call);
/* A definition that waits with the call, taken and given. It is dropped with the call. */
void call_keep_def(Call *call, DomainDef *def);
DomainDef *call_take_def(Call *call);
/* Anything else that waits with the call; drop(state) is called with the call's last breath, its guest still there. */
void call_keep(Call *call, void *state, void (*drop)(void *state));
void *call_kept(const Call *call);
/* Give the answer's guest: name, UUID and id. */
WireDomain call_wire_domain(const Domain *dom);

/* Have fn(arg) called when the call's client leaves. Returns the client, for server_client_forget(); NULL: it has left. */
ServerClient *call_client_watch(Call *call, void (*fn)(void *arg), void *arg);

/*
 * Take the guest's job slot for the rest of the call, then run(), which behaves like a handler. The slot is given
 * back when the call is answered. Returns 0.
 */
typedef int CallRun(Call *call, Domain *dom, const void *args, Error *err);
int call_run_job(Call *call, Domain *dom, JobType type, CallRun *run);
