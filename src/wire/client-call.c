/*
 * wire/client-call.c - calls in flight
 *
 * A call is found by its serial when its answer comes. It is taken out of the
 * list and released before its owner hears of it, so that the owner may do
 * anything then, also free the client.
 */
#include "base/mem.h"
#include "wire/client-internal.h"
#include "wire/codec.h"
#include "wire/error.h"

static void call_release(ClientCall *call)
{
        timer_free(call->deadline);
        idle_free(call->failing);
        err_done(&call->failure);
        free(call);
}

ClientCall *client_call_free(ClientCall *call)
{
        if (!call)
                return NULL;
        vec_remove_item(&call->client->calls, call);
        call_release(call);
        return NULL;
}

void client_calls_drop(Client *client)
{
        for (size_t i = 0; i < client->calls.len; i++)
                call_release(client->calls.items[i]);
        vec_done(&client->calls);
}

/* The end of every call. */
static void finish(ClientCall *call, ClientReply *reply)
{
        ClientDone *done = call->done;
        void *arg = call->arg;

        client_call_free(call);
        done(arg, reply);
}

static void finish_failed(ClientCall *call, const Error *failure)
{
        finish(call, &(ClientReply){ .failure = failure });
}

int client_read_error(const uint8_t *payload, size_t len, Error *err)
{
        AUTO(Arena) *arena = arena_new();
        WireError error = { 0 };
        XdrReader r;

        xdr_reader_init(&r, payload, len, arena);
        wire_decode_error(&r, &error);
        if (r.failure)
                return err_set(err, ERR_RPC, "the server sent an error that cannot be read: %s", r.failure);
        return wire_error_take(&error, err);
}

static ClientCall *find_call(Client *client, const FrameHeader *header)
{
        for (size_t i = 0; i < client->calls.len; i++) {
                ClientCall *call = client->calls.items[i];

                if (call->serial == header->serial && !call->failing && call->proc->program == header->program &&
                    call->proc->number == header->procedure)
                        return call;
        }
        return NULL;
}

void client_call_answer(Client *client, const Frame *frame)
{
        ClientCall *call = find_call(client, &frame->header);
        AUTO(Arena) *own = NULL;
        AUTO(Error) failure = { 0 };
        ClientReply reply = { .fds = frame->fds, .n_fds = frame->n_fds };
        Arena *arena;
        void *ret;

        if (!call)
                return; /* given up meanwhile */
        if (frame->header.status != FRAME_OK) {
                client_read_error(frame->payload, frame->len, &failure);
                finish_failed(call, &failure);
                return;
        }
        if (!call->arena)
                own = arena_new();
        arena = call->arena ?: own;
        ret = call->ret;
        if (!ret && call->proc->ret_size)
                ret = arena_alloc(arena, call->proc->ret_size);
        if (xdr_decode(call->proc->ret_decode, frame->payload, frame->len, arena, ret, &failure) < 0) {
                err_set(&failure, ERR_RPC, "the server's answer to %s cannot be read", call->proc->name);
                finish_failed(call, &failure);
                return;
        }
        reply.ret = ret;
        reply.arena = TAKE(own);
        finish(call, &reply);
        own = reply.arena; /* unless it was taken */
}

static void on_failing(void *arg)
{
        ClientCall *call = arg;
        Client *client = call->client;
        AUTO(Error) failure = { 0 };

        err_move(&failure, &call->failure);
        client_enter(client);
        finish_failed(call, &failure);
        client_leave(client);
}

static void on_deadline(void *arg)
{
        ClientCall *call = arg;
        Client *client = call->client;
        AUTO(Error) failure = { 0 };

        err_set(&failure, ERR_OPERATION_TIMEOUT, "the server did not answer %s in time", call->proc->name);
        client_enter(client);
        finish_failed(call, &failure);
        client_leave(client);
}

void client_call_set_deadline(ClientCall *call, uint64_t ms)
{
        if (call->deadline)
                timer_set(call->deadline, ms);
        else
                call->deadline = timer_new(call->client->loop, ms, on_deadline, call);
}

/* Those that wait for an answer; one that could not be sent fails by itself. */
static ClientCall *next_waiting(Client *client)
{
        for (size_t i = 0; i < client->calls.len; i++) {
                if (!client->calls.items[i]->failing)
                        return client->calls.items[i];
        }
        return NULL;
}

void client_calls_fail(Client *client, const Error *why)
{
        ClientCall *call;

        while (!client->freed && (call = next_waiting(client)))
                finish_failed(call, why);
}

static ClientCall *call_new(Client *client, const WireProc *proc, ClientDone *done, void *arg)
{
        ClientCall *call = mem_new(ClientCall);

        *call = (ClientCall){
                .client = client, .proc = proc, .done = done, .arg = arg, .serial = client->next_serial++
        };
        vec_push(&client->calls, call);
        return call;
}

static void fail_soon(ClientCall *call)
{
        call->failing = idle_new(call->client->loop, on_failing, call);
}

ClientCall *client_call_start(Client *client, const WireProc *proc, const void *args, const Fd *fds, size_t n_fds,
                              ClientDone *done, void *arg)
{
        ClientCall *call = call_new(client, proc, done, arg);
        FrameHeader header = {
                .program = proc->program,
                .version = 1,
                .procedure = proc->number,
                .type = n_fds ? FRAME_CALL_WITH_FDS : FRAME_CALL,
                .serial = call->serial,
        };
        AUTO(Buf) frame = { 0 };

        frame_begin(&frame);
        if (n_fds) {
                frame_put_word(buf_reserve(&frame, 4), (uint32_t)n_fds);
                buf_grow(&frame, 4);
        }
        if (xdr_encode(proc->args_encode, args, &frame, &call->failure) < 0) {
                for (size_t i = 0; i < n_fds; i++)
                        fd_close(&(Fd){ fds[i] });
                fail_soon(call);
                return call;
        }
        conn_send(client->conn, &header, &frame, fds, n_fds);
        return call;
}

ClientCall *client_call_fds(Client *client, const WireProc *proc, const void *args, const Fd *fds, size_t n_fds,
                            ClientDone *done, void *arg)
{
        ClientCall *call;

        if (client->state == CLIENT_OPEN)
                return client_call_start(client, proc, args, fds, n_fds, done, arg);
        for (size_t i = 0; i < n_fds; i++)
                fd_close(&(Fd){ fds[i] });
        call = call_new(client, proc, done, arg);
        if (client->state == CLIENT_ENDED)
                err_copy(&call->failure, &client->ended);
        else
                err_set(&call->failure, ERR_OPERATION_INVALID, "the connection is not open yet");
        fail_soon(call);
        return call;
}

ClientCall *client_call(Client *client, const WireProc *proc, const void *args, ClientDone *done, void *arg)
{
        return client_call_fds(client, proc, args, NULL, 0, done, arg);
}

ClientCall *client_call_into(Client *client, const WireProc *proc, const void *args, Arena *arena, void *ret,
                             ClientDone *done, void *arg)
{
        ClientCall *call = client_call(client, proc, args, done, arg);

        call->arena = arena;
        call->ret = ret;
        return call;
}
