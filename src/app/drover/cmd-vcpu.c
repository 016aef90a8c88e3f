/*
 * app/drover/cmd-vcpu.c - virtual CPUs and I/O threads, and where they run
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/cpulist.h"
#include "app/drover/xml.h"

#include "base/str.h"

enum { LABEL_WIDTH = 16 };

static int setvcpus(Session *s, const Args *args, Error *err)
{
        WireDomainSetVcpusFlagsArgs call = { 0 };

        if (refuse_both(args, "guest", "config", err) < 0 || need_other(args, "maximum", "config", err) < 0 ||
            affect_flags(args, &call.flags, err) < 0 || arg_u32(args, "count", &call.nvcpus, err) < 0)
                return -1;
        if (call.nvcpus == 0)
                return err_set(err, ERR_INVALID_ARG, "Can't set 0 processors for a VM");
        call.flags |= (arg_has(args, "maximum") ? VIR_DOMAIN_VCPU_MAXIMUM : 0) |
                      (arg_has(args, "guest") ? VIR_DOMAIN_VCPU_GUEST : 0) |
                      (arg_has(args, "hotpluggable") ? VIR_DOMAIN_VCPU_HOTPLUGGABLE : 0);
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_SET_VCPUS_FLAGS, &call, NULL, err);
}

static int setvcpu(Session *s, const Args *args, Error *err)
{
        WireDomainSetVcpuArgs call = { .cpumap = arg_text(args, "vcpulist"), .state = arg_has(args, "enable") };

        if (refuse_both(args, "enable", "disable", err) < 0 || affect_flags(args, &call.flags, err) < 0)
                return -1;
        if (!arg_has(args, "enable") && !arg_has(args, "disable"))
                return err_set(err, ERR_INVALID_ARG, "one of --enable, --disable is required");
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_SET_VCPU, &call, NULL, err);
}

static int count_vcpus(Session *s, const WireDomain *dom, uint32_t flags, int32_t *ret, Error *err)
{
        WireDomainGetVcpusFlagsRet found;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_VCPUS_FLAGS, &(WireDomainGetVcpusFlagsArgs){ *dom, flags }, &found,
                         err) < 0)
                return -1;
        *ret = found.num;
        return 0;
}

/* All four counts, those that there are. */
static int print_all_counts(Session *s, const WireDomain *dom, Error *err)
{
        static const struct {
                const char *kind, *where;
                uint32_t flags;
        } rows[] = {
                { "maximum", "config", VIR_DOMAIN_AFFECT_CONFIG | VIR_DOMAIN_VCPU_MAXIMUM },
                { "maximum", "live", VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_VCPU_MAXIMUM },
                { "current", "config", VIR_DOMAIN_AFFECT_CONFIG },
                { "current", "live", VIR_DOMAIN_AFFECT_LIVE },
        };
        WireDomainIsPersistentRet persistent;
        bool active;

        if (domain_is_active(s, dom, &active, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_IS_PERSISTENT, &(WireDomainIsPersistentArgs){ *dom }, &persistent, err) <
                    0)
                return -1;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                bool live = rows[i].flags & VIR_DOMAIN_AFFECT_LIVE;
                AUTOFREE char *key = str_format("%s_%s", rows[i].kind, rows[i].where);
                int32_t n;

                if (live ? !active : !persistent.persistent)
                        continue;
                if (count_vcpus(s, dom, rows[i].flags, &n, err) < 0)
                        return -1;
                out_print(s->out, "%-12s %-12s %3d\n", rows[i].kind, rows[i].where, n);
                out_set_u64(s->out, key, (uint64_t)n);
        }
        return 0;
}

static int vcpucount(Session *s, const Args *args, Error *err)
{
        uint32_t flags = 0;
        WireDomain dom;
        int32_t n;

        if (refuse_both(args, "active", "maximum", err) < 0 || refuse_both(args, "guest", "config", err) < 0 ||
            refuse_both(args, "live", "config", err) < 0 || affect_flags(args, &flags, err) < 0 ||
            find_domain(s, args, &dom, err) < 0)
                return -1;
        flags |= (arg_has(args, "maximum") ? VIR_DOMAIN_VCPU_MAXIMUM : 0) |
                 (arg_has(args, "guest") ? VIR_DOMAIN_VCPU_GUEST : 0);
        if (!flags && !arg_has(args, "active") && !arg_has(args, "current"))
                return print_all_counts(s, &dom, err);
        if (count_vcpus(s, &dom, flags, &n, err) < 0)
                return -1;
        out_print(s->out, "%d\n", n);
        out_set_u64(s->out, "count", (uint64_t)n);
        return 0;
}

