/*
 * app/drover/cmd-qemu.c - straight to QEMU's monitor, and to the agent in the guest
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"

/* JSON laid out for people; the text itself where it is none. Owned. */
static char *pretty_json(const char *text, const char *only)
{
        struct json_object *document = json_tokener_parse(text), *part = NULL;
        char *pretty;

        if (!document)
                return str_dup(text);
        if (only && !json_object_object_get_ex(document, only, &part)) {
                json_object_put(document);
                return NULL;
        }
        pretty = str_dup(json_object_to_json_string_ext(only ? part : document,
                                                        JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(document);
        return pretty;
}

static void out_document(Session *s, const char *text)
{
        struct json_object *document = json_tokener_parse(text);

        if (document)
                out_set(s->out, "reply", document);
        else
                out_set_text(s->out, "reply", text);
}

static int qemu_monitor_command(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *command = arg_joined(args, "cmd");
        bool hmp = arg_has(args, "hmp");
        WireQemuDomainMonitorCommandArgs call = { .cmd = command,
                                                  .flags = hmp ? VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP : 0 };
        WireQemuDomainMonitorCommandRet ret;
        AUTOFREE char *shown = NULL;

        if (refuse_both(args, "hmp", "pretty", err) < 0 || refuse_both(args, "hmp", "return-value", err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0 ||
            session_call_qemu(s, WIRE_PROC_QEMU_DOMAIN_MONITOR_COMMAND, &call, &ret, err) < 0)
                return -1;
        if (arg_has(args, "return-value")) {
                shown = pretty_json(ret.result, "return");
                if (!shown)
                        return err_set(err, ERR_OPERATION_FAILED, "the reply has no 'return': %s", ret.result);
        } else {
                shown = arg_has(args, "pretty") ? pretty_json(ret.result, NULL) : str_dup(ret.result);
        }
        out_document(s, ret.result);
        out_print(s->out, arg_has(args, "pretty") ? "%s" : "%s\n", shown);
        return 0;
}

static int qemu_agent_command(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *command = arg_joined(args, "cmd");
        WireQemuDomainAgentCommandArgs call = { .cmd = command, .timeout = VIR_DOMAIN_QEMU_AGENT_COMMAND_DEFAULT };
        WireQemuDomainAgentCommandRet ret;
        AUTOFREE char *shown = NULL;

        if (refuse_both(args, "timeout", "async", err) < 0 || refuse_both(args, "timeout", "block", err) < 0 ||
            refuse_both(args, "async", "block", err) < 0 || arg_i32(args, "timeout", &call.timeout, err) < 0)
                return -1;
        if (arg_has(args, "timeout") && call.timeout < 1)
                return err_set(err, ERR_INVALID_ARG, "timeout must be positive");
        if (arg_has(args, "async"))
                call.timeout = VIR_DOMAIN_QEMU_AGENT_COMMAND_NOWAIT;
        if (arg_has(args, "block"))
                call.timeout = VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK;
        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call_qemu(s, WIRE_PROC_QEMU_DOMAIN_AGENT_COMMAND, &call, &ret, err) < 0)
                return -1;
        if (!ret.result)
                return 0;
        shown = arg_has(args, "pretty") ? pretty_json(ret.result, NULL) : str_dup(ret.result);
        out_document(s, ret.result);
        out_print(s->out, arg_has(args, "pretty") ? "%s" : "%s\n", shown);
        return 0;
}

static int qemu_attach(Session *s, const Args *args, Error *err)
{
        WireQemuDomainAttachArgs call = { 0 };
        WireQemuDomainAttachRet ret;

        if (arg_u32(args, "pid", &call.pid_value, err) < 0)
                return -1;
        if (session_call_qemu(s, WIRE_PROC_QEMU_DOMAIN_ATTACH, &call, &ret, err) < 0)
                return fail(err, "Failed to attach to pid %u", call.pid_value);
        out_done(s->out, "Domain '%s' attached to pid %u", ret.dom.name, call.pid_value);
        return 0;
}

const Command qemu_commands[] = {
        { .name = "qemu-monitor-command",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--hmp]           the command is one for people (info status)\n"
                             "[--pretty]        lay the reply out\n"
                             "[--return-value]  only what 'return' holds\n"
                             "CMD...            the command, as JSON",
          .summary = "send QEMU's monitor a command",
          .text = "What it changes behind the daemon's back is not undone by it.",
          .run = qemu_monitor_command },
        { .name = "qemu-agent-command",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--timeout=NUMBER]  seconds to wait for the reply\n"
                             "[--async]           do not wait for it\n"
                             "[--block]           wait for ever\n"
                             "[--pretty]          lay the reply out\n"
                             "CMD...              the command, as JSON",
          .summary = "send the agent in a guest a command",
          .run = qemu_agent_command },
        { .name = "qemu-attach",
          .group = GROUP_DOMAIN,
          .args = "PID  the process",
          .summary = "take over a QEMU that somebody else started",
          .run = qemu_attach },
        { 0 },
};
