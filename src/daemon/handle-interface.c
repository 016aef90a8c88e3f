/*
 * daemon/handle-interface.c - network interfaces of the host, as clients list them
 *
 * Reports only: the host's own tools set its interfaces up (NET-25).
 */
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/handlers.h"
#include "host/interface.h"
#include "wire/constants.h"

#include <strings.h>

enum {
        LIST_ACTIVITY = VIR_CONNECT_LIST_INTERFACES_ACTIVE | VIR_CONNECT_LIST_INTERFACES_INACTIVE,
        LIST_MOST = 16384,
};

static const char root[] = "";

static bool is_wanted(const HostInterface *i, uint32_t flags)
{
        return !i->is_part &&
               (!(flags & LIST_ACTIVITY) ||
                flags & (i->active ? VIR_CONNECT_LIST_INTERFACES_ACTIVE : VIR_CONNECT_LIST_INTERFACES_INACTIVE));
}

int handle_connect_list_all_interfaces(Call *call, const WireConnectListAllInterfacesArgs *args, Error *err)
{
        WireConnectListAllInterfacesRet ret = { 0 };
        HostInterface *all;
        size_t n;

        if (call_check_flags(call, args->flags, LIST_ACTIVITY, err) < 0)
                return -1;
        n = MIN(host_interfaces(root, call_arena(call), &all), (size_t)LIST_MOST);
        ret.ifaces = arena_new_array(call_arena(call), WireInterface, n);
        for (size_t i = 0; i < n; i++) {
                if (!is_wanted(&all[i], args->flags))
                        continue;
                if (args->need_results)
                        ret.ifaces[ret.n_ifaces++] = (WireInterface){ .name = all[i].name, .mac = all[i].mac };
                ret.ret++;
        }
        call_reply(call, &ret);
        return 0;
}

static int32_t count(Call *call, uint32_t flags)
{
        HostInterface *all;
        size_t n = host_interfaces(root, call_arena(call), &all);
        int32_t wanted = 0;

        for (size_t i = 0; i < n; i++)
                wanted += is_wanted(&all[i], flags);
        return wanted;
}

int handle_connect_num_of_interfaces(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfInterfacesRet){ .num = count(call, VIR_CONNECT_LIST_INTERFACES_ACTIVE) });
        return 0;
}

int handle_connect_num_of_defined_interfaces(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfDefinedInterfacesRet){
                                 .num = count(call, VIR_CONNECT_LIST_INTERFACES_INACTIVE) });
        return 0;
}

/* Both old calls answer with names only. */
static int list_names(Call *call, int32_t most, uint32_t flags, Error *err)
{
        WireConnectListInterfacesRet ret = { 0 };
        HostInterface *all;
        size_t n;

        if (most < 0 || most > LIST_MOST)
                return err_set(err, ERR_INVALID_ARG, "%d names do not fit an answer", most);
        n = host_interfaces(root, call_arena(call), &all);
        ret.names = arena_new_array(call_arena(call), const char *, n);
        for (size_t i = 0; i < n && ret.n_names < (uint32_t)most; i++) {
                if (is_wanted(&all[i], flags))
                        ret.names[ret.n_names++] = all[i].name;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_interfaces(Call *call, const WireConnectListInterfacesArgs *args, Error *err)
{
        return list_names(call, args->maxnames, VIR_CONNECT_LIST_INTERFACES_ACTIVE, err);
}

int handle_connect_list_defined_interfaces(Call *call, const WireConnectListDefinedInterfacesArgs *args, Error *err)
{
        return list_names(call, args->maxnames, VIR_CONNECT_LIST_INTERFACES_INACTIVE, err);
}

static const HostInterface *find(Call *call, const char *name, Error *err)
{
        HostInterface *all;
        size_t n = host_interfaces(root, call_arena(call), &all);

        for (size_t i = 0; i < n; i++) {
                if (str_eq(all[i].name, name))
                        return &all[i];
        }
        err_set(err, ERR_NO_INTERFACE, "couldn't find interface named '%s'", name);
        return NULL;
}

int handle_interface_lookup_by_name(Call *call, const WireInterfaceLookupByNameArgs *args, Error *err)
{
        const HostInterface *i = find(call, args->name, err);

        if (!i)
                return -1;
        call_reply(call, &(WireInterfaceLookupByNameRet){ .iface = { .name = i->name, .mac = i->mac } });
        return 0;
}

int handle_interface_lookup_by_mac_string(Call *call, const WireInterfaceLookupByMacStringArgs *args, Error *err)
{
        const HostInterface *found = NULL;
        HostInterface *all;
        size_t n = host_interfaces(root, call_arena(call), &all);

        for (size_t i = 0; i < n; i++) {
                if (strcasecmp(all[i].mac, args->mac) != 0)
                        continue;
                if (found && !all[i].is_part && !found->is_part)
                        return err_set(err, ERR_MULTIPLE_INTERFACES,
                                       "the MAC address '%s' matches multiple interfaces", args->mac);
                /* a bridge has the address of one of its ports: the bridge is meant */
                if (!found || found->is_part)
                        found = &all[i];
        }
        if (!found)
                return err_set(err, ERR_NO_INTERFACE, "couldn't find interface with MAC address '%s'", args->mac);
        call_reply(call, &(WireInterfaceLookupByMacStringRet){ .iface = { .name = found->name, .mac = found->mac } });
        return 0;
}

int handle_interface_is_active(Call *call, const WireInterfaceIsActiveArgs *args, Error *err)
{
        const HostInterface *i = find(call, args->iface.name, err);

        if (!i)
                return -1;
        call_reply(call, &(WireInterfaceIsActiveRet){ .active = i->active });
        return 0;
}

int handle_interface_get_xml_desc(Call *call, const WireInterfaceGetXmlDescArgs *args, Error *err)
{
        const HostInterface *i;
        AUTO(Buf) text = { 0 };

        if (call_check_flags(call, args->flags, VIR_INTERFACE_XML_INACTIVE, err) < 0 ||
            !(i = find(call, args->iface.name, err)))
                return -1;
        host_interface_format(root, i->name, &text);
        call_reply(call, &(WireInterfaceGetXmlDescRet){ .xml = buf_text(&text) });
        return 0;
}
