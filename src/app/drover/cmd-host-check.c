/*
 * app/drover/cmd-host-check.c - is this machine fit to run guests, and for how many (CPU-01, CPU-02, CLK-16 to CLK-18,
 * CPU-15, MEM-01, MEM-04, MEM-05, STO-32)
 *
 * Facts of the machine are read here, what guests have comes over the connection.
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/session.h"

#include "base/fd.h"
#include "base/str.h"
#include "host/file-system.h"
#include "host/node.h"
#include "host/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { CHECK_WIDTH = 21, MOST_VCPUS_PER_CPU = 5, MOST_RATIO = 1000 };

/* A finding that somebody should do something about. */
static void advise(Session *s, struct json_object *advice, const char *text)
{
        out_print(s->out, "  advice: %s\n", text);
        json_object_array_add(advice, json_object_new_string(text));
}

/* As lsmod has it; KVM may also be part of the kernel. */
static const char *kvm_module(void)
{
        static const char *const known[] = { "kvm_intel", "kvm_amd", "kvm" };

        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                AUTOFREE char *path = str_format("/sys/module/%s", known[i]);

                if (access(path, F_OK) == 0)
                        return known[i];
        }
        return "none";
}

static void check_processor(Session *s, struct json_object *advice)
{
        AUTO(Arena) *arena = arena_new();
        NodeCpuModel cpu = { 0 };
        AUTO(Fd) kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        bool usable = kvm >= 0;

        node_cpu_model("", arena, &cpu, NULL);
        out_field(s->out, CHECK_WIDTH, "Virtualization", "%s",
                  !cpu.virtualization                     ? "absent"
                  : cpu.flags && strstr(cpu.flags, "vmx") ? "Intel VT-x (vmx)"
                                                          : "AMD-V (svm)");
        if (!cpu.virtualization)
                advise(s, advice, "switch virtualization on in the firmware; without it guests are emulated");
        out_field(s->out, CHECK_WIDTH, "KVM", "%s", usable ? "usable" : "not usable");
        out_field(s->out, CHECK_WIDTH, "KVM module", "%s", kvm_module());
        if (cpu.virtualization && !usable)
                advise(s, advice, "load kvm_intel or kvm_amd, and see who may open /dev/kvm");
        out_field(s->out, CHECK_WIDTH, "Constant TSC", "%s", cpu.constant_tsc ? "present" : "absent");
        if (!cpu.constant_tsc)
                advise(s, advice,
                       "guests' clocks may drift: boot the host with processor.max_cstate=1 and pin its frequency "
                       "to the maximum");
}

/* Who keeps the clock right: the first of these that runs. NULL: none. */
static const char *time_service(void)
{
        static const char *const known[] = { "chronyd", "ntpd", "systemd-timesyn", "openntpd" };
        DIR *dir = opendir("/proc");
        const char *found = NULL;
        struct dirent *entry;

        while (dir && !found && (entry = readdir(dir))) {
                AUTOFREE char *path = str_format("/proc/%s/comm", entry->d_name);
                char name[32] = { 0 };
                FILE *file = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "re") : NULL;

                if (file && fgets(name, sizeof(name), file))
                        name[strcspn(name, "\n")] = '\0';
                if (file)
                        fclose(file);
                for (size_t i = 0; i < ARRAY_LEN(known) && !found; i++) {
                        if (str_eq(name, known[i]))
                                found = known[i];
                }
        }
        if (dir)
                closedir(dir);
        return str_eq(found, "systemd-timesyn") ? "systemd-timesyncd" : found;
}

static void check_clock(Session *s, struct json_object *advice)
{
        const char *service = time_service();

        out_field(s->out, CHECK_WIDTH, "Time service", "%s", service ?: "none");
        if (!service)
                advise(s, advice, "run chrony, ntpd or systemd-timesyncd on the host, and in the guests as well");
}

/* Where this machine is a server of images for others. */
static void check_exports(Session *s, struct json_object *advice)
{
        AUTO(Buf) found = { 0 };
        AUTO_STRLIST paths = NULL;

        file_system_find_async(&found);
        paths = str_split(buf_text(&found), "\n");
        for (char **path = paths; *path; path++) {
                AUTOFREE char *text = NULL;

                if (!**path)
                        continue;
                text = str_format(
                        "'%s' is exported with async: when this host falls, guests' images there lose what they "
                        "were told is written; export it with sync",
                        *path);
                advise(s, advice, text);
        }
}

/* Half the RAM, and the RAM again by the ratio of overcommit (MEM-01). */
static uint64_t recommended_swap(uint64_t memory_kib, double ratio)
{
        return (uint64_t)((0.5 + ratio) * (double)memory_kib);
}

typedef struct Use {
        uint64_t memory_kib, vcpus, swapped_kib;
        unsigned guests;
} Use;

