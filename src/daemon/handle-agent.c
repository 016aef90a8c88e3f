/*
 * daemon/handle-agent.c - what the agent in a guest is asked (GA-12)
 *
 * Each call holds the guest's slot as an agent command, which goes along with
 * most other jobs, and ends by the agent client's deadlines.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/params.h"
#include "daemon/qemu-act.h"
#include "daemon/qemu-agent.h"
#include "qemu/agent-commands.h"
#include "wire/constants.h"

enum { NS_PER_S = 1000000000 };

static AgentClient *agent_of(const Call *call, const Domain *dom, Error *err)
{
        QemuRun *run = qemu_act_run(call, dom, err);

        return run ? qemu_agent(run, err) : NULL;
}

static int ask(Call *call, const WireDomain *wire, uint32_t flags, uint32_t known, CallRun *run, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, flags, known, err) < 0 || !(dom = call_find_domain(call, wire, err)))
                return -1;
        return call_run_job(call, dom, JOB_AGENT, run);
}

/* --- time and name --- */

static void on_time(void *arg, int64_t ns, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                call_reply(arg,
                           &(WireDomainGetTimeRet){ .seconds = ns / NS_PER_S,
                                                    .nseconds = (uint32_t)((ns % NS_PER_S + NS_PER_S) % NS_PER_S) });
}

static int get_time(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = agent_of(call, dom, err);

        return agent ? (agent_get_time(agent, on_time, call), 0) : -1;
}

int handle_domain_get_time(Call *call, const WireDomainGetTimeArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, 0, get_time, err);
}

static int set_time(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSetTimeArgs *args = arguments;
        AgentClient *agent = agent_of(call, dom, err);
        AgentGuestSetTime set = { .has_time = !(args->flags & VIR_DOMAIN_TIME_SYNC) };

        if (!agent)
                return -1;
        if (args->nseconds >= NS_PER_S || args->seconds < 0 || args->seconds >= INT64_MAX / NS_PER_S)
                return err_set(err, ERR_OVERFLOW, "Time '%lld' is too big for guest agent", (long long)args->seconds);
        set.time = args->seconds * NS_PER_S + args->nseconds;
        agent_set_time(agent, &set, call_done, call);
        return 0;
}

int handle_domain_set_time(Call *call, const WireDomainSetTimeArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, VIR_DOMAIN_TIME_SYNC, set_time, err);
}

static void on_hostname(void *arg, const AgentHostName *name, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                call_reply(arg, &(WireDomainGetHostnameRet){ .hostname = name->host_name });
}

static int get_hostname(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = agent_of(call, dom, err);

        return agent ? (agent_get_host_name(agent, on_hostname, call), 0) : -1;
}

int handle_domain_get_hostname(Call *call, const WireDomainGetHostnameArgs *args, Error *err)
{
        if (args->flags == VIR_DOMAIN_GET_HOSTNAME_LEASE)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "no lease of this guest is known; ask its agent");
        return ask(call, &args->dom, args->flags, VIR_DOMAIN_GET_HOSTNAME_AGENT, get_hostname, err);
}

/* --- file systems --- */

static void on_frozen(void *arg, int64_t n, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                call_reply(arg, &(WireDomainFsfreezeRet){ .filesystems = (int32_t)n });
}

static int freeze(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainFsfreezeArgs *args = arguments;
        AgentClient *agent = agent_of(call, dom, err);

        return agent ? (agent_freeze(agent, args->mountpoints, args->n_mountpoints, on_frozen, call), 0) : -1;
}

int handle_domain_fsfreeze(Call *call, const WireDomainFsfreezeArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, 0, freeze, err);
}

static void on_thawed(void *arg, int64_t n, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                call_reply(arg, &(WireDomainFsthawRet){ .filesystems = (int32_t)n });
}

static int thaw(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = agent_of(call, dom, err);

        return agent ? (agent_fsfreeze_thaw(agent, on_thawed, call), 0) : -1;
}

int handle_domain_fsthaw(Call *call, const WireDomainFsthawArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, 0, thaw, err);
}

static void on_trimmed(void *arg, const AgentTrimmed *trimmed UNUSED, const Error *failure)
{
        call_done(arg, failure);
}

static int trim(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainFstrimArgs *args = arguments;
        AgentClient *agent = agent_of(call, dom, err);

        if (!agent)
                return -1;
        if (args->mountPoint)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "Specifying mount point is not supported for now");
        agent_fstrim(agent, &(AgentGuestFstrim){ .has_minimum = true, .minimum = args->minimum }, on_trimmed, call);
        return 0;
}

int handle_domain_fstrim(Call *call, const WireDomainFstrimArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, 0, trim, err);
}

/* --- lists of parameters --- */

static void put_params(const AgentParam *params, size_t n, Params *ret)
{
        for (size_t i = 0; i < n; i++) {
                const AgentParam *p = &params[i];

                switch (p->type) {
                case AGENT_PARAM_TEXT:
                        params_put_string(ret, p->name, p->text);
                        break;
                case AGENT_PARAM_INT:
                        params_put_int(ret, p->name, (int32_t)p->number);
                        break;
                case AGENT_PARAM_UINT:
                        params_put_uint(ret, p->name, (uint32_t)p->number);
                        break;
                case AGENT_PARAM_U64:
                        params_put_ullong(ret, p->name, (uint64_t)p->number);
                        break;
                case AGENT_PARAM_BOOL:
                        params_put_bool(ret, p->name, p->number != 0);
                        break;
                }
        }
}

