/*
 * daemon/collect-call.c - figures for a call
 */
#include "daemon/collect-call.h"

#include "daemon/daemon.h"

static void drop(void *state)
{
        collection_free(state);
}

Collection *collect_new_for_call(Call *call, unsigned what)
{
        Collection *c = collection_new(call_daemon(call)->loop, what);

        call_keep(call, c, drop);
        return c;
}

int collect_for_call(Call *call, const WireDomain *wire, unsigned what, void (*done)(void *call), Error *err)
{
        Domain *dom = call_find_domain(call, wire, err);
        Collection *c;

        if (!dom || domain_must_be_active(dom, err) < 0)
                return -1;
        c = collect_new_for_call(call, what);
        collection_add(c, dom, false);
        collection_start(c, done, call);
        return 0;
}
