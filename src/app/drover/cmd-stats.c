/*
 * app/drover/cmd-stats.c - what guests use: counters of disks, interfaces and memory
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"

/* How domblkstat names a counter: as ever, and for people. */
static const struct {
        const char *field, *plain, *human;
} block_counters[] = {
        { "rd_operations", "rd_req", "number of read operations:" },
        { "rd_bytes", "rd_bytes", "number of bytes read:" },
        { "wr_operations", "wr_req", "number of write operations:" },
        { "wr_bytes", "wr_bytes", "number of bytes written:" },
        { "errs", "errs", "error count:" },
        { "flush_operations", "flush_operations", "number of flush operations:" },
        { "rd_total_times", "rd_total_times", "total duration of reads (ns):" },
        { "wr_total_times", "wr_total_times", "total duration of writes (ns):" },
        { "flush_total_times", "flush_total_times", "total duration of flushes (ns):" },
};

static void print_block_counter(Session *s, const Args *args, const char *device, size_t known,
                                const WireTypedParam *param)
{
        bool human = arg_has(args, "human");
        const char *plain = known < ARRAY_LEN(block_counters) ? block_counters[known].plain : param->field;
        const char *label = human && known < ARRAY_LEN(block_counters) ? block_counters[known].human : plain;
        AUTOFREE char *text = param_text(param);

        out_print(s->out, "%s %-*s %s\n", human ? "" : device, human ? 31 : 0, label, text);
        out_set(s->out, plain, param_json(param));
}

static void print_device(Session *s, const Args *args, const char *device)
{
        if (arg_has(args, "human"))
                out_print(s->out, "Device: %s\n", device);
}

static void print_block_params(Session *s, const Args *args, const char *device, const WireTypedParam *params,
                               uint32_t n)
{
        print_device(s, args, device);
        for (size_t i = 0; i < ARRAY_LEN(block_counters); i++) {
                const WireTypedParam *param = param_find(params, n, block_counters[i].field);

                if (param)
                        print_block_counter(s, args, device, i, param);
        }
        for (uint32_t i = 0; i < n; i++) {
                size_t known = 0;

                while (known < ARRAY_LEN(block_counters) && !str_eq(block_counters[known].field, params[i].field))
                        known++;
                if (known == ARRAY_LEN(block_counters))
                        print_block_counter(s, args, device, known, &params[i]);
        }
}

static int print_old_block_stats(Session *s, const Args *args, const WireDomain *dom, const char *device, Error *err)
{
        WireDomainBlockStatsRet old;
        int64_t *const values[] = { &old.rd_req, &old.rd_bytes, &old.wr_req, &old.wr_bytes, &old.errs };

        if (session_call(s, WIRE_PROC_DOMAIN_BLOCK_STATS, &(WireDomainBlockStatsArgs){ *dom, device }, &old, err) < 0)
                return -1;
        print_device(s, args, device);
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
                WireTypedParam param = { .value = { .type = VIR_TYPED_PARAM_LLONG, .l = *values[i] } };

                if (*values[i] >= 0)
                        print_block_counter(s, args, device, i, &param);
        }
        return 0;
}

static int domblkstat(Session *s, const Args *args, Error *err)
{
        const char *device = arg_text(args, "device") ?: "";
        WireDomainBlockStatsFlagsArgs call = { .path = device, .flags = VIR_TYPED_PARAM_STRING_OKAY };
        WireDomainBlockStatsFlagsRet ret;
        AUTO(Error) why = { 0 };

        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_BLOCK_STATS_FLAGS, &call, &ret, &why) == 0) {
                call.nparams = ret.nparams;
                if (session_call(s, WIRE_PROC_DOMAIN_BLOCK_STATS_FLAGS, &call, &ret, err) < 0)
                        return fail(err, "Failed to get block stats %s %s", arg_text(args, "domain"), device);
                print_block_params(s, args, device, ret.params, ret.n_params);
                return 0;
        }
        if (why.code != ERR_NO_SUPPORT)
                return err_move(err, &why);
        if (print_old_block_stats(s, args, &call.dom, device, err) == 0)
                return 0;
        return fail(err, "Failed to get block stats %s %s", arg_text(args, "domain"), device);
}

