/*
 * daemon/handle-tune-interface.c - limits of a guest's network interfaces
 */
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/tune-interface.h"
#include "daemon/tune-reply.h"
#include "daemon/tune.h"
#include "model/domain.h"
#include "wire/constants.h"

enum {
        STRING_OK = VIR_TYPED_PARAM_STRING_OKAY,
        GET_FLAGS = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG | STRING_OK,
};

static int check_limits(const BandwidthDef *b, Error *err)
{
        if ((b->inbound_peak || b->inbound_burst) && !b->inbound_average)
                return err_set(err, ERR_INVALID_ARG, "inbound peak and burst need an average");
        if ((b->outbound_peak || b->outbound_burst) && !b->outbound_average)
                return err_set(err, ERR_INVALID_ARG, "outbound peak and burst need an average");
        return 0;
}

static bool names(const WireTypedParam *params, uint32_t n, const char *field)
{
        for (uint32_t i = 0; i < n; i++) {
                if (str_eq(params[i].field, field))
                        return true;
        }
        return false;
}

int interface_limits_set(BandwidthDef **limits, Arena *arena, const WireTypedParam *params, uint32_t n, Error *err)
{
        BandwidthDef *b = *limits ?: fields_new(arena, &bandwidth_def_info);

        if (tune_set(&param_group_interface, b, arena, params, n, err) < 0)
                return -1;
        /* an average of 0 takes the limits of that direction away */
        if (!b->inbound_average && names(params, n, VIR_DOMAIN_BANDWIDTH_IN_AVERAGE))
                b->inbound_peak = b->inbound_burst = 0;
        if (!b->outbound_average && names(params, n, VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE))
                b->outbound_peak = b->outbound_burst = 0;
        if (check_limits(b, err) < 0)
                return -1;
        *limits = b->inbound_average || b->inbound_floor || b->outbound_average ? b : NULL;
        return 0;
}

int interface_limits_edit(DomainDef *def, InterfaceDef *interface, const WireTypedParam *params, uint32_t n,
                          LiveChange *ret, Error *err)
{
        ret->kind = LIVE_INTERFACE_LIMITS;
        for (ret->index = 0; def->interfaces[ret->index] != interface;)
                ret->index++;
        return interface_limits_set(&interface->bandwidth, domain_def_arena(def), params, n, err);
}

/* Names of taps are of the running guest; in the configuration the same interface is found by its address. */
static InterfaceDef *find_interface(const Domain *dom, const DomainDef *def, const char *name, Error *err)
{
        InterfaceDef *interface = domain_def_find_interface(def, name);
        const InterfaceDef *live = interface || !dom->live ? NULL : domain_def_find_interface(dom->live, name);
        char mac[MAC_TEXT_LEN + 1];

        if (live)
                interface = domain_def_find_interface(def, mac_format(&live->mac, mac));
        if (!interface)
                err_set(err, ERR_INVALID_ARG, "domain '%s' has no interface '%s'", def->name, name);
        return interface;
}

static int edit_bandwidth(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainSetInterfaceParametersArgs *args = call_args(call);
        InterfaceDef *interface = find_interface(call_domain(call), def, args->device, err);

        return interface ? interface_limits_edit(def, interface, args->params, args->n_params, ret, err) : -1;
}

static const ChangeKind change_bandwidth = { .edit = edit_bandwidth };

int handle_domain_set_interface_parameters(Call *call, const WireDomainSetInterfaceParametersArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, STRING_OK, &change_bandwidth, err);
}

int handle_domain_get_interface_parameters(Call *call, const WireDomainGetInterfaceParametersArgs *args, Error *err)
{
        AUTO(Params) params = { 0 };
        const InterfaceDef *interface;
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, args->flags, GET_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)) ||
            !(interface = find_interface(dom, def, args->device, err)))
                return -1;
        tune_get(&param_group_interface, interface->bandwidth, def == dom->live, &params);
        return tune_reply(call, &params, args->nparams, err);
}
