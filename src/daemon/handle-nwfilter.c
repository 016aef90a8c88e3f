/*
 * daemon/handle-nwfilter.c - network filters: looked up, listed, defined
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/nwfilter.h"
#include "wire/constants.h"

enum { LIST_MOST = 16384 };

static WireNwfilter wire_filter(const NwStored *stored)
{
        return (WireNwfilter){ .name = stored->name, .uuid = stored->uuid };
}

/* NULL: this driver has none. */
static NwFilters *filters_of(const Call *call)
{
        return call_driver(call)->nwfilters;
}

static NwFilters *need_filters(const Call *call, Error *err)
{
        NwFilters *filters = filters_of(call);

        if (!filters)
                err_set(err, ERR_NO_SUPPORT, "this driver has no network filters");
        return filters;
}

static NwStored *find_uuid(const Call *call, const Uuid *uuid, Error *err)
{
        NwStored *stored = filters_of(call) ? registry_find_uuid(filters_of(call)->all, uuid) : NULL;
        char text[UUID_TEXT_LEN + 1];

        if (stored && nw_stored_is_defined(stored))
                return stored;
        err_set(err, ERR_NO_NWFILTER, "no nwfilter with matching uuid '%s'", uuid_format(uuid, text));
        return NULL;
}

int handle_nwfilter_lookup_by_name(Call *call, const WireNwfilterLookupByNameArgs *args, Error *err)
{
        const NwStored *stored = filters_of(call) ? nw_filters_find(filters_of(call), args->name) : NULL;

        if (!stored)
                return err_set(err, ERR_NO_NWFILTER, "no nwfilter with matching name '%s'", args->name);
        call_reply(call, &(WireNwfilterLookupByNameRet){ .nwfilter = wire_filter(stored) });
        return 0;
}

int handle_nwfilter_lookup_by_uuid(Call *call, const WireNwfilterLookupByUuidArgs *args, Error *err)
{
        const NwStored *stored = find_uuid(call, &args->uuid, err);

        if (!stored)
                return -1;
        call_reply(call, &(WireNwfilterLookupByUuidRet){ .nwfilter = wire_filter(stored) });
        return 0;
}

int handle_nwfilter_get_xml_desc(Call *call, const WireNwfilterGetXmlDescArgs *args, Error *err)
{
        NwStored *stored;
        const NwFilter *def;
        AUTO(Buf) text = { 0 };

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(stored = find_uuid(call, &args->nwfilter.uuid, err)))
                return -1;
        def = nw_stored_def(stored);
        if (!def)
                return err_set(err, ERR_INTERNAL, "network filter '%s' cannot be read; the log says why",
                               stored->name);
        nw_filter_format(def, &text);
        call_reply(call, &(WireNwfilterGetXmlDescRet){ .xml = buf_text(&text) });
        return 0;
}

/* --- lists --- */

/* Defined ones, in the call's arena. */
static uint32_t list(Call *call, const NwStored ***ret)
{
        const NwFilters *filters = filters_of(call);
        size_t len = filters ? registry_len(filters->all) : 0;
        uint32_t n = 0;

        *ret = arena_new_array(call_arena(call), const NwStored *, len);
        for (size_t i = 0; i < len; i++) {
                const NwStored *stored = registry_at(filters->all, i);

                if (nw_stored_is_defined(stored))
                        (*ret)[n++] = stored;
        }
        return n;
}

int handle_connect_num_of_nwfilters(Call *call, Error *err UNUSED)
{
        const NwStored **all;

        call_reply(call, &(WireConnectNumOfNwfiltersRet){ .num = (int32_t)list(call, &all) });
        return 0;
}