static int domifstat(Session *s, const Args *args, Error *err)
{
        const char *device = arg_text(args, "interface");
        WireDomainInterfaceStatsRet stats;
        WireDomain dom;
        const struct {
                const char *name;
                const int64_t *value;
        } counters[] = {
                { "rx_bytes", &stats.rx_bytes }, { "rx_packets", &stats.rx_packets },
                { "rx_errs", &stats.rx_errs },   { "rx_drop", &stats.rx_drop },
                { "tx_bytes", &stats.tx_bytes }, { "tx_packets", &stats.tx_packets },
                { "tx_errs", &stats.tx_errs },   { "tx_drop", &stats.tx_drop },
        };

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_INTERFACE_STATS, &(WireDomainInterfaceStatsArgs){ dom, device }, &stats,
                         err) < 0)
                return fail(err, "Failed to get interface stats %s %s", arg_text(args, "domain"), device);
        for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
                if (*counters[i].value < 0)
                        continue;
                out_print(s->out, "%s %s %lld\n", device, counters[i].name, (long long)*counters[i].value);
                out_set_u64(s->out, counters[i].name, (uint64_t)*counters[i].value);
        }
        return 0;
}

static int set_memory_period(Session *s, const Args *args, const WireDomain *dom, Error *err)
{
        WireDomainSetMemoryStatsPeriodArgs call = { .dom = *dom };

        if (arg_i32(args, "period", &call.period, err) < 0 || affect_flags(args, &call.flags, err) < 0)
                return -1;
        if (call.period < 0)
                return err_set(err, ERR_INVALID_ARG, "Invalid collection period value '%d'", call.period);
        if (session_call(s, WIRE_PROC_DOMAIN_SET_MEMORY_STATS_PERIOD, &call, NULL, err) < 0)
                return fail(err, "Unable to change balloon collection period.");
        return 0;
}

static int dommemstat(Session *s, const Args *args, Error *err)
{
        static const char *const tags[] = {
                [VIR_DOMAIN_MEMORY_STAT_SWAP_IN] = "swap_in",
                [VIR_DOMAIN_MEMORY_STAT_SWAP_OUT] = "swap_out",
                [VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT] = "major_fault",
                [VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT] = "minor_fault",
                [VIR_DOMAIN_MEMORY_STAT_UNUSED] = "unused",
                [VIR_DOMAIN_MEMORY_STAT_AVAILABLE] = "available",
                [VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON] = "actual",
                [VIR_DOMAIN_MEMORY_STAT_RSS] = "rss",
                [VIR_DOMAIN_MEMORY_STAT_USABLE] = "usable",
                [VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE] = "last_update",
                [VIR_DOMAIN_MEMORY_STAT_DISK_CACHES] = "disk_caches",
                [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC] = "hugetlb_pgalloc",
                [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL] = "hugetlb_pgfail",
        };
        WireDomainMemoryStatsArgs call = { .maxStats = VIR_DOMAIN_MEMORY_STAT_NR };
        WireDomainMemoryStatsRet ret;

        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (arg_has(args, "period"))
                return set_memory_period(s, args, &call.dom, err);
        if (session_call(s, WIRE_PROC_DOMAIN_MEMORY_STATS, &call, &ret, err) < 0)
                return fail(err, "Failed to get memory statistics for domain %s", call.dom.name);
        for (uint32_t i = 0; i < ret.n_stats; i++) {
                const char *tag = WORD_OF(tags, ret.stats[i].tag);

                if (str_eq(tag, "unknown"))
                        continue;
                out_print(s->out, "%s %llu\n", tag, (unsigned long long)ret.stats[i].val);
                out_set_u64(s->out, tag, ret.stats[i].val);
        }
        return 0;
}

