/*
 * wire/client-wait.c - calls that wait, for programs that do one thing at a time
 */
#include "wire/client-wait.h"

static const ClientHooks no_hooks = { 0 };

Client *client_open_wait(Loop *loop, const char *uri, const ClientOptions *options, const ClientHooks *hooks,
                         void *arg, Error *err)
{
        AUTO(Client) *client = client_new(loop, uri, options, hooks ?: &no_hooks, arg, err);

        while (client && !client_is_open(client)) {
                if (client_failure(client)) {
                        err_copy(err, client_failure(client));
                        return NULL;
                }
                if (loop_turn(loop, -1, err) < 0)
                        return NULL;
        }
        return TAKE(client);
}

typedef struct Waiting {
        Error *err;
        bool done;
        int result;
} Waiting;

static void on_done(void *arg, ClientReply *reply)
{
        Waiting *waiting = arg;

        waiting->done = true;
        if (!reply->failure)
                return;
        waiting->result = -1;
        if (waiting->err)
                err_copy(waiting->err, reply->failure);
}

int client_call_wait(Client *client, const WireProc *proc, const void *args, Arena *arena, void *ret, Error *err)
{
        AUTO(Arena) *own = arena ? NULL : arena_new();
        Waiting waiting = { .err = err };
        ClientCall *call = client_call_into(client, proc, args, arena ?: own, ret, on_done, &waiting);

        while (!waiting.done) {
                if (loop_turn(client_loop(client), -1, err) < 0) {
                        client_call_free(call);
                        return -1;
                }
        }
        return waiting.result;
}

int client_run_until(Client *client, const bool *flag, Error *err)
{
        while (!*flag) {
                if (client_failure(client)) {
                        err_copy(err, client_failure(client));
                        return -1;
                }
                if (loop_turn(client_loop(client), -1, err) < 0)
                        return -1;
        }
        return 0;
}
