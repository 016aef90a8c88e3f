/*
 * daemon/handle-interface.c - network interfaces of the host, as clients list them
 *
 * Reports only: the host's own tools set its interfaces up (NET-25).
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/handlers.h"
#include "daemon/look.h"
#include "host/interface.h"
#include "wire/constants.h"

#include <strings.h>

enum {
        LIST_ACTIVITY = VIR_CONNECT_LIST_INTERFACES_ACTIVE | VIR_CONNECT_LIST_INTERFACES_INACTIVE,
        LIST_MOST = 16384,
};

static const char root[] = "";

typedef struct Interfaces {
        Arena *arena;
        const char *name; /* the only one to look at, or NULL: all */
        bool described;   /* and its description is wanted */
        HostInterface *all;
        size_t n;
        Buf text;
} Interfaces;

static void interfaces_done(void *state)
{
        Interfaces *found = state;

        arena_free(found->arena);
        buf_done(&found->text);
}

/* On a worker. */
static void look_at_all(void *state)
{
        Interfaces *found = state;

        found->n = host_interfaces(root, found->arena, &found->all);
}

/* On a worker. */
static void look_at_one(void *state)
{
        Interfaces *found = state;

        found->all = arena_new_one(found->arena, HostInterface);
        found->n = host_interface_find(root, found->name, found->arena, found->all);
        if (found->n && found->described)
                host_interface_format(root, found->name, &found->text);
}

typedef int Answer(Call *call, void *state, Error *err);

static int look_at(Call *call, const char *name, bool described, Answer *answer)
{
        Interfaces *found = mem_new(Interfaces);

        *found = (Interfaces){ .arena = arena_new(), .described = described };
        found->name = arena_dup(found->arena, name);
        return look_and(call, found, name ? look_at_one : look_at_all, answer, interfaces_done);
}

/* --- lists --- */

static bool is_wanted(const HostInterface *i, uint32_t flags)
{
        return !i->is_part &&
               (!(flags & LIST_ACTIVITY) ||
                flags & (i->active ? VIR_CONNECT_LIST_INTERFACES_ACTIVE : VIR_CONNECT_LIST_INTERFACES_INACTIVE));
}