static int domblkerror(Session *s, const Args *args, Error *err)
{
        static const char *const errors[] = { "no error", "unspecified error", "no space" };
        WireDomainGetDiskErrorsArgs call = { 0 };
        WireDomainGetDiskErrorsRet ret;

        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_DISK_ERRORS, &call, &ret, err) < 0)
                return -1;
        call.maxerrors = (uint32_t)ret.nerrors;
        if (call.maxerrors > 0 && session_call(s, WIRE_PROC_DOMAIN_GET_DISK_ERRORS, &call, &ret, err) < 0)
                return -1;
        out_list(s->out);
        if (ret.n_errors == 0 && !output_is_json(s->out))
                out_done(s->out, "No errors found");
        for (uint32_t i = 0; i < ret.n_errors; i++) {
                const char *word = WORD_OF(errors, ret.errors[i].error);
                struct json_object *row = json_object_new_object();

                out_print(s->out, "%s: %s\n", ret.errors[i].disk, word);
                json_object_object_add(row, "device", json_object_new_string(ret.errors[i].disk));
                json_object_object_add(row, "error", json_object_new_string(word));
                out_add(s->out, row);
        }
        return 0;
}

static int domdirtyrate_calc(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag modes[] = { { "page-sampling", VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING },
                                            { "dirty-bitmap", VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP },
                                            { "dirty-ring", VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING } };
        WireDomainStartDirtyRateCalcArgs call = { .seconds = 1 };
        size_t mode = 0;

        while (arg_has(args, "mode") && mode < ARRAY_LEN(modes) && !str_eq(arg_text(args, "mode"), modes[mode].name))
                mode++;
        if (mode == ARRAY_LEN(modes))
                return err_set(err, ERR_INVALID_ARG, "Unknown calculation mode '%s'", arg_text(args, "mode"));
        call.flags = modes[mode].flag;
        if (arg_i32(args, "seconds", &call.seconds, err) < 0 || find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_START_DIRTY_RATE_CALC, &call, NULL, err) < 0)
                return -1;
        out_done(s->out, "Start to calculate domain's memory dirty rate successfully.");
        return 0;
}

static const SwitchFlag stats_switches[] = {
        { "state", VIR_DOMAIN_STATS_STATE },
        { "cpu-total", VIR_DOMAIN_STATS_CPU_TOTAL },
        { "balloon", VIR_DOMAIN_STATS_BALLOON },
        { "vcpu", VIR_DOMAIN_STATS_VCPU },
        { "interface", VIR_DOMAIN_STATS_INTERFACE },
        { "block", VIR_DOMAIN_STATS_BLOCK },
        { "perf", VIR_DOMAIN_STATS_PERF },
        { "iothread", VIR_DOMAIN_STATS_IOTHREAD },
        { "memory", VIR_DOMAIN_STATS_MEMORY },
        { "dirtyrate", VIR_DOMAIN_STATS_DIRTYRATE },
        { "vm", VIR_DOMAIN_STATS_VM },
        { 0 },
};

static const SwitchFlag stats_flags[] = {
        { "list-active", VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE },
        { "list-inactive", VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE },
        { "list-persistent", VIR_CONNECT_GET_ALL_DOMAINS_STATS_PERSISTENT },
        { "list-transient", VIR_CONNECT_GET_ALL_DOMAINS_STATS_TRANSIENT },
        { "list-running", VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING },
        { "list-paused", VIR_CONNECT_GET_ALL_DOMAINS_STATS_PAUSED },
        { "list-shutoff", VIR_CONNECT_GET_ALL_DOMAINS_STATS_SHUTOFF },
        { "list-other", VIR_CONNECT_GET_ALL_DOMAINS_STATS_OTHER },
        { "enforce", VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS },
        { "backing", VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING },
        { "nowait", VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT },
        { 0 },
};

static void print_record(Session *s, const WireDomainStatsRecord *record)
{
        struct json_object *object = json_object_new_object();

        json_object_object_add(object, "name", json_object_new_string(record->dom.name));
        out_print(s->out, "Domain: '%s'\n", record->dom.name);
        for (uint32_t i = 0; i < record->n_params; i++) {
                AUTOFREE char *text = param_text(&record->params[i]);

                out_print(s->out, "  %s=%s\n", record->params[i].field, text);
                json_object_object_add(object, record->params[i].field, param_json(&record->params[i]));
        }
        out_add(s->out, object);
}

