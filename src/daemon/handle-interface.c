/*
 * daemon/handle-interface.c - network interfaces of the host, as clients list them
 *
 * Reports only: the host's own tools set its interfaces up (NET-25).
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/daemon.h"
#include "daemon/handlers.h"
#include "host/interface.h"
#include "loop/worker.h"
#include "wire/constants.h"

#include <strings.h>

enum {
        LIST_ACTIVITY = VIR_CONNECT_LIST_INTERFACES_ACTIVE | VIR_CONNECT_LIST_INTERFACES_INACTIVE,
        LIST_MOST = 16384,
};

static const char root[] = "";

/* A host with thousands of guests has as many taps, each a few files of the kernel: a worker reads them. */
typedef struct Look {
        Call *call;
        Task *task;
        Arena *arena;
        const char *described; /* the name of the one that is to be described, or NULL */
        HostInterface *all;
        size_t n;
        Buf text;
        int (*answer)(struct Look *look, Error *err); /* answers the call, or fails */
} Look;

static void look_free(void *data)
{
        Look *look = data;

        arena_free(look->arena);
        buf_done(&look->text);
        free(look);
}

/* The daemon ends before all were looked at. */
static void drop_look(void *data)
{
        task_free(((Look *)data)->task, look_free);
}

static const HostInterface *find_in(const Look *look, const char *name)
{
        for (size_t i = 0; i < look->n; i++) {
                if (str_eq(look->all[i].name, name))
                        return &look->all[i];
        }
        return NULL;
}

/* On a worker. */
static void look_at_all(void *data)
{
        Look *look = data;

        look->n = host_interfaces(root, look->arena, &look->all);
        if (look->described && find_in(look, look->described))
                host_interface_format(root, look->described, &look->text);
}

static void on_looked(void *data)
{
        Look *look = data;
        Call *call = look->call;
        AUTO(Error) err = { 0 };

        look->task = task_free(look->task, NULL);
        call_keep(call, NULL, NULL);
        if (look->answer(look, &err) < 0)
                call_fail(call, &err);
        look_free(look);
}

static int look_and(Call *call, const char *described, int (*answer)(Look *look, Error *err))
{
        Look *look = mem_new(Look);

        *look = (Look){ .call = call, .arena = arena_new(), .answer = answer };
        look->described = arena_dup(look->arena, described);
        call_keep(call, look, drop_look);
        look->task = task_new(call_daemon(call)->workers, look_at_all, on_looked, look);
        return 0;
}

/* --- lists --- */

static bool is_wanted(const HostInterface *i, uint32_t flags)
{
        return !i->is_part &&
               (!(flags & LIST_ACTIVITY) ||
                flags & (i->active ? VIR_CONNECT_LIST_INTERFACES_ACTIVE : VIR_CONNECT_LIST_INTERFACES_INACTIVE));
}

static int answer_all(Look *look, Error *err UNUSED)
{
        const WireConnectListAllInterfacesArgs *args = call_args(look->call);
        WireConnectListAllInterfacesRet ret = { 0 };
        size_t n = MIN(look->n, (size_t)LIST_MOST);

        ret.ifaces = arena_new_array(look->arena, WireInterface, n);
        for (size_t i = 0; i < n; i++) {
                if (!is_wanted(&look->all[i], args->flags))
                        continue;
                if (args->need_results)
                        ret.ifaces[ret.n_ifaces++] = (WireInterface){ .name = look->all[i].name,
                                                                      .mac = look->all[i].mac };
                ret.ret++;
        }
        call_reply(look->call, &ret);
        return 0;
}

int handle_connect_list_all_interfaces(Call *call, const WireConnectListAllInterfacesArgs *args, Error *err)
{
        return call_check_flags(call, args->flags, LIST_ACTIVITY, err) < 0 ? -1 : look_and(call, NULL, answer_all);
}

/* The replies of both calls that count look alike on the wire. */
static int answer_count(Look *look, uint32_t flags)
{
        WireConnectNumOfInterfacesRet ret = { 0 };

        for (size_t i = 0; i < look->n; i++)
                ret.num += is_wanted(&look->all[i], flags);
        call_reply(look->call, &ret);
        return 0;
}

static int answer_n_active(Look *look, Error *err UNUSED)
{
        return answer_count(look, VIR_CONNECT_LIST_INTERFACES_ACTIVE);
}

int handle_connect_num_of_interfaces(Call *call, Error *err UNUSED)
{
        return look_and(call, NULL, answer_n_active);
}

