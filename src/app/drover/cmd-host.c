/*
 * app/drover/cmd-host.c - the host: what it is, what it has, what it does
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/cpulist.h"
#include "app/drover/xml.h"

#include "base/str.h"

#include <ctype.h>
#include <unistd.h>

enum { LABEL_WIDTH = 21, CPU_MAP_WIDTH = 16 };

/* A version as the wire has it: 1,000,000 * major + 1,000 * minor + micro. */
static char *version_text(uint64_t version)
{
        return str_format("%llu.%llu.%llu", (unsigned long long)(version / 1000000),
                          (unsigned long long)(version / 1000 % 1000), (unsigned long long)(version % 1000));
}

static int version(Session *s, const Args *args, Error *err)
{
        WireConnectGetTypeRet type;
        WireConnectGetVersionRet hypervisor;
        WireConnectGetLibVersionRet daemon;
        AUTOFREE char *of_hypervisor = NULL, *of_daemon = NULL;

        if (session_call(s, WIRE_PROC_CONNECT_GET_TYPE, NULL, &type, err) < 0)
                return fail(err, "failed to get hypervisor type");
        if (session_call(s, WIRE_PROC_CONNECT_GET_VERSION, NULL, &hypervisor, err) < 0)
                return fail(err, "failed to get the hypervisor version");
        of_hypervisor = version_text(hypervisor.hv_ver);
        out_print(s->out, "Using library: drover %s\n", DROVER_VERSION);
        out_print(s->out, "Using API: %s %s\n", type.type, "9.0.0");
        out_set_text(s->out, "library", DROVER_VERSION);
        out_set_text(s->out, "api", "9.0.0");
        out_set_text(s->out, "hypervisor", type.type);
        if (hypervisor.hv_ver == 0) {
                out_print(s->out, "Cannot extract running %s hypervisor version\n", type.type);
        } else {
                out_print(s->out, "Running hypervisor: %s %s\n", type.type, of_hypervisor);
                out_set_text(s->out, "hypervisor_version", of_hypervisor);
        }
        if (!arg_has(args, "daemon"))
                return 0;
        if (session_call(s, WIRE_PROC_CONNECT_GET_LIB_VERSION, NULL, &daemon, err) < 0)
                return fail(err, "failed to get the daemon version");
        of_daemon = version_text(daemon.lib_ver);
        out_print(s->out, "Running against daemon: %s\n", of_daemon);
        out_set_text(s->out, "daemon_version", of_daemon);
        return 0;
}

static int hostname(Session *s, const Args *args UNUSED, Error *err)
{
        WireConnectGetHostnameRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_HOSTNAME, NULL, &ret, err) < 0)
                return fail(err, "failed to get hostname");
        out_value(s->out, "hostname", ret.hostname);
        return 0;
}

static int uri(Session *s, const Args *args UNUSED, Error *err)
{
        if (session_open(s, err) < 0)
                return -1;
        out_value(s->out, "uri", session_uri(s));
        return 0;
}

static int nodeinfo(Session *s, const Args *args UNUSED, Error *err)
{
        WireNodeGetInfoRet info;
        char model[sizeof(info.model) + 1] = { 0 };

        if (session_call(s, WIRE_PROC_NODE_GET_INFO, NULL, &info, err) < 0)
                return fail(err, "failed to get node information");
        memcpy(model, info.model, sizeof(info.model));
        out_field(s->out, LABEL_WIDTH, "CPU model", "%s", model);
        out_number(s->out, LABEL_WIDTH, "CPU(s)", (uint64_t)info.cpus, NULL);
        if (info.mhz)
                out_number(s->out, LABEL_WIDTH, "CPU frequency", (uint64_t)info.mhz, "MHz");
        out_number(s->out, LABEL_WIDTH, "CPU socket(s)", (uint64_t)info.sockets, NULL);
        out_number(s->out, LABEL_WIDTH, "Core(s) per socket", (uint64_t)info.cores, NULL);
        out_number(s->out, LABEL_WIDTH, "Thread(s) per core", (uint64_t)info.threads, NULL);
        out_number(s->out, LABEL_WIDTH, "NUMA cell(s)", (uint64_t)info.nodes, NULL);
        out_number(s->out, LABEL_WIDTH, "Memory size", info.memory, "KiB");
        return 0;
}

