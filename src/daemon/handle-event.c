/*
 * daemon/handle-event.c - registering for events
 */
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/event.h"
#include "daemon/handlers.h"
#include "daemon/server-client.h"
#include "wire/constants.h"

int handle_connect_domain_event_callback_register_any(Call *call,
                                                      const WireConnectDomainEventCallbackRegisterAnyArgs *args,
                                                      Error *err)
{
        WireConnectDomainEventCallbackRegisterAnyRet ret;

        if (event_register(call_driver(call)->events, call_client(call), WIRE_CLASS_DOMAIN, args->eventID,
                           args->dom ? &args->dom->uuid : NULL, false, &ret.callbackID, err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

int handle_connect_domain_event_callback_deregister_any(Call *call,
                                                        const WireConnectDomainEventCallbackDeregisterAnyArgs *args,
                                                        Error *err)
{
        if (event_deregister(call_client(call), WIRE_CLASS_DOMAIN, args->callbackID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

static int register_old(Call *call, int event_id, Error *err)
{
        int unused;

        return event_register(call_driver(call)->events, call_client(call), WIRE_CLASS_DOMAIN, event_id, NULL, true,
                              &unused, err);
}

int handle_connect_domain_event_register(Call *call, Error *err)
{
        if (register_old(call, VIR_DOMAIN_EVENT_ID_LIFECYCLE, err) < 0)
                return -1;
        call_reply(call, &(WireConnectDomainEventRegisterRet){ .cb_registered = 1 });
        return 0;
}

int handle_connect_domain_event_deregister(Call *call, Error *err)
{
        if (event_deregister_old(call_client(call), VIR_DOMAIN_EVENT_ID_LIFECYCLE, err) < 0)
                return -1;
        call_reply(call, &(WireConnectDomainEventDeregisterRet){ .cb_registered = 0 });
        return 0;
}

int handle_connect_domain_event_register_any(Call *call, const WireConnectDomainEventRegisterAnyArgs *args,
                                             Error *err)
{
        if (register_old(call, args->eventID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

int handle_connect_domain_event_deregister_any(Call *call, const WireConnectDomainEventDeregisterAnyArgs *args,
                                               Error *err)
{
        if (event_deregister_old(call_client(call), args->eventID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}
