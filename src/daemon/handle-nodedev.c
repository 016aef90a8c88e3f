/*
 * daemon/handle-nodedev.c - devices of the host, as clients list them
 */
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/daemon.h"
#include "daemon/handlers.h"
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

int handle_connect_list_all_node_devices(Call *call, const WireConnectListAllNodeDevicesArgs *args, Error *err)
{
        WireConnectListAllNodeDevicesRet ret = { 0 };
        NodeDevices all;

        if (call_check_flags(call, args->flags, LIST_CAPS | LIST_ACTIVITY | LIST_PERSISTENCE, err) < 0)
                return -1;
        node_devices(root, call_arena(call), &all);
        ret.devices = arena_new_array(call_arena(call), WireNodeDevice, all.n);
        for (size_t i = 0; i < all.n; i++) {
                if (!is_wanted(&all.items[i], args->flags))
                        continue;
                if (args->need_results)
                        ret.devices[ret.n_devices++].name = all.items[i].name;
                ret.ret++;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_node_num_of_devices(Call *call, const WireNodeNumOfDevicesArgs *args, Error *err)
{
        WireNodeNumOfDevicesRet ret = { 0 };
        NodeDevices all;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        node_devices(root, call_arena(call), &all);
        for (size_t i = 0; i < all.n; i++)
                ret.num += !args->cap || str_eq(args->cap, node_device_capability(all.items[i].kind));
        call_reply(call, &ret);
        return 0;
}

int handle_node_list_devices(Call *call, const WireNodeListDevicesArgs *args, Error *err)
{
        WireNodeListDevicesRet ret = { 0 };
        NodeDevices all;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (args->maxnames < 0 || args->maxnames > MOST_DEVICES)
                return err_set(err, ERR_INVALID_ARG, "%d names do not fit an answer", args->maxnames);
        node_devices(root, call_arena(call), &all);
        ret.names = arena_new_array(call_arena(call), const char *, all.n);
        for (size_t i = 0; i < all.n && ret.n_names < (uint32_t)args->maxnames; i++) {
                if (!args->cap || str_eq(args->cap, node_device_capability(all.items[i].kind)))
                        ret.names[ret.n_names++] = all.items[i].name;
        }
        call_reply(call, &ret);
        return 0;
}

static const NodeDevice *find(Call *call, const char *name, Error *err)
{
        const NodeDevice *device;
        NodeDevices all;

        node_devices(root, call_arena(call), &all);
        device = node_device_find(&all, name);
        if (!device)
                err_set(err, ERR_NO_NODE_DEVICE, "no node device with matching name '%s'", name);
        return device;
}

int handle_node_device_lookup_by_name(Call *call, const WireNodeDeviceLookupByNameArgs *args, Error *err)
{
        const NodeDevice *device = find(call, args->name, err);

        if (!device)
                return -1;
        call_reply(call, &(WireNodeDeviceLookupByNameRet){ .dev = { .name = device->name } });
        return 0;
}

int handle_node_device_get_xml_desc(Call *call, const WireNodeDeviceGetXmlDescArgs *args, Error *err)
{
        const NodeDevice *device;
        AUTO(Buf) xml = { 0 };

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(device = find(call, args->name, err)))
                return -1;
        node_device_format(root, &call_daemon(call)->host_uuid, device, &xml);
        call_reply(call, &(WireNodeDeviceGetXmlDescRet){ .xml = buf_text(&xml) });
        return 0;
}

int handle_node_device_get_parent(Call *call, const WireNodeDeviceGetParentArgs *args, Error *err)
{
        const NodeDevice *device = find(call, args->name, err);

        if (!device)
                return -1;
        call_reply(call, &(WireNodeDeviceGetParentRet){ .parentName = device->parent });
        return 0;
}

int handle_node_device_num_of_caps(Call *call, const WireNodeDeviceNumOfCapsArgs *args, Error *err)
{
        if (!find(call, args->name, err))
                return -1;
        call_reply(call, &(WireNodeDeviceNumOfCapsRet){ .num = 1 });
        return 0;
}

int handle_node_device_list_caps(Call *call, const WireNodeDeviceListCapsArgs *args, Error *err)
{
        const NodeDevice *device = find(call, args->name, err);
        const char *capability;

        if (!device)
                return -1;
        capability = node_device_capability(device->kind);
        call_reply(call, &(WireNodeDeviceListCapsRet){ .n_names = args->maxnames > 0, .names = &capability });
        return 0;
}

int handle_node_device_is_active(Call *call, const WireNodeDeviceIsActiveArgs *args, Error *err)
{
        if (!find(call, args->name, err))
                return -1;
        call_reply(call, &(WireNodeDeviceIsActiveRet){ .active = 1 });
        return 0;
}

int handle_node_device_is_persistent(Call *call, const WireNodeDeviceIsPersistentArgs *args, Error *err)
{
        if (!find(call, args->name, err))
                return -1;
        call_reply(call, &(WireNodeDeviceIsPersistentRet){ .persistent = 0 });
        return 0;
}

int handle_node_device_get_autostart(Call *call, const WireNodeDeviceGetAutostartArgs *args, Error *err)
{
        if (!find(call, args->name, err))
                return -1;
        call_reply(call, &(WireNodeDeviceGetAutostartRet){ .autostart = 0 });
        return 0;
}
