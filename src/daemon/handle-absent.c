/*
 * daemon/handle-absent.c - kinds of objects of which this host has none
 *
 * Clients that manage guests also look at packet filters, and give up on a
 * daemon that cannot answer. There are none here, so lists are empty, numbers
 * are zero and look-ups find nothing.
 */
#include "daemon/call.h"
#include "daemon/handlers.h"

/* The largest of the answers below: lists and numbers with nothing in them. */
static int answer_none(Call *call)
{
        static const WireConnectListAllStoragePoolsRet none;

        call_reply(call, &none);
        return 0;
}

/* --- packet filters --- */

int handle_connect_num_of_nwfilters(Call *call, Error *err UNUSED)
{
        return answer_none(call);
}

int handle_connect_list_nwfilters(Call *call, const WireConnectListNwfiltersArgs *args UNUSED, Error *err UNUSED)
{
        return answer_none(call);
}

int handle_connect_list_all_nwfilters(Call *call, const WireConnectListAllNwfiltersArgs *args UNUSED,
                                      Error *err UNUSED)
{
        return answer_none(call);
}

int handle_nwfilter_lookup_by_name(Call *call UNUSED, const WireNwfilterLookupByNameArgs *args, Error *err)
{
        return err_set(err, ERR_NO_NWFILTER, "no nwfilter with matching name '%s'", args->name);
}

int handle_nwfilter_lookup_by_uuid(Call *call UNUSED, const WireNwfilterLookupByUuidArgs *args, Error *err)
{
        char text[UUID_TEXT_LEN + 1];

        return err_set(err, ERR_NO_NWFILTER, "no nwfilter with matching uuid '%s'", uuid_format(&args->uuid, text));
}

int handle_connect_list_all_nwfilter_bindings(Call *call, const WireConnectListAllNwfilterBindingsArgs *args UNUSED,
                                              Error *err UNUSED)
{
        return answer_none(call);
}