static int answer_all(Call *call, void *state, Error *err UNUSED)
{
        const Interfaces *found = state;

        const WireConnectListAllInterfacesArgs *args = call_args(call);
        WireConnectListAllInterfacesRet ret = { 0 };
        size_t n = MIN(found->n, (size_t)LIST_MOST);

        ret.ifaces = arena_new_array(found->arena, WireInterface, n);
        for (size_t i = 0; i < n; i++) {
                if (!is_wanted(&found->all[i], args->flags))
                        continue;
                if (args->need_results)
                        ret.ifaces[ret.n_ifaces++] = (WireInterface){ .name = found->all[i].name,
                                                                      .mac = found->all[i].mac };
                ret.ret++;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_all_interfaces(Call *call, const WireConnectListAllInterfacesArgs *args, Error *err)
{
        return call_check_flags(call, args->flags, LIST_ACTIVITY, err) < 0 ? -1
                                                                           : look_at(call, NULL, false, answer_all);
}

/* The replies of both calls that count look alike on the wire. */
static int answer_count(Call *call, const Interfaces *found, uint32_t flags)
{
        WireConnectNumOfInterfacesRet ret = { 0 };

        for (size_t i = 0; i < found->n; i++)
                ret.num += is_wanted(&found->all[i], flags);
        call_reply(call, &ret);
        return 0;
}

static int answer_n_active(Call *call, void *state, Error *err UNUSED)
{
        return answer_count(call, state, VIR_CONNECT_LIST_INTERFACES_ACTIVE);
}

int handle_connect_num_of_interfaces(Call *call, Error *err UNUSED)
{
        return look_at(call, NULL, false, answer_n_active);
}

static int answer_n_inactive(Call *call, void *state, Error *err UNUSED)
{
        return answer_count(call, state, VIR_CONNECT_LIST_INTERFACES_INACTIVE);
}

int handle_connect_num_of_defined_interfaces(Call *call, Error *err UNUSED)
{
        return look_at(call, NULL, false, answer_n_inactive);
}

/* Both old calls are answered with names only, and ask alike. */
static int answer_names(Call *call, const Interfaces *found, uint32_t flags)
{
        const WireConnectListInterfacesArgs *args = call_args(call);
        WireConnectListInterfacesRet ret = { .names = arena_new_array(found->arena, const char *, found->n) };

        for (size_t i = 0; i < found->n && ret.n_names < (uint32_t)args->maxnames; i++) {
                if (is_wanted(&found->all[i], flags))
                        ret.names[ret.n_names++] = found->all[i].name;
        }
        call_reply(call, &ret);
        return 0;
}

static int check_most(int32_t most, Error *err)
{
        return most < 0 || most > LIST_MOST ? err_set(err, ERR_INVALID_ARG, "%d names do not fit an answer", most)
                                            : 0;
}

static int answer_active(Call *call, void *state, Error *err UNUSED)
{
        return answer_names(call, state, VIR_CONNECT_LIST_INTERFACES_ACTIVE);
}

int handle_connect_list_interfaces(Call *call, const WireConnectListInterfacesArgs *args, Error *err)
{
        return check_most(args->maxnames, err) < 0 ? -1 : look_at(call, NULL, false, answer_active);
}

static int answer_inactive(Call *call, void *state, Error *err UNUSED)
{
        return answer_names(call, state, VIR_CONNECT_LIST_INTERFACES_INACTIVE);
}

int handle_connect_list_defined_interfaces(Call *call, const WireConnectListDefinedInterfacesArgs *args, Error *err)
{
        return check_most(args->maxnames, err) < 0 ? -1 : look_at(call, NULL, false, answer_inactive);
}

/* --- one --- */

static const HostInterface *find(const Interfaces *found, const char *name, Error *err)
{
        if (found->n)
                return found->all;
        err_set(err, ERR_NO_INTERFACE, "couldn't find interface named '%s'", name);
        return NULL;
}

static int answer_named(Call *call, void *state, Error *err)
{
        const Interfaces *found = state;

        const WireInterfaceLookupByNameArgs *args = call_args(call);
        const HostInterface *i = find(found, args->name, err);

        if (!i)
                return -1;
        call_reply(call, &(WireInterfaceLookupByNameRet){ .iface = { .name = i->name, .mac = i->mac } });
        return 0;
}

int handle_interface_lookup_by_name(Call *call, const WireInterfaceLookupByNameArgs *args, Error *err UNUSED)
{
        return look_at(call, args->name, false, answer_named);
}

static int answer_by_mac(Call *call, void *state, Error *err)
{
        const Interfaces *looked = state;

        const WireInterfaceLookupByMacStringArgs *args = call_args(call);
        const HostInterface *all = looked->all, *found = NULL;

        for (size_t i = 0; i < looked->n; i++) {
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

int handle_interface_lookup_by_mac_string(Call *call, const WireInterfaceLookupByMacStringArgs *args UNUSED,
                                          Error *err UNUSED)
{
        return look_at(call, NULL, false, answer_by_mac);
}

static int answer_is_active(Call *call, void *state, Error *err)
{
        const Interfaces *found = state;

        const WireInterfaceIsActiveArgs *args = call_args(call);
        const HostInterface *i = find(found, args->iface.name, err);

        if (!i)
                return -1;
        call_reply(call, &(WireInterfaceIsActiveRet){ .active = i->active });
        return 0;
}

int handle_interface_is_active(Call *call, const WireInterfaceIsActiveArgs *args, Error *err UNUSED)
{
        return look_at(call, args->iface.name, false, answer_is_active);
}

static int answer_description(Call *call, void *state, Error *err)
{
        const Interfaces *found = state;

        if (!find(found, found->name, err))
                return -1;
        call_reply(call, &(WireInterfaceGetXmlDescRet){ .xml = buf_text(&found->text) });
        return 0;
}

int handle_interface_get_xml_desc(Call *call, const WireInterfaceGetXmlDescArgs *args, Error *err)
{
        return call_check_flags(call, args->flags, VIR_INTERFACE_XML_INACTIVE, err) < 0
                       ? -1
                       : look_at(call, args->iface.name, true, answer_description);
}
