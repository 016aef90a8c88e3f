/*
 * daemon/handle-define.c - defining, undefining and marking guests
 *
 * What is answered is on the disk: the file is written and synced by a worker
 * before the reply. A new guest is in the list from the start, so that nobody
 * takes its name meanwhile; if the file cannot be written it leaves again.
 */
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/define-call.h"
#include "daemon/define.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "wire/constants.h"

#include <string.h>

enum {
        UNDEFINE_FLAGS = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                         VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
                         VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_TPM |
                         VIR_DOMAIN_UNDEFINE_KEEP_TPM,
};

/* A definition on its way to the disk. */
typedef struct Defining {
        Call *call;
        Domain *dom;
        DomainDef *def;
        bool is_new;
} Defining;

static void reply_domain(Call *call, const Domain *dom)
{
        /* all replies that carry just a guest look alike on the wire */
        call_reply(call, &(WireDomainDefineXmlRet){ .dom = call_wire_domain(dom) });
}

static void on_saved(void *arg, const Error *failure)
{
        Defining *d = arg;
        Call *call = d->call;
        Domain *dom = domain_ref(d->dom);

        if (failure) {
                if (d->is_new)
                        dom->persistent = false;
                if (d->is_new && dom->listed && !domain_is_active(dom))
                        domain_list_remove(dom->driver->domains, dom);
                else if (d->is_new && dom->live)
                        domain_set_config(dom, NULL); /* it runs on as a transient one */
                call_fail(call, failure);
        } else {
                if (!d->is_new)
                        domain_set_config(dom, domain_def_ref(d->def));
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_DEFINED,
                                       d->is_new ? VIR_DOMAIN_EVENT_DEFINED_ADDED : VIR_DOMAIN_EVENT_DEFINED_UPDATED);
                reply_domain(call, dom);
        }
        domain_unref(dom);
        domain_def_unref(d->def);
        free(d);
}

static void save(Call *call, Domain *dom, DomainDef *def, bool is_new)
{
        Defining *d = mem_new(Defining);

        *d = (Defining){ .call = call, .dom = dom, .def = def, .is_new = is_new };
        dom->driver->ops->save_config(dom, def, on_saved, d);
}

/* The guest's slot is ours: the definition, kept with the call meanwhile, replaces the old one. */
static int redefine(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AUTO(DomainDef) *def = call_take_def(call);

        if (domain_must_be_listed(dom, err) < 0)
                return -1;
        if (!dom->persistent) {
                dom->persistent = true;
                domain_set_config(dom, domain_def_ref(def));
                save(call, dom, TAKE(def), true);
                return 0;
        }
        save(call, dom, TAKE(def), false);
        return 0;
}

/* A new guest: who defines it anew at the same time waits for what becomes of the first file. */
static int keep_new(Call *call, Domain *dom, const void *args UNUSED, Error *err UNUSED)
{
        save(call, dom, call_take_def(call), true);
        return 0;
}

static int define(Call *call, DomainDef *taken, Error *err)
{
        Driver *driver = call_driver(call);
        AUTO(DomainDef) *def = taken;
        Domain *dom;
        bool is_new;

        if (define_find(driver, def, &dom, err) < 0)
                return -1;
        is_new = !dom;
        if (is_new) {
                dom = define_add(driver, def);
                dom->persistent = true;
                domain_set_config(dom, domain_def_ref(def));
        }
        call_keep_def(call, TAKE(def));
        call_use_domain(call, dom);
        return call_run_job(call, dom, JOB_MODIFY, is_new ? keep_new : redefine);
}

int handle_domain_define_xml(Call *call, const WireDomainDefineXmlArgs *args, Error *err)
{
        return define_for_call(call, args->xml, false, define, err);
}

int handle_domain_define_xml_flags(Call *call, const WireDomainDefineXmlFlagsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_DOMAIN_DEFINE_VALIDATE, err) < 0)
                return -1;
        return define_for_call(call, args->xml, args->flags & VIR_DOMAIN_DEFINE_VALIDATE, define, err);
}

/* --- undefine --- */

static void on_removed(void *arg, const Error *failure)
{
        Call *call = arg;
        Domain *dom = domain_ref(call_domain(call));

        if (failure) {
                call_fail(call, failure);
        } else {
                dom->persistent = false;
                dom->autostart = false;
                dom->has_managed_save = false;
                event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_UNDEFINED, VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
                domain_set_config(dom, NULL);
                if (!domain_is_active(dom) && dom->listed)
                        domain_list_remove(dom->driver->domains, dom);
                call_reply(call, NULL);
        }
        domain_unref(dom);
}

static int undefine(Call *call, Domain *dom, uint32_t flags, Error *err)
{
        if (domain_must_be_listed(dom, err) < 0)
                return -1;
        if (!dom->persistent)
                return err_set(err, ERR_OPERATION_INVALID, "domain '%s' is transient: it has no definition to remove",
                               dom->name);
        if (dom->has_managed_save && !(flags & VIR_DOMAIN_UNDEFINE_MANAGED_SAVE))
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "domain '%s' has a managed save image; remove it first, or undefine with --managed-save",
                        dom->name);
        /* a guest that runs stays as a transient one, and keeps its definition until the files are gone */
        dom->driver->ops->remove_config(dom, flags, on_removed, call);
        return 0;
}

static int undefine_plain(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        return undefine(call, dom, 0, err);
}

static int undefine_flags(Call *call, Domain *dom, const void *args, Error *err)
{
        return undefine(call, dom, ((const WireDomainUndefineFlagsArgs *)args)->flags, err);
}

int handle_domain_undefine(Call *call, const WireDomainUndefineArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        return dom ? call_run_job(call, dom, JOB_MODIFY, undefine_plain) : -1;
}

static int refuse_both(uint32_t flags, uint32_t remove, uint32_t keep, const char *what, Error *err)
{
        return flags & remove && flags & keep
                       ? err_set(err, ERR_INVALID_ARG, "the flags for %s and keep %s exclude each other", what, what)
                       : 0;
}

int handle_domain_undefine_flags(Call *call, const WireDomainUndefineFlagsArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, UNDEFINE_FLAGS, err) < 0 ||
            refuse_both(args->flags, VIR_DOMAIN_UNDEFINE_NVRAM, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM, "nvram", err) < 0 ||
            refuse_both(args->flags, VIR_DOMAIN_UNDEFINE_TPM, VIR_DOMAIN_UNDEFINE_KEEP_TPM, "tpm", err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, undefine_flags);
}

/* --- autostart --- */

static void on_autostart_saved(void *arg, const Error *failure)
{
        Call *call = arg;
        const WireDomainSetAutostartArgs *args = call_args(call);

        if (!failure)
                call_domain(call)->autostart = args->autostart;
        call_done(call, failure);
}

static int set_autostart(Call *call, Domain *dom, const void *args, Error *err)
{
        if (!dom->persistent)
                return err_set(err, ERR_OPERATION_INVALID, "cannot set autostart for transient domain '%s'",
                               dom->name);
        dom->driver->ops->save_autostart(dom, ((const WireDomainSetAutostartArgs *)args)->autostart,
                                         on_autostart_saved, call);
        return 0;
}

int handle_domain_set_autostart(Call *call, const WireDomainSetAutostartArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        return dom ? call_run_job(call, dom, JOB_MODIFY, set_autostart) : -1;
}
