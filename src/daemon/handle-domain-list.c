/*
 * daemon/handle-domain-list.c - listing and finding guests
 */
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "wire/constants.h"

enum {
        LIST_ACTIVITY = VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_INACTIVE,
        LIST_PERSISTENCE = VIR_CONNECT_LIST_DOMAINS_PERSISTENT | VIR_CONNECT_LIST_DOMAINS_TRANSIENT,
        LIST_STATE = VIR_CONNECT_LIST_DOMAINS_RUNNING | VIR_CONNECT_LIST_DOMAINS_PAUSED |
                     VIR_CONNECT_LIST_DOMAINS_SHUTOFF | VIR_CONNECT_LIST_DOMAINS_OTHER,
        LIST_MANAGED_SAVE = VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE | VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE,
        LIST_AUTOSTART = VIR_CONNECT_LIST_DOMAINS_AUTOSTART | VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART,
        LIST_SNAPSHOT = VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT | VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT,
        LIST_CHECKPOINT = VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT | VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT,
        LIST_ALL = LIST_ACTIVITY | LIST_PERSISTENCE | LIST_STATE | LIST_MANAGED_SAVE | LIST_AUTOSTART |
                   LIST_SNAPSHOT | LIST_CHECKPOINT,
        LIST_MOST = 16384,
};

static uint32_t state_bit(int state)
{
        switch (state) {
        case VIR_DOMAIN_RUNNING:
                return VIR_CONNECT_LIST_DOMAINS_RUNNING;
        case VIR_DOMAIN_PAUSED:
                return VIR_CONNECT_LIST_DOMAINS_PAUSED;
        case VIR_DOMAIN_SHUTOFF:
                return VIR_CONNECT_LIST_DOMAINS_SHUTOFF;
        default:
                return VIR_CONNECT_LIST_DOMAINS_OTHER;
        }
}

bool domain_passes_filter(const Domain *dom, uint32_t flags)
{
        return list_passes(flags, LIST_ACTIVITY,
                           domain_is_active(dom) ? VIR_CONNECT_LIST_DOMAINS_ACTIVE
                                                 : VIR_CONNECT_LIST_DOMAINS_INACTIVE) &&
               list_passes(flags, LIST_PERSISTENCE,
                           dom->persistent ? VIR_CONNECT_LIST_DOMAINS_PERSISTENT
                                           : VIR_CONNECT_LIST_DOMAINS_TRANSIENT) &&
               list_passes(flags, LIST_STATE, state_bit(dom->state)) &&
               list_passes(flags, LIST_MANAGED_SAVE,
                           dom->has_managed_save ? VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
                                                 : VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE) &&
               list_passes(flags, LIST_AUTOSTART,
                           dom->autostart ? VIR_CONNECT_LIST_DOMAINS_AUTOSTART
                                          : VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART) &&
               list_passes(flags, LIST_SNAPSHOT, VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT) &&
               list_passes(flags, LIST_CHECKPOINT, VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT);
}

int handle_connect_list_all_domains(Call *call, const WireConnectListAllDomainsArgs *args, Error *err)
{
        const DomainList *list = call_driver(call)->domains;
        size_t n = domain_list_len(list);
        WireConnectListAllDomainsRet ret = { 0 };

        if (call_check_flags(call, args->flags, LIST_ALL, err) < 0)
                return -1;
        if (args->need_results)
                ret.domains = arena_new_array(call_arena(call), WireDomain, n);
        for (size_t i = 0; i < n; i++) {
                const Domain *dom = domain_list_at(list, i);

                if (!domain_passes_filter(dom, args->flags))
                        continue;
                if (ret.ret++ < LIST_MOST && args->need_results)
                        ret.domains[ret.n_domains++] = call_wire_domain(dom);
        }
        if (args->need_results && ret.ret > LIST_MOST)
                return err_set(err, ERR_RPC, "there are %u guests; a list holds at most %d, so ask for fewer",
                               ret.ret, LIST_MOST);
        call_reply(call, &ret);
        return 0;
}

