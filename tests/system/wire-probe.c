/*
 * tests/system/wire-probe.c - our client code against a running daemon
 *
 *      wire-probe URI [rw|ro]
 *
 * Opens the URI, keeps several calls in flight at once, registers for an event and says what came back, one line
 * each. The exit status is 0 when the connection was opened.
 */
#include "wire/client-calls.h"
#include "wire/client-wait.h"
#include "wire/constants.h"
#include "wire/structs.h"

#include "base/str.h"

#include <stdio.h>

typedef struct Probe {
        bool suspended, resumed, looked_up, missing;
        bool worked; /* the guest was suspended, so events will tell */
        int events;
        bool event_came;
} Probe;

static void on_event(void *arg, const WireEvent *event, const void *msg)
{
        Probe *probe = arg;
        const WireDomainEventCallbackLifecycleMsg *lifecycle = msg;

        if (event->number != WIRE_EVENT_DOMAIN_EVENT_CALLBACK_LIFECYCLE)
                return;
        printf("event %s %d\n", lifecycle->msg.dom.name, lifecycle->msg.event);
        probe->event_came = ++probe->events == 2;
}

static void on_suspended(void *arg, ClientReply *reply)
{
        Probe *probe = arg;

        probe->suspended = true;
        probe->worked = !reply->failure;
        printf("suspend %s\n", reply->failure ? reply->failure->text : "well");
}

static void on_resumed(void *arg, ClientReply *reply)
{
        Probe *probe = arg;

        probe->resumed = true;
        printf("resume %s\n", reply->failure ? reply->failure->text : "well");
}

static void on_missing(void *arg, ClientReply *reply)
{
        Probe *probe = arg;

        probe->missing = true;
        printf("missing %d\n", reply->failure ? (int)reply->failure->code : 0);
}

static int run(Client *client, Probe *probe, Error *err)
{
        AUTO(Arena) *arena = arena_new();
        WireConnectListAllDomainsRet list = { 0 };
        const WireConnectListAllDomainsArgs all = { .need_results = 1 };
        const WireConnectDomainEventCallbackRegisterAnyArgs lifecycle = { .eventID = VIR_DOMAIN_EVENT_ID_LIFECYCLE };
        WireConnectDomainEventCallbackRegisterAnyRet registered = { 0 };
        WireDomainSuspendArgs guest = { 0 };

        printf("open %s\n", client_uri(client));
        if (client_call_wait(client, wire_proc_find_name("connect_list_all_domains"), &all, arena, &list, err) < 0 ||
            client_call_wait(client, wire_proc_find_name("connect_domain_event_callback_register_any"), &lifecycle,
                             arena, &registered, err) < 0)
                return -1;
        for (uint32_t i = 0; i < list.n_domains; i++) {
                printf("guest %s\n", list.domains[i].name);
                guest.dom = list.domains[i];
        }
        if (!list.n_domains)
                return 0;
        client_domain_suspend(client, &guest, on_suspended, probe);
        client_domain_lookup_by_name(client, &(WireDomainLookupByNameArgs){ .name = "no such guest" }, on_missing,
                                     probe);
        client_domain_resume(client, &(WireDomainResumeArgs){ .dom = guest.dom }, on_resumed, probe);
        if (client_run_until(client, &probe->suspended, err) < 0 ||
            client_run_until(client, &probe->resumed, err) < 0 || client_run_until(client, &probe->missing, err) < 0)
                return -1;
        return probe->worked ? client_run_until(client, &probe->event_came, err) : 0;
}

int main(int argc, char **argv)
{
        static const ClientHooks hooks = { .event = on_event };
        ClientOptions options = { .keepalive_interval_s = 5, .keepalive_count = 5, .open_timeout_ms = 20000 };
        AUTO(Error) err = { 0 };
        AUTO(Loop) *loop = loop_new(&err);
        AUTO(Client) *client = NULL;
        Probe probe = { 0 };

        options.readonly = argc > 2 && str_eq(argv[2], "ro");
        if (loop && argc > 1)
                client = client_open_wait(loop, argv[1], &options, &hooks, &probe, &err);
        if (!client || (options.readonly ? false : run(client, &probe, &err) < 0)) {
                printf("error %d %s\n", (int)err.code, err.text ?: "usage: wire-probe URI [rw|ro]");
                return 1;
        }
        if (options.readonly)
                printf("open %s\n", client_uri(client));
        return 0;
}
