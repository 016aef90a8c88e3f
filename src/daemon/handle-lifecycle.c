/*
 * daemon/handle-lifecycle.c - starting, stopping, pausing guests
 */
#include "base/str.h"
#include "daemon/autodestroy.h"
#include "daemon/call.h"
#include "daemon/define-call.h"
#include "daemon/define.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-take.h"
#include "daemon/server-client.h"
#include "wire/constants.h"

enum {
        START_FLAGS = VIR_DOMAIN_START_PAUSED | VIR_DOMAIN_START_AUTODESTROY | VIR_DOMAIN_START_BYPASS_CACHE |
                      VIR_DOMAIN_START_FORCE_BOOT | VIR_DOMAIN_START_VALIDATE | VIR_DOMAIN_START_RESET_NVRAM,
        SHUTDOWN_MODES = VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN | VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
        REBOOT_MODES = VIR_DOMAIN_REBOOT_ACPI_POWER_BTN | VIR_DOMAIN_REBOOT_GUEST_AGENT,
};

/* --- start --- */

static void on_started(void *arg, const Error *failure)
{
        Call *call = arg;
        Domain *dom = domain_ref(call_domain(call));

        if (failure) {
                if (!dom->persistent && !domain_is_active(dom) && dom->listed)
                        domain_list_remove(dom->driver->domains, dom);
                call_fail(call, failure);
                domain_unref(dom);
                return;
        }
        if (dom->owner && !call_client(call))
                autodestroy_guest(dom);
        if (call_proc(call)->ret_size)
                call_reply(call, &(WireDomainCreateXmlRet){ .dom = call_wire_domain(dom) });
        else
                call_reply(call, NULL);
        domain_unref(dom);
}

/* Start with this definition, which is taken. */
static void start(Call *call, Domain *dom, DomainDef *def, uint32_t flags)
{
        StartOptions options = { .paused = flags & VIR_DOMAIN_START_PAUSED,
                                 .bypass_cache = flags & VIR_DOMAIN_START_BYPASS_CACHE,
                                 .force_boot = flags & VIR_DOMAIN_START_FORCE_BOOT,
                                 .reset_nvram = flags & VIR_DOMAIN_START_RESET_NVRAM,
                                 .owner = flags & VIR_DOMAIN_START_AUTODESTROY ? call_client(call) : NULL };

        if (flags & VIR_DOMAIN_START_AUTODESTROY && !options.owner) {
                AUTO(Error) err = { 0 };

                domain_def_unref(def);
                err_set(&err, ERR_OPERATION_ABORTED, "the client with which guest '%s' was to end has left",
                        dom->name);
                on_started(call, &err);
                return;
        }
        dom->driver->ops->start(dom, def, &options, on_started, call);
}

static int start_defined(Call *call, Domain *dom, uint32_t flags, Error *err)
{
        if (domain_must_be_inactive(dom, err) < 0)
                return -1;
        if (!dom->config)
                return err_set(err, ERR_NO_DOMAIN, "domain '%s' was undefined meanwhile", dom->name);
        start(call, dom, domain_def_copy(dom->config), flags);
        return 0;
}

static int create(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        return start_defined(call, dom, 0, err);
}

int handle_domain_create(Call *call, const WireDomainCreateArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        return dom ? call_run_job(call, dom, JOB_START, create) : -1;
}

static int create_with_flags(Call *call, Domain *dom, const void *args, Error *err)
{
        return start_defined(call, dom, ((const WireDomainCreateWithFlagsArgs *)args)->flags, err);
}

int handle_domain_create_with_flags(Call *call, const WireDomainCreateWithFlagsArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, START_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_START, create_with_flags);
}

/* From XML: over a persistent definition of the same name it is the live one, that definition stays (LIFE-50). */
static int create_from_xml(Call *call, Domain *dom, const void *args, Error *err)
{
        AUTO(DomainDef) *def = call_take_def(call);

        if (domain_must_be_listed(dom, err) < 0 || domain_must_be_inactive(dom, err) < 0)
                return -1;
        start(call, dom, TAKE(def), ((const WireDomainCreateXmlArgs *)args)->flags);
        return 0;
}

static int create_parsed(Call *call, DomainDef *taken, Error *err)
{
        Driver *driver = call_driver(call);
        AUTO(DomainDef) *def = taken;
        Domain *dom;

        if (define_find(driver, def, &dom, err) < 0)
                return -1;
        if (!dom) {
                dom = define_add(driver, def);
                /* what is listed has a definition to show, also before it runs */
                domain_set_live(dom, domain_def_ref(def));
        }
        call_keep_def(call, TAKE(def));
        call_use_domain(call, dom);
        return call_run_job(call, dom, JOB_START, create_from_xml);
}

