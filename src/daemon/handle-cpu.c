/*
 * daemon/handle-cpu.c - CPUs compared with this host's, and brought together
 *
 * What the host can do is what its kernel says; what guests can be given is
 * what the driver's hypervisor says, where that is asked for.
 */
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "host/node.h"
#include "model/cpu.h"
#include "wire/constants.h"

#include <string.h>

enum {
        COMPARE_FLAGS = VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE | VIR_CONNECT_COMPARE_CPU_VALIDATE_XML,
        BASELINE_FLAGS = VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES | VIR_CONNECT_BASELINE_CPU_MIGRATABLE,
};

static int host_features(Call *call, CpuFeatures *ret, const char **ret_vendor, Error *err)
{
        NodeCpuModel model;

        if (node_cpu_model("", call_arena(call), &model, err) < 0)
                return -1;
        cpu_features_of_kernel(model.flags, ret);
        *ret_vendor = cpu_vendor_word(arena_dup(call_arena(call), model.vendor));
        return 0;
}

static int compare(Call *call, const CpuFeatures *set, const char *vendor, const char *xml, uint32_t flags,
                   Error *err)
{
        CpuComparison result;
        AUTO(Error) why = { 0 };
        CpuDef *cpu;

        if (call_check_flags(call, flags, COMPARE_FLAGS, err) < 0 ||
            cpu_def_parse(xml, strlen(xml), call_arena(call), &cpu, err) < 0 ||
            cpu_compare(set, vendor, cpu, &result, &why) < 0)
                return err_is_set(&why) ? err_move(err, &why) : -1;
        if (result == CPU_INCOMPATIBLE && flags & VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)
                return err_set(err, ERR_CPU_INCOMPATIBLE, "this host lacks features of the CPU%s%s",
                               cpu->model ? " " : "", cpu->model ?: "");
        call_reply(call, &(WireConnectCompareCpuRet){ .result = (int32_t)result });
        return 0;
}

int handle_connect_compare_cpu(Call *call, const WireConnectCompareCpuArgs *args, Error *err)
{
        const char *vendor;
        CpuFeatures set;

        if (!args->xml)
                return err_set(err, ERR_INVALID_ARG, "the description of the CPU is missing");
        if (host_features(call, &set, &vendor, err) < 0)
                return -1;
        return compare(call, &set, vendor, args->xml, args->flags, err);
}

/* What the hypervisor can give to a guest; where the driver does not know, what the host has. */
int handle_connect_compare_hypervisor_cpu(Call *call, const WireConnectCompareHypervisorCpuArgs *args, Error *err)
{
        Driver *driver = call_driver(call);
        const char *vendor;
        CpuFeatures set;

        if (host_features(call, &set, &vendor, err) < 0)
                return -1;
        if (driver->ops->cpu_features)
                driver->ops->cpu_features(driver, &set);
        return compare(call, &set, vendor, args->xmlCPU, args->flags, err);
}

static int baseline(Call *call, const char *const *xmls, uint32_t n, uint32_t flags, Error *err)
{
        CpuDef **cpus = arena_new_array(call_arena(call), CpuDef *, n);
        AUTO(Buf) xml = { 0 };
        CpuDef *result;

        if (call_check_flags(call, flags, BASELINE_FLAGS, err) < 0)
                return -1;
        if (!n)
                return err_set(err, ERR_INVALID_ARG, "there is no CPU to begin with");
        for (uint32_t i = 0; i < n; i++) {
                if (cpu_def_parse(xmls[i], strlen(xmls[i]), call_arena(call), &cpus[i], err) < 0)
                        return err_prefix(err, "CPU %u", i + 1);
        }
        if (cpu_baseline(cpus, n, flags & VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES,
                         flags & VIR_CONNECT_BASELINE_CPU_MIGRATABLE, call_arena(call), &result, err) < 0)
                return -1;
        cpu_def_format(result, 0, &xml);
        call_reply(call, &(WireConnectBaselineCpuRet){ .cpu = buf_text(&xml) });
        return 0;
}

int handle_connect_baseline_cpu(Call *call, const WireConnectBaselineCpuArgs *args, Error *err)
{
        return baseline(call, args->xmlCPUs, args->n_xmlCPUs, args->flags, err);
}

int handle_connect_baseline_hypervisor_cpu(Call *call, const WireConnectBaselineHypervisorCpuArgs *args, Error *err)
{
        return baseline(call, args->xmlCPUs, args->n_xmlCPUs, args->flags, err);
}
