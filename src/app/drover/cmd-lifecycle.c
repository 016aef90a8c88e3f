/*
 * app/drover/cmd-lifecycle.c - make guests, start and stop them
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/console.h"

#include "base/str.h"

/* A guest, one call that takes it and nothing else, a sentence either way. */
typedef struct SimpleCall {
        uint32_t proc;
        const char *done, *failed; /* each with one %s for the name */
} SimpleCall;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int call_simple(Session *s, const Args *args, const SimpleCall *call, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, call->proc, &dom, NULL, err) < 0)
                return fail(err, call->failed, dom.name);
        out_done(s->out, call->done, dom.name);
        return 0;
}
#pragma GCC diagnostic pop

static int suspend(Session *s, const Args *args, Error *err)
{
        return call_simple(
                s, args,
                &(SimpleCall){ WIRE_PROC_DOMAIN_SUSPEND, "Domain '%s' suspended", "Failed to suspend domain '%s'" },
                err);
}

static int resume(Session *s, const Args *args, Error *err)
{
        return call_simple(
                s, args,
                &(SimpleCall){ WIRE_PROC_DOMAIN_RESUME, "Domain '%s' resumed", "Failed to resume domain '%s'" }, err);
}

static int reset(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_RESET, &(WireDomainResetArgs){ dom, 0 }, NULL, err) < 0)
                return fail(err, "Failed to reset domain '%s'", dom.name);
        out_done(s->out, "Domain '%s' was reset", dom.name);
        return 0;
}

/* --mode acpi,agent,...: how a guest is asked to stop or reboot. The bits are the same for both calls, virsh's commas are not. */
static int mode_flags(const Args *args, const char *comma, uint32_t *ret, Error *err)
{
        static const char *const modes[] = { "acpi", "agent", "initctl", "signal", "paravirt" };
        AUTO_STRLIST words = str_split(arg_text(args, "mode") ?: "", ",");

        *ret = 0;
        for (char **word = words; *word; word++) {
                size_t i = 0;

                while (i < ARRAY_LEN(modes) && !str_eq(modes[i], *word))
                        i++;
                if (i == ARRAY_LEN(modes))
                        return err_set(err, ERR_INVALID_ARG,
                                       "Unknown mode %s value, expecting 'acpi', 'agent', 'initctl', 'signal'%s or "
                                       "'paravirt'",
                                       *word, comma);
                *ret |= 1U << i;
        }
        return 0;
}

static int shutdown_guest(Session *s, const Args *args, Error *err)
{
        WireDomain dom;
        uint32_t flags;

        if (mode_flags(args, ",", &flags, err) < 0 || find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_SHUTDOWN_FLAGS, &(WireDomainShutdownFlagsArgs){ dom, flags }, NULL,
                         err) < 0)
                return fail(err, "Failed to shutdown domain '%s'", dom.name);
        out_done(s->out, "Domain '%s' is being shutdown", dom.name);
        return 0;
}

static int reboot_guest(Session *s, const Args *args, Error *err)
{
        WireDomain dom;
        uint32_t flags;

        if (mode_flags(args, "", &flags, err) < 0 || find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_REBOOT, &(WireDomainRebootArgs){ dom, flags }, NULL, err) < 0)
                return fail(err, "Failed to reboot domain '%s'", dom.name);
        out_done(s->out, "Domain '%s' is being rebooted", dom.name);
        return 0;
}

static int destroy(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = {
                { "graceful", VIR_DOMAIN_DESTROY_GRACEFUL },
                { "remove-logs", VIR_DOMAIN_DESTROY_REMOVE_LOGS },
                { 0 },
        };
        uint32_t flags = switch_flags(args, switches);
        WireDomain dom;
        int result;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (flags)
                result = session_call(s, WIRE_PROC_DOMAIN_DESTROY_FLAGS, &(WireDomainDestroyFlagsArgs){ dom, flags },
                                      NULL, err);
        else
                result = session_call(s, WIRE_PROC_DOMAIN_DESTROY, &(WireDomainDestroyArgs){ dom }, NULL, err);
        if (result < 0)
                return fail(err, "Failed to destroy domain '%s'", dom.name);
        out_done(s->out, "Domain '%s' destroyed", dom.name);
        return 0;
}

static const SwitchFlag start_switches[] = {
        { "paused", VIR_DOMAIN_START_PAUSED },
        { "autodestroy", VIR_DOMAIN_START_AUTODESTROY },
        { "reset-nvram", VIR_DOMAIN_START_RESET_NVRAM },
        { 0 },
};

