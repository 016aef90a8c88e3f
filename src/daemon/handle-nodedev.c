/*
 * daemon/handle-nodedev.c - devices of the host, as clients list them
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/daemon.h"
#include "daemon/handlers.h"
#include "daemon/look.h"
#include "host/node-device.h"
#include "wire/constants.h"

enum {
        LIST_CAPS = VIR_CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM | VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_USB_DEV | VIR_CONNECT_LIST_NODE_DEVICES_CAP_USB_INTERFACE |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET | VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI_HOST |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI_TARGET | VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_STORAGE | VIR_CONNECT_LIST_NODE_DEVICES_CAP_FC_HOST |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_VPORTS | VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI_GENERIC |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_DRM | VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV | VIR_CONNECT_LIST_NODE_DEVICES_CAP_CCW_DEV |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_CSS_DEV | VIR_CONNECT_LIST_NODE_DEVICES_CAP_VDPA |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_AP_CARD | VIR_CONNECT_LIST_NODE_DEVICES_CAP_AP_QUEUE |
                    VIR_CONNECT_LIST_NODE_DEVICES_CAP_AP_MATRIX | VIR_CONNECT_LIST_NODE_DEVICES_CAP_VPD,
        LIST_ACTIVITY = VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE | VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE,
        LIST_PERSISTENCE = VIR_CONNECT_LIST_NODE_DEVICES_PERSISTENT | VIR_CONNECT_LIST_NODE_DEVICES_TRANSIENT,
        MOST_DEVICES = 65536,
};

static const char root[] = "";

static uint32_t cap_bit(NodeDeviceKind kind)
{
        static const uint32_t bits[N_NODE_DEVICE_KINDS] = {
                VIR_CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM,
                VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV,
                VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET,
                VIR_CONNECT_LIST_NODE_DEVICES_CAP_STORAGE,
        };

        return bits[kind];
}

/* All of them are there, and none is kept when the host restarts. */
static bool is_wanted(const NodeDevice *device, uint32_t flags)
{
        if (flags & LIST_CAPS && !(flags & cap_bit(device->kind)))
                return false;
        if (flags & LIST_ACTIVITY && !(flags & VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE))
                return false;
        return !(flags & LIST_PERSISTENCE) || flags & VIR_CONNECT_LIST_NODE_DEVICES_TRANSIENT;
}

typedef struct Devices {
        Arena *arena;
        const char *name;         /* the one that the call is about, or NULL: none is */
        const Uuid *host;         /* its description is wanted */
        const NodeDevice *device; /* of that name, or NULL */
        NodeDevices all;
        Buf text;
} Devices;

static void devices_done(void *state)
{
        Devices *found = state;

        arena_free(found->arena);
        buf_done(&found->text);
}

/* On a worker. */
static void look_at_devices(void *state)
{
        Devices *found = state;

        node_devices(root, found->arena, &found->all);
        found->device = found->name ? node_device_find(&found->all, found->name) : NULL;
        if (found->device && found->host)
                node_device_format(root, found->host, found->device, &found->text);
}

typedef int Answer(Call *call, void *state, Error *err);

static int look_at(Call *call, const char *name, bool described, Answer *answer)
{
        Devices *found = mem_new(Devices);

        *found = (Devices){ .arena = arena_new() };
        found->name = arena_dup(found->arena, name);
        if (described) {
                Uuid *host = arena_new_one(found->arena, Uuid);

                *host = call_daemon(call)->host_uuid;
                found->host = host;
        }
        return look_and(call, found, look_at_devices, answer, devices_done);
}

/* --- lists --- */

