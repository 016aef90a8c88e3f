/*
 * tests/fuzz/fuzz-agent.c - what a guest agent sends, as any bytes
 *
 * The first byte chooses what is asked; the agent's number is known, so the corpus can get past the
 * synchronisation. Every call must be answered exactly once.
 */
#include "fuzz.h"
#include "qemu/agent-commands.h"

#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CALLS = 9 };

static unsigned n_answers;

static void on_done(void *arg, const Error *failure UNUSED)
{
        (void)arg;
        n_answers++;
}

static void on_number(void *arg, int64_t n UNUSED, const Error *failure)
{
        on_done(arg, failure);
}

static void on_text(void *arg, const char *text UNUSED, const Error *failure)
{
        on_done(arg, failure);
}

static void on_vcpus(void *arg, const AgentVcpu *vcpus, size_t n, const Error *failure)
{
        AUTO(Arena) *arena = arena_new();
        AgentParam params[3];

        if (!failure)
                agent_vcpu_params(vcpus, n, arena, params, NULL);
        on_done(arg, failure);
}

static void on_trimmed(void *arg, const AgentTrimmed *trimmed UNUSED, const Error *failure)
{
        on_done(arg, failure);
}

static void on_keys(void *arg, const AgentAuthorizedKeys *keys UNUSED, const Error *failure)
{
        on_done(arg, failure);
}

static void on_params(void *arg, const AgentParam *params, size_t n, const Error *failure)
{
        if (n > AGENT_MOST_PARAMS)
                abort();
        for (size_t i = 0; i < n; i++) {
                if (!params[i].name)
                        abort();
        }
        on_done(arg, failure);
}

/* One call; what an inquiry needs to be freed comes back. */
static AgentInquiry *ask(AgentClient *agent, unsigned what)
{
        switch (what % MOST_CALLS) {
        case 0:
                agent_ping(agent, on_done, NULL);
                return NULL;
        case 1:
                agent_get_time(agent, on_number, NULL);
                return NULL;
        case 2:
                agent_fsfreeze_status(agent, on_text, NULL);
                return NULL;
        case 3:
                agent_get_vcpus(agent, on_vcpus, NULL);
                return NULL;
        case 4:
                agent_fstrim(agent, &(AgentGuestFstrim){ 0 }, on_trimmed, NULL);
                return NULL;
        case 5:
                agent_ssh_get_authorized_keys(agent, &(AgentGuestSshGetAuthorizedKeys){ .username = "u" }, on_keys,
                                              NULL);
                return NULL;
        case 6:
                agent_shutdown(agent, &(AgentGuestShutdown){ 0 }, on_done, NULL);
                return NULL;
        case 7:
                agent_raw(agent, "{\"execute\":\"x\"}", on_text, NULL, NULL);
                return NULL;
        default:
                return agent_inquiry_new(agent, NULL, 0, on_params, NULL);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(Loop) *loop = loop_new_fake(NULL);
        AUTO(AgentInquiry) *inquiry = NULL;
        AgentClient *agent;
        char sink[4096];
        int ends[2];

        if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return 0;
        n_answers = 0;
        agent = agent_client_new(loop, ends[0], &(AgentOptions){ .first_id = 1 }, NULL, NULL);
        inquiry = ask(agent, data[0]);
        for (size_t at = 1; at < size;) {
                ssize_t n = send(ends[1], data + at, size - at, MSG_NOSIGNAL);

                while (loop_turn(loop, 0, NULL) > 0)
                        ;
                while (recv(ends[1], sink, sizeof(sink), 0) > 0)
                        ;
                if (n <= 0)
                        break;
                at += (size_t)n;
        }
        close(ends[1]);
        while (loop_turn(loop, 0, NULL) > 0)
                ;
        if (n_answers != 1)
                abort();
        inquiry = agent_inquiry_free(inquiry);
        agent_client_free(agent);
        return 0;
}