/* Stock virsh takes a UUID without dashes for a name (LIFE-01). A guest that is called so comes first. */
static const Domain *find_name_or_digits(const DomainList *list, const char *name)
{
        const Domain *dom = domain_list_find_name(list, name);
        Uuid uuid;

        if (!dom && strlen(name) == 2 * sizeof(uuid.bytes) && uuid_parse(name, &uuid) == 0)
                dom = domain_list_find_uuid(list, &uuid);
        return dom;
}

int handle_domain_lookup_by_name(Call *call, const WireDomainLookupByNameArgs *args, Error *err)
{
        const Domain *dom = find_name_or_digits(call_driver(call)->domains, args->name);

        if (!dom)
                return err_set(err, ERR_NO_DOMAIN, "no domain with matching name '%s'", args->name);
        call_reply(call, &(WireDomainLookupByNameRet){ .dom = call_wire_domain(dom) });
        return 0;
}

int handle_domain_lookup_by_uuid(Call *call, const WireDomainLookupByUuidArgs *args, Error *err)
{
        const Domain *dom = domain_list_find_uuid(call_driver(call)->domains, &args->uuid);
        char text[UUID_TEXT_LEN + 1];

        if (!dom)
                return err_set(err, ERR_NO_DOMAIN, "no domain with matching uuid '%s'",
                               uuid_format(&args->uuid, text));
        call_reply(call, &(WireDomainLookupByUuidRet){ .dom = call_wire_domain(dom) });
        return 0;
}

int handle_domain_lookup_by_id(Call *call, const WireDomainLookupByIdArgs *args, Error *err)
{
        const Domain *dom = domain_list_find_id(call_driver(call)->domains, args->id);

        if (!dom)
                return err_set(err, ERR_NO_DOMAIN, "no domain with matching id %d", args->id);
        call_reply(call, &(WireDomainLookupByIdRet){ .dom = call_wire_domain(dom) });
        return 0;
}

/* --- the older calls, which name or count the active and the inactive apart --- */

static int32_t count(const DomainList *list, bool active)
{
        int32_t n = 0;

        for (size_t i = 0; i < domain_list_len(list); i++)
                n += domain_is_active(domain_list_at(list, i)) == active;
        return n;
}

int handle_connect_num_of_domains(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfDomainsRet){ .num = count(call_driver(call)->domains, true) });
        return 0;
}

int handle_connect_num_of_defined_domains(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectNumOfDefinedDomainsRet){ .num = count(call_driver(call)->domains, false) });
        return 0;
}

/* A client's wish for so many items, within what the call can carry. */
static int check_most(int32_t wanted, Error *err)
{
        if (wanted < 0 || wanted > LIST_MOST)
                return err_set(err, ERR_RPC, "%d items are asked for; 0 to %d can be given", wanted, LIST_MOST);
        return 0;
}

int handle_connect_list_domains(Call *call, const WireConnectListDomainsArgs *args, Error *err)
{
        const DomainList *list = call_driver(call)->domains;
        WireConnectListDomainsRet ret = { 0 };

        if (check_most(args->maxids, err) < 0)
                return -1;
        ret.ids = arena_new_array(call_arena(call), int32_t, (size_t)args->maxids);
        for (size_t i = 0; i < domain_list_len(list) && ret.n_ids < (uint32_t)args->maxids; i++) {
                if (domain_is_active(domain_list_at(list, i)))
                        ret.ids[ret.n_ids++] = domain_list_at(list, i)->id;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_defined_domains(Call *call, const WireConnectListDefinedDomainsArgs *args, Error *err)
{
        const DomainList *list = call_driver(call)->domains;
        WireConnectListDefinedDomainsRet ret = { 0 };

        if (check_most(args->maxnames, err) < 0)
                return -1;
        ret.names = arena_new_array(call_arena(call), const char *, (size_t)args->maxnames);
        for (size_t i = 0; i < domain_list_len(list) && ret.n_names < (uint32_t)args->maxnames; i++) {
                if (!domain_is_active(domain_list_at(list, i)))
                        ret.names[ret.n_names++] = domain_list_at(list, i)->name;
        }
        call_reply(call, &ret);
        return 0;
}