static int answer_all(Call *call, void *state, Error *err UNUSED)
{
        const WireConnectListAllNodeDevicesArgs *args = call_args(call);
        const Devices *found = state;
        WireConnectListAllNodeDevicesRet ret = { 0 };

        ret.devices = arena_new_array(found->arena, WireNodeDevice, found->all.n);
        for (size_t i = 0; i < found->all.n; i++) {
                if (!is_wanted(&found->all.items[i], args->flags))
                        continue;
                if (args->need_results)
                        ret.devices[ret.n_devices++].name = found->all.items[i].name;
                ret.ret++;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_all_node_devices(Call *call, const WireConnectListAllNodeDevicesArgs *args, Error *err)
{
        return call_check_flags(call, args->flags, LIST_CAPS | LIST_ACTIVITY | LIST_PERSISTENCE, err) < 0
                       ? -1
                       : look_at(call, NULL, false, answer_all);
}

static int answer_count(Call *call, void *state, Error *err UNUSED)
{
        const WireNodeNumOfDevicesArgs *args = call_args(call);
        const Devices *found = state;
        WireNodeNumOfDevicesRet ret = { 0 };

        for (size_t i = 0; i < found->all.n; i++)
                ret.num += !args->cap || str_eq(args->cap, node_device_capability(found->all.items[i].kind));
        call_reply(call, &ret);
        return 0;
}

int handle_node_num_of_devices(Call *call, const WireNodeNumOfDevicesArgs *args, Error *err)
{
        return call_check_flags(call, args->flags, 0, err) < 0 ? -1 : look_at(call, NULL, false, answer_count);
}

static int answer_names(Call *call, void *state, Error *err UNUSED)
{
        const WireNodeListDevicesArgs *args = call_args(call);
        const Devices *found = state;
        WireNodeListDevicesRet ret = { .names = arena_new_array(found->arena, const char *, found->all.n) };

        for (size_t i = 0; i < found->all.n && ret.n_names < (uint32_t)args->maxnames; i++) {
                if (!args->cap || str_eq(args->cap, node_device_capability(found->all.items[i].kind)))
                        ret.names[ret.n_names++] = found->all.items[i].name;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_node_list_devices(Call *call, const WireNodeListDevicesArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (args->maxnames < 0 || args->maxnames > MOST_DEVICES)
                return err_set(err, ERR_INVALID_ARG, "%d names do not fit an answer", args->maxnames);
        return look_at(call, NULL, false, answer_names);
}

/* --- one --- */

static const NodeDevice *find(const Devices *found, Error *err)
{
        if (!found->device)
                err_set(err, ERR_NO_NODE_DEVICE, "no node device with matching name '%s'", found->name);
        return found->device;
}

static int answer_named(Call *call, void *state, Error *err)
{
        const NodeDevice *device = find(state, err);

        if (!device)
                return -1;
        call_reply(call, &(WireNodeDeviceLookupByNameRet){ .dev = { .name = device->name } });
        return 0;
}

int handle_node_device_lookup_by_name(Call *call, const WireNodeDeviceLookupByNameArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_named);
}

static int answer_description(Call *call, void *state, Error *err)
{
        Devices *found = state;

        if (!find(found, err))
                return -1;
        call_reply(call, &(WireNodeDeviceGetXmlDescRet){ .xml = buf_text(&found->text) });
        return 0;
}

int handle_node_device_get_xml_desc(Call *call, const WireNodeDeviceGetXmlDescArgs *args, Error *err)
{
        return call_check_flags(call, args->flags, 0, err) < 0 ? -1
                                                               : look_at(call, args->name, true, answer_description);
}

static int answer_parent(Call *call, void *state, Error *err)
{
        const NodeDevice *device = find(state, err);

        if (!device)
                return -1;
        call_reply(call, &(WireNodeDeviceGetParentRet){ .parentName = device->parent });
        return 0;
}

int handle_node_device_get_parent(Call *call, const WireNodeDeviceGetParentArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_parent);
}

static int answer_n_caps(Call *call, void *state, Error *err)
{
        if (!find(state, err))
                return -1;
        call_reply(call, &(WireNodeDeviceNumOfCapsRet){ .num = 1 });
        return 0;
}

int handle_node_device_num_of_caps(Call *call, const WireNodeDeviceNumOfCapsArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_n_caps);
}

static int answer_caps(Call *call, void *state, Error *err)
{
        const WireNodeDeviceListCapsArgs *args = call_args(call);
        const NodeDevice *device = find(state, err);
        const char *capability;

        if (!device)
                return -1;
        capability = node_device_capability(device->kind);
        call_reply(call, &(WireNodeDeviceListCapsRet){ .n_names = args->maxnames > 0, .names = &capability });
        return 0;
}

int handle_node_device_list_caps(Call *call, const WireNodeDeviceListCapsArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_caps);
}

static int answer_is_active(Call *call, void *state, Error *err)
{
        if (!find(state, err))
                return -1;
        call_reply(call, &(WireNodeDeviceIsActiveRet){ .active = 1 });
        return 0;
}

int handle_node_device_is_active(Call *call, const WireNodeDeviceIsActiveArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_is_active);
}

static int answer_is_persistent(Call *call, void *state, Error *err)
{
        if (!find(state, err))
                return -1;
        call_reply(call, &(WireNodeDeviceIsPersistentRet){ .persistent = 0 });
        return 0;
}

int handle_node_device_is_persistent(Call *call, const WireNodeDeviceIsPersistentArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_is_persistent);
}

static int answer_autostart(Call *call, void *state, Error *err)
{
        if (!find(state, err))
                return -1;
        call_reply(call, &(WireNodeDeviceGetAutostartRet){ .autostart = 0 });
        return 0;
}

int handle_node_device_get_autostart(Call *call, const WireNodeDeviceGetAutostartArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_autostart);
}