int handle_connect_list_nwfilters(Call *call, const WireConnectListNwfiltersArgs *args, Error *err)
{
        WireConnectListNwfiltersRet ret = { 0 };
        const NwStored **all;
        uint32_t n = list(call, &all);

        if (args->maxnames < 0 || args->maxnames > LIST_MOST)
                return err_set(err, ERR_INVALID_ARG, "%d names do not fit an answer", args->maxnames);
        ret.names = arena_new_array(call_arena(call), const char *, n);
        while (ret.n_names < n && ret.n_names < (uint32_t)args->maxnames) {
                ret.names[ret.n_names] = all[ret.n_names]->name;
                ret.n_names++;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_all_nwfilters(Call *call, const WireConnectListAllNwfiltersArgs *args, Error *err)
{
        WireConnectListAllNwfiltersRet ret = { 0 };
        const NwStored **all;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        ret.ret = list(call, &all);
        if (args->need_results && ret.ret > LIST_MOST)
                return err_set(err, ERR_RPC, "there are %u network filters; a list holds at most %d", ret.ret,
                               LIST_MOST);
        if (args->need_results) {
                ret.filters = arena_new_array(call_arena(call), WireNwfilter, ret.ret);
                for (; ret.n_filters < ret.ret; ret.n_filters++)
                        ret.filters[ret.n_filters] = wire_filter(all[ret.n_filters]);
        }
        call_reply(call, &ret);
        return 0;
}

/* --- define and undefine --- */

typedef struct FilterAct {
        Call *call;
        NwFilters *filters;
        NwFilter *filter; /* to be defined; NULL: undefine */
        char *name;       /* of it */
        Uuid uuid;        /* of the one to be undefined */
        JobClaim *claim;
} FilterAct;

static void act_end(void *arg, const Error *failure)
{
        FilterAct *act = arg;

        if (failure)
                call_fail(act->call, failure);
        else if (act->name) /* both calls answer alike */
                call_reply(act->call, &(WireNwfilterDefineXmlRet){
                                              .nwfilter = wire_filter(nw_filters_find(act->filters, act->name)) });
        else
                call_reply(act->call, NULL);
        job_claim_free(act->claim);
        nw_filter_unref(act->filter);
        free(act->name);
        free(act);
}

static void on_turn(void *arg, const Error *refused)
{
        FilterAct *act = arg;
        AUTO(Error) err = { 0 };
        NwStored *stored;

        if (refused) {
                act_end(act, refused);
        } else if (act->filter) {
                nw_filters_define(act->filters, TAKE(act->filter), act_end, act);
        } else {
                stored = find_uuid(act->call, &act->uuid, &err); /* it may be gone by now */
                if (stored)
                        nw_filters_undefine(act->filters, stored, act_end, act);
                else
                        act_end(act, &err);
        }
}

/* filter is taken. */
static int begin(Call *call, NwFilters *filters, NwFilter *filter, const Uuid *uuid)
{
        FilterAct *act = mem_new(FilterAct);

        *act = (FilterAct){ .call = call, .filters = filters, .filter = filter };
        if (filter)
                act->name = str_dup(filter->head->name);
        else
                act->uuid = *uuid;
        job_claim(filters->jobs, JOB_MODIFY, "network filters", &act->claim, on_turn, act);
        return 0;
}

static int define(Call *call, const char *xml, bool validate, Error *err)
{
        NwFilters *filters = need_filters(call, err);
        AUTO(Warnings) warnings = { 0 };
        AUTO(NwFilter) *filter = NULL;

        if (!filters ||
            nw_filter_parse(xml, strlen(xml), validate ? DEF_PARSE_VALIDATE : 0, &filter, &warnings, err) < 0)
                return -1;
        return begin(call, filters, TAKE(filter), NULL);
}

int handle_nwfilter_define_xml(Call *call, const WireNwfilterDefineXmlArgs *args, Error *err)
{
        return define(call, args->xml, false, err);
}

int handle_nwfilter_define_xml_flags(Call *call, const WireNwfilterDefineXmlFlagsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_NWFILTER_DEFINE_VALIDATE, err) < 0)
                return -1;
        return define(call, args->xml, args->flags & VIR_NWFILTER_DEFINE_VALIDATE, err);
}

int handle_nwfilter_undefine(Call *call, const WireNwfilterUndefineArgs *args, Error *err)
{
        if (!find_uuid(call, &args->nwfilter.uuid, err))
                return -1;
        return begin(call, filters_of(call), NULL, &args->nwfilter.uuid);
}
