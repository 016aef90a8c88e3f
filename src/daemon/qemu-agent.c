/*
 * daemon/qemu-agent.c - the agent in a guest: connected while its channel is there
 *
 * QEMU tells when the guest opens and closes its end of the channel; nothing
 * else is known about the agent until it answers (GA-02, GA-03).
 */
#include "daemon/qemu-agent.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/qemu-act.h"
#include "wire/constants.h"

#define AGENT_CHANNEL "org.qemu.guest_agent.0"

static ChardevDef *find_channel(const DomainDef *def)
{
        for (uint32_t i = 0; def && i < def->n_channels; i++) {
                if (str_eq(def->channels[i]->target_name, AGENT_CHANNEL))
                        return def->channels[i];
        }
        return NULL;
}

static void tell(QemuRun *run, bool open, int reason)
{
        Domain *dom = run->dom;
        ChardevDef *channel = find_channel(dom->live);
        WireDomainEventCallbackAgentLifecycleMsg msg = {
                .dom = call_wire_domain(dom),
                .state = open ? VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
                              : VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED,
                .reason = reason,
        };

        if (channel)
                channel->target_state = open ? CHANNEL_STATE_CONNECTED : CHANNEL_STATE_DISCONNECTED;
        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, &dom->uuid, &msg);
}

static void set_port(QemuRun *run, bool open, int reason)
{
        if (run->agent_open == open)
                return;
        run->agent_open = open;
        if (run->agent)
                agent_client_set_port(run->agent, open);
        tell(run, open, reason);
}

/*
 * Whoever waited behind the calls that failed just now got a turn meanwhile and may have asked this connection, which
 * answers nobody any more: those calls fail, too.
 */
static void on_closed(void *arg, const Error *why UNUSED)
{
        QemuRun *run = arg;
        AUTO(AgentClient) *agent = TAKE(run->agent);
        ChardevDef *channel = find_channel(run->dom->live);

        run->agent_open = false;
        if (channel)
                channel->target_state = CHANNEL_STATE_DISCONNECTED;
        agent_client_set_port(agent, false);
}

static void on_chardevs(void *arg, const QmpChardev *chardevs, size_t n, const Error *failure)
{
        QemuRun *run = arg;

        for (size_t i = 0; !failure && run->agent_alias && i < n; i++) {
                if (str_starts(chardevs[i].label, "char") && str_eq(chardevs[i].label + 4, run->agent_alias))
                        set_port(run, chardevs[i].frontend_open,
                                 VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_DOMAIN_STARTED);
        }
}

/* A timeout that clients set shortens the wait for the agent to show itself, and bounds its answer. */
static void apply_timeout(QemuRun *run)
{
        uint64_t ms = run->agent_timeout_s > 0 ? (uint64_t)run->agent_timeout_s * 1000 : 1;

        switch (run->agent_timeout_s) {
        case VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT:
                agent_client_set_sync_ms(run->agent, AGENT_SYNC_MS);
                agent_client_set_answer_ms(run->agent, AGENT_DEADLINE_MS);
                return;
        case VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK:
                agent_client_set_sync_ms(run->agent, AGENT_SYNC_MS);
                agent_client_set_answer_ms(run->agent, 0);
                return;
        default:
                agent_client_set_sync_ms(run->agent, MIN(ms, (uint64_t)AGENT_SYNC_MS));
                agent_client_set_answer_ms(run->agent, ms);
                return;
        }
}

void qemu_agent_set_timeout(QemuRun *run, int seconds)
{
        run->agent_timeout_s = seconds;
        if (run->agent)
                apply_timeout(run);
}

static void on_dialled(void *arg, Fd fd, const Error *failure)
{
        QemuRun *run = arg;
        const ChardevDef *channel = find_channel(run->dom->live);

        run->agent_dial = path_dial_free(run->agent_dial);
        if (failure) {
                log_warning("the agent of guest '%s' cannot be reached: %s", run->dom->name, failure->text);
                return;
        }
        if (!channel) {
                fd_close(&fd);
                return;
        }
        run->agent = agent_client_new(run->qemu->env.loop, fd, NULL, on_closed, run);
        agent_client_set_port(run->agent, false);
        apply_timeout(run);
        str_replace(&run->agent_alias, channel->info.alias);
        qmp_query_chardev(guest_qmp(run->guest), on_chardevs, run);
}

void qemu_agent_start(QemuRun *run)
{
        const ChardevDef *channel = find_channel(run->dom->live);
        AUTO(Error) err = { 0 };

        if (!channel || run->agent || run->agent_dial)
                return;
        run->agent_dial = qemu_act_dial(run, channel, on_dialled, run, &err);
        if (!run->agent_dial)
                log_warning("the agent of guest '%s' cannot be reached: %s", run->dom->name, err.text);
}

void qemu_agent_stop(QemuRun *run)
{
        AUTO(AgentClient) *agent = TAKE(run->agent);

        run->agent_dial = path_dial_free(run->agent_dial);
        if (agent)
                agent_client_set_port(agent, false); /* fails what waits */
        free(TAKE(run->agent_alias));
}

void qemu_agent_on_event(QemuRun *run, const QmpEvent *event)
{
        switch (event->type) {
        case QMP_EVENT_VSERPORT_CHANGE:
                if (!run->agent && event->vserport_change.open)
                        qemu_agent_start(run); /* its channel may have been plugged in since the start */
                else if (run->agent && str_eq(event->vserport_change.id, run->agent_alias))
                        set_port(run, event->vserport_change.open,
                                 VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL);
                return;
        case QMP_EVENT_SHUTDOWN:
        case QMP_EVENT_RESET:
        case QMP_EVENT_SUSPEND:
        case QMP_EVENT_SUSPEND_DISK:
                if (run->agent)
                        agent_client_guest_went(run->agent);
                return;
        default:
                return;
        }
}

AgentClient *qemu_agent(const QemuRun *run, Error *err)
{
        if (!run->agent_alias)
                err_set(err, ERR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
        else if (!run->agent || !run->agent_open)
                err_set(err, ERR_AGENT_UNRESPONSIVE, "QEMU guest agent is not connected");
        else if (guest_state(run->guest) != GUEST_RUNNING)
                err_set(err, ERR_OPERATION_INVALID, "domain '%s' is not running, its agent cannot answer",
                        run->dom->name);
        else
                return run->agent;
        return NULL;
}

AgentClient *qemu_agent_of(const Call *call, const Domain *dom, Error *err)
{
        QemuRun *run = qemu_act_run(call, dom, err);

        return run ? qemu_agent(run, err) : NULL;
}

int qemu_agent_ask(Call *call, const WireDomain *wire, uint32_t flags, uint32_t known, CallRun *run, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, flags, known, err) < 0 || !(dom = call_find_domain(call, wire, err)))
                return -1;
        return call_run_job(call, dom, JOB_AGENT, run);
}
