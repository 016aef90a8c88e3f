/*
 * app/drover/cmd-nodedev.c - devices of the host, as virsh has them
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"

#include <strings.h>

enum { INFO_COLUMN = 16 };

#define ARG_DEVICE "DEVICE:NODEDEV  device of the host: name, or WWNN,WWPN of a SCSI host\n"

/* --- which device --- */

static int find_by_wwn(Session *s, const char *text, const char *comma, WireNodeDevice *ret, Error *err)
{
        AUTOFREE char *wwnn = str_dup_n(text, (size_t)(comma - text));
        WireNodeDeviceLookupScsiHostByWwnRet found;

        if (session_call(s, WIRE_PROC_NODE_DEVICE_LOOKUP_SCSI_HOST_BY_WWN,
                         &(WireNodeDeviceLookupScsiHostByWwnArgs){ wwnn, comma + 1, 0 }, &found, err) < 0)
                return -1;
        *ret = found.dev;
        return 0;
}

static int find_by_name(Session *s, const char *name, WireNodeDevice *ret, Error *err)
{
        WireNodeDeviceLookupByNameRet found;

        if (session_call(s, WIRE_PROC_NODE_DEVICE_LOOKUP_BY_NAME, &(WireNodeDeviceLookupByNameArgs){ name }, &found,
                         err) < 0)
                return -1;
        *ret = found.dev;
        return 0;
}

static int find_device(Session *s, const Args *args, WireNodeDevice *ret, Error *err)
{
        const char *text = arg_text(args, "device"), *comma = strchr(text, ',');

        if (session_open(s, err) < 0)
                return -1;
        if ((comma ? find_by_wwn(s, text, comma, ret, err) : find_by_name(s, text, ret, err)) < 0)
                return fail(err, "Could not find matching device '%s'", text);
        return 0;
}

/* --- lists --- */

static const SwitchFlag capabilities[] = {
        { "system", VIR_CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM },
        { "pci", VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV },
        { "usb_device", VIR_CONNECT_LIST_NODE_DEVICES_CAP_USB_DEV },
        { "usb", VIR_CONNECT_LIST_NODE_DEVICES_CAP_USB_INTERFACE },
        { "net", VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET },
        { "scsi_host", VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI_HOST },
        { "scsi_target", VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI_TARGET },
        { "scsi", VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI },
        { "storage", VIR_CONNECT_LIST_NODE_DEVICES_CAP_STORAGE },
        { "fc_host", VIR_CONNECT_LIST_NODE_DEVICES_CAP_FC_HOST },
        { "vports", VIR_CONNECT_LIST_NODE_DEVICES_CAP_VPORTS },
        { "scsi_generic", VIR_CONNECT_LIST_NODE_DEVICES_CAP_SCSI_GENERIC },
        { "drm", VIR_CONNECT_LIST_NODE_DEVICES_CAP_DRM },
        { "mdev_types", VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES },
        { "mdev", VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV },
        { "ccw", VIR_CONNECT_LIST_NODE_DEVICES_CAP_CCW_DEV },
        { "css", VIR_CONNECT_LIST_NODE_DEVICES_CAP_CSS_DEV },
        { "vdpa", VIR_CONNECT_LIST_NODE_DEVICES_CAP_VDPA },
        { "ap_card", VIR_CONNECT_LIST_NODE_DEVICES_CAP_AP_CARD },
        { "ap_queue", VIR_CONNECT_LIST_NODE_DEVICES_CAP_AP_QUEUE },
        { "ap_matrix", VIR_CONNECT_LIST_NODE_DEVICES_CAP_AP_MATRIX },
        { "vpd", VIR_CONNECT_LIST_NODE_DEVICES_CAP_VPD },
};

static int add_capability(const char *name, uint32_t *flags, Error *err)
{
        for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
                if (str_eq(capabilities[i].name, name)) {
                        *flags |= capabilities[i].flag;
                        return 0;
                }
        }
        return err_set(err, ERR_INVALID_ARG, "Invalid capability type");
}

static int list_flags(const Args *args, uint32_t *ret, Error *err)
{
        bool inactive = arg_has(args, "inactive"), all = arg_has(args, "all");
        AUTO_STRLIST names = str_split(arg_text(args, "cap") ?: "", ",");

        if (all && inactive)
                return err_set(err, ERR_INVALID_ARG, "Option --all is incompatible with --inactive");
        if (arg_has(args, "tree") && (arg_has(args, "cap") || inactive))
                return err_set(err, ERR_INVALID_ARG, "Option --tree is incompatible with --cap and --inactive");
        *ret = (inactive || all ? VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE : 0) |
               (inactive ? 0 : VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE);
        for (char **name = names; arg_has(args, "cap") && *name; name++) {
                if (add_capability(*name, ret, err) < 0)
                        return -1;
        }
        return 0;
}

