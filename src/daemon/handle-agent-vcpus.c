/*
 * daemon/handle-agent-vcpus.c - processors as the guest sees them, switched on and off by its agent
 *
 * The agent tells which there are; what must change is worked out here. It may do a part of what it was asked and
 * say how much, so the rest is asked for again.
 */
#include "base/bitmap.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/agent-vcpus.h"
#include "daemon/handlers.h"
#include "daemon/params.h"
#include "daemon/qemu-agent.h"
#include "qemu/agent-commands.h"
#include "wire/constants.h"

typedef struct Switching {
        Call *call;
        Bitmap wanted; /* which; empty: `count` of them */
        unsigned count;
        bool online;
        AgentVcpu *plan; /* what the agent is to change */
        size_t n, done;
} Switching;

static void switching_free(void *state)
{
        Switching *s = state;

        free(s->plan);
        free(s);
}

static void ask_rest(Switching *s);

static void on_switched(void *arg, int64_t n, const Error *failure)
{
        Switching *s = arg;
        AUTO(Error) err = { 0 };

        if (failure) {
                call_fail(s->call, failure);
                return;
        }
        if (n <= 0 || (uint64_t)n > s->n - s->done) {
                err_set(&err, ERR_AGENT_COMMAND_FAILED, "the guest agent did not switch processor %lld",
                        (long long)s->plan[s->done].logical_id);
                call_fail(s->call, &err);
                return;
        }
        s->done += (size_t)n;
        ask_rest(s);
}

static void ask_rest(Switching *s)
{
        AUTO(Error) err = { 0 };
        AgentClient *agent;

        if (s->done == s->n) {
                call_reply(s->call, NULL);
                return;
        }
        agent = qemu_agent_of(s->call, call_domain(s->call), &err);
        if (agent)
                agent_set_vcpus(agent, &(AgentGuestSetVcpus){ .vcpus = s->plan + s->done, .n_vcpus = s->n - s->done },
                                on_switched, s);
        else
                call_fail(s->call, &err);
}

static void on_vcpus(void *arg, const AgentVcpu *vcpus, size_t n, const Error *failure)
{
        Switching *s = arg;
        AUTO(Error) err = { 0 };
        int rc;

        if (failure) {
                call_fail(s->call, failure);
                return;
        }
        rc = s->count ? agent_vcpu_count(vcpus, n, s->count, &s->plan, &s->n, &err)
                      : agent_vcpu_switch(vcpus, n, &s->wanted, s->online, &s->plan, &s->n, &err);
        if (rc < 0)
                call_fail(s->call, &err);
        else
                ask_rest(s);
}

static int switch_vcpus(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_get_vcpus(agent, on_vcpus, call_kept(call)), 0) : -1;
}

static Switching *switching_new(Call *call)
{
        Switching *s = mem_new(Switching);

        *s = (Switching){ .call = call };
        call_keep(call, s, switching_free);
        return s;
}

int handle_domain_set_guest_vcpus(Call *call, const WireDomainSetGuestVcpusArgs *args, Error *err)
{
        Switching *s = switching_new(call);
        AUTO(Error) why = { 0 };

        if (bitmap_parse(args->cpumap, &s->wanted, &why) < 0 || bitmap_is_empty(&s->wanted))
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a list of processors%s%s", args->cpumap,
                               err_is_set(&why) ? ": " : "", why.text ?: "");
        if (args->state != 0 && args->state != 1)
                return err_set(err, ERR_INVALID_ARG, "unsupported state value %d, it is 0 or 1", args->state);
        s->online = args->state;
        return qemu_agent_ask(call, &args->dom, args->flags, 0, switch_vcpus, err);
}

int agent_vcpus_set(Call *call, const WireDomain *dom, unsigned count, Error *err)
{
        if (!count)
                return err_set(err, ERR_INVALID_ARG, "a guest needs at least one processor");
        switching_new(call)->count = count;
        return qemu_agent_ask(call, dom, 0, 0, switch_vcpus, err);
}

static void on_counted(void *arg, const AgentVcpu *vcpus, size_t n, const Error *failure)
{
        const WireDomainGetVcpusFlagsArgs *args = call_args(arg);
        WireDomainGetVcpusFlagsRet ret = { 0 };

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        for (size_t i = 0; i < n; i++)
                ret.num += args->flags & VIR_DOMAIN_VCPU_MAXIMUM || vcpus[i].online;
        call_reply(arg, &ret);
}

static int count_vcpus(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_get_vcpus(agent, on_counted, call), 0) : -1;
}

int agent_vcpus_count(Call *call, const WireDomain *dom, Error *err)
{
        return qemu_agent_ask(call, dom, 0, 0, count_vcpus, err);
}

/* --- listed --- */

static void on_listed(void *arg, const AgentVcpu *vcpus, size_t n, const Error *failure)
{
        AUTO(Params) params = { 0 };
        AUTO(Error) err = { 0 };
        AgentParam list[3];

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        if (agent_vcpu_params(vcpus, n, call_arena(arg), list, &err) < 0) {
                call_fail(arg, &err);
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(list); i++)
                params_put_string(&params, list[i].name, list[i].text);
        call_reply(arg, &(WireDomainGetGuestVcpusRet){ .n_params = (uint32_t)params.list.len,
                                                       .params = params.list.items });
}

static int list_vcpus(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_get_vcpus(agent, on_listed, call), 0) : -1;
}

int handle_domain_get_guest_vcpus(Call *call, const WireDomainGetGuestVcpusArgs *args, Error *err)
{
        return qemu_agent_ask(call, &args->dom, args->flags, 0, list_vcpus, err);
}