static void print_affinity(Session *s, struct json_object *object, const uint8_t *bits, uint32_t n_bytes,
                           uint32_t n_cpus, bool pretty)
{
        AUTOFREE char *list = cpulist_format(bits, n_bytes, n_cpus);

        json_object_object_add(object, "cpu_affinity", json_object_new_string(list));
        out_print(s->out, "%-15s ", "CPU Affinity:");
        if (pretty)
                out_print(s->out, "%s (out of %u)", list, n_cpus);
        else
                for (uint32_t cpu = 0; cpu < n_cpus; cpu++)
                        out_print(s->out, "%c", cpulist_has(bits, n_bytes, cpu) ? 'y' : '-');
        out_print(s->out, "\n");
}

static void print_vcpu(Session *s, const WireVcpuInfo *info, const uint8_t *bits, uint32_t n_bytes, uint32_t n_cpus,
                       bool pretty)
{
        static const char *const states[] = { "offline", "running", "blocked" };
        const char *state = info->state >= 0 && info->state < (int)ARRAY_LEN(states) ? states[info->state]
                                                                                     : "no state";
        struct json_object *object = json_object_new_object();

        out_print(s->out, "%-15s %u\n", "VCPU:", info->number);
        json_object_object_add(object, "vcpu", json_object_new_int64(info->number));
        out_print(s->out, "%-15s %d\n", "CPU:", info->cpu);
        json_object_object_add(object, "cpu", info->cpu < 0 ? NULL : json_object_new_int(info->cpu));
        out_print(s->out, "%-15s %s\n", "State:", state);
        json_object_object_add(object, "state", json_object_new_string(state));
        if (info->cpu_time != 0)
                out_print(s->out, "%-15s %.1lfs\n", "CPU time:", (double)info->cpu_time / 1e9);
        json_object_object_add(object, "cpu_time_ns", json_object_new_uint64(info->cpu_time));
        print_affinity(s, object, bits, n_bytes, n_cpus, pretty);
        out_add(s->out, object);
}

/* A guest that does not run has no CPUs to ask; its definition still says where they will be. */
static int vcpuinfo_inactive(Session *s, const Args *args, const WireDomain *dom, uint32_t n_cpus, Error *err)
{
        WireDomainGetVcpuPinInfoArgs call = { .dom = *dom,
                                              .maplen = (int32_t)(n_cpus + 7) / 8,
                                              .flags = VIR_DOMAIN_AFFECT_CONFIG };
        WireDomainGetVcpuPinInfoRet pins;

        if (count_vcpus(s, dom, VIR_DOMAIN_AFFECT_CONFIG | VIR_DOMAIN_VCPU_MAXIMUM, &call.ncpumaps, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_VCPU_PIN_INFO, &call, &pins, err) < 0)
                return -1;
        for (int32_t i = 0; i < pins.num && (uint32_t)((i + 1) * call.maplen) <= pins.n_cpumaps; i++) {
                struct json_object *object = json_object_new_object();

                if (i)
                        out_print(s->out, "\n");
                out_print(s->out, "%-15s %d\n%-15s %s\n%-15s %s\n%-15s %s\n", "VCPU:", i, "CPU:", "N/A",
                          "State:", "N/A", "CPU time", "N/A");
                json_object_object_add(object, "vcpu", json_object_new_int(i));
                print_affinity(s, object, pins.cpumaps + i * call.maplen, (uint32_t)call.maplen, n_cpus,
                               arg_has(args, "pretty"));
                out_add(s->out, object);
        }
        return 0;
}

