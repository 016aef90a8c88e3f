/*
 * app/drover/cmd-object-events.c - wait for things to happen to networks, storage pools, secrets and host devices
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/event-wait.h"

#include "base/str.h"

enum { MOST_KINDS = 2 };

static const char *const network_words[] = { "Defined", "Undefined", "Started", "Stopped" };
static const char *const metadata_words[] = { "description", "title", "element" };
static const char *const pool_words[] = { "Defined", "Undefined", "Started", "Stopped", "Created", "Deleted" };
static const char *const secret_words[] = { "Defined", "Undefined" };
static const char *const device_words[] = { "Created", "Deleted", "Defined", "Undefined" };

/* One kind of object: how its events are asked for and said. */
typedef struct Objects {
        const char *argument, *noun;
        WireClass class;
        const char *events[MOST_KINDS]; /* by number */
        size_t n_events;
        /* Find the named object, then register for all of them or for this one. */
        int (*start)(Session *s, const char *name, int event_id, int32_t *ret, Error *err);
        void (*stop)(Session *s, int32_t callback);
        /* The object's name; what gets what happened, nothing where the event says it all. */
        const char *(*read)(const void *msg, int event_id, char text[UUID_TEXT_LEN + 1], Buf *what);
} Objects;

/* --- networks --- */

static int start_networks(Session *s, const char *name, int event_id, int32_t *ret, Error *err)
{
        WireConnectNetworkEventRegisterAnyArgs call = { .eventID = event_id };
        WireConnectNetworkEventRegisterAnyRet made;
        WireNetworkLookupByNameRet found;

        if (name && session_call(s, WIRE_PROC_NETWORK_LOOKUP_BY_NAME, &(WireNetworkLookupByNameArgs){ name }, &found,
                                 err) < 0)
                return fail(err, "failed to get network '%s'", name);
        call.net = name ? &found.net : NULL;
        if (session_call(s, WIRE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY, &call, &made, err) < 0)
                return -1;
        *ret = made.callbackID;
        return 0;
}

static void stop_networks(Session *s, int32_t callback)
{
        session_call(s, WIRE_PROC_CONNECT_NETWORK_EVENT_DEREGISTER_ANY,
                     &(WireConnectNetworkEventDeregisterAnyArgs){ callback }, NULL, NULL);
}

static const char *read_network(const void *data, int event_id, char text[UUID_TEXT_LEN + 1] UNUSED, Buf *what)
{
        const WireNetworkEventLifecycleMsg *msg = data;

        if (event_id == VIR_NETWORK_EVENT_ID_METADATA_CHANGE) {
                const WireNetworkEventCallbackMetadataChangeMsg *change = data;

                buf_format(what, "type %s, uri %s", WORD_OF(metadata_words, change->type), change->nsuri ?: "N/A");
                return change->net.name;
        }
        buf_put_text(what, WORD_OF(network_words, msg->event));
        return msg->net.name;
}

static const Objects networks = {
        .argument = "network",
        .noun = "network",
        .class = WIRE_CLASS_NETWORK,
        .events = { "lifecycle", "metadata-change" },
        .n_events = 2,
        .start = start_networks,
        .stop = stop_networks,
        .read = read_network,
};

/* --- storage pools --- */

static int start_pools(Session *s, const char *name, int event_id, int32_t *ret, Error *err)
{
        WireConnectStoragePoolEventRegisterAnyArgs call = { .eventID = event_id };
        WireConnectStoragePoolEventRegisterAnyRet made;
        WireStoragePoolLookupByNameRet found;

        if (name && session_call(s, WIRE_PROC_STORAGE_POOL_LOOKUP_BY_NAME, &(WireStoragePoolLookupByNameArgs){ name },
                                 &found, err) < 0)
                return fail(err, "failed to get pool '%s'", name);
        call.pool = name ? &found.pool : NULL;
        if (session_call(s, WIRE_PROC_CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY, &call, &made, err) < 0)
                return -1;
        *ret = made.callbackID;
        return 0;
}

static void stop_pools(Session *s, int32_t callback)
{
        session_call(s, WIRE_PROC_CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY,
                     &(WireConnectStoragePoolEventDeregisterAnyArgs){ callback }, NULL, NULL);
}

