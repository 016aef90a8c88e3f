/*
 * daemon/call.c - one call of a client, from its frame to its reply
 *
 * The order of the checks is the promise: what the call is, whether the client
 * has said who it is, whether it may make this call at all - and only then are
 * the arguments looked at.
 */
#include "daemon/call.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/def-load.h"
#include "daemon/driver.h"
#include "daemon/quota.h"
#include "daemon/server-client.h"
#include "model/domain.h"
#include "wire/codec.h"
#include "wire/constants.h"
#include "wire/error.h"

enum {
        /* the procedures that a client may call before it opened a driver, auth among them */
        PROC_CONNECT_OPEN = 1,
        PROC_CONNECT_CLOSE = 2,
        PROC_SUPPORTS_FEATURE = 60,
        PROC_AUTH_FIRST = 66,
        PROC_AUTH_LAST = 70,
};

struct Call {
        ServerClient *client; /* NULL: it left */
        Daemon *daemon;
        Driver *driver;
        const Dispatch *dispatch; /* NULL for a call that is refused before it is looked up */
        FrameHeader header;
        Arena *arena;
        void *args;
        bool readonly;
        Fd *fds;
        size_t n_fds;
        QuotaPlace place;
        Domain *domain; /* the one it counts against */
        bool counted;
        JobClaim *claim;
        CallRun *run;
        DomainDef *def; /* kept for the handler, like what follows */
        void *kept;
        void (*drop_kept)(void *kept);
};

/* Giving place and claim back may run other calls, so this one leaves its client first. */
static void call_free(Call *call)
{
        if (call->client)
                server_client_answered(call->client, call);
        for (size_t i = 0; i < call->n_fds; i++)
                fd_close(&call->fds[i]);
        free(call->fds);
        if (call->drop_kept)
                call->drop_kept(call->kept);
        if (call->counted)
                call->domain->calls--;
        quota_leave(call->daemon->quota, &call->place);
        job_claim_free(call->claim);
        domain_def_unref(call->def);
        domain_unref(call->domain);
        arena_free(call->arena);
        free(call);
}

void call_lose_client(Call *call)
{
        vec_remove_item(&call->client->calls, call);
        call->client = NULL;
}

Arena *call_arena(Call *call)
{
        return call->arena;
}

Daemon *call_daemon(const Call *call)
{
        return call->daemon;
}

ServerClient *call_client(const Call *call)
{
        return call->client;
}

const WireProc *call_proc(const Call *call)
{
        return call->dispatch->proc;
}

const void *call_args(const Call *call)
{
        return call->args;
}

uint32_t call_serial(const Call *call)
{
        return call->header.serial;
}

bool call_is_in_flight(const Call *call)
{
        return call->place.held;
}

bool call_is_readonly(const Call *call)
{
        return call->readonly;
}

Driver *call_driver(const Call *call)
{
        return call->driver;
}

Fd *call_fds(Call *call, size_t *ret_n)
{
        *ret_n = call->n_fds;
        return call->fds;
}

/* --- answers --- */

static void send_frame(Call *call, FrameType type, FrameStatus status, Buf *frame, const Fd *fds, size_t n_fds)
{
        FrameHeader header = call->header;

        header.type = (int32_t)type;
        header.status = (int32_t)status;
        conn_send(call->client->conn, &header, frame, fds, n_fds);
}

static void send_error(Call *call, const Error *failure)
{
        bool of_driver = call->driver && call->dispatch && call->dispatch->proc->number != WIRE_PROC_CONNECT_OPEN;
        int from = of_driver ? call->driver->ops->error_domain : ERROR_FROM_RPC;
        AUTO(Buf) frame = { 0 };
        XdrWriter w;
        WireError wire;

        wire_error_fill(failure, from, call->arena, &wire);
        frame_begin(&frame);
        xdr_writer_init(&w, &frame);
        wire_encode_error(&w, &wire);
        send_frame(call, FRAME_REPLY, FRAME_ERROR, &frame, NULL, 0);
}

/* The whole reply frame; an answer that does not fit its limits becomes an error. */
static void send_ret(Call *call, const void *ret, const Fd *fds, size_t n_fds)
{
        AUTO(Buf) frame = { 0 };
        AUTO(Error) err = { 0 };
        uint8_t count[4];

        frame_begin(&frame);
        if (n_fds) {
                frame_put_word(count, (uint32_t)n_fds);
                buf_put(&frame, count, sizeof(count));
        }
        if (xdr_encode(call_proc(call)->ret_encode, ret, &frame, &err) == 0 && frame.len <= FRAME_MAX) {
                send_frame(call, n_fds ? FRAME_REPLY_WITH_FDS : FRAME_REPLY, FRAME_OK, &frame, fds, n_fds);
                return;
        }
        for (size_t i = 0; i < n_fds; i++)
                fd_close(&(Fd){ fds[i] });
        err_set(&err, ERR_RPC, "the answer of %s is too large for a frame", call_proc(call)->name);
        log_error("%s", err.text);
        send_error(call, &err);
}

