/*
 * wire/client.c - a connection from the first byte to its end
 *
 * Opening is a list of calls, each sent when the one before is answered, in the
 * order that every client keeps: authentication, keepalive, open, features.
 */
#include "wire/client.h"

#include "base/mem.h"
#include "base/str.h"
#include "wire/client-internal.h"
#include "wire/constants.h"
#include "wire/structs.h"

enum {
        FEATURE_KEEPALIVE = 10,
        FEATURE_EVENT_CALLBACK = 14,
        FEATURE_CLOSE_CALLBACK = 15,
};

typedef enum Step {
        STEP_AUTH,
        STEP_KEEPALIVE,
        STEP_OPEN,
        STEP_URI,
        STEP_EVENT_CALLBACK,
        STEP_CLOSE_CALLBACK,
        STEP_REGISTER_CLOSE,
        STEP_DONE,
} Step;

static void run_step(Client *client);

static void release(Client *client)
{
        uri_free(client->uri);
        free(client->chosen_uri);
        err_done(&client->ended);
        free(client);
}

void client_enter(Client *client)
{
        client->busy++;
}

void client_leave(Client *client)
{
        if (--client->busy == 0 && client->freed)
                release(client);
}

Client *client_free(Client *client)
{
        if (!client)
                return NULL;
        client->freed = true;
        client->state = CLIENT_ENDED;
        client->open_timeout = timer_free(client->open_timeout);
        client->conn = conn_free(client->conn);
        client->dial = dial_free(client->dial);
        client_calls_drop(client);
        client_streams_drop(client);
        if (!client->busy)
                release(client);
        return NULL;
}

/* The connection is over: everybody who waits hears of it, the owner last. */
static void end(Client *client, const Error *why)
{
        bool was_open = client->state == CLIENT_OPEN;

        if (client->state == CLIENT_ENDED)
                return;
        client_enter(client);
        client->state = CLIENT_ENDED;
        err_copy(&client->ended, why);
        if (client->dial)
                dial_explain(client->dial, &client->ended);
        client->open_timeout = timer_free(client->open_timeout);
        client->conn = conn_free(client->conn);
        client->dial = dial_free(client->dial);
        client_calls_fail(client, &client->ended);
        if (!client->freed)
                client_streams_fail(client, &client->ended);
        if (!client->freed && was_open && client->hooks->closed)
                client->hooks->closed(client->arg, &client->ended);
        else if (!client->freed && !was_open && client->hooks->opened)
                client->hooks->opened(client->arg, &client->ended);
        client_leave(client);
}

static void take_message(Client *client, const Frame *frame)
{
        const WireEvent *event = wire_event_find(frame->header.program, frame->header.procedure);
        AUTO(Arena) *arena = NULL;
        void *msg;

        if (!event || client->state != CLIENT_OPEN || !client->hooks->event)
                return;
        arena = arena_new();
        msg = arena_alloc(arena, event->size);
        /* one that cannot be read is of a newer server: nobody here could have asked for it */
        if (xdr_decode(event->decode, frame->payload, frame->len, arena, msg, NULL) == 0)
                client->hooks->event(client->arg, event, msg);
}

static void on_frame(void *arg, const Frame *frame)
{
        Client *client = arg;

        client_enter(client);
        switch (frame->header.type) {
        case FRAME_REPLY:
        case FRAME_REPLY_WITH_FDS:
                client_call_answer(client, frame);
                break;
        case FRAME_MESSAGE:
                take_message(client, frame);
                break;
        case FRAME_STREAM:
        case FRAME_STREAM_HOLE:
                client_stream_take(client, frame);
                break;
        default:
                break;
        }
        client_leave(client);
}

static void on_closed(void *arg, const Error *why)
{
        end(arg, why);
}

static void on_drained(void *arg)
{
        Client *client = arg;

        client_enter(client);
        client_streams_room(client);
        client_leave(client);
}

static const ConnHooks conn_hooks = { .frame = on_frame, .closed = on_closed, .drained = on_drained };

/* --- opening --- */

static int check_auth(const WireAuthListRet *list, Error *err)
{
        for (uint32_t i = 0; i < list->n_types; i++) {
                if (list->types[i] == WIRE_AUTH_TYPE_NONE)
                        return 0;
        }
        for (uint32_t i = 0; i < list->n_types; i++) {
                if (list->types[i] == WIRE_AUTH_TYPE_SASL)
                        return err_set(
                                err, ERR_AUTH_FAILED,
                                "the server wants SASL, which is not built in yet; set its auth_* to \"none\" or use ssh");
                if (list->types[i] == WIRE_AUTH_TYPE_POLKIT)
                        return err_set(err, ERR_AUTH_FAILED,
                                       "the server wants polkit, which is not built in yet; root is let in without");
        }
        return err_set(err, ERR_AUTH_FAILED, "the server offers no way to authenticate that is known here");
}