static int nodecpumap(Session *s, const Args *args, Error *err)
{
        WireNodeGetCpuMapRet map;
        AUTO(Buf) shown = { 0 };
        AUTOFREE char *list = NULL;

        if (session_call(s, WIRE_PROC_NODE_GET_CPU_MAP, &(WireNodeGetCpuMapArgs){ 1, 1, 0 }, &map, err) < 0)
                return fail(err, "Unable to get cpu map");
        list = cpulist_format(map.cpumap, map.n_cpumap, (uint32_t)map.ret);
        if (arg_has(args, "pretty"))
                buf_put_text(&shown, list);
        for (int32_t cpu = 0; !arg_has(args, "pretty") && cpu < map.ret; cpu++)
                buf_put_char(&shown, cpulist_has(map.cpumap, map.n_cpumap, (uint32_t)cpu) ? 'y' : '-');
        out_number(s->out, CPU_MAP_WIDTH, "CPUs present", (uint64_t)map.ret, NULL);
        out_number(s->out, CPU_MAP_WIDTH, "CPUs online", map.online, NULL);
        out_print(s->out, "%-15s %s\n", "CPU map:", buf_text(&shown));
        out_set_text(s->out, "cpu_map", list);
        return 0;
}

/* Counters of all CPUs, by name. */
typedef struct CpuTimes {
        uint64_t user, system, idle, iowait, interrupt, utilization;
        bool has_iowait, has_interrupt, has_utilization;
} CpuTimes;

static int get_cpu_times(Session *s, int32_t cpu, CpuTimes *ret, Error *err)
{
        WireNodeGetCpuStatsArgs call = { .cpuNum = cpu };
        WireNodeGetCpuStatsRet now;

        if (session_call(s, WIRE_PROC_NODE_GET_CPU_STATS, &call, &now, err) < 0)
                return fail(err, "Unable to get number of cpu stats");
        call.nparams = now.nparams;
        if (call.nparams && session_call(s, WIRE_PROC_NODE_GET_CPU_STATS, &call, &now, err) < 0)
                return fail(err, "Unable to get node cpu stats");
        *ret = (CpuTimes){ 0 };
        for (uint32_t i = 0; i < now.n_params; i++) {
                const char *field = now.params[i].field;

                if (str_eq(field, VIR_NODE_CPU_STATS_USER))
                        ret->user = now.params[i].value;
                else if (str_eq(field, VIR_NODE_CPU_STATS_KERNEL))
                        ret->system = now.params[i].value;
                else if (str_eq(field, VIR_NODE_CPU_STATS_IDLE))
                        ret->idle = now.params[i].value;
                else if (str_eq(field, VIR_NODE_CPU_STATS_INTR)) {
                        ret->interrupt = now.params[i].value;
                        ret->has_interrupt = true;
                } else if (str_eq(field, VIR_NODE_CPU_STATS_IOWAIT)) {
                        ret->iowait = now.params[i].value;
                        ret->has_iowait = true;
                } else if (str_eq(field, VIR_NODE_CPU_STATS_UTILIZATION)) {
                        ret->utilization = now.params[i].value;
                        ret->has_utilization = true;
                }
        }
        return 0;
}

static void print_percent(Session *s, const char *label, const char *key, double share)
{
        out_print(s->out, "%-15s %5.1lf%%\n", label, share);
        out_set(s->out, key, json_object_new_double(share));
}

/* The kernel counts some of these down again now and then. */
static double growth(uint64_t from, uint64_t to)
{
        return to > from ? (double)(to - from) : 0;
}

