/*
 * daemon/handle-cpu.c - CPU definitions against this host and each other (DOM-37)
 */
#include "daemon/call.h"
#include "daemon/handlers.h"
#include "host/host-cpu.h"
#include "wire/constants.h"

#include <string.h>

int handle_connect_compare_cpu(Call *call, const WireConnectCompareCpuArgs *args, Error *err)
{
        CpuComparison result;
        HostCpu host;
        CpuDef *cpu;

        if (call_check_flags(call, args->flags,
                             VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE | VIR_CONNECT_COMPARE_CPU_VALIDATE_XML,
                             err) < 0 ||
            cpu_def_parse(args->xml, strlen(args->xml), call_arena(call), &cpu, err) < 0 ||
            host_cpu("", call_arena(call), &host, err) < 0 ||
            cpu_compare(&host.features, host.vendor, cpu, &result, err) < 0)
                return -1;
        if (result == CPU_INCOMPATIBLE && args->flags & VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)
                return err_set(err, ERR_CPU_INCOMPATIBLE, "this host cannot give a guest all of what '%s' has",
                               cpu->model);
        call_reply(call, &(WireConnectCompareCpuRet){ .result = result });
        return 0;
}

int handle_connect_baseline_cpu(Call *call, const WireConnectBaselineCpuArgs *args, Error *err)
{
        Arena *arena = call_arena(call);
        CpuDef **cpus = arena_new_array(arena, CpuDef *, args->n_xmlCPUs), *common;
        AUTO(Buf) text = { 0 };

        if (call_check_flags(call, args->flags,
                             VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES | VIR_CONNECT_BASELINE_CPU_MIGRATABLE, err) < 0)
                return -1;
        for (uint32_t i = 0; i < args->n_xmlCPUs; i++) {
                if (cpu_def_parse(args->xmlCPUs[i], strlen(args->xmlCPUs[i]), arena, &cpus[i], err) < 0)
                        return err_prefix(err, "CPU %u", i + 1);
        }
        if (cpu_baseline(cpus, args->n_xmlCPUs, args->flags & VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES,
                         args->flags & VIR_CONNECT_BASELINE_CPU_MIGRATABLE, arena, &common, err) < 0)
                return -1;
        cpu_def_format(common, 0, &text);
        call_reply(call, &(WireConnectBaselineCpuRet){ .cpu = buf_text(&text) });
        return 0;
}
