/*
 * app/drover/cmd-events.c - wait for things to happen to guests
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/event-text.h"
#include "app/drover/event-wait.h"

#include "base/str.h"

#include <regex.h>

typedef struct Waiting {
        EventWait wait;
        bool pretty;
        regex_t *pattern; /* of QEMU's event names; NULL: any */
        const char *name; /* exactly this one; NULL: any */
        int32_t callbacks[N_DOMAIN_EVENTS];
        size_t n_callbacks;
} Waiting;

static bool is_ours(const Waiting *waiting, const void *msg)
{
        for (size_t i = 0; i < waiting->n_callbacks; i++)
                if (waiting->callbacks[i] == *(const int32_t *)msg)
                        return true;
        return false;
}

static void domain_event(void *arg, const WireEvent *event, const void *msg)
{
        Waiting *waiting = arg;
        Output *out = waiting->wait.session->out;
        AUTO(Buf) text = { 0 };

        if (waiting->wait.ended || event->class != WIRE_CLASS_DOMAIN || !is_ours(waiting, msg) ||
            !event_format(event, msg, &text))
                return;
        event_wait_time(&waiting->wait, NULL);
        out_print(out, "%s", buf_text(&text));
        out_set_text(out, "event", event_name(event->event_id));
        if (text.len)
                text.data[--text.len] = '\0';
        out_set_text(out, "text", buf_text(&text));
        event_wait_got(&waiting->wait);
}

static int register_events(Waiting *waiting, const WireDomain *dom, int only, Error *err)
{
        for (int id = 0; id < N_DOMAIN_EVENTS; id++) {
                WireConnectDomainEventCallbackRegisterAnyArgs call = { id, dom };
                WireConnectDomainEventCallbackRegisterAnyRet ret;

                if (only >= 0 && only != id)
                        continue;
                if (session_call(waiting->wait.session, WIRE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, &call,
                                 &ret, err) < 0)
                        return -1;
                waiting->callbacks[waiting->n_callbacks++] = ret.callbackID;
        }
        return 0;
}

static void deregister_events(Waiting *waiting)
{
        for (size_t i = 0; i < waiting->n_callbacks && !waiting->wait.session->lost; i++)
                session_call(waiting->wait.session, WIRE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY,
                             &(WireConnectDomainEventCallbackDeregisterAnyArgs){ waiting->callbacks[i] }, NULL, NULL);
}

static int list_events(Session *s)
{
        for (int id = 0; id < N_DOMAIN_EVENTS; id++) {
                out_print(s->out, "%s\n", event_name(id));
                out_add(s->out, json_object_new_string(event_name(id)));
        }
        return 0;
}

static int which_event(const Args *args, int *ret, Error *err)
{
        const char *name = arg_text(args, "event");

        *ret = -1;
        if (arg_has(args, "all"))
                return 0;
        if (!name)
                return err_set(err, ERR_INVALID_ARG, "one of --list, --all, or --event <type> is required");
        for (int id = 0; id < N_DOMAIN_EVENTS; id++)
                if (str_eq(event_name(id), name))
                        *ret = id;
        if (*ret < 0)
                return err_set(err, ERR_INVALID_ARG, "unknown event type %s", name);
        return 0;
}

static int event(Session *s, const Args *args, Error *err)
{
        Waiting waiting = { .wait = event_wait_of(s, args) };
        WireDomain dom;
        bool one = arg_has(args, "domain");
        int only, result;

        if (refuse_both(args, "all", "event", err) < 0 || refuse_both(args, "list", "all", err) < 0 ||
            refuse_both(args, "list", "event", err) < 0)
                return -1;
        if (arg_has(args, "list"))
                return list_events(s);
        if (which_event(args, &only, err) < 0 || (one && find_domain(s, args, &dom, err) < 0))
                return -1;
        s->on_event = domain_event;
        s->on_event_arg = &waiting;
        result = register_events(&waiting, one ? &dom : NULL, only, err);
        if (result == 0)
                result = event_wait_run(&waiting.wait, args, err);
        deregister_events(&waiting);
        s->on_event = NULL;
        return result;
}

/* QEMU's own events */

static char *pretty_details(const char *details)
{
        struct json_object *document = json_tokener_parse(details);
        char *text = str_dup(document ? json_object_to_json_string_ext(
                                                document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE)
                                      : details);

        json_object_put(document);
        return text;
}

