/*
 * daemon/handle-vcpu.c - how many virtual CPUs a guest has, and which
 *
 * A definition counts them (most, and plugged at boot), or lists them one by
 * one; counting is turned into a list as soon as single ones are asked for.
 */
#include "base/bitmap.h"
#include "base/str.h"
#include "daemon/agent-vcpus.h"
#include "daemon/change.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/vcpu.h"
#include "wire/constants.h"

enum { AFFECT = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG };

/* Plug the lowest numbers first, unplug the highest. */
static void set_count(DomainDef *def, unsigned n, bool hotpluggable)
{
        unsigned plugged = vcpus_plugged(def);

        if (hotpluggable)
                vcpus_list(def);
        for (uint32_t i = 0; i < def->n_vcpus && plugged < n; i++) {
                if (def->vcpus[i]->enabled == SWITCH_ON)
                        continue;
                def->vcpus[i]->enabled = SWITCH_ON;
                def->vcpus[i]->hotpluggable = hotpluggable ? SWITCH_ON : def->vcpus[i]->hotpluggable;
                plugged++;
        }
        for (uint32_t i = def->n_vcpus; i-- > 0 && plugged > n;) {
                if (def->vcpus[i]->enabled == SWITCH_ON)
                        plugged--;
                def->vcpus[i]->enabled = SWITCH_OFF;
        }
        def->vcpu_current = n == def->vcpus_max ? 0 : n;
}

static int set_most(DomainDef *def, unsigned n, Error *err)
{
        const CpuDef *cpu = def->cpu;
        unsigned plugged = vcpus_plugged(def);

        if (cpu && cpu->topology_sockets) {
                unsigned by_topology = cpu->topology_sockets * MAX(cpu->topology_dies, 1) * cpu->topology_cores *
                                       cpu->topology_threads;

                if (by_topology != n)
                        return err_set(err, ERR_INVALID_ARG,
                                       "the CPU topology of '%s' has %u CPUs; change it together with their number",
                                       def->name, by_topology);
        }
        def->vcpus_max = n;
        if (def->n_vcpus) {
                vcpus_list(def); /* new ones wait to be plugged in, as those do that are counted */
                plugged = vcpus_plugged(def);
        }
        def->vcpu_current = plugged >= n ? 0 : plugged;
        return 0;
}

static int edit_count(Call *call, DomainDef *def, bool live, unsigned n, uint32_t flags, Error *err)
{
        int most = call_driver(call)->ops->max_vcpus(call_driver(call), domain_type_text(def->type), err);

        if (most < 0)
                return -1;
        if (!n)
                return err_set(err, ERR_INVALID_ARG, "a guest needs at least one virtual CPU");
        if (n > (unsigned)most)
                return err_set(err, ERR_INVALID_ARG, "a guest of this type has at most %d virtual CPUs, not %u", most,
                               n);
        if (flags & VIR_DOMAIN_VCPU_MAXIMUM) {
                if (live)
                        return err_set(err, ERR_INVALID_ARG,
                                       "the most virtual CPUs of a running guest cannot be changed; use --config");
                return set_most(def, n, err);
        }
        if (n > def->vcpus_max)
                return err_set(err, ERR_INVALID_ARG,
                               "requested vcpus is greater than max allowable vcpus for the %s domain: %u > %u",
                               live ? "live" : "persistent", n, def->vcpus_max);
        set_count(def, n, flags & VIR_DOMAIN_VCPU_HOTPLUGGABLE);
        return 0;
}

static int edit_count_flags(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainSetVcpusFlagsArgs *args = call_args(call);

        ret->kind = LIVE_VCPUS;
        return edit_count(call, def, live, args->nvcpus, args->flags, err);
}

static int edit_count_plain(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainSetVcpusArgs *args = call_args(call);

        ret->kind = LIVE_VCPUS;
        return edit_count(call, def, live, args->nvcpus, 0, err);
}