static int vcpuinfo(Session *s, const Args *args, Error *err)
{
        WireDomainGetInfoRet info;
        WireDomainGetVcpusArgs call = { 0 };
        WireDomainGetVcpusRet vcpus;
        uint32_t n_cpus;

        if (find_domain(s, args, &call.dom, err) < 0 || cpulist_host_cpus(s, &n_cpus, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_INFO, &(WireDomainGetInfoArgs){ call.dom }, &info, err) < 0)
                return -1;
        if (info.state == VIR_DOMAIN_SHUTOFF)
                return vcpuinfo_inactive(s, args, &call.dom, n_cpus, err);
        call.maxinfo = info.nrVirtCpu;
        call.maplen = (int32_t)(n_cpus + 7) / 8;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_VCPUS, &call, &vcpus, err) < 0)
                return -1;
        for (uint32_t i = 0; i < vcpus.n_info && (i + 1) * (uint32_t)call.maplen <= vcpus.n_cpumaps; i++) {
                if (i)
                        out_print(s->out, "\n");
                print_vcpu(s, &vcpus.info[i], vcpus.cpumaps + i * (uint32_t)call.maplen, (uint32_t)call.maplen,
                           n_cpus, arg_has(args, "pretty"));
        }
        return 0;
}

static int show_vcpu_pins(Session *s, const Args *args, const WireDomain *dom, uint32_t n_cpus, uint32_t flags,
                          Error *err)
{
        WireDomainGetVcpuPinInfoArgs call = { .dom = *dom, .maplen = (int32_t)(n_cpus + 7) / 8, .flags = flags };
        WireDomainGetVcpuPinInfoRet pins;
        AUTO(Table) *table = table_new(TITLES("VCPU#", "CPU Affinity"));
        uint32_t only = UINT32_MAX;

        if (arg_u32(args, "vcpu", &only, err) < 0 ||
            count_vcpus(s, dom, flags | VIR_DOMAIN_VCPU_MAXIMUM, &call.ncpumaps, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_VCPU_PIN_INFO, &call, &pins, err) < 0)
                return -1;
        if (only != UINT32_MAX && only >= (uint32_t)pins.num)
                return err_set(err, ERR_INVALID_ARG, "vcpu %u is out of range of persistent cpu count %d", only,
                               pins.num);
        for (int32_t i = 0; i < pins.num && (uint32_t)((i + 1) * call.maplen) <= pins.n_cpumaps; i++) {
                AUTOFREE char *number = str_format("%d", i);
                AUTOFREE char *list = cpulist_format(pins.cpumaps + i * call.maplen, (uint32_t)call.maplen, n_cpus);

                if (only == UINT32_MAX || only == (uint32_t)i)
                        table_add(table, CELLS(number, list));
        }
        out_table(s->out, table);
        return 0;
}

static int vcpupin(Session *s, const Args *args, Error *err)
{
        const char *list = arg_text(args, "cpulist");
        WireDomainPinVcpuFlagsArgs call = { 0 };
        uint32_t n_cpus;
        CpuMap map;

        if (affect_flags(args, &call.flags, err) < 0 || arg_u32(args, "vcpu", &call.vcpu, err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0 || cpulist_host_cpus(s, &n_cpus, err) < 0)
                return -1;
        if (!list)
                return show_vcpu_pins(s, args, &call.dom, n_cpus, call.flags, err);
        if (!arg_has(args, "vcpu"))
                return err_set(err, ERR_INVALID_ARG, "vcpupin: Missing vCPU number in pin mode.");
        if (cpulist_parse(session_arena(s), list, n_cpus, &map, err) < 0)
                return -1;
        call.cpumap = map.bits;
        call.n_cpumap = map.n_bytes;
        return session_call(s, WIRE_PROC_DOMAIN_PIN_VCPU_FLAGS, &call, NULL, err);
}

static int show_emulator_pin(Session *s, const WireDomain *dom, uint32_t n_cpus, uint32_t flags, Error *err)
{
        WireDomainGetEmulatorPinInfoArgs call = { .dom = *dom, .maplen = (int32_t)(n_cpus + 7) / 8, .flags = flags };
        WireDomainGetEmulatorPinInfoRet pins;
        AUTOFREE char *list = NULL;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_EMULATOR_PIN_INFO, &call, &pins, err) < 0)
                return -1;
        list = cpulist_format(pins.cpumaps, pins.n_cpumaps, n_cpus);
        if (!s->quiet)
                out_print(s->out, "%s %s\n%s\n", "emulator:", "CPU Affinity", "----------------------------------");
        out_print(s->out, "       *: %s\n", list);
        out_set_text(s->out, "cpu_affinity", list);
        return 0;
}