static int start(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag more[] = {
                { "bypass-cache", VIR_DOMAIN_START_BYPASS_CACHE },
                { "force-boot", VIR_DOMAIN_START_FORCE_BOOT },
                { 0 },
        };
        uint32_t flags = switch_flags(args, start_switches) | switch_flags(args, more);
        WireDomainCreateWithFlagsRet started;
        WireDomain dom;
        int result;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (dom.id >= 0)
                return err_set(err, ERR_OPERATION_INVALID, "Domain is already active");
        if (flags)
                result = session_call(s, WIRE_PROC_DOMAIN_CREATE_WITH_FLAGS,
                                      &(WireDomainCreateWithFlagsArgs){ dom, flags }, &started, err);
        else
                result = session_call(s, WIRE_PROC_DOMAIN_CREATE, &(WireDomainCreateArgs){ dom }, NULL, err);
        if (result < 0)
                return fail(err, "Failed to start domain '%s'", dom.name);
        out_done(s->out, "Domain '%s' started", dom.name);
        return arg_has(args, "console") ? console_run(s, &dom, NULL, 0, err) : 0;
}

static int create(Session *s, const Args *args, Error *err)
{
        const char *path = arg_text(args, "file");
        AUTOFREE char *xml = read_text_file(path, err);
        WireDomainCreateXmlArgs call = { .xml_desc = xml, .flags = switch_flags(args, start_switches) };
        WireDomainCreateXmlRet created;

        if (!xml)
                return -1;
        if (arg_has(args, "validate"))
                call.flags |= VIR_DOMAIN_START_VALIDATE;
        if (session_call(s, WIRE_PROC_DOMAIN_CREATE_XML, &call, &created, err) < 0)
                return fail(err, "Failed to create domain from %s", path);
        out_done(s->out, "Domain '%s' created from %s", created.dom.name, path);
        return arg_has(args, "console") ? console_run(s, &created.dom, NULL, 0, err) : 0;
}

static int define(Session *s, const Args *args, Error *err)
{
        const char *path = arg_text(args, "file");
        AUTOFREE char *xml = read_text_file(path, err);
        WireDomainDefineXmlFlagsRet defined; /* both calls answer alike */
        int result;

        if (!xml)
                return -1;
        if (arg_has(args, "validate"))
                result = session_call(s, WIRE_PROC_DOMAIN_DEFINE_XML_FLAGS,
                                      &(WireDomainDefineXmlFlagsArgs){ xml, VIR_DOMAIN_DEFINE_VALIDATE }, &defined,
                                      err);
        else
                result = session_call(s, WIRE_PROC_DOMAIN_DEFINE_XML, &(WireDomainDefineXmlArgs){ xml }, &defined,
                                      err);
        if (result < 0)
                return fail(err, "Failed to define domain from %s", path);
        out_done(s->out, "Domain '%s' defined from %s", defined.dom.name, path);
        return 0;
}

static int autostart(Session *s, const Args *args, Error *err)
{
        bool on = !arg_has(args, "disable");
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_SET_AUTOSTART, &(WireDomainSetAutostartArgs){ dom, on }, NULL, err) < 0)
                return fail(err, "Failed to %smark domain '%s' as autostarted", on ? "" : "un", dom.name);
        out_done(s->out, "Domain '%s' %smarked as autostarted", dom.name, on ? "" : "un");
        return 0;
}

static int domrename(Session *s, const Args *args, Error *err)
{
        WireDomainRenameRet ret;
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_RENAME, &(WireDomainRenameArgs){ dom, arg_text(args, "new-name"), 0 },
                         &ret, err) < 0)
                return -1;
        out_done(s->out, "Domain successfully renamed");
        return 0;
}

static int dompmsuspend(Session *s, const Args *args, Error *err)
{
        static const char *const targets[] = { "mem", "disk", "hybrid" };
        const char *target = arg_text(args, "target");
        WireDomainPmSuspendForDurationArgs call = { 0 };

        if (find_domain(s, args, &call.dom, err) < 0 || arg_u64(args, "duration", &call.duration, err) < 0)
                return -1;
        while (call.target < ARRAY_LEN(targets) && !str_eq(targets[call.target], target))
                call.target++;
        if (call.target == ARRAY_LEN(targets))
                return err_set(err, ERR_INVALID_ARG, "Invalid target");
        if (session_call(s, WIRE_PROC_DOMAIN_PM_SUSPEND_FOR_DURATION, &call, NULL, err) < 0)
                return fail(err, "Domain '%s' could not be suspended", call.dom.name);
        out_done(s->out, "Domain '%s' successfully suspended", call.dom.name);
        return 0;
}

