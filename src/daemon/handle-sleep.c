/*
 * daemon/handle-sleep.c - guests put to sleep and woken
 *
 * Only the guest itself can go to sleep, so its agent is asked; the machine wakes it (DOM-15, CON-08).
 */
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/qemu-act.h"
#include "daemon/qemu-agent.h"
#include "wire/constants.h"

/* A sleep that the definition forbids is not asked for. */
static int check_enabled(const DomainDef *def, uint32_t target, Error *err)
{
        const PmDef *pm = &def->pm;

        if (pm->suspend_to_mem == SWITCH_OFF && target != VIR_NODE_SUSPEND_TARGET_DISK)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "S3 state is disabled for this domain");
        if (pm->suspend_to_disk == SWITCH_OFF && target != VIR_NODE_SUSPEND_TARGET_MEM)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "S4 state is disabled for this domain");
        return 0;
}

static void on_machine(void *arg, const QmpCurrentMachine *machine, const Error *failure)
{
        const WireDomainPmSuspendForDurationArgs *args = call_args(arg);
        AUTO(Error) err = { 0 };
        AgentClient *agent;

        if (!failure && !machine->wakeup_suspend_support)
                err_set(&err, ERR_OPERATION_UNSUPPORTED, "Domain does not have suspend support");
        agent = failure || err_is_set(&err) ? NULL : qemu_agent_of(arg, call_domain(arg), &err);
        if (!agent)
                call_fail(arg, failure ?: &err);
        else if (args->target == VIR_NODE_SUSPEND_TARGET_MEM)
                agent_suspend_ram(agent, call_done, arg);
        else if (args->target == VIR_NODE_SUSPEND_TARGET_DISK)
                agent_suspend_disk(agent, call_done, arg);
        else
                agent_suspend_hybrid(agent, call_done, arg);
}

static int suspend(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainPmSuspendForDurationArgs *args = arguments;
        QmpClient *qmp = qemu_act_monitor(call, dom, err);

        if (!qmp || !qemu_agent_of(call, dom, err) || check_enabled(dom->live, args->target, err) < 0)
                return -1;
        qmp_query_current_machine(qmp, on_machine, call);
        return 0;
}

int handle_domain_pm_suspend_for_duration(Call *call, const WireDomainPmSuspendForDurationArgs *args, Error *err)
{
        if (args->duration)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "Duration not supported. Use 0 for now");
        if (args->target > VIR_NODE_SUSPEND_TARGET_HYBRID)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "Unknown suspend target: %u", args->target);
        return qemu_agent_ask(call, &args->dom, args->flags, 0, suspend, err);
}

static int wake(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        QmpClient *qmp = qemu_act_monitor(call, dom, err);

        if (!qmp)
                return -1;
        if (dom->state != VIR_DOMAIN_PMSUSPENDED)
                return err_set(err, ERR_OPERATION_INVALID, "domain '%s' does not sleep", dom->name);
        qmp_system_wakeup(qmp, call_done, call);
        return 0;
}

int handle_domain_pm_wakeup(Call *call, const WireDomainPmWakeupArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_PAUSE, wake);
}
