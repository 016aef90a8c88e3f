#pragma once
/*
 * qemu/agent-client.h - the connection to the agent in a guest, on the loop
 *
 * The agent is a program that the guest's owner controls: what it says is bounded, parsed strictly and
 * believed about the guest only. It cannot be told apart whether it left, came back or is slow, so before
 * each command it is synchronised: 0xFF ends what it may have read half, guest-sync-delimited with a fresh
 * number asks it to answer, again every second until the latest number comes back (GA-02 to GA-14). Only
 * then the command goes out; one is under way at a time, the others wait in order. Nothing here blocks,
 * and every call ends by its deadline.
 *
 * The typed commands are generated: qemu/agent.h.
 */
#include "base/fd.h"
#include "loop/loop.h"
#include "qemu/qmp-client.h"

typedef struct AgentClient AgentClient;
typedef struct AgentCall AgentCall;

enum {
        AGENT_DEADLINE_MS = 10 * 1000, /* for a call as a whole */
        AGENT_SYNC_MS = 5 * 1000,      /* for the agent to show that it is there */
        AGENT_RETRY_MS = 1000,
};

typedef struct AgentOptions {
        uint32_t first_id;  /* of the synchronisations; 0: at random */
        bool single_quotes; /* write them as older documents show them, byte for byte (CON-36) */
} AgentOptions;

/*
 * Takes fd, a stream socket connected to the chardev of the channel (qmp_client_connect() makes one). The
 * port counts as open until agent_client_set_port() says otherwise. closed (may be NULL) runs once when the
 * connection ends, after all calls have failed; the client may be freed in it. options NULL: defaults.
 */
AgentClient *agent_client_new(Loop *loop, Fd fd, const AgentOptions *options,
                              void (*closed)(void *arg, const Error *why), void *arg);
/* Calls that are pending are dropped: their done() will not come. Returns NULL. */
AgentClient *agent_client_free(AgentClient *agent);

/* The guest opened or closed its end of the channel (VSERPORT_CHANGE). Closing fails the calls. */
void agent_client_set_port(AgentClient *agent, bool open);
/* Can a command be sent now? Says nothing about whether anybody listens. */
bool agent_client_is_open(const AgentClient *agent);
/* How long later calls wait for the agent to show that it is there. */
void agent_client_set_sync_ms(AgentClient *agent, uint64_t ms);
/* How long later calls may take as a whole, instead of AGENT_DEADLINE_MS. 0: for ever, once the agent has answered. */
void agent_client_set_answer_ms(AgentClient *agent, uint64_t ms);
/* The guest shut down, rebooted or went to sleep: a quiet command under way has succeeded. */
void agent_client_guest_went(AgentClient *agent);

/*
 * Queue a command. deliver() runs once, on a later turn of the loop; agent_call_free() before that cancels.
 * args is the JSON text of the arguments object or NULL. Failures are ERR_AGENT_UNRESPONSIVE (the command
 * was not sent), ERR_AGENT_COMMAND_TIMEOUT (it was: its outcome is unknown), ERR_AGENT_COMMAND_FAILED or
 * ERR_OPERATION_UNSUPPORTED.
 */
AgentCall *agent_client_send(AgentClient *agent, const char *name, const char *args, const QmpCommand *command,
                             QmpDeliver *deliver, void (*done)(void), void *arg);
/* What the generated wrappers call; as qmp_send(), fd is not used. */
AgentCall *agent_send(AgentClient *agent, const QmpCommand *command, const void *args, const char *raw, int fd,
                      void (*done)(void), void *arg);
/* A command as a user wrote it; reply is the whole answer. NULL at once when text is not such a command. */
AgentCall *agent_raw(AgentClient *agent, const char *text,
                     void (*done)(void *arg, const char *reply, const Error *failure), void *arg, Error *err);
AgentCall *agent_call_free(AgentCall *call);
/* Another deadline than AGENT_DEADLINE_MS, from now. 0: none. */
void agent_call_set_deadline(AgentCall *call, uint64_t ms);

DEFINE_AUTO(AgentClient, agent_client_free)
