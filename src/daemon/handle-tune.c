/*
 * daemon/handle-tune.c - limits and shares of a guest as a whole
 *
 * Scheduler, memory, NUMA: each is one group of typed parameters and one
 * struct of the definition. The arguments of all setting calls begin alike.
 */
#include "daemon/change.h"
#include "daemon/handlers.h"
#include "daemon/tune-reply.h"
#include "daemon/tune.h"
#include "wire/constants.h"

#include <inttypes.h>

enum { STRING_OK = VIR_TYPED_PARAM_STRING_OKAY };

/* What the setting calls here have in common at their start. */
typedef WireDomainSetSchedulerParametersArgs SetArgs;

static int edit_group(Call *call, DomainDef *def, const ParamGroup *group, void **slot, Error *err)
{
        const SetArgs *args = call_args(call);

        if (!*slot)
                *slot = fields_new(domain_def_arena(def), group->of);
        return tune_set(group, *slot, domain_def_arena(def), args->params, args->n_params, err);
}

int tune_reply(Call *call, const Params *params, int room, Error *err)
{
        /* the replies of all getters that count look alike on the wire */
        WireDomainGetMemoryParametersRet ret = { .params = params->list.items, .nparams = (int32_t)params->list.len };

        if (params_fit(params, room, &ret.n_params, err) < 0)
                return -1;
        call_reply(call, &ret);
        return 0;
}

/* --- scheduler --- */

static int edit_scheduler(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        ret->kind = LIVE_CPU_LIMITS;
        return edit_group(call, def, &param_group_scheduler, (void **)&def->cputune, err);
}

static void scheduler_done(Call *call, Domain *dom, const LiveChange *live)
{
        const SetArgs *args = call_args(call);

        if (live)
                tune_emit(&param_group_scheduler, dom, NULL, args->params, args->n_params);
}

static const ChangeKind change_scheduler = { .edit = edit_scheduler, .done = scheduler_done };

int handle_domain_get_scheduler_type(Call *call, const WireDomainGetSchedulerTypeArgs *args, Error *err)
{
        if (!call_find_domain(call, &args->dom, err))
                return -1;
        call_reply(call, &(WireDomainGetSchedulerTypeRet){ .type = "posix",
                                                           .nparams = (int32_t)param_group_scheduler.n_rows });
        return 0;
}

static int get_scheduler(Call *call, const WireDomain *wire, int nparams, uint32_t flags, Error *err)
{
        WireDomainGetSchedulerParametersRet ret = { 0 };
        AUTO(Params) params = { 0 };
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, flags, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG | STRING_OK, err) < 0 ||
            !(dom = call_find_domain(call, wire, err)) || !(def = change_look(dom, flags, err)))
                return -1;
        tune_get(&param_group_scheduler, def->cputune, def == dom->live, &params);
        if (params_fit(&params, nparams, &ret.n_params, err) < 0)
                return -1;
        ret.params = params.list.items;
        call_reply(call, &ret);
        return 0;
}

int handle_domain_get_scheduler_parameters(Call *call, const WireDomainGetSchedulerParametersArgs *args, Error *err)
{
        return get_scheduler(call, &args->dom, args->nparams, 0, err);
}

int handle_domain_get_scheduler_parameters_flags(Call *call, const WireDomainGetSchedulerParametersFlagsArgs *args,
                                                 Error *err)
{
        return get_scheduler(call, &args->dom, args->nparams, args->flags, err);
}

int handle_domain_set_scheduler_parameters(Call *call, const WireDomainSetSchedulerParametersArgs *args, Error *err)
{
        return change_start(call, &args->dom, 0, 0, &change_scheduler, err);
}

int handle_domain_set_scheduler_parameters_flags(Call *call, const WireDomainSetSchedulerParametersFlagsArgs *args,
                                                 Error *err)
{
        return change_start(call, &args->dom, args->flags, STRING_OK, &change_scheduler, err);
}

/* --- memory --- */

static int edit_memory(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        ret->kind = LIVE_MEMORY_LIMITS;
        if (edit_group(call, def, &param_group_memory, (void **)&def->memtune, err) < 0)
                return -1;
        if (def->memtune->swap_hard_limit_kib && def->memtune->hard_limit_kib > def->memtune->swap_hard_limit_kib)
                return err_set(err, ERR_INVALID_ARG,
                               "hard_limit (%" PRIu64 " KiB) cannot be above swap_hard_limit (%" PRIu64
                               " KiB), which counts memory and swap together",
                               def->memtune->hard_limit_kib, def->memtune->swap_hard_limit_kib);
        return 0;
}

static const ChangeKind change_memory_limits = { .edit = edit_memory };

int handle_domain_set_memory_parameters(Call *call, const WireDomainSetMemoryParametersArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, STRING_OK, &change_memory_limits, err);
}

int handle_domain_get_memory_parameters(Call *call, const WireDomainGetMemoryParametersArgs *args, Error *err)
{
        AUTO(Params) params = { 0 };
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG | STRING_OK, err) <
                    0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)))
                return -1;
        tune_get(&param_group_memory, def->memtune, def == dom->live, &params);
        return tune_reply(call, &params, args->nparams, err);
}

/* --- NUMA --- */

/* A mode that is not given is strict. Only where memory is bound by control groups can the nodes change later. */
static int edit_numa(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        NumaMode before = def->numatune && def->numatune->memory_mode ? def->numatune->memory_mode : NUMA_MODE_STRICT;
        NumaMode after;

        ret->kind = LIVE_NUMA;
        if (edit_group(call, def, &param_group_numa, (void **)&def->numatune, err) < 0)
                return -1;
        after = def->numatune->memory_mode ?: NUMA_MODE_STRICT;
        if (live && after != before)
                return err_set(err, ERR_OPERATION_INVALID, "the NUMA mode of a running domain cannot be changed");
        if (live && after != NUMA_MODE_STRICT && after != NUMA_MODE_RESTRICTIVE)
                return err_set(err, ERR_OPERATION_INVALID,
                               "the NUMA nodes of a running domain can be changed in strict mode only");
        return 0;
}

static const ChangeKind change_numa = { .edit = edit_numa };

int handle_domain_set_numa_parameters(Call *call, const WireDomainSetNumaParametersArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, STRING_OK, &change_numa, err);
}

int handle_domain_get_numa_parameters(Call *call, const WireDomainGetNumaParametersArgs *args, Error *err)
{
        AUTO(Params) params = { 0 };
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG | STRING_OK, err) <
                    0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)))
                return -1;
        tune_get(&param_group_numa, def->numatune, def == dom->live, &params);
        return tune_reply(call, &params, args->nparams, err);
}
