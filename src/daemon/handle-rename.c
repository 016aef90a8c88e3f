/*
 * daemon/handle-rename.c - another name for a guest
 *
 * The new name is taken in the list as soon as the new file is being written,
 * so that nobody else gets it meanwhile, and given back if that fails. Clients
 * hear of both names when it is done.
 */
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/def-store.h"
#include "daemon/define.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "wire/constants.h"

typedef struct Rename {
        Call *call;
        DomainDef *def;
        char *old_name;
} Rename;

static void drop_rename(void *state)
{
        Rename *r = state;

        domain_def_unref(r->def);
        free(r->old_name);
        free(r);
}

static void tell_old_name(const Domain *dom, const char *old_name)
{
        WireDomainEventCallbackLifecycleMsg msg = { .msg = { .dom = call_wire_domain(dom),
                                                             .event = VIR_DOMAIN_EVENT_UNDEFINED,
                                                             .detail = VIR_DOMAIN_EVENT_UNDEFINED_RENAMED } };

        msg.msg.dom.name = old_name;
        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_LIFECYCLE, &dom->uuid, &msg);
}

static void on_renamed(void *arg, const Error *failure)
{
        Rename *r = arg;
        Domain *dom = call_domain(r->call);

        if (failure) {
                domain_list_rename(dom->driver->domains, dom, r->old_name);
                call_fail(r->call, failure);
                return;
        }
        domain_set_config(dom, TAKE(r->def));
        tell_old_name(dom, r->old_name);
        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_RENAMED);
        call_reply(r->call, &(WireDomainRenameRet){ .retcode = 0 });
}

static int run(Call *call, Domain *dom, const void *args, Error *err)
{
        const char *name = ((const WireDomainRenameArgs *)args)->new_name;
        DomainList *list = dom->driver->domains;
        Rename *r;

        if (domain_must_be_inactive(dom, err) < 0)
                return -1;
        if (!dom->listed || !dom->persistent)
                return err_set(err, ERR_OPERATION_INVALID, "domain '%s' is transient: it cannot be renamed",
                               dom->name);
        if (dom->has_managed_save)
                return err_set(err, ERR_OPERATION_INVALID,
                               "domain '%s' has a managed save image under its name; remove it first", dom->name);
        if (str_eq(name, dom->name) || domain_list_find_name(list, name))
                return err_set(err, ERR_OPERATION_INVALID, "there is a domain named '%s' already", name);
        r = mem_new(Rename);
        *r = (Rename){ .call = call, .def = domain_def_copy(dom->config), .old_name = str_dup(dom->name) };
        r->def->name = arena_dup(domain_def_arena(r->def), name);
        call_keep(call, r, drop_rename);
        domain_list_rename(list, dom, name);
        dom->driver->ops->rename_config(dom, r->def, r->old_name, on_renamed, r);
        return 0;
}

int handle_domain_rename(Call *call, const WireDomainRenameArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (!args->new_name)
                return err_set(err, ERR_INVALID_ARG, "the new name is missing");
        if (def_store_check_name("guest", args->new_name, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        if (!dom->driver->ops->rename_config)
                return err_set(err, ERR_NO_SUPPORT, "%s", call_proc(call)->api);
        return call_run_job(call, dom, JOB_MODIFY, run);
}