static const char *read_pool(const void *data, int event_id, char text[UUID_TEXT_LEN + 1] UNUSED, Buf *what)
{
        const WireStoragePoolEventLifecycleMsg *msg = data;

        if (event_id != VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE)
                return ((const WireStoragePoolEventRefreshMsg *)data)->pool.name;
        buf_put_text(what, WORD_OF(pool_words, msg->event));
        return msg->pool.name;
}

static const Objects pools = {
        .argument = "pool",
        .noun = "storage pool",
        .class = WIRE_CLASS_STORAGE_POOL,
        .events = { "lifecycle", "refresh" },
        .n_events = 2,
        .start = start_pools,
        .stop = stop_pools,
        .read = read_pool,
};

/* --- secrets --- */

static int start_secrets(Session *s, const char *name, int event_id, int32_t *ret, Error *err)
{
        WireConnectSecretEventRegisterAnyArgs call = { .eventID = event_id };
        WireConnectSecretEventRegisterAnyRet made;
        WireSecretLookupByUuidArgs which;
        WireSecretLookupByUuidRet found;

        if (name && uuid_parse(name, &which.uuid) < 0)
                return err_set(err, ERR_INVALID_ARG, "'%s' is not the UUID of a secret", name);
        if (name && session_call(s, WIRE_PROC_SECRET_LOOKUP_BY_UUID, &which, &found, err) < 0)
                return fail(err, "failed to get secret '%s'", name);
        call.secret = name ? &found.secret : NULL;
        if (session_call(s, WIRE_PROC_CONNECT_SECRET_EVENT_REGISTER_ANY, &call, &made, err) < 0)
                return -1;
        *ret = made.callbackID;
        return 0;
}

static void stop_secrets(Session *s, int32_t callback)
{
        session_call(s, WIRE_PROC_CONNECT_SECRET_EVENT_DEREGISTER_ANY,
                     &(WireConnectSecretEventDeregisterAnyArgs){ callback }, NULL, NULL);
}

static const char *read_secret(const void *data, int event_id, char text[UUID_TEXT_LEN + 1], Buf *what)
{
        const WireSecretEventLifecycleMsg *msg = data;

        if (event_id != VIR_SECRET_EVENT_ID_LIFECYCLE)
                return uuid_format(&((const WireSecretEventValueChangedMsg *)data)->secret.uuid, text);
        buf_put_text(what, WORD_OF(secret_words, msg->event));
        return uuid_format(&msg->secret.uuid, text);
}

static const Objects secrets = {
        .argument = "secret",
        .noun = "secret",
        .class = WIRE_CLASS_SECRET,
        .events = { "lifecycle", "value-changed" },
        .n_events = 2,
        .start = start_secrets,
        .stop = stop_secrets,
        .read = read_secret,
};

/* --- devices of the host --- */

static int start_devices(Session *s, const char *name, int event_id, int32_t *ret, Error *err)
{
        WireConnectNodeDeviceEventRegisterAnyArgs call = { .eventID = event_id };
        WireConnectNodeDeviceEventRegisterAnyRet made;
        WireNodeDeviceLookupByNameRet found;

        if (name && session_call(s, WIRE_PROC_NODE_DEVICE_LOOKUP_BY_NAME, &(WireNodeDeviceLookupByNameArgs){ name },
                                 &found, err) < 0)
                return fail(err, "Could not find matching device '%s'", name);
        call.dev = name ? &found.dev : NULL;
        if (session_call(s, WIRE_PROC_CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY, &call, &made, err) < 0)
                return -1;
        *ret = made.callbackID;
        return 0;
}

static void stop_devices(Session *s, int32_t callback)
{
        session_call(s, WIRE_PROC_CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY,
                     &(WireConnectNodeDeviceEventDeregisterAnyArgs){ callback }, NULL, NULL);
}

static const char *read_device(const void *data, int event_id, char text[UUID_TEXT_LEN + 1] UNUSED, Buf *what)
{
        const WireNodeDeviceEventLifecycleMsg *msg = data;

        if (event_id != VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE)
                return ((const WireNodeDeviceEventUpdateMsg *)data)->dev.name;
        buf_put_text(what, WORD_OF(device_words, msg->event));
        return msg->dev.name;
}

static const Objects devices = {
        .argument = "device",
        .noun = "node device",
        .class = WIRE_CLASS_NODE_DEVICE,
        .events = { "lifecycle", "update" },
        .n_events = 2,
        .start = start_devices,
        .stop = stop_devices,
        .read = read_device,
};