void call_reply_fds(Call *call, const void *ret, const Fd *fds, size_t n_fds)
{
        if (call->client) {
                send_ret(call, ret, fds, n_fds);
        } else {
                for (size_t i = 0; i < n_fds; i++)
                        fd_close(&(Fd){ fds[i] });
        }
        call_free(call);
}

void call_reply(Call *call, const void *ret)
{
        call_reply_fds(call, ret, NULL, 0);
}

void call_reply_written(Call *call, Buf *frame)
{
        if (call->client)
                send_frame(call, FRAME_REPLY, FRAME_OK, frame, NULL, 0);
        call_free(call);
}

void call_fail(Call *call, const Error *failure)
{
        if (call->client)
                send_error(call, failure);
        call_free(call);
}

void call_done(void *arg, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                call_reply(arg, NULL);
}

/* --- checks and dispatch --- */

static int look_up(Call *call, Error *err)
{
        const FrameHeader *h = &call->header;

        if (!wire_program_is_known(h->program, h->version))
                return err_set(err, ERR_RPC, "Cannot find program %u version %u", h->program, h->version);
        call->dispatch = dispatch_find(h->program, h->procedure);
        if (!call->dispatch)
                return err_set(err, ERR_RPC, "unknown procedure: %d", h->procedure);
        if (h->status != FRAME_OK)
                return err_set(err, ERR_RPC, "Unexpected message status %d", h->status);
        return 0;
}

static bool is_auth(const WireProc *proc)
{
        return proc->program == WIRE_PROGRAM_REMOTE && proc->number >= PROC_AUTH_FIRST &&
               proc->number <= PROC_AUTH_LAST;
}

static bool needs_driver(const WireProc *proc)
{
        return !is_auth(proc) && !(proc->program == WIRE_PROGRAM_REMOTE &&
                                   (proc->number == PROC_CONNECT_OPEN || proc->number == PROC_CONNECT_CLOSE ||
                                    proc->number == PROC_SUPPORTS_FEATURE));
}

static int deny(const WireProc *proc, Error *err)
{
        return err_set(err, ERR_OPERATION_DENIED, "read only access prevents %s", proc->api ?: proc->name);
}

/* May this client make this call at all? Nothing here depends on the arguments. */
static int check_access(Call *call, Error *err)
{
        const WireProc *proc = call_proc(call);

        if (!call->client->authenticated && !is_auth(proc))
                return err_set(err, ERR_RPC, "authentication required");
        if (call->readonly && !proc->readonly)
                return deny(proc, err);
        if (needs_driver(proc) && !call->driver)
                return err_set(err, ERR_INTERNAL, "hypervisor connection not open");
        if (!call->dispatch->run)
                return err_set(err, ERR_NO_SUPPORT, "%s", proc->api ?: proc->name);
        return 0;
}

/* A right that goes beyond reading, and that only some flags need. */
static int check_flag_access(const Call *call, Error *err)
{
        const WireProc *proc = call_proc(call);

        for (size_t i = 0; call->readonly && i < proc->n_access; i++) {
                const WireAccess *access = &proc->access[i];

                if (access->when != ACCESS_ALWAYS && wire_access_applies(access, call->args))
                        return deny(proc, err);
        }
        return 0;
}

static int decode(Call *call, const Frame *frame, Error *err)
{
        const WireProc *proc = call_proc(call);

        if (proc->args_size) {
                call->args = arena_alloc(call->arena, proc->args_size);
                if (xdr_decode(proc->args_decode, frame->payload, frame->len, call->arena, call->args, NULL) < 0)
                        return err_set(err, ERR_RPC, "Unable to decode message payload");
        }
        return check_flag_access(call, err);
}

/* One that waited for its turn may get it because the daemon is being taken apart. */
static int check_goes_on(const Call *call, Error *err)
{
        return call->daemon->ending ? err_set(err, ERR_OPERATION_ABORTED, "droverd ends") : 0;
}