static int compare_names(const void *a, const void *b)
{
        return strcasecmp(((const WireNodeDevice *)a)->name, ((const WireNodeDevice *)b)->name);
}

/* The devices and the name of what each sits on; NULL for the machine. */
typedef struct Tree {
        const WireNodeDevice *devices;
        const char **parents;
        uint32_t n;
} Tree;

static bool sits_on(const Tree *tree, uint32_t i, uint32_t parent)
{
        return tree->parents[i] && str_eq(tree->parents[i], tree->devices[parent].name);
}

/* One device and what sits on it; `before` stands before what hangs on the line that leads to it. */
static void put_device(const Tree *tree, uint32_t at, bool root, bool last, const char *before, unsigned depth,
                       Buf *to)
{
        AUTOFREE char *below = root ? str_dup("") : str_format("%s%c ", before, last ? ' ' : '|');
        AUTOFREE char *hanging = str_format("%s  ", below);
        uint32_t last_child = tree->n;

        buf_format(to, "%s%s%s\n", before, root ? "" : "+- ", tree->devices[at].name);
        for (uint32_t i = 0; i < tree->n && depth < tree->n; i++)
                last_child = sits_on(tree, i, at) ? i : last_child;
        if (last_child < tree->n)
                buf_format(to, "%s  |\n", below);
        else if (last)
                buf_format(to, "%s\n", below);
        for (uint32_t i = 0; last_child < tree->n && i <= last_child; i++) {
                if (sits_on(tree, i, at))
                        put_device(tree, i, false, i == last_child, hanging, depth + 1, to);
        }
}

static int print_tree(Session *s, const WireNodeDevice *devices, uint32_t n, Error *err)
{
        Tree tree = { devices, arena_new_array(session_arena(s), const char *, n), n };
        AUTO(Buf) text = { 0 };

        for (uint32_t i = 0; i < n; i++) {
                WireNodeDeviceGetParentRet above = { 0 };
                struct json_object *row = json_object_new_object();

                if (session_call(s, WIRE_PROC_NODE_DEVICE_GET_PARENT,
                                 &(WireNodeDeviceGetParentArgs){ devices[i].name }, &above, err) < 0) {
                        json_object_put(row);
                        return -1;
                }
                tree.parents[i] = above.parentName;
                json_object_object_add(row, "name", json_object_new_string(devices[i].name));
                json_object_object_add(row, "parent",
                                       above.parentName ? json_object_new_string(above.parentName) : NULL);
                out_add(s->out, row);
        }
        for (uint32_t i = 0; i < n; i++) {
                if (!tree.parents[i])
                        put_device(&tree, i, true, true, "", 0, &text);
        }
        out_print(s->out, "%s", buf_text(&text));
        return 0;
}

static int list(Session *s, const Args *args, Error *err)
{
        WireConnectListAllNodeDevicesArgs call = { .need_results = 1 };
        WireConnectListAllNodeDevicesRet found;

        if (list_flags(args, &call.flags, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_NODE_DEVICES, &call, &found, err) < 0)
                return fail(err, "Failed to list node devices");
        if (found.n_devices)
                qsort(found.devices, found.n_devices, sizeof(found.devices[0]), compare_names);
        out_list(s->out);
        if (arg_has(args, "tree"))
                return print_tree(s, found.devices, found.n_devices, err);
        for (uint32_t i = 0; i < found.n_devices; i++) {
                struct json_object *object = json_object_new_object();

                out_print(s->out, "%s\n", found.devices[i].name);
                json_object_object_add(object, "name", json_object_new_string(found.devices[i].name));
                out_add(s->out, object);
        }
        return 0;
}

/* --- one device --- */

static int dumpxml(Session *s, const Args *args, Error *err)
{
        WireNodeDeviceGetXmlDescRet ret;
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0 ||
            session_call(s, WIRE_PROC_NODE_DEVICE_GET_XML_DESC, &(WireNodeDeviceGetXmlDescArgs){ device.name, 0 },
                         &ret, err) < 0)
                return -1;
        return print_xml(s, args, ret.xml, err);
}

