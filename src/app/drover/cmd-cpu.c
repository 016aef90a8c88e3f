/*
 * app/drover/cmd-cpu.c - CPU models: list, compare, find what several hosts have in common
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/xml.h"

#include "base/str.h"

enum { MOST_CPUS = 256 };

static int cpu_models(Session *s, const Args *args, Error *err)
{
        WireConnectGetCpuModelNamesArgs call = { .arch = arg_text(args, "arch"), .need_results = 1 };
        WireConnectGetCpuModelNamesRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_GET_CPU_MODEL_NAMES, &call, &ret, err) < 0)
                return fail(err, "failed to get CPU model names");
        if (ret.n_models == 0)
                out_done(s->out, "all CPU models are accepted");
        for (uint32_t i = 0; i < ret.n_models; i++) {
                out_print(s->out, "%s\n", ret.models[i]);
                out_add(s->out, json_object_new_string(ret.models[i]));
        }
        return 0;
}

/*
 * All CPUs in a file: <cpu> elements, or the host CPUs of capabilities, or of domain capabilities, any number of them
 * one after the other. The texts are the arena's.
 */
static int read_cpus(Session *s, const char *path, bool host_model, const char **cpus, uint32_t *n, Error *err)
{
        AUTOFREE char *text = read_text_file(path, err);
        const char *body = text;
        AUTO(Xml) *xml = NULL;
        AUTO(Buf) wrapped = { 0 };
        XmlNode *nodes[MOST_CPUS];

        if (!text)
                return -1;
        if (str_starts(body, "<?xml") && strstr(body, "?>"))
                body = strstr(body, "?>") + 2;
        buf_format(&wrapped, "<container>%s</container>", body);
        xml = xml_read(buf_text(&wrapped), err);
        if (!xml)
                return fail(err, "File '%s' contains no <cpu> element", path);
        *n = (uint32_t)xml_nodes(xml, NULL,
                                 host_model ? "//cpu[not(ancestor::cpus)]|//cpu/mode[@name='host-model']"
                                            : "//cpu[not(ancestor::cpus)]",
                                 nodes, ARRAY_LEN(nodes));
        if (*n == 0)
                return err_set(err, ERR_XML,
                               "File '%s' contains no <cpu> element or valid domain or capabilities XML", path);
        for (uint32_t i = 0; i < *n; i++) {
                AUTOFREE char *one = xml_format_node(xml, nodes[i]);

                cpus[i] = arena_dup(session_arena(s), one);
        }
        return 0;
}

static uint32_t baseline_flags(const Args *args)
{
        return (arg_has(args, "features") ? VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES : 0) |
               (arg_has(args, "migratable") ? VIR_CONNECT_BASELINE_CPU_MIGRATABLE : 0);
}

static int cpu_baseline(Session *s, const Args *args, Error *err)
{
        const char *cpus[MOST_CPUS];
        WireConnectBaselineCpuArgs call = { .xmlCPUs = cpus, .flags = baseline_flags(args) };
        WireConnectBaselineCpuRet ret;

        if (read_cpus(s, arg_text(args, "file"), false, cpus, &call.n_xmlCPUs, err) < 0 ||
            session_call(s, WIRE_PROC_CONNECT_BASELINE_CPU, &call, &ret, err) < 0)
                return -1;
        out_print(s->out, "%s", ret.cpu);
        out_set_text(s->out, "xml", ret.cpu);
        return 0;
}

static int hypervisor_cpu_baseline(Session *s, const Args *args, Error *err)
{
        const char *cpus[MOST_CPUS];
        const char *path = arg_text(args, "file"), *model = arg_text(args, "model");
        AUTO(Buf) by_name = { 0 };
        WireConnectBaselineHypervisorCpuArgs call = { .emulator = arg_text(args, "emulator"),
                                                      .arch = arg_text(args, "arch"),
                                                      .machine = arg_text(args, "machine"),
                                                      .virttype = arg_text(args, "virttype"),
                                                      .xmlCPUs = cpus,
                                                      .flags = baseline_flags(args) };
        WireConnectBaselineHypervisorCpuRet ret;

        if (refuse_both(args, "file", "model", err) < 0)
                return -1;
        if (!path && !model)
                return err_set(err, ERR_INVALID_ARG, "Either --file or --model must be provided");
        if (path && read_cpus(s, path, true, cpus, &call.n_xmlCPUs, err) < 0)
                return -1;
        if (model) {
                buf_put_text(&by_name, "<cpu><model>");
                xml_escape(model, &by_name);
                buf_put_text(&by_name, "</model></cpu>");
                cpus[0] = buf_text(&by_name);
                call.n_xmlCPUs = 1;
        }
        if (session_call(s, WIRE_PROC_CONNECT_BASELINE_HYPERVISOR_CPU, &call, &ret, err) < 0)
                return -1;
        out_print(s->out, "%s", ret.cpu);
        out_set_text(s->out, "xml", ret.cpu);
        return 0;
}