/* --- any of them --- */

typedef struct Waiting {
        EventWait wait;
        const Objects *objects;
        int event_id;
} Waiting;

static void on_event(void *arg, const WireEvent *event, const void *msg)
{
        Waiting *waiting = arg;
        Output *out = waiting->wait.session->out;
        const char *name, *kind = waiting->objects->events[waiting->event_id];
        AUTO(Buf) what = { 0 };
        char text[UUID_TEXT_LEN + 1];

        if (waiting->wait.ended || event->class != waiting->objects->class || event->event_id != waiting->event_id)
                return;
        name = waiting->objects->read(msg, waiting->event_id, text, &what);
        event_wait_time(&waiting->wait, NULL);
        out_print(out, "event '%s' for %s %s%s%s\n", kind, waiting->objects->noun, name, what.len ? ": " : "",
                  buf_text(&what));
        out_set_text(out, "event", kind);
        out_set_text(out, waiting->objects->argument, name);
        out_set_text(out, "what", what.len ? buf_text(&what) : NULL);
        event_wait_got(&waiting->wait);
}

static int which_event(const Objects *objects, const Args *args, int *ret, Error *err)
{
        const char *name = arg_text(args, "event");

        if (!name)
                return err_set(err, ERR_INVALID_ARG, "either --list or --event <type> is required");
        for (*ret = 0; *ret < (int)objects->n_events; ++*ret) {
                if (str_eq(objects->events[*ret], name))
                        return 0;
        }
        return err_set(err, ERR_INVALID_ARG, "unknown event type %s", name);
}

static int wait_for(const Objects *objects, Session *s, const Args *args, Error *err)
{
        Waiting waiting = { .wait = event_wait_of(s, args), .objects = objects };
        int32_t callback;
        int result;

        if (arg_has(args, "list")) {
                for (size_t i = 0; i < objects->n_events; i++) {
                        out_print(s->out, "%s\n", objects->events[i]);
                        out_add(s->out, json_object_new_string(objects->events[i]));
                }
                return 0;
        }
        if (which_event(objects, args, &waiting.event_id, err) < 0 || session_open(s, err) < 0)
                return -1;
        s->on_event = on_event;
        s->on_event_arg = &waiting;
        result = objects->start(s, arg_text(args, objects->argument), waiting.event_id, &callback, err);
        if (result == 0) {
                result = event_wait_run(&waiting.wait, args, err);
                if (!s->lost)
                        objects->stop(s, callback);
        }
        s->on_event = NULL;
        return result;
}

static int net_event(Session *s, const Args *args, Error *err)
{
        return wait_for(&networks, s, args, err);
}

static int pool_event(Session *s, const Args *args, Error *err)
{
        return wait_for(&pools, s, args, err);
}

static int secret_event(Session *s, const Args *args, Error *err)
{
        return wait_for(&secrets, s, args, err);
}

static int device_event(Session *s, const Args *args, Error *err)
{
        return wait_for(&devices, s, args, err);
}

#define ARGS_KIND                                                                                                    \
        "[--event NAME]     this kind of event\n" ARGS_EVENT_WAIT                                                    \
        "[--list]           list the kinds there are\n" ARG_EVENT_TIMESTAMP

const Command object_events_commands[] = {
        { .name = "net-event",
          .group = GROUP_NETWORK,
          .args = "[--network NETWORK]  of this network only\n" ARGS_KIND,
          .summary = "wait for something to happen to a network",
          .run = net_event },
        { .name = "pool-event",
          .group = GROUP_STORAGE,
          .args = "[--pool POOL]      of this storage pool only\n" ARGS_KIND,
          .summary = "wait for something to happen to a storage pool",
          .run = pool_event },
        { .name = "secret-event",
          .group = GROUP_SECRET,
          .args = "[--secret UUID]    of this secret only\n" ARGS_KIND,
          .summary = "wait for something to happen to a secret",
          .run = secret_event },
        { .name = "nodedev-event",
          .group = GROUP_NODEDEV,
          .args = "[--device NODEDEV]  of this device only\n" ARGS_KIND,
          .summary = "wait for something to happen to a device of the host",
          .text = "droverd looks at the host's devices when it is asked and tells no such events; libvirtd does.",
          .run = device_event },
        { 0 },
};