static void on_step(void *arg, ClientReply *reply)
{
        Client *client = arg;
        Step step = client->step++;
        AUTO(Error) failure = { 0 };
        const WireConnectSupportsFeatureRet *feature = reply->ret;
        const WireConnectGetUriRet *uri = reply->ret;

        if (client->state != CLIENT_OPENING)
                return; /* it ended, which fails all calls; the owner hears it otherwise */
        if (reply->failure && (step == STEP_AUTH || step == STEP_OPEN)) {
                end(client, reply->failure);
                return;
        }
        if (step == STEP_AUTH && check_auth(reply->ret, &failure) < 0) {
                end(client, &failure);
                return;
        }
        if (step == STEP_KEEPALIVE && !reply->failure && feature->supported)
                conn_keepalive_start(client->conn, client->options.keepalive_interval_s,
                                     client->options.keepalive_count);
        if (step == STEP_URI && !reply->failure)
                str_replace(&client->chosen_uri, uri->uri);
        if (step == STEP_CLOSE_CALLBACK && (reply->failure || !feature->supported))
                client->step = STEP_DONE;
        run_step(client);
}

static bool is_wanted(const Client *client, Step step)
{
        switch (step) {
        case STEP_KEEPALIVE:
                return client->options.keepalive_interval_s > 0;
        case STEP_URI:
                return !*client->uri->name;
        case STEP_REGISTER_CLOSE:
                return client->options.close_callback;
        default:
                return true;
        }
}

static void call_step(Client *client, int32_t procedure, const void *args)
{
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, procedure);

        client_call_start(client, proc, args, NULL, 0, on_step, client);
}

static void ask_feature(Client *client, int32_t feature)
{
        call_step(client, WIRE_PROC_CONNECT_SUPPORTS_FEATURE,
                  &(WireConnectSupportsFeatureArgs){ .feature = feature });
}

static void open_done(Client *client)
{
        client->state = CLIENT_OPEN;
        client->open_timeout = timer_free(client->open_timeout);
        if (client->hooks->opened)
                client->hooks->opened(client->arg, NULL);
}

static void run_step(Client *client)
{
        const WireConnectOpenArgs open = { .name = client->uri->name,
                                           .flags = client->options.readonly ? VIR_CONNECT_RO : 0 };

        while (!is_wanted(client, client->step))
                client->step++;
        switch ((Step)client->step) {
        case STEP_AUTH:
                call_step(client, WIRE_PROC_AUTH_LIST, NULL);
                break;
        case STEP_KEEPALIVE:
                ask_feature(client, FEATURE_KEEPALIVE);
                break;
        case STEP_OPEN:
                call_step(client, WIRE_PROC_CONNECT_OPEN, &open);
                break;
        case STEP_URI:
                call_step(client, WIRE_PROC_CONNECT_GET_URI, NULL);
                break;
        case STEP_EVENT_CALLBACK:
                ask_feature(client, FEATURE_EVENT_CALLBACK);
                break;
        case STEP_CLOSE_CALLBACK:
                ask_feature(client, FEATURE_CLOSE_CALLBACK);
                break;
        case STEP_REGISTER_CLOSE:
                call_step(client, WIRE_PROC_CONNECT_REGISTER_CLOSE_CALLBACK, NULL);
                break;
        case STEP_DONE:
                open_done(client);
                break;
        }
}

static void on_dialled(void *arg, Fd fd, const Error *failure)
{
        Client *client = arg;

        if (failure) {
                end(client, failure);
                return;
        }
        client->conn = conn_new(client->loop, fd, &conn_hooks, client);
        run_step(client);
}

static void on_open_timeout(void *arg)
{
        Client *client = arg;
        AUTO(Error) why = { 0 };

        err_set(&why, ERR_OPERATION_TIMEOUT, "the server did not open the connection within %u ms",
                client->options.open_timeout_ms);
        end(client, &why);
}

static Client *make_client(Loop *loop, const char *uri, const ClientOptions *options, const ClientHooks *hooks,
                           void *arg, Error *err)
{
        Uri *parsed = uri_parse(uri, err);
        Client *client;

        if (!parsed)
                return NULL;
        client = mem_new(Client);
        *client = (Client){ .loop = loop, .uri = parsed, .options = *options, .hooks = hooks, .arg = arg };
        if (options->open_timeout_ms)
                client->open_timeout = timer_new(loop, options->open_timeout_ms, on_open_timeout, client);
        return client;
}

Client *client_new(Loop *loop, const char *uri, const ClientOptions *options, const ClientHooks *hooks, void *arg,
                   Error *err)
{
        const DialOptions dial = { .readonly = options->readonly, .interactive = options->interactive };
        Client *client = make_client(loop, uri, options, hooks, arg, err);

        if (client)
                client->dial = dial_new(loop, client->uri, &dial, on_dialled, client);
        return client;
}

Client *client_new_fd(Loop *loop, Fd fd, const char *uri, const ClientOptions *options, const ClientHooks *hooks,
                      void *arg, Error *err)
{
        Client *client = make_client(loop, uri, options, hooks, arg, err);

        if (!client) {
                fd_close(&fd);
                return NULL;
        }
        on_dialled(client, fd, NULL);
        return client;
}

bool client_is_open(const Client *client)
{
        return client->state == CLIENT_OPEN;
}

const Error *client_failure(const Client *client)
{
        return client->state == CLIENT_ENDED ? &client->ended : NULL;
}

Loop *client_loop(const Client *client)
{
        return client->loop;
}

bool client_is_local(const Client *client)
{
        return client->uri->transport == URI_UNIX;
}

const char *client_uri(const Client *client)
{
        return client->chosen_uri ?: client->uri->name;
}