static int info(Session *s, const Args *args, Error *err)
{
        WireNodeDeviceGetParentRet above = { 0 };
        WireNodeDeviceIsActiveRet active;
        WireNodeDeviceIsPersistentRet persistent;
        WireNodeDeviceGetAutostartRet autostart;
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0 ||
            session_call(s, WIRE_PROC_NODE_DEVICE_GET_PARENT, &(WireNodeDeviceGetParentArgs){ device.name }, &above,
                         err) < 0 ||
            session_call(s, WIRE_PROC_NODE_DEVICE_IS_ACTIVE, &(WireNodeDeviceIsActiveArgs){ device.name }, &active,
                         err) < 0 ||
            session_call(s, WIRE_PROC_NODE_DEVICE_IS_PERSISTENT, &(WireNodeDeviceIsPersistentArgs){ device.name },
                         &persistent, err) < 0)
                return -1;
        out_field(s->out, INFO_COLUMN, "Name", "%s", device.name);
        if (above.parentName)
                out_field(s->out, INFO_COLUMN, "Parent", "%s", above.parentName);
        else
                out_none(s->out, INFO_COLUMN, "Parent", "");
        out_yes_no(s->out, INFO_COLUMN, "Active", active.active > 0);
        out_yes_no(s->out, INFO_COLUMN, "Persistent", persistent.persistent > 0);
        /* who may only read is not told */
        if (session_call(s, WIRE_PROC_NODE_DEVICE_GET_AUTOSTART, &(WireNodeDeviceGetAutostartArgs){ device.name },
                         &autostart, NULL) < 0)
                out_none(s->out, INFO_COLUMN, "Autostart", "no autostart");
        else
                out_yes_no(s->out, INFO_COLUMN, "Autostart", autostart.autostart > 0);
        return 0;
}

/* --- acts: a daemon for which devices of the host are only there to be looked at refuses them --- */

static int detach(Session *s, const Args *args, Error *err)
{
        const char *driver = arg_text(args, "driver");
        WireNodeDevice device;
        int result;

        if (find_device(s, args, &device, err) < 0)
                return -1;
        if (driver)
                result = session_call(s, WIRE_PROC_NODE_DEVICE_DETACH_FLAGS,
                                      &(WireNodeDeviceDetachFlagsArgs){ device.name, driver, 0 }, NULL, err);
        else
                result = session_call(s, WIRE_PROC_NODE_DEVICE_DETTACH, &(WireNodeDeviceDettachArgs){ device.name },
                                      NULL, err);
        if (result < 0)
                return fail(err, "Failed to detach device %s", device.name);
        out_done(s->out, "Device %s detached", device.name);
        return 0;
}

static int reattach(Session *s, const Args *args, Error *err)
{
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_RE_ATTACH, &(WireNodeDeviceReAttachArgs){ device.name }, NULL,
                         err) < 0)
                return fail(err, "Failed to re-attach device %s", device.name);
        out_done(s->out, "Device %s re-attached", device.name);
        return 0;
}

static int reset(Session *s, const Args *args, Error *err)
{
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_RESET, &(WireNodeDeviceResetArgs){ device.name }, NULL, err) < 0)
                return fail(err, "Failed to reset device %s", device.name);
        out_done(s->out, "Device %s reset", device.name);
        return 0;
}

static int create(Session *s, const Args *args, Error *err)
{
        const char *path = arg_text(args, "file");
        AUTOFREE char *xml = read_text_file(path, err);
        uint32_t flags = arg_has(args, "validate") ? VIR_NODE_DEVICE_CREATE_XML_VALIDATE : 0;
        WireNodeDeviceCreateXmlRet made;

        if (!xml)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_CREATE_XML, &(WireNodeDeviceCreateXmlArgs){ xml, flags }, &made,
                         err) < 0)
                return fail(err, "Failed to create node device from %s", path);
        out_done(s->out, "Node device %s created from %s", made.dev.name, path);
        return 0;
}

static int destroy(Session *s, const Args *args, Error *err)
{
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_DESTROY, &(WireNodeDeviceDestroyArgs){ device.name }, NULL, err) <
            0)
                return fail(err, "Failed to destroy node device '%s'", device.name);
        out_done(s->out, "Destroyed node device '%s'", device.name);
        return 0;
}