static int domstats(Session *s, const Args *args, Error *err)
{
        WireConnectGetAllDomainStatsArgs call = { .stats = switch_flags(args, stats_switches),
                                                  .flags = switch_flags(args, stats_flags),
                                                  .n_doms = (uint32_t)arg_count(args, "domain") };
        WireConnectGetAllDomainStatsRet ret;

        if (call.n_doms)
                call.doms = arena_new_array(session_arena(s), WireDomain, call.n_doms);
        for (uint32_t i = 0; i < call.n_doms; i++)
                if (find_domain_named(s, arg_nth(args, "domain", i), &call.doms[i], err) < 0)
                        return -1;
        if (session_call(s, WIRE_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &call, &ret, err) < 0)
                return -1;
        out_list(s->out);
        for (uint32_t i = 0; i < ret.n_retStats; i++) {
                if (i)
                        out_print(s->out, "\n");
                print_record(s, &ret.retStats[i]);
        }
        return 0;
}

/* Per-CPU counters come in batches; each batch holds n_cpus rows of nparams columns. */
enum { CPU_BATCH = 128 };

static void print_cpu(Session *s, const char *title, const WireTypedParam *params, uint32_t n)
{
        struct json_object *object = json_object_new_object();

        json_object_object_add(object, "cpu", json_object_new_string(title));
        out_print(s->out, "%s:\n", title);
        for (uint32_t i = 0; i < n; i++) {
                const WireTypedParam *param = &params[i];

                json_object_object_add(object, param->field, param_json(param));
                if (param->value.type == VIR_TYPED_PARAM_ULLONG) {
                        out_print(s->out, "\t%-12s %9llu.%09llu seconds\n", param->field,
                                  (unsigned long long)(param->value.ul / 1000000000),
                                  (unsigned long long)(param->value.ul % 1000000000));
                } else {
                        AUTOFREE char *text = param_text(param);

                        out_print(s->out, "\t%-12s %s\n", param->field, text);
                }
        }
        out_add(s->out, object);
}

static int print_cpus(Session *s, WireDomainGetCpuStatsArgs *call, uint32_t first, uint32_t n_cpus, Error *err)
{
        WireDomainGetCpuStatsRet ret;

        for (uint32_t at = 0; at < n_cpus; at += CPU_BATCH) {
                call->start_cpu = (int32_t)(first + at);
                call->ncpus = MIN(n_cpus - at, CPU_BATCH);
                if (session_call(s, WIRE_PROC_DOMAIN_GET_CPU_STATS, call, &ret, err) < 0)
                        return fail(err, "Failed to retrieve CPU statistics for domain '%s'", call->dom.name);
                for (uint32_t i = 0; i < call->ncpus && i < ret.n_params / call->nparams; i++) {
                        AUTOFREE char *title = str_format("CPU%u", first + at + i);

                        print_cpu(s, title, ret.params + i * call->nparams, call->nparams);
                }
        }
        return 0;
}

static int cannot_count(const WireDomain *dom, Error *err)
{
        return fail(err, "Failed to retrieve CPU statistics for domain '%s'", dom->name);
}

static int print_each_cpu(Session *s, const Args *args, const WireDomain *dom, Error *err)
{
        WireDomainGetCpuStatsArgs call = { .dom = *dom, .flags = VIR_TYPED_PARAM_STRING_OKAY };
        WireDomainGetCpuStatsRet ret;
        uint32_t first = 0, count = 0, n_cpus;

        if (arg_u32(args, "start", &first, err) < 0 || arg_u32(args, "count", &count, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_CPU_STATS, &call, &ret, err) < 0)
                return cannot_count(dom, err);
        n_cpus = (uint32_t)ret.nparams;
        if (first > n_cpus)
                return err_set(err, ERR_INVALID_ARG, "there is no CPU %u", first);
        if (!arg_has(args, "count") || count > n_cpus - first)
                count = n_cpus - first;
        call.ncpus = 1;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_CPU_STATS, &call, &ret, err) < 0)
                return cannot_count(dom, err);
        call.nparams = (uint32_t)ret.nparams;
        return call.nparams ? print_cpus(s, &call, first, count, err) : 0;
}