/* The answer in words; -1 without an error when it is no. */
static int tell_comparison(Session *s, const char *path, const char *of, int32_t result, Error *err)
{
        static const char *const words[] = {
                [VIR_CPU_COMPARE_INCOMPATIBLE] = "incompatible",
                [VIR_CPU_COMPARE_IDENTICAL] = "identical",
                [VIR_CPU_COMPARE_SUPERSET] = "superset",
        };

        out_set_text(s->out, "result", WORD_OF(words, result));
        switch (result) {
        case VIR_CPU_COMPARE_INCOMPATIBLE:
                out_print(s->out, "CPU described in %s is incompatible with %s\n", path, of);
                return -1;
        case VIR_CPU_COMPARE_IDENTICAL:
                out_print(s->out, "CPU described in %s is identical to %s\n", path, of);
                return 0;
        case VIR_CPU_COMPARE_SUPERSET:
                out_print(s->out, "%s is a superset of CPU described in %s\n",
                          str_eq(of, "host CPU") ? "Host CPU" : "The CPU provided by hypervisor on the host", path);
                return 0;
        default:
                return err_set(err, ERR_INTERNAL, "Failed to compare %s with %s", of, path);
        }
}

static uint32_t compare_flags(const Args *args)
{
        return (arg_has(args, "error") ? VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE : 0) |
               (arg_has(args, "validate") ? VIR_CONNECT_COMPARE_CPU_VALIDATE_XML : 0);
}

static int cpu_compare(Session *s, const Args *args, Error *err)
{
        const char *path = arg_text(args, "file"), *cpus[MOST_CPUS];
        WireConnectCompareCpuArgs call = { .flags = compare_flags(args) };
        WireConnectCompareCpuRet ret;
        uint32_t n;

        if (read_cpus(s, path, false, cpus, &n, err) < 0)
                return -1;
        call.xml = cpus[0];
        if (session_call(s, WIRE_PROC_CONNECT_COMPARE_CPU, &call, &ret, err) < 0)
                return fail(err, "Failed to compare host CPU with %s", path);
        return tell_comparison(s, path, "host CPU", ret.result, err);
}

static int hypervisor_cpu_compare(Session *s, const Args *args, Error *err)
{
        const char *path = arg_text(args, "file"), *cpus[MOST_CPUS];
        WireConnectCompareHypervisorCpuArgs call = { .emulator = arg_text(args, "emulator"),
                                                     .arch = arg_text(args, "arch"),
                                                     .machine = arg_text(args, "machine"),
                                                     .virttype = arg_text(args, "virttype"),
                                                     .flags = compare_flags(args) };
        WireConnectCompareHypervisorCpuRet ret;
        uint32_t n;

        if (read_cpus(s, path, true, cpus, &n, err) < 0)
                return -1;
        call.xmlCPU = cpus[0];
        if (session_call(s, WIRE_PROC_CONNECT_COMPARE_HYPERVISOR_CPU, &call, &ret, err) < 0)
                return fail(err, "Failed to compare hypervisor CPU with %s", path);
        return tell_comparison(s, path, "the CPU provided by hypervisor on the host", ret.result, err);
}

#define ARGS_HYPERVISOR                                                                                              \
        "[--virttype=TYPE{kvm,qemu}]  kind of virtualization\n"                                                      \
        "[--emulator=FILE]  emulator\n"                                                                              \
        "[--arch=NAME]      architecture\n"                                                                          \
        "[--machine=NAME]   machine type\n"
#define ARGS_BASELINE                                                                                                \
        "[--features]    with the features the model stands for\n"                                                   \
        "[--migratable]  without features that cannot migrate\n"
#define ARGS_COMPARE                                                                                                 \
        "[--error]     say what is incompatible\n"                                                                   \
        "[--validate]  refuse what the schema does not know"

const Command cpu_commands[] = {
        { .name = "cpu-models",
          .group = GROUP_HOST,
          .args = "ARCH  architecture",
          .summary = "list the CPU models of an architecture",
          .run = cpu_models },
        { .name = "cpu-baseline",
          .group = GROUP_HOST,
          .args = "FILE  several hosts' capabilities, or <cpu> elements\n" ARGS_BASELINE,
          .summary = "find the CPU that all given hosts can provide",
          .run = cpu_baseline },
        { .name = "cpu-compare",
          .group = GROUP_HOST,
          .args = "FILE  a <cpu> element, or XML with one\n" ARGS_COMPARE,
          .summary = "compare a CPU with the host's",
          .text = "The exit status is 1 when the host cannot provide it.",
          .run = cpu_compare },
        { .name = "hypervisor-cpu-baseline",
          .group = GROUP_HOST,
          .args = "[--file FILE]   several hosts' domain capabilities, or <cpu> elements\n" ARGS_HYPERVISOR
                  ARGS_BASELINE "[--model NAME]  this CPU model instead of a file",
          .summary = "find the CPU that the hypervisor can provide on all given hosts",
          .run = hypervisor_cpu_baseline },
        { .name = "hypervisor-cpu-compare",
          .group = GROUP_HOST,
          .args = "FILE  a <cpu> element, or XML with one\n" ARGS_HYPERVISOR ARGS_COMPARE,
          .summary = "compare a CPU with what the hypervisor can provide on this host",
          .text = "The exit status is 1 when the hypervisor cannot provide it.",
          .run = hypervisor_cpu_compare },
        { 0 },
};