static int answer_n_inactive(Look *look, Error *err UNUSED)
{
        return answer_count(look, VIR_CONNECT_LIST_INTERFACES_INACTIVE);
}

int handle_connect_num_of_defined_interfaces(Call *call, Error *err UNUSED)
{
        return look_and(call, NULL, answer_n_inactive);
}

/* Both old calls are answered with names only, and ask alike. */
static int answer_names(Look *look, uint32_t flags)
{
        const WireConnectListInterfacesArgs *args = call_args(look->call);
        WireConnectListInterfacesRet ret = { .names = arena_new_array(look->arena, const char *, look->n) };

        for (size_t i = 0; i < look->n && ret.n_names < (uint32_t)args->maxnames; i++) {
                if (is_wanted(&look->all[i], flags))
                        ret.names[ret.n_names++] = look->all[i].name;
        }
        call_reply(look->call, &ret);
        return 0;
}

static int check_most(int32_t most, Error *err)
{
        return most < 0 || most > LIST_MOST ? err_set(err, ERR_INVALID_ARG, "%d names do not fit an answer", most)
                                            : 0;
}

static int answer_active(Look *look, Error *err UNUSED)
{
        return answer_names(look, VIR_CONNECT_LIST_INTERFACES_ACTIVE);
}

int handle_connect_list_interfaces(Call *call, const WireConnectListInterfacesArgs *args, Error *err)
{
        return check_most(args->maxnames, err) < 0 ? -1 : look_and(call, NULL, answer_active);
}

static int answer_inactive(Look *look, Error *err UNUSED)
{
        return answer_names(look, VIR_CONNECT_LIST_INTERFACES_INACTIVE);
}

int handle_connect_list_defined_interfaces(Call *call, const WireConnectListDefinedInterfacesArgs *args, Error *err)
{
        return check_most(args->maxnames, err) < 0 ? -1 : look_and(call, NULL, answer_inactive);
}

/* --- one --- */

static const HostInterface *find(const Look *look, const char *name, Error *err)
{
        const HostInterface *i = find_in(look, name);

        if (!i)
                err_set(err, ERR_NO_INTERFACE, "couldn't find interface named '%s'", name);
        return i;
}

static int answer_named(Look *look, Error *err)
{
        const WireInterfaceLookupByNameArgs *args = call_args(look->call);
        const HostInterface *i = find(look, args->name, err);

        if (!i)
                return -1;
        call_reply(look->call, &(WireInterfaceLookupByNameRet){ .iface = { .name = i->name, .mac = i->mac } });
        return 0;
}

int handle_interface_lookup_by_name(Call *call, const WireInterfaceLookupByNameArgs *args UNUSED, Error *err UNUSED)
{
        return look_and(call, NULL, answer_named);
}

static int answer_by_mac(Look *look, Error *err)
{
        const WireInterfaceLookupByMacStringArgs *args = call_args(look->call);
        const HostInterface *all = look->all, *found = NULL;

        for (size_t i = 0; i < look->n; i++) {
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
        call_reply(look->call,
                   &(WireInterfaceLookupByMacStringRet){ .iface = { .name = found->name, .mac = found->mac } });
        return 0;
}

int handle_interface_lookup_by_mac_string(Call *call, const WireInterfaceLookupByMacStringArgs *args UNUSED,
                                          Error *err UNUSED)
{
        return look_and(call, NULL, answer_by_mac);
}

static int answer_is_active(Look *look, Error *err)
{
        const WireInterfaceIsActiveArgs *args = call_args(look->call);
        const HostInterface *i = find(look, args->iface.name, err);

        if (!i)
                return -1;
        call_reply(look->call, &(WireInterfaceIsActiveRet){ .active = i->active });
        return 0;
}

int handle_interface_is_active(Call *call, const WireInterfaceIsActiveArgs *args UNUSED, Error *err UNUSED)
{
        return look_and(call, NULL, answer_is_active);
}

static int answer_description(Look *look, Error *err)
{
        if (!find(look, look->described, err))
                return -1;
        call_reply(look->call, &(WireInterfaceGetXmlDescRet){ .xml = buf_text(&look->text) });
        return 0;
}

int handle_interface_get_xml_desc(Call *call, const WireInterfaceGetXmlDescArgs *args, Error *err)
{
        return call_check_flags(call, args->flags, VIR_INTERFACE_XML_INACTIVE, err) < 0
                       ? -1
                       : look_and(call, args->iface.name, answer_description);
}