static const ChangeKind change_count_flags = { .edit = edit_count_flags };
static const ChangeKind change_count_plain = { .edit = edit_count_plain };

int handle_domain_set_vcpus_flags(Call *call, const WireDomainSetVcpusFlagsArgs *args, Error *err)
{
        if (args->flags & VIR_DOMAIN_VCPU_GUEST && args->flags & (VIR_DOMAIN_AFFECT_CONFIG | VIR_DOMAIN_VCPU_MAXIMUM))
                return err_set(err, ERR_INVALID_ARG,
                               "the guest's own processors have no maximum and no configuration");
        if (args->flags & VIR_DOMAIN_VCPU_GUEST)
                return agent_vcpus_set(call, &args->dom, args->nvcpus, err);
        return change_start(call, &args->dom, args->flags, VIR_DOMAIN_VCPU_MAXIMUM | VIR_DOMAIN_VCPU_HOTPLUGGABLE,
                            &change_count_flags, err);
}

int handle_domain_set_vcpus(Call *call, const WireDomainSetVcpusArgs *args, Error *err)
{
        return change_start(call, &args->dom, VIR_DOMAIN_AFFECT_LIVE, 0, &change_count_plain, err);
}

int handle_domain_get_vcpus_flags(Call *call, const WireDomainGetVcpusFlagsArgs *args, Error *err)
{
        const DomainDef *def;
        Domain *dom;

        if (args->flags & VIR_DOMAIN_VCPU_GUEST)
                return agent_vcpus_count(call, &args->dom, err);
        if (call_check_flags(call, args->flags, AFFECT | VIR_DOMAIN_VCPU_MAXIMUM, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)))
                return -1;
        call_reply(call, &(WireDomainGetVcpusFlagsRet){ .num = (int32_t)(args->flags & VIR_DOMAIN_VCPU_MAXIMUM
                                                                                 ? def->vcpus_max
                                                                                 : vcpus_plugged(def)) });
        return 0;
}

/* --- single ones --- */

static int edit_one_by_one(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainSetVcpuArgs *args = call_args(call);
        AUTO(Error) why = { 0 };
        Bitmap ids;

        ret->kind = LIVE_VCPUS;
        ret->async = args->flags & VIR_DOMAIN_VCPU_ASYNC_UNPLUG;
        if (bitmap_parse(args->cpumap, &ids, &why) < 0)
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a list of virtual CPUs: %s", args->cpumap,
                               why.text);
        vcpus_list(def);
        for (int id = bitmap_next(&ids, -1); id >= 0; id = bitmap_next(&ids, id)) {
                VcpuDef *vcpu = vcpu_find(def, (unsigned)id);

                if (!vcpu)
                        return err_set(err, ERR_INVALID_ARG, "'%s' has no virtual CPU %d", def->name, id);
                if (id == 0 && !args->state)
                        return err_set(err, ERR_INVALID_ARG, "virtual CPU 0 cannot be unplugged");
                if (live && vcpu->hotpluggable == SWITCH_OFF && vcpu->enabled == SWITCH_ON && !args->state)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED, "virtual CPU %d cannot be unplugged", id);
                vcpu->enabled = args->state ? SWITCH_ON : SWITCH_OFF;
                vcpu->hotpluggable = id ? SWITCH_ON : vcpu->hotpluggable;
        }
        def->vcpu_current = vcpus_plugged(def) == def->vcpus_max ? 0 : vcpus_plugged(def);
        return 0;
}

static const ChangeKind change_one_by_one = { .edit = edit_one_by_one };

int handle_domain_set_vcpu(Call *call, const WireDomainSetVcpuArgs *args, Error *err)
{
        if (args->state != 0 && args->state != 1)
                return err_set(err, ERR_INVALID_ARG, "the state of a virtual CPU is 0 or 1, not %d", args->state);
        return change_start(call, &args->dom, args->flags, VIR_DOMAIN_VCPU_ASYNC_UNPLUG, &change_one_by_one, err);
}
