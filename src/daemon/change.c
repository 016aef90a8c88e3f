/*
 * daemon/change.c - changing a guest: what runs, what the next start uses, or both
 */
#include "daemon/change.h"

#include "base/mem.h"
#include "base/str.h"
#include "daemon/driver.h"
#include "wire/constants.h"

enum {
        AFFECT_FLAGS = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG,
        MOST_CHECKED = 128 * 1024, /* bytes of XML */
};

/* A change under way; it belongs to its call. */
typedef struct Change {
        Call *call;
        const ChangeKind *kind;
        uint32_t flags;
        DomainDef *live, *config; /* the new ones; NULL: that one stays */
        LiveChange what;
} Change;

int change_targets(const Domain *dom, uint32_t flags, bool *ret_live, bool *ret_config, Error *err)
{
        bool live = flags & VIR_DOMAIN_AFFECT_LIVE, config = flags & VIR_DOMAIN_AFFECT_CONFIG;

        if (!live && !config) {
                live = domain_is_active(dom);
                config = !live;
        }
        if (live && domain_must_be_active(dom, err) < 0)
                return -1;
        if (config && !dom->persistent)
                return err_set(err, ERR_OPERATION_INVALID,
                               "domain '%s' is transient: there is no configuration for a next start", dom->name);
        *ret_live = live;
        *ret_config = config;
        return 0;
}

const DomainDef *change_look(const Domain *dom, uint32_t flags, Error *err)
{
        bool live, config;

        if ((flags & AFFECT_FLAGS) == AFFECT_FLAGS) {
                err_set(err, ERR_INVALID_ARG,
                        "one call can look at the live or at the configured state, not at both");
                return NULL;
        }
        if (change_targets(dom, flags, &live, &config, err) < 0)
                return NULL;
        return live ? dom->live : dom->config;
}

static void change_free(void *state)
{
        Change *change = state;
        Domain *dom = call_domain(change->call);

        if (dom && dom->live_next == change->live)
                dom->live_next = NULL;
        domain_def_unref(change->live);
        domain_def_unref(change->config);
        free(change);
}

/* unkept: why the configured definition is as it was; what the running guest was given it has all the same. */
static void finish(Change *change, const Error *unkept)
{
        Call *call = change->call;
        Domain *dom = call_domain(call);
        bool live = change->live && domain_is_active(dom);

        if (live) {
                dom->live_next = NULL;
                domain_set_live(dom, TAKE(change->live));
                dom->updated = true;
                if (dom->driver->ops->state_changed)
                        dom->driver->ops->state_changed(dom);
        }
        if (change->config && !unkept)
                domain_set_config(dom, TAKE(change->config));
        if (change->kind->done)
                change->kind->done(call, dom, live ? &change->what : NULL);
        call_done(call, unkept);
}

static void on_saved(void *arg, const Error *failure)
{
        Change *change = arg;
        AUTO(Error) half = { 0 };

        if (failure && !change->live) {
                call_fail(change->call, failure);
                return;
        }
        if (failure) {
                err_copy(&half, failure);
                err_prefix(&half, "the running guest is changed, what its next start uses is not");
        }
        finish(change, failure ? &half : NULL);
}

static void save_config(Change *change)
{
        Domain *dom = call_domain(change->call);

        if (change->config)
                dom->driver->ops->save_config(dom, change->config, on_saved, change);
        else
                finish(change, NULL);
}

static void on_applied(void *arg, const Error *failure)
{
        Change *change = arg;

        if (failure)
                call_fail(change->call, failure);
        else
                save_config(change);
}

/*
 * The next daemon reads what is written now: what it would refuse would cost it the guest. A definition that takes too
 * long for a turn of the loop is believed.
 */
static int check_readable(Driver *driver, const DomainDef *def, Error *err)
{
        AUTO(DomainDef) *again = NULL;
        AUTO(Buf) xml = { 0 };

        if (domain_def_format(def, DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, &xml) < 0)
                return err_set(err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", def->name);
        if (xml.len > MOST_CHECKED)
                return 0;
        if (domain_def_parse(buf_text(&xml), xml.len, DEF_PARSE_INACTIVE, &again, NULL, err) < 0 ||
            driver->ops->complete(driver, again, err) < 0)
                return err_prefix(err, "'%s' could not be defined like that", def->name);
        return 0;
}

static int edit(Change *change, const DomainDef *from, bool live, DomainDef **ret, Error *err)
{
        Domain *dom = call_domain(change->call);
        AUTO(DomainDef) *def = domain_def_copy(from);

        if (change->kind->edit(change->call, def, live, &change->what, err) < 0 ||
            (change->kind->completes && !live && dom->driver->ops->complete(dom->driver, def, err) < 0) ||
            (!live && check_readable(dom->driver, def, err) < 0))
                return -1;
        *ret = TAKE(def);
        return 0;
}

static int run(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        Change *change = call_kept(call);
        bool live, config;

        if (change_targets(dom, change->flags, &live, &config, err) < 0)
                return -1;
        if ((live && edit(change, dom->live, true, &change->live, err) < 0) ||
            (config && edit(change, dom->config, false, &change->config, err) < 0))
                return -1;
        if (!live || change->what.kind == LIVE_NOTHING) {
                save_config(change);
                return 0;
        }
        if (!dom->driver->ops->change)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "domain '%s' cannot be changed while it runs",
                               dom->name);
        dom->live_next = change->live;
        dom->driver->ops->change(dom, change->live, &change->what, on_applied, change);
        return 0;
}

int change_start(Call *call, const WireDomain *wire, uint32_t flags, uint32_t known, const ChangeKind *kind,
                 Error *err)
{
        bool live, config;
        Change *change;
        Domain *dom;

        if (call_check_flags(call, flags, known | AFFECT_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, wire, err)) || change_targets(dom, flags, &live, &config, err) < 0)
                return -1;
        change = mem_new(Change);
        *change = (Change){ .call = call, .kind = kind, .flags = flags };
        call_keep(call, change, change_free);
        return call_run_job(call, dom, JOB_MODIFY, run);
}

/* --- devices that go by themselves --- */

static bool remove_alias(DomainDef *def, const char *alias)
{
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        const DeviceInfo *info = device_info(kind, domain_def_device(def, kind, i));

                        if (!info || !str_eq(info->alias, alias))
                                continue;
                        domain_def_remove_device(def, kind, i);
                        return true;
                }
        }
        return false;
}

void change_device_gone(Domain *dom, const char *alias)
{
        WireDomainEventCallbackDeviceRemovedMsg msg = { .msg = { .dom = call_wire_domain(dom), .devAlias = alias } };
        AUTO(DomainDef) *def = domain_def_copy(dom->live);

        /* a change that is under way has a copy of its own */
        if (dom->live_next)
                remove_alias(dom->live_next, alias);
        if (!remove_alias(def, alias))
                return;
        domain_set_live(dom, TAKE(def));
        dom->updated = true;
        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, &dom->uuid, &msg);
        if (dom->driver->ops->state_changed)
                dom->driver->ops->state_changed(dom);
}