static int print_total(Session *s, const WireDomain *dom, Error *err)
{
        WireDomainGetCpuStatsArgs call = {
                .dom = *dom, .start_cpu = -1, .ncpus = 1, .flags = VIR_TYPED_PARAM_STRING_OKAY
        };
        WireDomainGetCpuStatsRet ret;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_CPU_STATS, &call, &ret, err) < 0)
                return cannot_count(dom, err);
        call.nparams = (uint32_t)ret.nparams;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_CPU_STATS, &call, &ret, err) < 0)
                return cannot_count(dom, err);
        print_cpu(s, "Total", ret.params, ret.n_params);
        return 0;
}

static int cpu_stats(Session *s, const Args *args, Error *err)
{
        bool some = arg_has(args, "start") || arg_has(args, "count");
        bool total = arg_has(args, "total");
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if ((some || !total) && print_each_cpu(s, args, &dom, err) < 0)
                return -1;
        return total || !some ? print_total(s, &dom, err) : 0;
}

const Command stats_commands[] = {
        { .name = "domblkstat",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--device DISK~]  target or path of the disk; all disks together unless given\n"
                             "[--human]        in words",
          .summary = "show what a disk has read and written",
          .run = domblkstat },
        { .name = "domifstat",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "INTERFACE  target name or MAC address",
          .summary = "show what an interface has received and sent",
          .run = domifstat },
        { .name = "dommemstat",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--period=NUMBER]  let the guest report every so many seconds; 0: never\n" ARGS_AFFECT,
          .summary = "show what a guest does with its memory",
          .run = dommemstat },
        { .name = "domblkerror",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN,
          .summary = "show which disks have errors",
          .run = domblkerror },
        { .name = "domstats",
          .group = GROUP_MONITOR,
          .args = "[--state]            the state\n"
                  "[--cpu-total]        CPU time\n"
                  "[--balloon]          memory\n"
                  "[--vcpu]             virtual CPUs\n"
                  "[--interface]        network interfaces\n"
                  "[--block]            disks\n"
                  "[--perf]             performance events\n"
                  "[--iothread]         I/O threads\n"
                  "[--memory]           memory bandwidth\n"
                  "[--dirtyrate]        how fast memory is written\n"
                  "[--vm]               what the hypervisor counts\n"
                  "[--list-active]      of guests that run\n"
                  "[--list-inactive]    of guests that do not\n"
                  "[--list-persistent]  of guests with a definition\n"
                  "[--list-transient]   of guests without one\n"
                  "[--list-running]     of guests in state running\n"
                  "[--list-paused]      of guests in state paused\n"
                  "[--list-shutoff]     of guests in state shut off\n"
                  "[--list-other]       of guests in any other state\n"
                  "[--raw]              numbers as they came\n"
                  "[--enforce]          fail when a kind is not supported\n"
                  "[--backing]          disks with their backing images\n"
                  "[--nowait]           only what can be had at once\n"
                  "[DOMAIN]...          these guests only",
          .summary = "show all counters of some or all guests",
          .run = domstats },
        { .name = "domdirtyrate-calc",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--seconds NUMBER]  for so long, 1 to 60\n"
                             "[--mode MODE{page-sampling,dirty-bitmap,dirty-ring}]  how",
          .summary = "measure how fast a guest writes its memory",
          .text = "Whether it can be moved while it runs depends on that. 'domstats --dirtyrate' shows the result.",
          .run = domdirtyrate_calc },
        { .name = "cpu-stats",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--total]         only the sum\n"
                             "[--start NUMBER]  from this CPU on\n"
                             "[--count NUMBER]  so many CPUs",
          .summary = "show the CPU time of a guest, by host CPU",
          .run = cpu_stats },
        { 0 },
};