static void add_guest(Session *s, const WireDomainStatsRecord *record, Use *use)
{
        uint64_t swapped_kib = param_u64(record->params, record->n_params, "balloon.swapped");

        use->guests++;
        use->vcpus += param_u64(record->params, record->n_params, "vcpu.current");
        use->memory_kib += param_u64(record->params, record->n_params, "balloon.maximum");
        use->swapped_kib += swapped_kib;
        if (swapped_kib) {
                AUTOFREE char *label = str_format("Swapped of %s", record->dom.name);

                out_number(s->out, CHECK_WIDTH, label, swapped_kib, "KiB");
        }
}

static int check_guests(Session *s, struct json_object *advice, uint64_t memory_kib, uint64_t swap_kib, Error *err)
{
        WireConnectGetAllDomainStatsArgs call = { .stats = VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU,
                                                  .flags = VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE };
        WireConnectGetAllDomainStatsRet ret;
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);
        Use use = { 0 };
        double ratio;

        if (session_call(s, WIRE_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &call, &ret, err) < 0)
                return fail(err, "The guests are not known");
        for (uint32_t i = 0; i < ret.n_retStats; i++)
                add_guest(s, &ret.retStats[i], &use);
        ratio = (double)use.vcpus / (double)MAX(cpus, 1L);
        out_number(s->out, CHECK_WIDTH, "Running guests", use.guests, NULL);
        out_print(s->out, "%-*s %.2f\n", CHECK_WIDTH - 1, "vCPUs per CPU:", ratio);
        out_set(s->out, "vcpus_per_cpu", json_object_new_double(ratio));
        if (ratio > MOST_VCPUS_PER_CPU)
                advise(s, advice, "there are more than 5 virtual CPUs for each CPU of the host");
        out_number(s->out, CHECK_WIDTH, "Memory of guests", use.memory_kib, "KiB");
        if (!swap_kib && use.memory_kib > memory_kib)
                advise(s, advice,
                       "guests have more memory than the host, which has no swap: add some, or stop guests");
        else if (use.memory_kib > memory_kib + swap_kib)
                advise(s, advice,
                       "guests have more memory than RAM and swap together: the kernel will kill some of them");
        out_number(s->out, CHECK_WIDTH, "Swapped of guests", use.swapped_kib, "KiB");
        if (use.swapped_kib)
                advise(s, advice, "what is swapped out takes seconds per GB to come back");
        return 0;
}

static int get_ratio(const Args *args, double *ret, Error *err)
{
        const char *text = arg_text(args, "overcommit");
        char *end;

        *ret = 0.5;
        if (!text)
                return 0;
        *ret = strtod(text, &end);
        return end != text && !*end && *ret >= 0 && *ret <= MOST_RATIO
                       ? 0
                       : err_set(err, ERR_INVALID_ARG, "'%s' is no ratio: a number from 0 to %d, such as 0.5", text,
                                 MOST_RATIO);
}

static int host_check(Session *s, const Args *args, Error *err)
{
        struct json_object *advice;
        NodeMemoryStats memory;
        uint64_t swap_kib, bytes;
        double ratio;
        int given = arg_size(args, "memory", 1024, &bytes, err), rc;

        if (given < 0 || get_ratio(args, &ratio, err) < 0 || node_memory_stats("", -1, &memory, err) < 0 ||
            node_swap("", &swap_kib, err) < 0)
                return -1;
        advice = json_object_new_array();
        check_processor(s, advice);
        check_clock(s, advice);
        check_exports(s, advice);
        out_number(s->out, CHECK_WIDTH, "Memory", memory.total_kib, "KiB");
        out_number(s->out, CHECK_WIDTH, "Swap", swap_kib, "KiB");
        out_number(s->out, CHECK_WIDTH, "Recommended swap",
                   recommended_swap(given ? bytes / 1024 : memory.total_kib, ratio), "KiB");
        rc = check_guests(s, advice, memory.total_kib, swap_kib, err);
        out_set(s->out, "advice", advice);
        return rc;
}

const Command host_check_commands[] = {
        { .name = "host-check",
          .group = GROUP_HOST,
          .args = "[--overcommit RATIO]  memory that guests have beyond the host's, as part of it; 0.5 when not given\n"
                  "[--memory SIZE]       recommend swap for a host with this much memory, in KiB",
          .summary = "say whether this machine is fit for its guests",
          .text = "Looks at the machine that drover runs on, and at the guests of the daemon it is connected to: "
                  "virtualization, clock, time service, NFS exports, swap, and how much more guests have than the host. Each finding "
                  "that wants an act has a line of advice. The recommended swap is 0.5 times the memory, and RATIO times the memory.",
          .run = host_check },
        { 0 },
};
