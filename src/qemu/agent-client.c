/*
 * qemu/agent-client.c - the connection to the agent in a guest, on the loop
 *
 * Invariants: calls.items[0] is the one under way unless phase is IDLE; a call is in the list until its
 * deliver() runs or it is freed, so each is answered exactly once. Output is bounded: a synchronisation is
 * written only when everything before it has gone, and a command only after the agent has just answered.
 * Owner functions may free the client; `busy` keeps the memory until the outermost function has returned.
 */
#include "qemu/agent-client.h"

#include "base/json-write.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "qemu/agent-reader.h"
#include "qemu/qmp-call.h"
#include "qemu/qmp-json.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

enum {
        MOST_RAW = 4 << 20,
        READ_SIZE = 64 << 10,
        READS_A_TURN = 4,
};

typedef enum Phase {
        PHASE_IDLE,
        PHASE_SYNCING, /* the agent has not answered the latest number yet */
        PHASE_WAITING, /* the command is out */
} Phase;

struct AgentCall {
        AgentClient *agent;
        uint64_t due_ms; /* 0: no deadline */
        char *name, *text;
        QmpDeliver *deliver;
        const QmpCommand *command;
        void (*done)(void);
        void *arg;
        bool raw, quiet;
        bool refused; /* made while the channel was closed: fails on the next turn */
};

struct AgentClient {
        Loop *loop;
        Fd fd;
        Watch *watch;
        Timer *deadline, *retry;
        Idle *refusing;
        void (*closed)(void *arg, const Error *why);
        void *arg;
        AgentReader reader;
        Buf out;
        VEC(AgentCall *) calls;
        Phase phase;
        uint64_t sync_ms, sync_due_ms, answer_ms;
        uint32_t next_id, latest_id;
        unsigned busy;
        bool single_quotes, connected, port_open, freed;
};

static void release(AgentClient *agent);
static void start_next(AgentClient *agent);

static void enter(AgentClient *agent)
{
        agent->busy++;
}

/* False: the owner freed the client meanwhile; it is gone now, or will be further out. */
static bool leave(AgentClient *agent)
{
        bool freed = agent->freed;

        if (--agent->busy == 0 && freed)
                release(agent);
        return !freed;
}

static void call_release(AgentCall *call)
{
        if (call->text)
                explicit_bzero(call->text, strlen(call->text)); /* it may hold a password */
        free(call->text);
        free(call->name);
        free(call);
}

bool agent_client_is_open(const AgentClient *agent)
{
        return agent->connected && agent->port_open;
}

void agent_client_set_sync_ms(AgentClient *agent, uint64_t ms)
{
        agent->sync_ms = ms;
}

void agent_client_set_answer_ms(AgentClient *agent, uint64_t ms)
{
        agent->answer_ms = ms;
}

/* Deadlines: one timer for the earliest. */

static void arm_deadline(AgentClient *agent)
{
        uint64_t now = loop_now_ms(agent->loop), first = 0;

        for (size_t i = 0; i < agent->calls.len; i++) {
                uint64_t due = agent->calls.items[i]->due_ms;

                if (due && (!first || due < first))
                        first = due;
        }
        if (first)
                timer_set(agent->deadline, first > now ? first - now : 0);
        else
                timer_stop(agent->deadline);
}

/* Take a call out of the queue; when it was the one under way, the next one may start. */
static void take_out(AgentCall *call)
{
        AgentClient *agent = call->agent;
        bool under_way = agent->phase != PHASE_IDLE && agent->calls.items[0] == call;

        vec_remove_item(&agent->calls, call);
        if (!under_way)
                return;
        agent->phase = PHASE_IDLE;
        timer_stop(agent->retry);
        agent_reader_await_marker(&agent->reader);
}

static void call_answer(AgentCall *call, json_object *reply, const Error *failure)
{
        take_out(call);
        call->deliver(call->done, call->arg, call->command, reply, failure);
        call_release(call);
}

