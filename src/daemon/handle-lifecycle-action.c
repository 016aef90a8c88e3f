/*
 * daemon/handle-lifecycle-action.c - what follows a shutdown, a reboot or a crash, changed (DOM-14)
 */
#include "daemon/change.h"
#include "daemon/handlers.h"
#include "wire/constants.h"

static int edit_action(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        static const LifecycleAction actions[] = {
                [VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY] = LIFECYCLE_ACTION_DESTROY,
                [VIR_DOMAIN_LIFECYCLE_ACTION_RESTART] = LIFECYCLE_ACTION_RESTART,
                [VIR_DOMAIN_LIFECYCLE_ACTION_RESTART_RENAME] = LIFECYCLE_ACTION_RENAME_RESTART,
                [VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE] = LIFECYCLE_ACTION_PRESERVE,
        };
        static const CrashAction crash_actions[] = {
                [VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY] = CRASH_ACTION_DESTROY,
                [VIR_DOMAIN_LIFECYCLE_ACTION_RESTART] = CRASH_ACTION_RESTART,
                [VIR_DOMAIN_LIFECYCLE_ACTION_RESTART_RENAME] = CRASH_ACTION_RENAME_RESTART,
                [VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE] = CRASH_ACTION_PRESERVE,
                [VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_DESTROY] = CRASH_ACTION_COREDUMP_DESTROY,
                [VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_RESTART] = CRASH_ACTION_COREDUMP_RESTART,
        };
        const WireDomainSetLifecycleActionArgs *args = call_args(call);
        bool crash = args->type == VIR_DOMAIN_LIFECYCLE_CRASH;

        ret->kind = LIVE_LIFECYCLE;
        if (args->type > VIR_DOMAIN_LIFECYCLE_CRASH)
                return err_set(err, ERR_INVALID_ARG, "unknown lifecycle type %u", args->type);
        if (args->action >= (crash ? ARRAY_LEN(crash_actions) : ARRAY_LEN(actions)))
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "action %u is not supported for lifecycle type %u",
                               args->action, args->type);
        if (crash)
                def->on_crash = crash_actions[args->action];
        else if (args->type == VIR_DOMAIN_LIFECYCLE_REBOOT)
                def->on_reboot = actions[args->action];
        else
                def->on_poweroff = actions[args->action];
        return 0;
}

static const ChangeKind change_action = { .edit = edit_action };

int handle_domain_set_lifecycle_action(Call *call, const WireDomainSetLifecycleActionArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_action, err);
}
