/*
 * app/drover/session.c - the connection of a run of drover
 *
 * One loop and one connection. While a call waits the loop runs, so timers and
 * events of a command (a progress bar, a console) are served meanwhile; while a
 * person thinks at the prompt or writes in an editor, and until a script's next
 * line comes, it runs too, so that the daemon's questions whether we live are
 * answered.
 */
#include "app/drover/session.h"

#include "app/drover/common.h"
#include "base/str.h"
#include "loop/worker.h"
#include "wire/client-wait.h"
#include "wire/proc.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { IDLE_TURN_MS = 1000, OPEN_TIMEOUT_MS = 60000 };

static Session *at_prompt; /* libedit's idle hook carries no argument */

Loop *session_loop(Session *session, Error *err)
{
        if (!session->loop)
                session->loop = loop_new(err);
        return session->loop;
}

static void connection_closed(void *arg, const Error *why)
{
        Session *session = arg;

        session->lost = true;
        if (session->interactive)
                fprintf(stderr, "error: Disconnected from %s: %s\n", client_uri(session->client) ?: "the daemon",
                        why && why->text ? why->text : "the connection ended");
}

static void event_came(void *arg, const WireEvent *event, const void *msg)
{
        Session *session = arg;

        if (session->on_event)
                session->on_event(session->on_event_arg, event, msg);
}

static const ClientHooks hooks = { .closed = connection_closed, .event = event_came };

static Client *connect_to(Session *session, const char *uri, bool readonly, const ClientHooks *with, Error *err)
{
        ClientOptions options = { .readonly = readonly,
                                  .interactive = isatty(STDIN_FILENO),
                                  .close_callback = true,
                                  .keepalive_interval_s = session->keepalive_interval_s,
                                  .keepalive_count = (unsigned)session->keepalive_count,
                                  .open_timeout_ms = OPEN_TIMEOUT_MS };

        if (!session_loop(session, err))
                return NULL;
        return client_open_wait(session->loop, uri, &options, with, session, err);
}

Client *session_connect(Session *session, const char *uri, bool readonly, Error *err)
{
        return connect_to(session, uri, readonly, NULL, err);
}

int session_open(Session *session, Error *err)
{
        AUTO(Error) why = { 0 };

        if (session->client && session->lost)
                session->client = client_free(session->client);
        if (session->client)
                return 0;
        session->lost = false;
        session->client = connect_to(session, session->uri, session->readonly, &hooks, &why);
        if (session->client)
                return 0;
        session_spell_out(&why);
        return err_set(err, why.code, "failed to connect to the hypervisor\n%s", why.text);
}

/* An Error holds the detail; what the user reads is the sentence that stock clients show around it. */
void session_spell_out(Error *err)
{
        const char *template = err_is_set(err) ? err_code_template(err->code) : NULL;
        const char *place = template ? strstr(template, "%s") : NULL;
        AUTOFREE char *detail = NULL;

        if (!place)
                return;
        detail = str_dup(err->text ?: "");
        err_set(err, err->code, "%.*s%s%s", (int)(place - template), template, detail, place + 2);
}

static int call(Session *session, uint32_t program, uint32_t number, const void *args, void *ret, Error *err)
{
        const WireProc *proc = wire_proc_find(program, (int32_t)number);
        AUTO(Error) why = { 0 };

        if (session_open(session, err) < 0)
                return -1;
        if (client_call_wait(session->client, proc, args, session_arena(session), ret, &why) == 0)
                return 0;
        session_spell_out(&why);
        return err ? err_move(err, &why) : -1;
}

int session_call(Session *session, uint32_t proc, const void *args, void *ret, Error *err)
{
        return call(session, WIRE_PROGRAM_REMOTE, proc, args, ret, err);
}

int session_call_qemu(Session *session, uint32_t proc, const void *args, void *ret, Error *err)
{
        return call(session, WIRE_PROGRAM_QEMU, proc, args, ret, err);
}

Arena *session_arena(Session *session)
{
        if (!session->arena)
                session->arena = arena_new();
        return session->arena;
}

const char *session_uri(Session *session)
{
        return session->uri ?: client_uri(session->client);
}

/* LIFE-08: a bare host name stands for its system daemon, reached by ssh. */
char *session_expand_uri(const char *text)
{
        bool is_name = text && *text && !strpbrk(text, ":/?");

        return is_name ? str_format("qemu+ssh://%s/system", text) : str_dup(text);
}

int session_reconnect(Session *session, const char *uri, bool readonly, Error *err)
{
        AUTOFREE char *full = session_expand_uri(uri);

        session->client = client_free(session->client);
        str_replace(&session->uri, full);
        session->readonly = readonly;
        return session_open(session, err);
}

typedef struct Work {
        void (*fn)(void *arg);
        void *arg;
        bool done;
} Work;

/* All signals are blocked for a worker, and a program that it starts would begin like that. */
static void work_now(void *data)
{
        const Work *work = data;
        sigset_t none;

        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, NULL);
        work->fn(work->arg);
}

static void work_done(void *data)
{
        ((Work *)data)->done = true;
}

int session_meanwhile(Session *session, void (*fn)(void *arg), void *arg, Error *err)
{
        Work work = { .fn = fn, .arg = arg };
        AUTO(WorkerPool) *pool = session_loop(session, err) ? worker_pool_new(session->loop, 1, err) : NULL;
        Task *task;

        if (!pool)
                return -1;
        task = task_new(pool, work_now, work_done, &work);
        while (!work.done && loop_turn(session->loop, -1, err) >= 0)
                ;
        task_free(task, NULL);
        return work.done ? 0 : -1;
}

static void input_ready(void *arg, uint32_t revents UNUSED)
{
        *(bool *)arg = true;
}

int session_wait_for_input(void)
{
        bool ready = false;
        AUTO(Watch) *input = NULL;

        if (!at_prompt || !session_loop(at_prompt, NULL))
                return 0;
        input = watch_new(at_prompt->loop, STDIN_FILENO, EPOLLIN, input_ready, &ready);
        while (!ready && loop_turn(at_prompt->loop, IDLE_TURN_MS, NULL) >= 0)
                ;
        return 0;
}

void session_at_prompt(Session *session)
{
        at_prompt = session;
}

void session_end_command(Session *session)
{
        session->arena = arena_free(session->arena);
}

void session_done(Session *session)
{
        at_prompt = NULL;
        arena_free(session->arena);
        client_free(session->client);
        loop_free(session->loop);
        output_free(session->out);
        free(session->uri);
}
