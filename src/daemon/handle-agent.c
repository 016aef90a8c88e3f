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

enum { NS_PER_S = 1000000000, MOST_KEYS = 2048 };

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
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_get_time(agent, on_time, call), 0) : -1;
}

int handle_domain_get_time(Call *call, const WireDomainGetTimeArgs *args, Error *err)
{
        return qemu_agent_ask(call, &args->dom, args->flags, 0, get_time, err);
}

static int set_time(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSetTimeArgs *args = arguments;
        AgentClient *agent = qemu_agent_of(call, dom, err);
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
        return qemu_agent_ask(call, &args->dom, args->flags, VIR_DOMAIN_TIME_SYNC, set_time, err);
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
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_get_host_name(agent, on_hostname, call), 0) : -1;
}

int handle_domain_get_hostname(Call *call, const WireDomainGetHostnameArgs *args, Error *err)
{
        if (args->flags == VIR_DOMAIN_GET_HOSTNAME_LEASE)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "no lease of this guest is known; ask its agent");
        return qemu_agent_ask(call, &args->dom, args->flags, VIR_DOMAIN_GET_HOSTNAME_AGENT, get_hostname, err);
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
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_freeze(agent, args->mountpoints, args->n_mountpoints, on_frozen, call), 0) : -1;
}

int handle_domain_fsfreeze(Call *call, const WireDomainFsfreezeArgs *args, Error *err)
{
        return qemu_agent_ask(call, &args->dom, args->flags, 0, freeze, err);
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
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_fsfreeze_thaw(agent, on_thawed, call), 0) : -1;
}

/* The agent thaws all or none: who names some would believe that the others stay frozen. */
int handle_domain_fsthaw(Call *call, const WireDomainFsthawArgs *args, Error *err)
{
        if (args->n_mountpoints)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED,
                               "specifying mountpoints is not supported: all file systems are thawed at once");
        return qemu_agent_ask(call, &args->dom, args->flags, 0, thaw, err);
}

static void on_trimmed(void *arg, const AgentTrimmed *trimmed UNUSED, const Error *failure)
{
        call_done(arg, failure);
}

static int trim(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainFstrimArgs *args = arguments;
        AgentClient *agent = qemu_agent_of(call, dom, err);

        if (!agent)
                return -1;
        if (args->mountPoint)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "Specifying mount point is not supported for now");
        agent_fstrim(agent, &(AgentGuestFstrim){ .has_minimum = true, .minimum = args->minimum }, on_trimmed, call);
        return 0;
}

int handle_domain_fstrim(Call *call, const WireDomainFstrimArgs *args, Error *err)
{
        return qemu_agent_ask(call, &args->dom, args->flags, 0, trim, err);
}

/* --- users --- */

static int set_password(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSetUserPasswordArgs *args = arguments;
        AgentClient *agent = qemu_agent_of(call, dom, err);

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
        return qemu_agent_ask(call, &args->dom, args->flags, VIR_DOMAIN_PASSWORD_ENCRYPTED, set_password, err);
}

static void on_keys(void *arg, const AgentAuthorizedKeys *keys, const Error *failure)
{
        WireDomainAuthorizedSshKeysGetRet ret;

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        ret.n_keys = (uint32_t)MIN(keys->n_keys, (size_t)MOST_KEYS);
        ret.keys = arena_new_array(call_arena(arg), const char *, ret.n_keys);
        for (uint32_t i = 0; i < ret.n_keys; i++)
                ret.keys[i] = keys->keys[i];
        call_reply(arg, &ret);
}

static int get_keys(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainAuthorizedSshKeysGetArgs *args = arguments;
        AgentClient *agent = qemu_agent_of(call, dom, err);

        if (!agent)
                return -1;
        agent_ssh_get_authorized_keys(agent, &(AgentGuestSshGetAuthorizedKeys){ .username = args->user }, on_keys,
                                      call);
        return 0;
}

int handle_domain_authorized_ssh_keys_get(Call *call, const WireDomainAuthorizedSshKeysGetArgs *args, Error *err)
{
        return qemu_agent_ask(call, &args->dom, args->flags, 0, get_keys, err);
}

static int set_keys(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainAuthorizedSshKeysSetArgs *args = arguments;
        bool remove = args->flags & VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE;
        AgentClient *agent = qemu_agent_of(call, dom, err);

        if (!agent)
                return -1;
        if (remove)
                agent_ssh_remove_authorized_keys(agent,
                                                 &(AgentGuestSshRemoveAuthorizedKeys){ .username = args->user,
                                                                                       .keys = args->keys,
                                                                                       .n_keys = args->n_keys },
                                                 call_done, call);
        else
                agent_ssh_add_authorized_keys(
                        agent,
                        &(AgentGuestSshAddAuthorizedKeys){
                                .username = args->user,
                                .keys = args->keys,
                                .n_keys = args->n_keys,
                                .has_reset = true,
                                .reset = !(args->flags & VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND) },
                        call_done, call);
        return 0;
}

int handle_domain_authorized_ssh_keys_set(Call *call, const WireDomainAuthorizedSshKeysSetArgs *args, Error *err)
{
        const uint32_t known = VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND | VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE;

        if ((args->flags & known) == known)
                return err_set(err, ERR_INVALID_ARG, "keys are appended or removed, not both");
        if (!args->n_keys && args->flags & known)
                return err_set(err, ERR_INVALID_ARG, "no keys are given to append or to remove");
        return qemu_agent_ask(call, &args->dom, args->flags, known, set_keys, err);
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
        AgentClient *agent = qemu_agent_of(call, dom, err);
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
        return qemu_agent_ask(call, &args->dom, args->flags, 0, agent_command, err);
}

/* --- how long it is waited for --- */

static int set_timeout(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainAgentSetResponseTimeoutArgs *args = arguments;
        QemuRun *run = qemu_act_run(call, dom, err);

        if (!run)
                return -1;
        qemu_agent_set_timeout(run, args->timeout);
        qemu_status_save(dom);
        call_reply(call, &(WireDomainAgentSetResponseTimeoutRet){ 0 });
        return 0;
}

int handle_domain_agent_set_response_timeout(Call *call, const WireDomainAgentSetResponseTimeoutArgs *args,
                                             Error *err)
{
        if (args->timeout < VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK)
                return err_set(err, ERR_INVALID_ARG, "guest agent timeout '%d' is less than the minimum '%d'",
                               args->timeout, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK);
        return qemu_agent_ask(call, &args->dom, args->flags, 0, set_timeout, err);
}