static void monitor_event(void *arg, const WireEvent *event, const void *data)
{
        Waiting *waiting = arg;
        const WireQemuDomainMonitorEventMsg *msg = data;
        Session *s = waiting->wait.session;
        AUTOFREE char *details = NULL;

        if (waiting->wait.ended || event->class != WIRE_CLASS_QEMU_MONITOR || !is_ours(waiting, data) ||
            (waiting->name && !str_eq(waiting->name, msg->event)) ||
            (waiting->pattern && regexec(waiting->pattern, msg->event, 0, NULL, 0) != 0))
                return;
        details = waiting->pretty && msg->details ? pretty_details(msg->details) : str_dup(msg->details);
        event_wait_time(&waiting->wait, &(struct timespec){ msg->seconds, (long)msg->micros * 1000 });
        out_print(s->out, "event %s for domain '%s': %s\n", msg->event, msg->dom.name, details ?: "<null>");
        out_set_text(s->out, "event", msg->event);
        out_set_text(s->out, "domain", msg->dom.name);
        out_set(s->out, "details", msg->details ? json_tokener_parse(msg->details) : NULL);
        event_wait_got(&waiting->wait);
}

static int monitor_pattern(const Args *args, regex_t *pattern, Waiting *waiting, Error *err)
{
        const char *name = arg_text(args, "event");

        if (!name)
                return 0;
        if (!arg_has(args, "regex") && !arg_has(args, "no-case")) {
                waiting->name = name;
                return 0;
        }
        AUTOFREE char *exact = arg_has(args, "regex") ? str_dup(name) : str_format("^%s$", name);

        if (regcomp(pattern, exact, REG_EXTENDED | REG_NOSUB | (arg_has(args, "no-case") ? REG_ICASE : 0)) != 0)
                return err_set(err, ERR_INVALID_ARG, "'%s' is no regular expression", name);
        waiting->pattern = pattern;
        return 0;
}

static int qemu_monitor_event(Session *s, const Args *args, Error *err)
{
        Waiting waiting = { .wait = event_wait_of(s, args), .pretty = arg_has(args, "pretty") };
        WireQemuConnectDomainMonitorEventRegisterArgs call = { 0 };
        WireQemuConnectDomainMonitorEventRegisterRet ret;
        WireDomain dom;
        regex_t pattern;
        int result;

        if (arg_has(args, "domain")) {
                if (find_domain(s, args, &dom, err) < 0)
                        return -1;
                call.dom = &dom;
        }
        if (monitor_pattern(args, &pattern, &waiting, err) < 0)
                return -1;
        s->on_event = monitor_event;
        s->on_event_arg = &waiting;
        result = session_call_qemu(s, WIRE_PROC_QEMU_CONNECT_DOMAIN_MONITOR_EVENT_REGISTER, &call, &ret, err);
        if (result == 0) {
                waiting.callbacks[waiting.n_callbacks++] = ret.callbackID;
                result = event_wait_run(&waiting.wait, args, err);
                if (!s->lost)
                        session_call_qemu(s, WIRE_PROC_QEMU_CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER,
                                          &(WireQemuConnectDomainMonitorEventDeregisterArgs){ ret.callbackID }, NULL,
                                          NULL);
        }
        s->on_event = NULL;
        if (waiting.pattern)
                regfree(&pattern);
        return result;
}

const Command events_commands[] = {
        { .name = "event",
          .group = GROUP_EVENTS,
          .args = "[--domain DOMAIN]  of this guest only\n"
                  "[--event NAME]     this kind of event\n"
                  "[--all]            every kind\n" ARGS_EVENT_WAIT
                  "[--list]           list the kinds there are\n" ARG_EVENT_TIMESTAMP,
          .summary = "wait for something to happen to a guest",
          .text = "Ends after the first event, with --loop at the end of the time or with ^C.",
          .run = event },
        { .name = "qemu-monitor-event",
          .group = GROUP_DOMAIN,
          .args = "[--domain DOMAIN]  of this guest only\n"
                  "[--event NAME]     events of this name\n"
                  "[--pretty]         lay the details out\n" ARGS_EVENT_WAIT
                  "[--regex]          the name is a regular expression\n"
                  "[--no-case]        upper and lower case are the same\n" ARG_EVENT_TIMESTAMP,
          .summary = "wait for an event of QEMU's monitor",
          .run = qemu_monitor_event },
        { 0 },
};