static int emulatorpin(Session *s, const Args *args, Error *err)
{
        const char *list = arg_text(args, "cpulist");
        WireDomainPinEmulatorArgs call = { 0 };
        uint32_t n_cpus;
        CpuMap map;

        if (affect_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0 ||
            cpulist_host_cpus(s, &n_cpus, err) < 0)
                return -1;
        if (!list)
                return show_emulator_pin(s, &call.dom, n_cpus, call.flags, err);
        if (cpulist_parse(session_arena(s), list, n_cpus, &map, err) < 0)
                return -1;
        call.cpumap = map.bits;
        call.n_cpumap = map.n_bytes;
        return session_call(s, WIRE_PROC_DOMAIN_PIN_EMULATOR, &call, NULL, err);
}

/* I/O threads */

static int iothreadinfo(Session *s, const Args *args, Error *err)
{
        WireDomainGetIothreadInfoArgs call = { 0 };
        WireDomainGetIothreadInfoRet found;
        AUTO(Table) *table = table_new(TITLES("IOThread ID#", "CPU Affinity"));
        uint32_t n_cpus;

        if (affect_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_IOTHREAD_INFO, &call, &found, err) < 0)
                return fail(err, "Unable to get domain IOThreads information");
        if (found.n_info == 0 && !output_is_json(s->out)) {
                out_note(s->out, "No IOThreads found for the domain");
                return 0;
        }
        if (cpulist_host_cpus(s, &n_cpus, err) < 0)
                return -1;
        for (uint32_t i = 0; i < found.n_info; i++) {
                AUTOFREE char *id = str_format("%u", found.info[i].iothread_id);
                AUTOFREE char *list = cpulist_format(found.info[i].cpumap, found.info[i].n_cpumap, n_cpus);

                table_add(table, CELLS(id, list));
        }
        out_table(s->out, table);
        return 0;
}