static int cpu_percent(Session *s, int32_t cpu, Error *err)
{
        CpuTimes first, second;
        double user, system, idle, iowait, interrupt, all;

        if (get_cpu_times(s, cpu, &first, err) < 0)
                return -1;
        if (first.has_utilization) {
                print_percent(s, "usage:", "usage_percent", (double)first.utilization);
                return 0;
        }
        sleep(1);
        if (get_cpu_times(s, cpu, &second, err) < 0)
                return -1;
        user = growth(first.user, second.user);
        system = growth(first.system, second.system);
        idle = growth(first.idle, second.idle);
        iowait = growth(first.iowait, second.iowait);
        interrupt = growth(first.interrupt, second.interrupt);
        all = MAX(user + system + idle + iowait + interrupt, 1.0); /* a CPU that is off counts nothing */
        print_percent(s, "usage:", "usage_percent", (user + system + interrupt) / all * 100);
        print_percent(s, "user:", "user_percent", user / all * 100);
        print_percent(s, "system:", "system_percent", system / all * 100);
        print_percent(s, "idle:", "idle_percent", idle / all * 100);
        if (second.has_iowait)
                print_percent(s, "iowait:", "iowait_percent", iowait / all * 100);
        if (second.has_interrupt)
                print_percent(s, "intr:", "intr_percent", interrupt / all * 100);
        return 0;
}

static void print_cpu_time(Session *s, const char *label, const char *key, uint64_t ns)
{
        out_print(s->out, "%-15s %20llu\n", label, (unsigned long long)ns);
        out_set_u64(s->out, key, ns);
}

static int nodecpustats(Session *s, const Args *args, Error *err)
{
        int32_t cpu = VIR_NODE_CPU_STATS_ALL_CPUS;
        CpuTimes now;

        if (arg_i32(args, "cpu", &cpu, err) < 0)
                return -1;
        if (arg_has(args, "percent"))
                return cpu_percent(s, cpu, err);
        if (get_cpu_times(s, cpu, &now, err) < 0)
                return -1;
        print_cpu_time(s, "user:", "user_ns", now.user);
        print_cpu_time(s, "system:", "system_ns", now.system);
        print_cpu_time(s, "idle:", "idle_ns", now.idle);
        if (now.has_iowait)
                print_cpu_time(s, "iowait:", "iowait_ns", now.iowait);
        if (now.has_interrupt)
                print_cpu_time(s, "intr:", "intr_ns", now.interrupt);
        return 0;
}

static int capabilities(Session *s, const Args *args UNUSED, Error *err)
{
        WireConnectGetCapabilitiesRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_CAPABILITIES, NULL, &ret, err) < 0)
                return fail(err, "failed to get capabilities");
        out_value(s->out, "xml", ret.capabilities);
        return 0;
}

static int get_domain_capabilities(Session *s, const char *emulator, const char *arch, const char *machine,
                                   const char *virttype, const char **ret, Error *err)
{
        WireConnectGetDomainCapabilitiesArgs call = { emulator, arch, machine, virttype, 0 };
        WireConnectGetDomainCapabilitiesRet found;

        if (session_call(s, WIRE_PROC_CONNECT_GET_DOMAIN_CAPABILITIES, &call, &found, err) < 0)
                return -1;
        *ret = found.capabilities;
        return 0;
}

static int domcapabilities(Session *s, const Args *args, Error *err)
{
        const char *xml;

        if (get_domain_capabilities(s, arg_text(args, "emulatorbin"), arg_text(args, "arch"),
                                    arg_text(args, "machine"), arg_text(args, "virttype"), &xml, err) < 0)
                return fail(err, "failed to get emulator capabilities");
        out_value(s->out, "xml", xml);
        return 0;
}