int handle_domain_create_xml(Call *call, const WireDomainCreateXmlArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, START_FLAGS, err) < 0)
                return -1;
        return define_for_call(call, args->xml_desc, args->flags & VIR_DOMAIN_START_VALIDATE, create_parsed, err);
}

/* --- stop --- */

static int destroy_domain(Call *call, Domain *dom, uint32_t flags, Error *err)
{
        if (domain_must_be_active(dom, err) < 0)
                return -1;
        dom->driver->ops->destroy(dom, flags & VIR_DOMAIN_DESTROY_GRACEFUL, call_done, call);
        return 0;
}

static int destroy(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        return destroy_domain(call, dom, 0, err);
}

int handle_domain_destroy(Call *call, const WireDomainDestroyArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        return dom ? call_run_job(call, dom, JOB_DESTROY, destroy) : -1;
}

static int destroy_flags(Call *call, Domain *dom, const void *args, Error *err)
{
        return destroy_domain(call, dom, ((const WireDomainDestroyFlagsArgs *)args)->flags, err);
}

int handle_domain_destroy_flags(Call *call, const WireDomainDestroyFlagsArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_DESTROY_GRACEFUL | VIR_DOMAIN_DESTROY_REMOVE_LOGS, err) <
                    0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_DESTROY, destroy_flags);
}

/* --- ask the guest to stop or reboot --- */

static int not_supported(const Call *call, Error *err)
{
        return err_set(err, ERR_NO_SUPPORT, "%s", call_proc(call)->api);
}

static int shutdown_domain(Call *call, Domain *dom, uint32_t modes, Error *err)
{
        if (domain_must_be_active(dom, err) < 0)
                return -1;
        dom->driver->ops->shutdown(dom, modes, call_done, call);
        return 0;
}

static int shut_down(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        return shutdown_domain(call, dom, 0, err);
}

int handle_domain_shutdown(Call *call, const WireDomainShutdownArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        return dom ? call_run_job(call, dom, JOB_MODIFY, shut_down) : -1;
}

static int shut_down_flags(Call *call, Domain *dom, const void *args, Error *err)
{
        return shutdown_domain(call, dom, ((const WireDomainShutdownFlagsArgs *)args)->flags, err);
}

int handle_domain_shutdown_flags(Call *call, const WireDomainShutdownFlagsArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, SHUTDOWN_MODES, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, shut_down_flags);
}

static int reboot(Call *call, Domain *dom, const void *args, Error *err)
{
        if (domain_must_be_active(dom, err) < 0)
                return -1;
        dom->driver->ops->reboot(dom, ((const WireDomainRebootArgs *)args)->flags, call_done, call);
        return 0;
}

int handle_domain_reboot(Call *call, const WireDomainRebootArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, REBOOT_MODES, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, reboot);
}

static int reset(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        if (domain_must_be_active(dom, err) < 0)
                return -1;
        if (!dom->driver->ops->reset)
                return not_supported(call, err);
        dom->driver->ops->reset(dom, call_done, call);
        return 0;
}

int handle_domain_reset(Call *call, const WireDomainResetArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, reset);
}

/* --- pause --- */

static int suspend(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        if (domain_must_be_active(dom, err) < 0)
                return -1;
        if (dom->state == VIR_DOMAIN_PMSUSPENDED)
                return err_set(err, ERR_OPERATION_INVALID,
                               "domain '%s' sleeps (pmsuspended); wake it with dompmwakeup", dom->name);
        if (dom->state == VIR_DOMAIN_PAUSED) {
                call_reply(call, NULL);
                return 0;
        }
        dom->driver->ops->suspend(dom, call_done, call);
        return 0;
}

int handle_domain_suspend(Call *call, const WireDomainSuspendArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        return dom ? call_run_job(call, dom, JOB_PAUSE, suspend) : -1;
}

static int resume(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        if (domain_must_be_active(dom, err) < 0)
                return -1;
        if (dom->state == VIR_DOMAIN_PMSUSPENDED)
                return err_set(err, ERR_OPERATION_INVALID,
                               "domain '%s' sleeps (pmsuspended); wake it with dompmwakeup", dom->name);
        if (dom->state == VIR_DOMAIN_RUNNING) {
                call_reply(call, NULL);
                return 0;
        }
        if (migrate_check_resume(dom, err) < 0)
                return -1;
        dom->driver->ops->resume(dom, call_done, call);
        return 0;
}

int handle_domain_resume(Call *call, const WireDomainResumeArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (dom && migrate_waits(dom)) /* it has the slot of a move that nobody will end */
                return migrate_take_by_hand(call, dom, err);
        return dom ? call_run_job(call, dom, JOB_PAUSE, resume) : -1;
}
