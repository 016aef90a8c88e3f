/*
 * daemon/handle-nwfilter-binding.c - devices that network filters are in force on
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/nwfilter.h"
#include "wire/constants.h"

enum { LIST_MOST = 16384 };

static WireNwfilterBinding wire_binding(const NwBindingDef *def)
{
        return (WireNwfilterBinding){ .portdev = def->portdev, .filtername = def->filterref->filter };
}

static NwBinding *find(const Call *call, const char *dev, Error *err)
{
        const NwFilters *filters = call_driver(call)->nwfilters;
        NwBinding *binding = filters ? nw_binding_find(filters, dev) : NULL;

        if (!binding)
                err_set(err, ERR_NO_NWFILTER_BINDING, "no nwfilter binding for port dev '%s'", dev);
        return binding;
}

int handle_nwfilter_binding_lookup_by_port_dev(Call *call, const WireNwfilterBindingLookupByPortDevArgs *args,
                                               Error *err)
{
        const NwBinding *binding = find(call, args->name, err);

        if (!binding)
                return -1;
        call_reply(call, &(WireNwfilterBindingLookupByPortDevRet){ .nwfilter = wire_binding(binding->def) });
        return 0;
}

int handle_nwfilter_binding_get_xml_desc(Call *call, const WireNwfilterBindingGetXmlDescArgs *args, Error *err)
{
        const NwBinding *binding;
        AUTO(Buf) text = { 0 };

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(binding = find(call, args->nwfilter.portdev, err)))
                return -1;
        nw_binding_format(binding->def, &text);
        call_reply(call, &(WireNwfilterBindingGetXmlDescRet){ .xml = buf_text(&text) });
        return 0;
}

int handle_connect_list_all_nwfilter_bindings(Call *call, const WireConnectListAllNwfilterBindingsArgs *args,
                                              Error *err)
{
        const NwFilters *filters = call_driver(call)->nwfilters;
        WireConnectListAllNwfilterBindingsRet ret = { .ret = filters ? (uint32_t)filters->bindings.len : 0 };

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (args->need_results && ret.ret > LIST_MOST)
                return err_set(err, ERR_RPC, "there are %u bindings; a list holds at most %d", ret.ret, LIST_MOST);
        if (args->need_results) {
                ret.bindings = arena_new_array(call_arena(call), WireNwfilterBinding, ret.ret);
                for (; ret.n_bindings < ret.ret; ret.n_bindings++)
                        ret.bindings[ret.n_bindings] = wire_binding(filters->bindings.items[ret.n_bindings]->def);
        }
        call_reply(call, &ret);
        return 0;
}

/* --- acts --- */

typedef struct BindingAct {
        Call *call;
        NwFilters *filters;
        char *dev; /* that is told; NULL: it was deleted */
} BindingAct;

static void act_end(void *arg, const Error *failure)
{
        BindingAct *act = arg;
        const NwBinding *binding = act->dev ? nw_binding_find(act->filters, act->dev) : NULL;
        AUTO(Error) gone = { 0 };

        if (act->dev && !failure && !binding) {
                err_set(&gone, ERR_NO_NWFILTER_BINDING, "the binding of '%s' was deleted meanwhile", act->dev);
                failure = &gone;
        }
        if (failure)
                call_fail(act->call, failure);
        else if (binding)
                call_reply(act->call, &(WireNwfilterBindingCreateXmlRet){ .nwfilter = wire_binding(binding->def) });
        else
                call_reply(act->call, NULL);
        free(act->dev);
        free(act);
}

static BindingAct *act_new(Call *call, const char *dev)
{
        BindingAct *act = mem_new(BindingAct);

        *act = (BindingAct){ .call = call, .filters = call_driver(call)->nwfilters, .dev = str_dup(dev) };
        return act;
}

int handle_nwfilter_binding_create_xml(Call *call, const WireNwfilterBindingCreateXmlArgs *args, Error *err)
{
        NwFilters *filters = call_driver(call)->nwfilters;
        AUTO(Warnings) warnings = { 0 };
        NwBindingDef *def = NULL;
        unsigned flags = args->flags & VIR_NWFILTER_BINDING_CREATE_VALIDATE ? DEF_PARSE_VALIDATE : 0;

        if (call_check_flags(call, args->flags, VIR_NWFILTER_BINDING_CREATE_VALIDATE, err) < 0)
                return -1;
        if (!filters)
                return err_set(err, ERR_NO_SUPPORT, "this driver has no network filters");
        if (nw_binding_parse(args->xml, strlen(args->xml), flags, &def, &warnings, err) < 0)
                return -1;
        nw_binding_create(filters, def, act_end, act_new(call, def->portdev));
        return 0;
}

int handle_nwfilter_binding_delete(Call *call, const WireNwfilterBindingDeleteArgs *args, Error *err)
{
        NwBinding *binding = find(call, args->nwfilter.portdev, err);

        if (!binding)
                return -1;
        nw_binding_delete(binding, act_end, act_new(call, NULL));
        return 0;
}