static int maxvcpus(Session *s, const Args *args, Error *err)
{
        const char *type = arg_text(args, "type");
        WireConnectGetMaxVcpusRet most;
        const char *text;
        uint32_t n = 0;

        if (get_domain_capabilities(s, NULL, NULL, NULL, type, &text, NULL) == 0) {
                AUTO(Xml) *xml = xml_read(text, NULL);
                AUTOFREE char *max = xml ? xml_text(xml, NULL, "vcpu/@max") : NULL;

                if (max && str_to_u32(max, &n) < 0)
                        n = 0;
        }
        if (n == 0) {
                if (session_call(s, WIRE_PROC_CONNECT_GET_MAX_VCPUS, &(WireConnectGetMaxVcpusArgs){ type }, &most,
                                 err) < 0)
                        return -1;
                n = (uint32_t)most.max_vcpus;
        }
        out_print(s->out, "%u\n", n);
        out_set_u64(s->out, "max_vcpus", n);
        return 0;
}

static int sysinfo(Session *s, const Args *args UNUSED, Error *err)
{
        WireConnectGetSysinfoRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_SYSINFO, &(WireConnectGetSysinfoArgs){ 0 }, &ret, err) < 0)
                return fail(err, "failed to get sysinfo");
        out_print(s->out, "%s", ret.sysinfo);
        out_set_text(s->out, "xml", ret.sysinfo);
        return 0;
}

static int nodesuspend(Session *s, const Args *args, Error *err)
{
        static const char *const targets[] = { "mem", "disk", "hybrid" };
        WireNodeSuspendForDurationArgs call = { 0 };

        if (arg_u64(args, "duration", &call.duration, err) < 0)
                return -1;
        while (call.target < ARRAY_LEN(targets) && !str_eq(targets[call.target], arg_text(args, "target")))
                call.target++;
        if (call.target == ARRAY_LEN(targets))
                return err_set(err, ERR_INVALID_ARG, "Invalid target");
        if (session_call(s, WIRE_PROC_NODE_SUSPEND_FOR_DURATION, &call, NULL, err) < 0)
                return fail(err, "The host was not suspended");
        return 0;
}

const Command host_commands[] = {
        { .name = "version",
          .group = GROUP_HOST,
          .args = "[--daemon]  of the daemon too",
          .summary = "show versions",
          .run = version },
        { .name = "hostname", .group = GROUP_HOST, .summary = "print the host's name", .run = hostname },
        { .name = "uri", .group = GROUP_HOST, .summary = "print the hypervisor's URI", .run = uri },
        { .name = "nodeinfo", .group = GROUP_HOST, .summary = "show the host's CPUs and memory", .run = nodeinfo },
        { .name = "nodecpumap",
          .group = GROUP_HOST,
          .args = "[--pretty]  as a list",
          .summary = "show which CPUs of the host are online",
          .run = nodecpumap },
        { .name = "nodecpustats",
          .group = GROUP_HOST,
          .args = "[--cpu NUMBER]  of this CPU\n"
                  "[--percent]     shares of the next second instead of sums",
          .summary = "show what the host's CPUs do",
          .run = nodecpustats },
        { .name = "nodesuspend",
          .group = GROUP_HOST,
          .args = "TARGET{mem,disk,hybrid}  where its memory goes\n"
                  "DURATION:NUMBER  seconds until it wakes; at least 60",
          .summary = "suspend the host for a while",
          .run = nodesuspend },
        { .name = "capabilities",
          .group = GROUP_HOST,
          .summary = "print what host and hypervisor can do, as XML",
          .run = capabilities },
        { .name = "domcapabilities",
          .group = GROUP_HOST,
          .args = "[--virttype TYPE{kvm,qemu}]  kind of virtualization\n"
                  "[--emulatorbin FILE]  emulator\n"
                  "[--arch NAME]         architecture\n"
                  "[--machine NAME]      machine type",
          .summary = "print what a guest can have, as XML",
          .run = domcapabilities },
        { .name = "maxvcpus",
          .group = GROUP_HOST,
          .args = "[--type TYPE{kvm,qemu}]  kind of virtualization",
          .summary = "print how many CPUs a guest can have",
          .run = maxvcpus },
        { .name = "sysinfo",
          .group = GROUP_HOST,
          .summary = "print what the host's firmware says of it, as XML",
          .run = sysinfo },
        { 0 },
};