static void run(void *arg)
{
        Call *call = arg;
        AUTO(Error) err = { 0 };

        loop_say_what(call->daemon->loop, call_proc(call)->api);
        if (check_goes_on(call, &err) < 0 || call->dispatch->run(call, call->args, &err) < 0)
                call_fail(call, &err);
}

static void begin(void *arg)
{
        Call *call = arg;

        if (call_proc(call)->runs == WIRE_RUNS_NOW)
                run(call);
        else
                quota_enter(call->daemon->quota, &call->place, call_proc(call)->high_priority, run, call);
}

/* ... that are not there yet: the daemon has just started. */
static bool needs_definitions(const Call *call)
{
        const WireProc *proc = call_proc(call);

        return needs_driver(proc) && !proc->early && call->driver->loading &&
               !def_load_is_complete(call->driver->loading);
}

void call_new(ServerClient *client, const Frame *frame)
{
        Call *call = mem_new(Call);
        AUTO(Error) err = { 0 };

        *call = (Call){ .client = client,
                        .daemon = client->daemon,
                        .driver = client->driver,
                        .header = frame->header,
                        .readonly = client->readonly,
                        .arena = arena_new() };
        vec_push(&client->calls, call);
        if (frame->n_fds) {
                call->fds = mem_new_array(Fd, frame->n_fds);
                call->n_fds = frame->n_fds;
                for (size_t i = 0; i < frame->n_fds; i++)
                        call->fds[i] = fd_take(&frame->fds[i]);
        }
        if (look_up(call, &err) < 0 || check_access(call, &err) < 0 || decode(call, frame, &err) < 0) {
                call_fail(call, &err);
                return;
        }
        if (needs_definitions(call))
                def_load_wait(call->driver->loading, true, begin, call);
        else
                begin(call);
}

/* --- what handlers share --- */

int call_check_flags(const Call *call, uint32_t flags, uint32_t known, Error *err)
{
        if (flags & ~known)
                return err_set(err, ERR_INVALID_ARG, "unsupported flags (0x%x) in function %s", flags & ~known,
                               call_proc(call)->api ?: call_proc(call)->name);
        return 0;
}

Domain *call_find_domain(Call *call, const WireDomain *wire, Error *err)
{
        Domain *dom = domain_list_find_uuid(call->driver->domains, &wire->uuid);
        unsigned most = MAX(1U, (unsigned)call->daemon->config->max_workers / 4);
        char uuid[UUID_TEXT_LEN + 1];

        if (!dom) {
                err_set(err, ERR_NO_DOMAIN, "no domain with matching uuid '%s' (%s)", uuid_format(&wire->uuid, uuid),
                        wire->name);
                return NULL;
        }
        if (call->domain)
                return dom; /* a second look by the same call */
        if (call->place.held) {
                if (dom->calls >= most && !call_proc(call)->high_priority) {
                        err_set(err, ERR_OPERATION_TIMEOUT,
                                "guest '%s' is not responding: %u calls wait for it already", dom->name, dom->calls);
                        return NULL;
                }
                dom->calls++;
                call->counted = true;
        }
        call->domain = domain_ref(dom);
        return dom;
}

void call_use_domain(Call *call, Domain *dom)
{
        call->domain = domain_ref(dom);
}

Domain *call_domain(const Call *call)
{
        return call->domain;
}

void call_keep_def(Call *call, DomainDef *def)
{
        call->def = def;
}

DomainDef *call_take_def(Call *call)
{
        return TAKE(call->def);
}

void call_keep(Call *call, void *state, void (*drop)(void *state))
{
        call->kept = state;
        call->drop_kept = drop;
}

void *call_kept(const Call *call)
{
        return call->kept;
}

ServerClient *call_client_watch(Call *call, void (*fn)(void *arg), void *arg)
{
        if (call->client)
                server_client_watch(call->client, fn, arg);
        return call->client;
}

WireDomain call_wire_domain(const Domain *dom)
{
        return (WireDomain){ .name = dom->name, .uuid = dom->uuid, .id = dom->id };
}

static void on_claim_settled(void *arg, const Error *refused)
{
        Call *call = arg;
        AUTO(Error) err = { 0 };

        if (refused)
                call_fail(call, refused);
        else if (check_goes_on(call, &err) < 0 || call->run(call, call->domain, call->args, &err) < 0)
                call_fail(call, &err);
}

int call_run_job(Call *call, Domain *dom, JobType type, CallRun *run_fn)
{
        call->run = run_fn;
        job_claim(dom->jobs, type, dom->name, &call->claim, on_claim_settled, call);
        return 0;
}