static int define(Session *s, const Args *args, Error *err)
{
        const char *path = arg_text(args, "file");
        AUTOFREE char *xml = read_text_file(path, err);
        uint32_t flags = arg_has(args, "validate") ? VIR_NODE_DEVICE_DEFINE_XML_VALIDATE : 0;
        WireNodeDeviceDefineXmlRet made;

        if (!xml)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_DEFINE_XML, &(WireNodeDeviceDefineXmlArgs){ xml, flags }, &made,
                         err) < 0)
                return fail(err, "Failed to define node device from '%s'", path);
        out_done(s->out, "Node device '%s' defined from '%s'", made.dev.name, path);
        return 0;
}

static int undefine(Session *s, const Args *args, Error *err)
{
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_UNDEFINE, &(WireNodeDeviceUndefineArgs){ device.name, 0 }, NULL,
                         err) < 0)
                return fail(err, "Failed to undefine node device '%s'", device.name);
        out_done(s->out, "Undefined node device '%s'", device.name);
        return 0;
}

static int start(Session *s, const Args *args, Error *err)
{
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_CREATE, &(WireNodeDeviceCreateArgs){ device.name, 0 }, NULL, err) <
            0)
                return fail(err, "Failed to start device %s", device.name);
        out_done(s->out, "Device %s started", device.name);
        return 0;
}

static int autostart(Session *s, const Args *args, Error *err)
{
        const char *mark = arg_has(args, "disable") ? "unmark" : "mark";
        WireNodeDevice device;

        if (find_device(s, args, &device, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NODE_DEVICE_SET_AUTOSTART,
                         &(WireNodeDeviceSetAutostartArgs){ device.name, !arg_has(args, "disable") }, NULL, err) < 0)
                return fail(err, "failed to %s device %s as autostarted", mark, device.name);
        out_done(s->out, "Device %s %sed as autostarted", device.name, mark);
        return 0;
}

#define ARG_DEVICE_FILE                                                                                              \
        "FILE          definition, an XML file\n"                                                                    \
        "[--validate]  refuse what the schema does not know"
#define ARGS_DETACH ARG_DEVICE "[--driver DRIVER]  what it is kept for a guest by, like vfio"
#define NOT_BY_DROVERD                                                                                               \
        "droverd shows devices of the host and leaves them as they are: it refuses this, libvirtd does it."
#define NODEDEV(n, a, what, does)                                                                                    \
        {                                                                                                            \
                .name = (n), .group = GROUP_NODEDEV, .args = (a), .summary = (what), .run = (does)                   \
        }
#define NODEDEV_ACT(n, a, what, does)                                                                                \
        {                                                                                                            \
                .name = (n), .group = GROUP_NODEDEV, .args = (a), .summary = (what), .text = NOT_BY_DROVERD,         \
                .run = (does)                                                                                        \
        }

const Command nodedev_commands[] = {
        NODEDEV("nodedev-list",
                "[--tree]      with what sits on what\n"
                "[--cap KIND~]  of these kinds only, like pci,net\n"
                "[--inactive]  those that are not there now\n"
                "[--all]       those too",
                "list devices of the host", list),
        NODEDEV("nodedev-dumpxml",
                ARG_DEVICE "[--xpath=EXPR]  only what this XPath expression finds\n"
                           "[--wrap]        in one root element",
                "print a device of the host as XML", dumpxml),
        NODEDEV("nodedev-info", ARG_DEVICE, "show what state a device of the host is in", info),
        NODEDEV_ACT("nodedev-detach", ARGS_DETACH, "take a device from the host's driver, for a guest", detach),
        { .name = "nodedev-dettach",
          .group = GROUP_NODEDEV,
          .args = ARGS_DETACH,
          .summary = "nodedev-detach, as it was spelled once",
          .hidden = true,
          .run = detach },
        NODEDEV_ACT("nodedev-reattach", ARG_DEVICE, "give a device back to the host's driver", reattach),
        NODEDEV_ACT("nodedev-reset", ARG_DEVICE, "reset a device of the host", reset),
        NODEDEV_ACT("nodedev-create", ARG_DEVICE_FILE, "make a device of the host from an XML file", create),
        NODEDEV_ACT("nodedev-destroy", ARG_DEVICE, "unmake a device of the host", destroy),
        NODEDEV_ACT("nodedev-define", ARG_DEVICE_FILE, "define a device of the host", define),
        NODEDEV_ACT("nodedev-undefine", ARG_DEVICE, "forget the definition of a device of the host", undefine),
        NODEDEV_ACT("nodedev-start", ARG_DEVICE, "make a device of the host that is defined", start),
        NODEDEV_ACT("nodedev-autostart", ARG_DEVICE "[--disable]  no longer", "make a device when the host starts",
                    autostart),
        { 0 },
};