static int dompmwakeup(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_PM_WAKEUP, &(WireDomainPmWakeupArgs){ dom, 0 }, NULL, err) < 0)
                return fail(err, "Domain '%s' could not be woken up", dom.name);
        out_done(s->out, "Domain '%s' successfully woken up", dom.name);
        return 0;
}

static int find_word(const char *const *words, size_t n, const char *word, uint32_t *ret)
{
        for (*ret = 0; *ret < n; ++*ret)
                if (str_eq(words[*ret], word))
                        return 0;
        return -1;
}

static int set_lifecycle_action(Session *s, const Args *args, Error *err)
{
        static const char *const types[] = { "poweroff", "reboot", "crash" };
        static const char *const actions[] = { "destroy",  "restart",          "rename-restart",
                                               "preserve", "coredump-destroy", "coredump-restart" };
        WireDomainSetLifecycleActionArgs call = { 0 };

        if (affect_flags(args, &call.flags, err) < 0)
                return -1;
        if (find_word(types, ARRAY_LEN(types), arg_text(args, "type"), &call.type) < 0)
                return err_set(err, ERR_INVALID_ARG, "Invalid lifecycle type '%s'.", arg_text(args, "type"));
        if (find_word(actions, ARRAY_LEN(actions), arg_text(args, "action"), &call.action) < 0)
                return err_set(err, ERR_INVALID_ARG, "Invalid lifecycle action '%s'.", arg_text(args, "action"));
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_SET_LIFECYCLE_ACTION, &call, NULL, err) < 0)
                return fail(err, "Unable to change lifecycle action.");
        return 0;
}

#define ARGS_START                                                                                                   \
        "[--console]      attach to its console once it runs\n"                                                      \
        "[--paused]       leave it paused\n"                                                                         \
        "[--autodestroy]  stop it when this connection ends\n"                                                       \
        "[--reset-nvram]  begin with fresh UEFI variables\n"
#define ARG_MODE "[--mode MODE{acpi,agent,initctl,signal,paravirt}]  how to ask it, several with commas between"

const Command lifecycle_commands[] = {
        { .name = "start",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARGS_START "[--bypass-cache]  read a saved state past the host's cache\n"
                                        "[--force-boot]    throw a saved state away and boot",
          .summary = "start a defined guest",
          .text = "Goes on from its managed saved state where there is one.",
          .run = start },
        { .name = "create",
          .group = GROUP_DOMAIN,
          .args = "FILE  the guest's XML\n" ARGS_START "[--validate]     refuse what the schema does not know",
          .summary = "start a guest from XML, without keeping a definition",
          .run = create },
        { .name = "define",
          .group = GROUP_DOMAIN,
          .args = "FILE          the guest's XML\n"
                  "[--validate]  refuse what the schema does not know",
          .summary = "define a guest, or change its definition, without starting it",
          .run = define },
        { .name = "shutdown",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARG_MODE,
          .summary = "ask a guest to power off",
          .text = "The guest may ignore it; 'destroy' cuts its power.",
          .run = shutdown_guest },
        { .name = "reboot",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARG_MODE,
          .summary = "ask a guest to reboot",
          .run = reboot_guest },
        { .name = "reset",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "reset a guest, as its reset button would",
          .run = reset },
        { .name = "destroy",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--graceful]     give QEMU time to write out its caches\n"
                             "[--remove-logs]  remove its log files too",
          .summary = "stop a guest at once, as if its power were cut",
          .text = "What the guest has not written out yet is lost. The definition stays.",
          .run = destroy },
        { .name = "suspend",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "stop a guest's CPUs; it stays in memory",
          .run = suspend },
        { .name = "resume",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "let a suspended guest go on",
          .run = resume },
        { .name = "autostart",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--disable]  do not start it with the host any more",
          .summary = "start a guest with the host",
          .run = autostart },
        { .name = "domrename",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "NEW-NAME  what it is to be called",
          .summary = "give a guest another name",
          .run = domrename },
        { .name = "dompmsuspend",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "TARGET{mem,disk,hybrid}  where its memory goes\n"
                             "[--duration NUMBER]  seconds until it wakes by itself; 0: never",
          .summary = "let a guest suspend itself",
          .run = dompmsuspend },
        { .name = "dompmwakeup",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "wake a guest that suspended itself",
          .run = dompmwakeup },
        { .name = "set-lifecycle-action",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN
          "TYPE{poweroff,reboot,crash}  what happens to the guest\n"
          "ACTION{destroy,restart,rename-restart,preserve,coredump-destroy,coredump-restart}  what is done then\n" ARGS_AFFECT,
          .summary = "choose what is done when a guest powers off, reboots or crashes",
          .run = set_lifecycle_action },
        { 0 },
};
