/*
 * daemon/handle-dirty-rate.c - measuring how fast a guest writes its memory
 *
 * QEMU measures by itself, for whole seconds; domstats shows what it found. Asked for a way that the guest's accelerator
 * does not have, QEMU 7.2 crashes and takes the guest along, so that is decided here.
 */
#include "daemon/handlers.h"
#include "daemon/qemu-act.h"
#include "wire/constants.h"

enum { SECONDS_MOST = 60 };

/* QEMU's word for the flags; NULL with err when this guest cannot be measured so. */
static const char *mode_of(const Domain *dom, uint32_t flags, Error *err)
{
        const DomainDef *def = dom->live;
        const KvmFeaturesDef *kvm = def->features.kvm;
        bool has_kvm = def->type == DOMAIN_TYPE_KVM, has_ring = has_kvm && kvm && kvm->dirty_ring == SWITCH_ON;

        if (flags == (VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP | VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING)) {
                err_set(err, ERR_INVALID_ARG, "the modes dirty-bitmap and dirty-ring exclude each other");
                return NULL;
        }
        if (!flags)
                return "page-sampling";
        if (!has_kvm)
                err_set(err, ERR_OPERATION_UNSUPPORTED,
                        "guest '%s' is emulated without KVM; only the mode page-sampling can measure it", dom->name);
        else if (flags == VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING && !has_ring)
                err_set(err, ERR_OPERATION_UNSUPPORTED,
                        "guest '%s' was not started with a dirty ring (<dirty-ring state='on' size='4096'/> in its "
                        "<features><kvm>); use the mode dirty-bitmap or page-sampling",
                        dom->name);
        else if (flags == VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP && has_ring)
                err_set(err, ERR_OPERATION_UNSUPPORTED,
                        "guest '%s' tracks its memory in rings; use the mode dirty-ring or page-sampling", dom->name);
        else
                return flags == VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING ? "dirty-ring" : "dirty-bitmap";
        return NULL;
}

static int start_calc(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainStartDirtyRateCalcArgs *args = arguments;
        QmpClient *qmp = qemu_act_monitor(call, dom, err);
        const char *mode = qmp ? mode_of(dom, args->flags, err) : NULL;

        if (!mode)
                return -1;
        qmp_calc_dirty_rate(qmp, &(QmpCalcDirtyRate){ .calc_time = args->seconds, .mode = mode }, call_done, call);
        return 0;
}

int handle_domain_start_dirty_rate_calc(Call *call, const WireDomainStartDirtyRateCalcArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags,
                             VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP | VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING,
                             err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        if (args->seconds < 1 || args->seconds > SECONDS_MOST)
                return err_set(err, ERR_INVALID_ARG, "memory is measured for 1 to %d seconds, not %d", SECONDS_MOST,
                               args->seconds);
        return call_run_job(call, dom, JOB_TUNE, start_calc);
}