/* The end of a call that got no answer. A quiet command that is out has done what it should. */
static void call_end(AgentCall *call, const Error *failure)
{
        AgentClient *agent = call->agent;
        bool is_out = agent->phase == PHASE_WAITING && agent->calls.items[0] == call;

        call_answer(call, NULL, call->quiet && is_out ? NULL : failure);
}

static void call_overdue(AgentCall *call)
{
        AgentClient *agent = call->agent;
        AUTO(Error) late = { 0 };

        if (agent->phase == PHASE_WAITING && agent->calls.items[0] == call)
                err_set(&late, ERR_AGENT_COMMAND_TIMEOUT,
                        "the guest agent did not answer '%s' in time; its outcome is unknown", call->name);
        else
                err_set(&late, ERR_AGENT_UNRESPONSIVE, "'%s' was not sent, the guest agent did not answer before it",
                        call->name);
        call_end(call, &late);
}

static AgentCall *find_overdue(const AgentClient *agent)
{
        uint64_t now = loop_now_ms(agent->loop);

        for (size_t i = 0; i < agent->calls.len; i++) {
                if (agent->calls.items[i]->due_ms && agent->calls.items[i]->due_ms <= now)
                        return agent->calls.items[i];
        }
        return NULL;
}

static void on_deadline(void *arg)
{
        AgentClient *agent = arg;
        AgentCall *call;

        enter(agent);
        while (!agent->freed && (call = find_overdue(agent)))
                call_overdue(call);
        if (!agent->freed) {
                start_next(agent);
                arm_deadline(agent);
        }
        leave(agent);
}

/* Output. */

/* All of the memory: what was sent is no longer counted, and may have been a password. */
static void wipe_out(AgentClient *agent)
{
        if (agent->out.data)
                explicit_bzero(agent->out.data, agent->out.room);
        buf_clear(&agent->out);
}

