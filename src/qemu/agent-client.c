/*
 * qemu/agent-client.c - the connection to the agent in a guest, on the loop
 *
 * The calls are in agent-call.c. Invariants: output is bounded: a synchronisation is written only when everything before it
 * has gone, and a command only after the agent has just answered. Owner functions may free the client; `busy` keeps the
 * memory until the outermost function has returned.
 */
#include "base/mem.h"
#include "base/str.h"
#include "qemu/agent-parts.h"
#include "qemu/qmp-json.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

enum {
        READ_SIZE = 64 << 10,
        READS_A_TURN = 4,
};

static void release(AgentClient *agent);

void agent_enter(AgentClient *agent)
{
        agent->busy++;
}

bool agent_leave(AgentClient *agent)
{
        bool freed = agent->freed;

        if (--agent->busy == 0 && freed)
                release(agent);
        return !freed;
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

void agent_start_next(AgentClient *agent)
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

        agent_enter(agent);
        if (loop_now_ms(agent->loop) >= agent->sync_due_ms) {
                AUTO(Error) gone = { 0 };

                err_set(&gone, ERR_AGENT_UNRESPONSIVE,
                        "the guest agent does not answer; is it running in the guest?");
                agent_call_answer(agent->calls.items[0], NULL, &gone);
                if (!agent->freed)
                        agent_start_next(agent);
        } else {
                send_sync(agent);
        }
        agent_leave(agent);
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
        agent_call_answer(call, NULL, &failure);
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
                agent_call_answer(call, call->raw ? message : result, NULL);
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
                agent_call_answer(agent->calls.items[0], NULL, &failure);
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
                        agent_call_answer(agent->calls.items[0], NULL, &err);
                err_done(&err);
                err = (Error){ 0 };
        }
}

static void close_with(AgentClient *agent, const Error *why)
{
        agent->connected = false;
        agent->watch = watch_free(agent->watch);
        fd_close(&agent->fd);
        agent_fail_all(agent, "QEMU closed the guest agent's channel");
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

        agent_enter(agent);
        if (revents & EPOLLOUT)
                flush(agent);
        for (int i = 0; i < READS_A_TURN && more > 0 && !agent->freed; i++)
                more = read_some(agent, &err);
        if (more < 0 && !agent->freed)
                close_with(agent, &err);
        if (!agent->freed) {
                agent_start_next(agent);
                agent_arm_deadline(agent);
        }
        agent_leave(agent);
}

void agent_client_set_port(AgentClient *agent, bool open)
{
        agent_enter(agent);
        agent->port_open = open;
        if (open) {
                agent_start_next(agent);
        } else {
                wipe_out(agent); /* the guest drops what it did not read (GA-03) */
                agent_fail_all(agent, "the guest agent is not connected");
        }
        agent_leave(agent);
}

void agent_client_guest_went(AgentClient *agent)
{
        agent_enter(agent);
        if (agent->phase == PHASE_WAITING && agent->calls.items[0]->quiet)
                agent_call_answer(agent->calls.items[0], NULL, NULL);
        if (!agent->freed)
                agent_start_next(agent);
        agent_leave(agent);
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
                agent_call_release(agent->calls.items[i]);
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
        agent->deadline = timer_new(loop, 0, agent_on_deadline, agent);
        timer_stop(agent->deadline);
        agent->retry = timer_new(loop, 0, on_retry, agent);
        timer_stop(agent->retry);
        agent->watch = watch_new(loop, fd, EPOLLIN, on_socket, agent);
        return agent;
}