static void on_vcpus(void *arg, const AgentVcpu *vcpus, size_t n, const Error *failure)
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
        put_params(list, ARRAY_LEN(list), &params);
        call_reply(arg, &(WireDomainGetGuestVcpusRet){ .n_params = (uint32_t)params.list.len,
                                                       .params = params.list.items });
}

static int get_vcpus(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = agent_of(call, dom, err);

        return agent ? (agent_get_vcpus(agent, on_vcpus, call), 0) : -1;
}

int handle_domain_get_guest_vcpus(Call *call, const WireDomainGetGuestVcpusArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, 0, get_vcpus, err);
}

static void on_inquired(void *arg, const AgentParam *list, size_t n, const Error *failure)
{
        AUTO(Params) params = { 0 };

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        put_params(list, n, &params);
        call_reply(arg, &(WireDomainGetGuestInfoRet){ .n_params = (uint32_t)params.list.len,
                                                      .params = params.list.items });
}

static void drop_inquiry(void *inquiry)
{
        agent_inquiry_free(inquiry);
}

static int inquire(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainGetGuestInfoArgs *args = arguments;
        AgentClient *agent = agent_of(call, dom, err);

        if (!agent)
                return -1;
        if (args->types & ~(uint32_t)AGENT_INFO_ALL)
                return err_set(err, ERR_INVALID_ARG, "unsupported guest information types '0x%x'",
                               args->types & ~(uint32_t)AGENT_INFO_ALL);
        call_keep(call, agent_inquiry_new(agent, args->types, on_inquired, call), drop_inquiry);
        return 0;
}

int handle_domain_get_guest_info(Call *call, const WireDomainGetGuestInfoArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, 0, inquire, err);
}

/* --- users --- */

static int set_password(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSetUserPasswordArgs *args = arguments;
        AgentClient *agent = agent_of(call, dom, err);

        if (!agent)
                return -1;
        if (!args->user || !args->password)
                return err_set(err, ERR_INVALID_ARG, "a user and a password have to be given");
        agent_set_password(agent, args->user, args->password, args->flags & VIR_DOMAIN_PASSWORD_ENCRYPTED, call_done,
                           call);
        return 0;
}

int handle_domain_set_user_password(Call *call, const WireDomainSetUserPasswordArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, VIR_DOMAIN_PASSWORD_ENCRYPTED, set_password, err);
}

/* --- addresses --- */

static void on_interfaces(void *arg, const AgentInterface *list, size_t n, const Error *failure)
{
        Arena *arena = call_arena(arg);
        WireDomainInterfaceAddressesRet ret = { .n_ifaces = (uint32_t)MIN(n, (size_t)2048) };

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        ret.ifaces = arena_new_array(arena, WireDomainInterface, ret.n_ifaces);
        for (uint32_t i = 0; i < ret.n_ifaces; i++) {
                WireDomainInterface *iface = &ret.ifaces[i];

                iface->name = list[i].name;
                iface->hwaddr = list[i].hardware_address;
                iface->n_addrs = (uint32_t)MIN(list[i].n_ip_addresses, (size_t)2048);
                iface->addrs = arena_new_array(arena, WireDomainIpAddr, iface->n_addrs);
                for (uint32_t a = 0; a < iface->n_addrs; a++) {
                        const AgentIpAddress *from = &list[i].ip_addresses[a];

                        iface->addrs[a] = (WireDomainIpAddr){ .type = str_eq(from->ip_address_type, "ipv6"),
                                                              .addr = from->ip_address,
                                                              .prefix = (uint32_t)from->prefix };
                }
        }
        call_reply(arg, &ret);
}

static int get_addresses(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = agent_of(call, dom, err);

        return agent ? (agent_network_get_interfaces(agent, on_interfaces, call), 0) : -1;
}

int handle_domain_interface_addresses(Call *call, const WireDomainInterfaceAddressesArgs *args, Error *err)
{
        Domain *dom;

        switch (args->source) {
        case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT:
                return ask(call, &args->dom, args->flags, 0, get_addresses, err);
        case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE:
                /* leases are those of our networks, and no interface is on one */
                if (call_check_flags(call, args->flags, 0, err) < 0 ||
                    !(dom = call_find_domain(call, &args->dom, err)) || domain_must_be_active(dom, err) < 0)
                        return -1;
                call_reply(call, &(WireDomainInterfaceAddressesRet){ 0 });
                return 0;
        default:
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "Unsupported IP address data source %u", args->source);
        }
}

/* --- as it is --- */

static void on_reply(void *arg, const char *reply, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                call_reply(arg, &(WireQemuDomainAgentCommandRet){ .result = reply });
}

static int agent_command(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireQemuDomainAgentCommandArgs *args = arguments;
        AgentClient *agent = agent_of(call, dom, err);
        AgentCall *sent;

        if (!agent)
                return -1;
        if (args->timeout < VIR_DOMAIN_QEMU_AGENT_COMMAND_MIN)
                return err_set(err, ERR_INVALID_ARG, "guest agent timeout '%d' is less than the minimum '%d'",
                               args->timeout, VIR_DOMAIN_QEMU_AGENT_COMMAND_MIN);
        sent = agent_raw(agent, args->cmd, on_reply, call, err);
        if (!sent)
                return -1;
        if (args->timeout == VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK)
                agent_call_set_deadline(sent, 0);
        else if (args->timeout > 0)
                agent_call_set_deadline(sent, (uint64_t)args->timeout * 1000);
        return 0;
}

int handle_qemu_domain_agent_command(Call *call, const WireQemuDomainAgentCommandArgs *args, Error *err)
{
        return ask(call, &args->dom, args->flags, 0, agent_command, err);
}
