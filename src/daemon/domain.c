/*
 * daemon/domain.c - a guest's state, and telling about its changes
 */
#include "daemon/domain.h"

#include "base/mem.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/event.h"
#include "model/domain.h"
#include "wire/constants.h"

Domain *domain_ref(Domain *dom)
{
        if (dom)
                dom->refs++;
        return dom;
}

Domain *domain_unref(Domain *dom)
{
        if (!dom || --dom->refs)
                return NULL;
        domain_forget_stats(dom);
        job_slot_free(dom->jobs);
        domain_def_unref(dom->config);
        domain_def_unref(dom->live);
        free(dom->name);
        free(dom);
        return NULL;
}

const DomainDef *domain_def(const Domain *dom)
{
        return dom->live ? dom->live : dom->config;
}

int domain_must_be_active(const Domain *dom, Error *err)
{
        return domain_is_active(dom) ? 0
                                     : err_set(err, ERR_OPERATION_INVALID, "domain '%s' is not running", dom->name);
}

int domain_must_be_inactive(const Domain *dom, Error *err)
{
        return domain_is_active(dom)
                       ? err_set(err, ERR_OPERATION_INVALID, "domain '%s' is already running", dom->name)
                       : 0;
}

int domain_must_be_listed(const Domain *dom, Error *err)
{
        return dom->listed ? 0 : err_set(err, ERR_NO_DOMAIN, "domain '%s' was undefined meanwhile", dom->name);
}

void domain_set_config(Domain *dom, DomainDef *config)
{
        domain_def_unref(dom->config);
        dom->config = config;
}

void domain_set_live(Domain *dom, DomainDef *live)
{
        domain_def_unref(dom->live);
        dom->live = live;
}

static void enter_state(Domain *dom, int state, int reason)
{
        dom->state = state;
        dom->reason = reason;
        dom->state_since_ms = loop_now_ms(dom->driver->daemon->loop);
        if (dom->driver->ops->state_changed)
                dom->driver->ops->state_changed(dom);
}

void domain_set_state(Domain *dom, int state, int reason)
{
        enter_state(dom, state, reason);
}

void domain_started(Domain *dom, int state, int reason, int event_detail)
{
        enter_state(dom, state, reason);
        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_STARTED, event_detail);
}

void domain_stopped(Domain *dom, int shutoff_reason, int event, int event_detail)
{
        domain_ref(dom);
        domain_list_deactivate(dom->driver->domains, dom);
        domain_set_live(dom, NULL);
        dom->updated = false;
        dom->owner = NULL;
        enter_state(dom, VIR_DOMAIN_SHUTOFF, shutoff_reason);
        event_domain_lifecycle(dom, event, event_detail);
        if (!dom->persistent && dom->listed)
                domain_list_remove(dom->driver->domains, dom);
        domain_unref(dom);
}

void domain_paused(Domain *dom, int paused_reason, int event_detail)
{
        enter_state(dom, VIR_DOMAIN_PAUSED, paused_reason);
        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_SUSPENDED, event_detail);
}

void domain_resumed(Domain *dom, int running_reason, int event_detail)
{
        enter_state(dom, VIR_DOMAIN_RUNNING, running_reason);
        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_RESUMED, event_detail);
}
