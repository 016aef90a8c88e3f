/*
 * daemon/handle-event-object.c - registering for events of objects that are not guests
 */
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/event.h"
#include "daemon/handlers.h"
#include "daemon/node-events.h"

int handle_connect_network_event_register_any(Call *call, const WireConnectNetworkEventRegisterAnyArgs *args,
                                              Error *err)
{
        WireConnectNetworkEventRegisterAnyRet ret;

        if (event_register(call_driver(call)->events, call_client(call), WIRE_CLASS_NETWORK, args->eventID,
                           args->net ? &args->net->uuid : NULL, false, &ret.callbackID, err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

int handle_connect_network_event_deregister_any(Call *call, const WireConnectNetworkEventDeregisterAnyArgs *args,
                                                Error *err)
{
        if (event_deregister(call_client(call), WIRE_CLASS_NETWORK, args->callbackID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

int handle_connect_storage_pool_event_register_any(Call *call, const WireConnectStoragePoolEventRegisterAnyArgs *args,
                                                   Error *err)
{
        WireConnectStoragePoolEventRegisterAnyRet ret;

        if (event_register(call_driver(call)->events, call_client(call), WIRE_CLASS_STORAGE_POOL, args->eventID,
                           args->pool ? &args->pool->uuid : NULL, false, &ret.callbackID, err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

int handle_connect_storage_pool_event_deregister_any(Call *call,
                                                     const WireConnectStoragePoolEventDeregisterAnyArgs *args,
                                                     Error *err)
{
        if (event_deregister(call_client(call), WIRE_CLASS_STORAGE_POOL, args->callbackID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

/*
 * Devices of the host are known by name, not by UUID: a registration is for all of them. What comes from the answer on is
 * told.
 */
int handle_connect_node_device_event_register_any(Call *call, const WireConnectNodeDeviceEventRegisterAnyArgs *args,
                                                  Error *err)
{
        WireConnectNodeDeviceEventRegisterAnyRet ret;

        if (node_events_begin(call_driver(call), err) < 0 ||
            event_register(call_driver(call)->events, call_client(call), WIRE_CLASS_NODE_DEVICE, args->eventID, NULL,
                           false, &ret.callbackID, err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

int handle_connect_node_device_event_deregister_any(Call *call,
                                                    const WireConnectNodeDeviceEventDeregisterAnyArgs *args,
                                                    Error *err)
{
        if (event_deregister(call_client(call), WIRE_CLASS_NODE_DEVICE, args->callbackID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

int handle_connect_secret_event_register_any(Call *call, const WireConnectSecretEventRegisterAnyArgs *args,
                                             Error *err)
{
        WireConnectSecretEventRegisterAnyRet ret;

        if (event_register(call_driver(call)->events, call_client(call), WIRE_CLASS_SECRET, args->eventID,
                           args->secret ? &args->secret->uuid : NULL, false, &ret.callbackID, err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

int handle_connect_secret_event_deregister_any(Call *call, const WireConnectSecretEventDeregisterAnyArgs *args,
                                               Error *err)
{
        if (event_deregister(call_client(call), WIRE_CLASS_SECRET, args->callbackID, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}
