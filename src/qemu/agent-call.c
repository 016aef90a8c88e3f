/*
 * qemu/agent-call.c - the calls that wait for the agent in a guest, and how each of them ends
 *
 * Invariants: calls.items[0] is the one under way unless phase is IDLE; a call is in the list until its
 * deliver() runs or it is freed, so each is answered exactly once.
 */
#include "base/json-write.h"
#include "base/mem.h"
#include "base/str.h"
#include "qemu/agent-parts.h"
#include "qemu/qmp-call.h"
#include "qemu/qmp-json.h"

#include <string.h>

enum { MOST_RAW = 4 << 20 };

void agent_call_release(AgentCall *call)
{
        if (call->text)
                explicit_bzero(call->text, strlen(call->text)); /* it may hold a password */
        free(call->text);
        free(call->name);
        free(call);
}

/* Deadlines: one timer for the earliest. */

void agent_arm_deadline(AgentClient *agent)
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

void agent_call_answer(AgentCall *call, json_object *reply, const Error *failure)
{
        take_out(call);
        call->deliver(call->done, call->arg, call->command, reply, failure);
        agent_call_release(call);
}

/* The end of a call that got no answer. A quiet command that is out has done what it should. */
static void call_end(AgentCall *call, const Error *failure)
{
        AgentClient *agent = call->agent;
        bool is_out = agent->phase == PHASE_WAITING && agent->calls.items[0] == call;

        agent_call_answer(call, NULL, call->quiet && is_out ? NULL : failure);
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

void agent_on_deadline(void *arg)
{
        AgentClient *agent = arg;
        AgentCall *call;

        agent_enter(agent);
        while (!agent->freed && (call = find_overdue(agent)))
                call_overdue(call);
        if (!agent->freed) {
                agent_start_next(agent);
                agent_arm_deadline(agent);
        }
        agent_leave(agent);
}

void agent_fail_all(AgentClient *agent, const char *why)
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

        agent_enter(agent);
        agent->refusing = idle_free(agent->refusing);
        err_set(&closed, ERR_AGENT_UNRESPONSIVE, "the guest agent is not connected");
        for (size_t n = agent->calls.len; n > 0 && !agent->freed && (call = find_refused(agent)); n--)
                agent_call_answer(call, NULL, &closed);
        if (!agent->freed)
                agent_start_next(agent);
        agent_leave(agent);
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
        agent_start_next(agent);
        agent_arm_deadline(agent);
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
        agent_call_release(call);
        agent_start_next(agent);
        return NULL;
}

void agent_call_set_deadline(AgentCall *call, uint64_t ms)
{
        call->due_ms = ms ? loop_now_ms(call->agent->loop) + ms : 0;
        agent_arm_deadline(call->agent);
}