static int iothreadpin(Session *s, const Args *args, Error *err)
{
        WireDomainPinIothreadArgs call = { 0 };
        uint32_t n_cpus;
        CpuMap map;

        if (affect_flags(args, &call.flags, err) < 0 || arg_u32(args, "iothread", &call.iothreads_id, err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0 || cpulist_host_cpus(s, &n_cpus, err) < 0 ||
            cpulist_parse(session_arena(s), arg_text(args, "cpulist"), n_cpus, &map, err) < 0)
                return -1;
        call.cpumap = map.bits;
        call.n_cpumap = map.n_bytes;
        return session_call(s, WIRE_PROC_DOMAIN_PIN_IOTHREAD, &call, NULL, err);
}

static int get_iothread_id(const Args *args, uint32_t *ret, Error *err)
{
        if (arg_u32(args, "id", ret, err) < 0)
                return -1;
        if (*ret == 0)
                return err_set(err, ERR_INVALID_ARG, "Invalid IOThread id value: '%u'", *ret);
        return 0;
}

static int iothreadadd(Session *s, const Args *args, Error *err)
{
        WireDomainAddIothreadArgs call = { 0 };

        if (affect_flags(args, &call.flags, err) < 0 || get_iothread_id(args, &call.iothread_id, err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_ADD_IOTHREAD, &call, NULL, err);
}

static int iothreaddel(Session *s, const Args *args, Error *err)
{
        WireDomainDelIothreadArgs call = { 0 };

        if (affect_flags(args, &call.flags, err) < 0 || get_iothread_id(args, &call.iothread_id, err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_DEL_IOTHREAD, &call, NULL, err);
}

static int iothreadset(Session *s, const Args *args, Error *err)
{
        WireDomainSetIothreadParamsArgs call = { 0 };
        ParamList params = { .arena = session_arena(s) };
        uint64_t ns;
        static const struct {
                const char *option, *field;
                bool is_signed;
        } numbers[] = {
                { "poll-grow", VIR_DOMAIN_IOTHREAD_POLL_GROW, false },
                { "poll-shrink", VIR_DOMAIN_IOTHREAD_POLL_SHRINK, false },
                { "thread-pool-min", VIR_DOMAIN_IOTHREAD_THREAD_POOL_MIN, true },
                { "thread-pool-max", VIR_DOMAIN_IOTHREAD_THREAD_POOL_MAX, true },
        };
        int given = arg_u64(args, "poll-max-ns", &ns, err);

        if (given < 0 || affect_flags(args, &call.flags, err) < 0 ||
            get_iothread_id(args, &call.iothread_id, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (given)
                params_add_u64(&params, VIR_DOMAIN_IOTHREAD_POLL_MAX_NS, ns);
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
                int32_t number = 0;

                given = arg_i32(args, numbers[i].option, &number, err);
                if (given < 0)
                        return -1;
                if (given && numbers[i].is_signed)
                        params_add_i32(&params, numbers[i].field, number);
                else if (given)
                        params_add_u32(&params, numbers[i].field, (uint32_t)number);
        }
        if (!params.len)
                return err_set(err, ERR_INVALID_ARG, "Not enough arguments passed, nothing to set");
        call.params = params.items;
        call.n_params = params.len;
        return session_call(s, WIRE_PROC_DOMAIN_SET_IOTHREAD_PARAMS, &call, NULL, err);
}

#define ARG_CPULIST "host CPUs, as 0-3,^2,7; r: all"

const Command vcpu_commands[] = {
        { .name = "setvcpus",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "COUNT:NUMBER      how many\n"
                             "[--maximum]       the most it can have from its next start on\n" ARGS_AFFECT
                             "[--guest]         let the guest itself switch them on and off\n"
                             "[--hotpluggable]  make the added ones removable",
          .summary = "change how many CPUs a guest has",
          .run = setvcpus },
        { .name = "setvcpu",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "VCPULIST     which, as 0-3,5\n"
                             "[--enable]   plug them in\n"
                             "[--disable]  take them out\n" ARGS_AFFECT,
          .summary = "plug single CPUs of a guest in and out",
          .run = setvcpu },
        { .name = "vcpucount",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--maximum]  the most it can have\n"
                             "[--active]   those it has now\n" ARGS_AFFECT "[--guest]    as the guest sees it",
          .summary = "show how many CPUs a guest has",
          .run = vcpucount },
        { .name = "vcpuinfo",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--pretty]  affinity as a list",
          .summary = "show a guest's CPUs: where and how long they ran",
          .run = vcpuinfo },
        { .name = "vcpupin",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--vcpu NUMBER]   which CPU of the guest\n"
                             "[--cpulist CPUS~]  " ARG_CPULIST "; without it they are shown\n" ARGS_AFFECT,
          .summary = "show or choose which host CPUs a guest's CPU runs on",
          .run = vcpupin },
        { .name = "emulatorpin",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--cpulist CPUS~]  " ARG_CPULIST "; without it they are shown\n" ARGS_AFFECT,
          .summary = "show or choose which host CPUs QEMU itself runs on",
          .run = emulatorpin },
        { .name = "iothreadinfo",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARGS_AFFECT,
          .summary = "list a guest's I/O threads",
          .run = iothreadinfo },
        { .name = "iothreadpin",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "IOTHREAD:NUMBER  the thread's ID\n"
                             "CPULIST          " ARG_CPULIST "\n" ARGS_AFFECT,
          .summary = "choose which host CPUs an I/O thread runs on",
          .run = iothreadpin },
        { .name = "iothreadadd",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "ID:NUMBER  the new thread's ID\n" ARGS_AFFECT,
          .summary = "add an I/O thread",
          .run = iothreadadd },
        { .name = "iothreaddel",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "ID:NUMBER  the thread's ID\n" ARGS_AFFECT,
          .summary = "remove an I/O thread",
          .run = iothreaddel },
        { .name = "iothreadset",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "ID:NUMBER  the thread's ID\n"
                             "[--poll-max-ns NUMBER]      how long it polls at most\n"
                             "[--poll-grow NUMBER]        factor by which that grows\n"
                             "[--poll-shrink NUMBER]      divisor by which it shrinks\n"
                             "[--thread-pool-min NUMBER]  fewest worker threads\n"
                             "[--thread-pool-max NUMBER]  most worker threads\n" ARGS_AFFECT,
          .summary = "tune an I/O thread",
          .run = iothreadset },
        { 0 },
};
