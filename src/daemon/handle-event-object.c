/*
 * daemon/handle-event-object.c - registering for events of objects that are not guests
 */
#include "base/mem.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/event.h"
#include "daemon/handlers.h"
#include "daemon/look.h"
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

/* --- devices of the host --- */

typedef struct Devices {
        Arena *arena;
        NodeDevices all;
} Devices;

static void devices_done(void *state)
{
        arena_free(((Devices *)state)->arena);
}

/* On a worker. */
static void read_devices(void *state)
{
        Devices *devices = state;

        node_devices("", devices->arena, &devices->all);
}

static int hear_of_devices(Call *call, int event_id, Error *err)
{
        WireConnectNodeDeviceEventRegisterAnyRet ret = { 0 };

        if (event_register(call_driver(call)->events, call_client(call), WIRE_CLASS_NODE_DEVICE, event_id, NULL,
                           false, &ret.callbackID, err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

static int answer_with_devices(Call *call, void *state, Error *err)
{
        const WireConnectNodeDeviceEventRegisterAnyArgs *args = call_args(call);
        Devices *devices = state;

        /* another one may have listened and left meanwhile, and the watch with it */
        if (node_events_begin(call_driver(call), err) < 0)
                return -1;
        node_events_give_devices(call_driver(call), TAKE(devices->arena), &devices->all);
        return hear_of_devices(call, args->eventID, err);
}

/*
 * Devices of the host are known by name, not by UUID: a registration is for all of them. What comes from the answer on is
 * told, so the first one is answered when it is known what there was.
 */
int handle_connect_node_device_event_register_any(Call *call, const WireConnectNodeDeviceEventRegisterAnyArgs *args,
                                                  Error *err)
{
        Devices *devices;

        if (node_events_begin(call_driver(call), err) < 0)
                return -1;
        if (!node_events_want_devices(call_driver(call)))
                return hear_of_devices(call, args->eventID, err);
        devices = mem_new(Devices);
        devices->arena = arena_new();
        return look_and(call, devices, read_devices, answer_with_devices, devices_done);
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
