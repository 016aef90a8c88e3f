/*
 * daemon/handle-qemu.c - the QEMU program: its monitor, as it is
 */
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/qemu-act.h"
#include "wire/constants.h"

/* --- commands --- */

static void on_text(void *arg, const char *text, const Error *failure)
{
        if (failure)
                call_fail(arg, failure);
        else
                call_reply(arg, &(WireQemuDomainMonitorCommandRet){ .result = text });
}

static int send_command(Call *call, Domain *dom, const char *text, uint32_t flags, int fd, Error *err)
{
        QmpClient *qmp = qemu_act_monitor(call, dom, err);

        if (!qmp)
                return -1;
        if (flags & VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
                qmp_human_monitor_command(qmp, &(QmpHumanMonitorCommand){ .command_line = text }, on_text, call);
        else if (!qmp_raw(qmp, text, fd, on_text, call, err))
                return -1;
        return 0;
}

static int monitor_command(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireQemuDomainMonitorCommandArgs *args = arguments;

        return send_command(call, dom, args->cmd, args->flags, -1, err);
}

int handle_qemu_domain_monitor_command(Call *call, const WireQemuDomainMonitorCommandArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, monitor_command);
}

/* The reply is the same struct under another name, and QEMU sends no descriptors. */
static int command_with_files(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireQemuDomainMonitorCommandWithFilesArgs *args = arguments;
        size_t n_fds;
        const Fd *fds = call_fds(call, &n_fds);

        return send_command(call, dom, args->cmd, args->flags, n_fds ? fds[0] : -1, err);
}

int handle_qemu_domain_monitor_command_with_files(Call *call, const WireQemuDomainMonitorCommandWithFilesArgs *args,
                                                  Error *err)
{
        Domain *dom;
        size_t n_fds;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        call_fds(call, &n_fds);
        if (n_fds > 1)
                return err_set(err, ERR_INVALID_ARG, "at most one descriptor can go with a monitor command");
        if (n_fds && args->flags & VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
                return err_set(err, ERR_INVALID_ARG, "a descriptor cannot go with a human monitor command");
        return call_run_job(call, dom, JOB_MODIFY, command_with_files);
}

/* --- events --- */

int handle_qemu_connect_domain_monitor_event_register(Call *call,
                                                      const WireQemuConnectDomainMonitorEventRegisterArgs *args,
                                                      Error *err)
{
        WireQemuConnectDomainMonitorEventRegisterRet ret;

        if (call_check_flags(call, args->flags,
                             VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX |
                                     VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE,
                             err) < 0 ||
            event_register_named(call_driver(call)->events, call_client(call), WIRE_CLASS_QEMU_MONITOR,
                                 args->dom ? &args->dom->uuid : NULL, args->event,
                                 args->flags & VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX,
                                 args->flags & VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE, &ret.callbackID,
                                 err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

int handle_qemu_connect_domain_monitor_event_deregister(Call *call,
                                                        const WireQemuConnectDomainMonitorEventDeregisterArgs *args,
                                                        Error *err)
{
        if (event_deregister(call_client(call), WIRE_CLASS_QEMU_MONITOR, args->callbackID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

void qemu_act_tell_monitor_event(const Domain *dom, const QmpEvent *event)
{
        WireQemuDomainMonitorEventMsg msg = { .dom = call_wire_domain(dom),
                                              .event = event->name,
                                              .seconds = event->seconds,
                                              .micros = (uint32_t)event->microseconds };

        if (!event_has_listeners(dom->driver->events, WIRE_CLASS_QEMU_MONITOR, -1))
                return;
        msg.details = event->data ? qmp_json_text(event->data) : NULL;
        event_emit_named(dom->driver->events, WIRE_CLASS_QEMU_MONITOR, event->name, &dom->uuid, &msg);
}
