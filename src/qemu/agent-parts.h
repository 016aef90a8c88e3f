#pragma once
/*
 * qemu/agent-parts.h - what the files that the guest agent's client is written in share, and nobody else sees
 */
#include "base/vec.h"
#include "qemu/agent-client.h"
#include "qemu/agent-reader.h"

#include <json-c/json.h>

typedef enum AgentPhase {
        PHASE_IDLE,
        PHASE_SYNCING, /* the agent has not answered the latest number yet */
        PHASE_WAITING, /* the command is out */
} AgentPhase;

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
        AgentPhase phase;
        uint64_t sync_ms, sync_due_ms, answer_ms;
        uint32_t next_id, latest_id;
        unsigned busy;
        bool single_quotes, connected, port_open, freed;
};

/* Around whatever may call an owner, who may free the client: its memory stays until the outermost has left. */
void agent_enter(AgentClient *agent);
/* False: the owner freed it meanwhile; it is gone now, or will be further out. */
bool agent_leave(AgentClient *agent);
/* Asks for the first call that waits, when none is under way and the agent can be reached. */
void agent_start_next(AgentClient *agent);

/* In agent-call.c: the calls that wait, one of them under way. */
void agent_call_release(AgentCall *call);
/* With its answer, or with why there is none; it is gone then. */
void agent_call_answer(AgentCall *call, json_object *reply, const Error *failure);
/* All calls there are now; those that a done() makes meanwhile wait for their turn. */
void agent_fail_all(AgentClient *agent, const char *why);
/* One timer for the earliest of their deadlines; on_deadline is what it calls. arg: the client. */
void agent_arm_deadline(AgentClient *agent);
void agent_on_deadline(void *arg);