/* Write what the socket takes. A broken connection shows on the reading side. */
static void flush(AgentClient *agent)
{
        while (agent->connected && agent->out.len > 0) {
                ssize_t n = send(agent->fd, agent->out.data, agent->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        break;
                buf_drop(&agent->out, (size_t)n);
        }
        if (agent->out.len == 0)
                wipe_out(agent);
        if (agent->watch)
                watch_set_events(agent->watch, agent->out.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Ask again with a fresh number, unless the channel still holds back what was asked before (GA-04). */
static void send_sync(AgentClient *agent)
{
        uint64_t left_ms;

        if (agent->out.len == 0) {
                agent->latest_id = agent->next_id++;
                agent_reader_await_marker(&agent->reader);
                if (agent->single_quotes)
                        buf_format(&agent->out, "\xff{'execute':'guest-sync-delimited','arguments':{'id':%u}}\n",
                                   agent->latest_id);
                else
                        buf_format(&agent->out,
                                   "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%u}}\n",
                                   agent->latest_id);
                flush(agent);
        }
        left_ms = agent->sync_due_ms - MIN(agent->sync_due_ms, loop_now_ms(agent->loop));
        timer_set(agent->retry, MIN(left_ms, AGENT_RETRY_MS));
}

static void start_next(AgentClient *agent)
{
        if (agent->phase != PHASE_IDLE || agent->calls.len == 0 || !agent_client_is_open(agent))
                return;
        agent->phase = PHASE_SYNCING;
        agent->sync_due_ms = loop_now_ms(agent->loop) + agent->sync_ms;
        send_sync(agent);
}

static void on_retry(void *arg)
{
        AgentClient *agent = arg;

        enter(agent);
        if (loop_now_ms(agent->loop) >= agent->sync_due_ms) {
                AUTO(Error) gone = { 0 };

                err_set(&gone, ERR_AGENT_UNRESPONSIVE,
                        "the guest agent does not answer; is it running in the guest?");
                call_answer(agent->calls.items[0], NULL, &gone);
                if (!agent->freed)
                        start_next(agent);
        } else {
                send_sync(agent);
        }
        leave(agent);
}

/* Input. */

static void take_error(AgentCall *call, json_object *error)
{
        const char *class = qmp_json_get_text(error, "class");
        bool unknown = str_eq(class, "CommandNotFound") || str_eq(class, "CommandDisabled");
        AUTOFREE char *reason = agent_error_reason(error);
        AUTO(Error) failure = { 0 };

        err_set(&failure, unknown ? ERR_OPERATION_UNSUPPORTED : ERR_AGENT_COMMAND_FAILED,
                "the guest agent refused '%s': %s", call->name, reason);
        call_answer(call, NULL, &failure);
}

static void send_command(AgentClient *agent)
{
        AgentCall *call = agent->calls.items[0];

        timer_stop(agent->retry);
        agent->phase = PHASE_WAITING;
        buf_put_text(&agent->out, call->text);
        buf_put_char(&agent->out, '\n');
        flush(agent);
}

static void take_reply(AgentClient *agent, json_object *message)
{
        json_object *result, *error = qmp_json_get(message, "error");
        AgentCall *call = agent->calls.items[0];
        bool returned = json_object_is_type(message, json_type_object) &&
                        json_object_object_get_ex(message, "return", &result);

        if (agent->phase == PHASE_SYNCING) {
                /* an older number answers an older question (GA-05, GA-06) */
                if (returned && json_object_is_type(result, json_type_int) &&
                    json_object_get_int64(result) == (int64_t)agent->latest_id)
                        send_command(agent);
        } else if (returned) {
                call_answer(call, call->raw ? message : result, NULL);
        } else if (error) {
                take_error(call, error);
        }
}

static void take_line(AgentClient *agent, const char *line)
{
        AUTO(Error) err = { 0 };
        json_object *message;

        if (agent->phase == PHASE_IDLE)
                return;
        message = agent_line_parse(line, &err);
        if (message) {
                take_reply(agent, message);
        } else if (agent->phase == PHASE_WAITING && line[0] != '\0') {
                AUTO(Error) failure = { 0 };

                err_set(&failure, ERR_AGENT_COMMAND_FAILED, "the guest agent's answer to '%s' cannot be used: %s",
                        agent->calls.items[0]->name, err.text ?: "not JSON");
                call_answer(agent->calls.items[0], NULL, &failure);
        }
        json_object_put(message);
}

static void take_bytes(AgentClient *agent, const char *data, size_t n)
{
        AUTO(Error) err = { 0 };
        const char *line;
        int found = 1;

        while (found && !agent->freed) {
                found = agent_reader_next(&agent->reader, &data, &n, &line, &err);
                if (found > 0)
                        take_line(agent, line);
                else if (found < 0 && agent->phase == PHASE_WAITING)
                        call_answer(agent->calls.items[0], NULL, &err);
                err_done(&err);
                err = (Error){ 0 };
        }
}

/* Fail all calls there are now; those that a done() makes meanwhile wait for their turn. */
static void fail_all(AgentClient *agent, const char *why)
{
        for (size_t n = agent->calls.len; n > 0 && agent->calls.len > 0 && !agent->freed; n--) {
                AUTO(Error) lost = { 0 };

                if (agent->phase == PHASE_WAITING)
                        err_set(&lost, ERR_AGENT_COMMAND_TIMEOUT,
                                "%s before '%s' was answered; its outcome is unknown", why,
                                agent->calls.items[0]->name);
                else
                        err_set(&lost, ERR_AGENT_UNRESPONSIVE, "%s", why);
                call_end(agent->calls.items[0], &lost);
        }
}

static void close_with(AgentClient *agent, const Error *why)
{
        agent->connected = false;
        agent->watch = watch_free(agent->watch);
        fd_close(&agent->fd);
        fail_all(agent, "QEMU closed the guest agent's channel");
        if (!agent->freed && agent->closed)
                agent->closed(agent->arg, why);
}

/* 1: go on, 0: nothing more now, -1: the connection is over. */
static int read_some(AgentClient *agent, Error *err)
{
        char data[READ_SIZE];
        ssize_t n = recv(agent->fd, data, sizeof(data), MSG_DONTWAIT);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return errno == EINTR;
        if (n < 0 && errno != ECONNRESET)
                return err_errno(err, errno, "the channel of the guest agent broke");
        if (n <= 0)
                return err_set(err, ERR_AGENT_UNRESPONSIVE, "QEMU closed the guest agent's channel");
        take_bytes(agent, data, (size_t)n);
        return (size_t)n == sizeof(data);
}

static void on_socket(void *arg, uint32_t revents)
{
        AgentClient *agent = arg;
        AUTO(Error) err = { 0 };
        int more = 1;

        enter(agent);
        if (revents & EPOLLOUT)
                flush(agent);
        for (int i = 0; i < READS_A_TURN && more > 0 && !agent->freed; i++)
                more = read_some(agent, &err);
        if (more < 0 && !agent->freed)
                close_with(agent, &err);
        if (!agent->freed) {
                start_next(agent);
                arm_deadline(agent);
        }
        leave(agent);
}

void agent_client_set_port(AgentClient *agent, bool open)
{
        enter(agent);
        agent->port_open = open;
        if (open) {
                start_next(agent);
        } else {
                wipe_out(agent); /* the guest drops what it did not read (GA-03) */
                fail_all(agent, "the guest agent is not connected");
        }
        leave(agent);
}

void agent_client_guest_went(AgentClient *agent)
{
        enter(agent);
        if (agent->phase == PHASE_WAITING && agent->calls.items[0]->quiet)
                call_answer(agent->calls.items[0], NULL, NULL);
        if (!agent->freed)
                start_next(agent);
        leave(agent);
}

static AgentCall *find_refused(const AgentClient *agent)
{
        for (size_t i = 0; i < agent->calls.len; i++) {
                if (agent->calls.items[i]->refused)
                        return agent->calls.items[i];
        }
        return NULL;
}

/* Fail the calls that were made while the channel was closed; what a done() makes waits for the next turn. */
static void on_refusing(void *arg)
{
        AgentClient *agent = arg;
        AUTO(Error) closed = { 0 };
        AgentCall *call;

        enter(agent);
        agent->refusing = idle_free(agent->refusing);
        err_set(&closed, ERR_AGENT_UNRESPONSIVE, "the guest agent is not connected");
        for (size_t n = agent->calls.len; n > 0 && !agent->freed && (call = find_refused(agent)); n--)
                call_answer(call, NULL, &closed);
        if (!agent->freed)
                start_next(agent);
        leave(agent);
}

/* Queue a call; text is the whole command and becomes the call's. */
static AgentCall *call_new(AgentClient *agent, const char *name, char *text, QmpDeliver *deliver, void (*done)(void),
                           void *arg)
{
        AgentCall *call = mem_new(AgentCall);

        *call = (AgentCall){
                .agent = agent, .name = str_dup(name), .text = text, .deliver = deliver, .done = done, .arg = arg
        };
        call->due_ms = agent->answer_ms ? loop_now_ms(agent->loop) + agent->answer_ms : 0;
        call->refused = !agent_client_is_open(agent);
        vec_push(&agent->calls, call);
        if (call->refused && !agent->refusing)
                agent->refusing = idle_new(agent->loop, on_refusing, agent);
        start_next(agent);
        arm_deadline(agent);
        return call;
}

AgentCall *agent_client_send(AgentClient *agent, const char *name, const char *args, const QmpCommand *command,
                             QmpDeliver *deliver, void (*done)(void), void *arg)
{
        AUTO(JsonWriter) w = { 0 };
        AgentCall *call;

        json_open_object(&w, NULL);
        json_put_text(&w, "execute", name);
        json_put_raw(&w, "arguments", args);
        json_close_object(&w);
        call = call_new(agent, name, json_take(&w), deliver, done, arg);
        call->command = command;
        call->quiet = command && command->quiet;
        return call;
}

AgentCall *agent_send(AgentClient *agent, const QmpCommand *command, const void *args, const char *raw, int fd UNUSED,
                      void (*done)(void), void *arg)
{
        AUTO(JsonWriter) w = { 0 };
        AgentCall *call;

        if (args) {
                json_open_object(&w, NULL);
                qmp_encode(command->args, args, &w);
                json_close_object(&w);
                raw = json_text(&w);
        }
        call = agent_client_send(agent, command->name, raw, command, command->deliver, done, arg);
        if (w.buf.data)
                explicit_bzero(w.buf.data, w.buf.len);
        return call;
}

AgentCall *agent_raw(AgentClient *agent, const char *text,
                     void (*done)(void *arg, const char *reply, const Error *failure), void *arg, Error *err)
{
        json_object *command = qmp_parse_json(text, MOST_RAW, err);
        const char *name = qmp_json_get_text(command, "execute");
        AgentCall *call = NULL;

        if (command && !name)
                err_set(err, ERR_INVALID_ARG, "a guest agent command is an object with the member \"execute\"");
        if (name) {
                call = call_new(agent, name,
                                str_dup(json_object_to_json_string_ext(
                                        command, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)),
                                qmp_deliver_raw, (void (*)(void))done, arg);
                call->raw = true;
        }
        json_object_put(command);
        return call;
}

AgentCall *agent_call_free(AgentCall *call)
{
        AgentClient *agent = call ? call->agent : NULL;

        if (!call)
                return NULL;
        take_out(call);
        call_release(call);
        start_next(agent);
        return NULL;
}

void agent_call_set_deadline(AgentCall *call, uint64_t ms)
{
        call->due_ms = ms ? loop_now_ms(call->agent->loop) + ms : 0;
        arm_deadline(call->agent);
}

static void release(AgentClient *agent)
{
        watch_free(agent->watch);
        timer_free(agent->deadline);
        timer_free(agent->retry);
        idle_free(agent->refusing);
        fd_close(&agent->fd);
        agent_reader_done(&agent->reader);
        wipe_out(agent);
        buf_done(&agent->out);
        for (size_t i = 0; i < agent->calls.len; i++)
                call_release(agent->calls.items[i]);
        vec_done(&agent->calls);
        free(agent);
}

AgentClient *agent_client_free(AgentClient *agent)
{
        if (!agent)
                return NULL;
        agent->freed = true;
        agent->connected = false;
        if (agent->busy == 0)
                release(agent);
        return NULL;
}

AgentClient *agent_client_new(Loop *loop, Fd fd, const AgentOptions *options,
                              void (*closed)(void *arg, const Error *why), void *arg)
{
        AgentClient *agent = mem_new(AgentClient);

        *agent = (AgentClient){ .loop = loop, .fd = fd, .closed = closed, .arg = arg, .connected = true };
        agent->port_open = true;
        agent->sync_ms = AGENT_SYNC_MS;
        agent->answer_ms = AGENT_DEADLINE_MS;
        agent->single_quotes = options && options->single_quotes;
        agent->next_id = options ? options->first_id : 0;
        /* Any number will do that an earlier client of this channel is unlikely to have used. */
        if (agent->next_id == 0 && getrandom(&agent->next_id, sizeof(agent->next_id), GRND_NONBLOCK) < 0)
                agent->next_id = (uint32_t)loop_now_ms(loop);
        agent->deadline = timer_new(loop, 0, on_deadline, agent);
        timer_stop(agent->deadline);
        agent->retry = timer_new(loop, 0, on_retry, agent);
        timer_stop(agent->retry);
        agent->watch = watch_new(loop, fd, EPOLLIN, on_socket, agent);
        return agent;
}
