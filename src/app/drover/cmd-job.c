/*
 * app/drover/cmd-job.c - what a guest's job does, and the knobs of migration
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"

static const char *const job_types[] = { "None", "Bounded", "Unbounded", "Completed", "Failed", "Cancelled" };
static const char *const operations[] = {
        "Unknown",  "Start",           "Save", "Restore", "Incoming migration", "Outgoing migration",
        "Snapshot", "Snapshot revert", "Dump", "Backup",  "Snapshot delete"
};

/* What domjobinfo shows, in its order, each line only when the job counts it. */
typedef enum JobLineKind {
        JOB_TIME,  /* "12   ms" */
        JOB_SIZE,  /* "1.500 GiB" */
        JOB_RATE,  /* "1.500 MiB/s" */
        JOB_COUNT, /* a number */
} JobLineKind;

typedef struct JobLine {
        const char *label, *field;
        JobLineKind kind;
        bool even_zero;   /* shown as soon as the job has the field */
        const char *with; /* only when this field is above zero */
} JobLine;

static const JobLine job_lines[] = {
        { "Time elapsed:", VIR_DOMAIN_JOB_TIME_ELAPSED, JOB_TIME, true, NULL },
        { "Time elapsed w/o network:", VIR_DOMAIN_JOB_TIME_ELAPSED_NET, JOB_TIME, true, NULL },
        { "Data processed:", VIR_DOMAIN_JOB_DATA_PROCESSED, JOB_SIZE, true, VIR_DOMAIN_JOB_DATA_TOTAL },
        { "Data remaining:", VIR_DOMAIN_JOB_DATA_REMAINING, JOB_SIZE, true, VIR_DOMAIN_JOB_DATA_TOTAL },
        { "Data total:", VIR_DOMAIN_JOB_DATA_TOTAL, JOB_SIZE, true, VIR_DOMAIN_JOB_DATA_TOTAL },
        { "Memory processed:", VIR_DOMAIN_JOB_MEMORY_PROCESSED, JOB_SIZE, true, VIR_DOMAIN_JOB_MEMORY_TOTAL },
        { "Memory remaining:", VIR_DOMAIN_JOB_MEMORY_REMAINING, JOB_SIZE, true, VIR_DOMAIN_JOB_MEMORY_TOTAL },
        { "Memory total:", VIR_DOMAIN_JOB_MEMORY_TOTAL, JOB_SIZE, true, VIR_DOMAIN_JOB_MEMORY_TOTAL },
        { "Memory bandwidth:", VIR_DOMAIN_JOB_MEMORY_BPS, JOB_RATE, false, VIR_DOMAIN_JOB_MEMORY_BPS },
        { "Dirty rate:", VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, JOB_COUNT, false, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE },
        { "Page size:", VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, JOB_COUNT, false, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE },
        { "Iteration:", VIR_DOMAIN_JOB_MEMORY_ITERATION, JOB_COUNT, false, VIR_DOMAIN_JOB_MEMORY_ITERATION },
        { "Postcopy requests:", VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS, JOB_COUNT, false,
          VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS },
        { "File processed:", VIR_DOMAIN_JOB_DISK_PROCESSED, JOB_SIZE, true, VIR_DOMAIN_JOB_DISK_TOTAL },
        { "File remaining:", VIR_DOMAIN_JOB_DISK_REMAINING, JOB_SIZE, true, VIR_DOMAIN_JOB_DISK_TOTAL },
        { "File total:", VIR_DOMAIN_JOB_DISK_TOTAL, JOB_SIZE, true, VIR_DOMAIN_JOB_DISK_TOTAL },
        { "File bandwidth:", VIR_DOMAIN_JOB_DISK_BPS, JOB_RATE, false, VIR_DOMAIN_JOB_DISK_BPS },
        { "Constant pages:", VIR_DOMAIN_JOB_MEMORY_CONSTANT, JOB_COUNT, true, NULL },
        { "Normal pages:", VIR_DOMAIN_JOB_MEMORY_NORMAL, JOB_COUNT, true, NULL },
        { "Normal data:", VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES, JOB_SIZE, true, NULL },
        { "Total downtime:", VIR_DOMAIN_JOB_DOWNTIME, JOB_TIME, true, NULL },
        { "Downtime w/o network:", VIR_DOMAIN_JOB_DOWNTIME_NET, JOB_TIME, true, NULL },
        { "Setup time:", VIR_DOMAIN_JOB_SETUP_TIME, JOB_TIME, true, NULL },
        { "Compression cache:", VIR_DOMAIN_JOB_COMPRESSION_CACHE, JOB_SIZE, true, NULL },
        { "Compressed data:", VIR_DOMAIN_JOB_COMPRESSION_BYTES, JOB_SIZE, true, NULL },
        { "Compressed pages:", VIR_DOMAIN_JOB_COMPRESSION_PAGES, JOB_COUNT, true, NULL },
        { "Compression cache misses:", VIR_DOMAIN_JOB_COMPRESSION_CACHE_MISSES, JOB_COUNT, true, NULL },
        { "Compression overflows:", VIR_DOMAIN_JOB_COMPRESSION_OVERFLOW, JOB_COUNT, true, NULL },
        { "Auto converge throttle:", VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, JOB_COUNT, false,
          VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE },
};

static void print_job_line(Session *s, const JobLine *line, const WireTypedParam *params, uint32_t n)
{
        uint64_t value = param_u64(params, n, line->field);
        const char *unit;
        double size;

        if (!param_find(params, n, line->field) || (line->with && param_u64(params, n, line->with) == 0))
                return;
        switch (line->kind) {
        case JOB_TIME:
                out_print(s->out, "%-17s %-12llu ms\n", line->label, (unsigned long long)value);
                break;
        case JOB_SIZE:
                size = pretty_size(value, &unit);
                out_print(s->out, "%-17s %-.3lf %s\n", line->label, size, unit);
                break;
        case JOB_RATE:
                size = pretty_size(value, &unit);
                out_print(s->out, "%-17s %-.3lf %s/s\n", line->label, size, unit);
                break;
        case JOB_COUNT:
                if (str_eq(line->field, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE))
                        out_print(s->out, "%-17s %-12llu pages/s\n", line->label, (unsigned long long)value);
                else if (str_eq(line->field, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE))
                        out_print(s->out, "%-17s %-12llu bytes\n", line->label, (unsigned long long)value);
                else
                        out_print(s->out, "%-17s %-12llu\n", line->label, (unsigned long long)value);
                break;
        }
}

static void print_job(Session *s, int type, const WireTypedParam *params, uint32_t n)
{
        const char *type_word = WORD_OF(job_types, type), *operation;

        out_print(s->out, "%-17s %-12s\n", "Job type:", type_word);
        out_set_text(s->out, "job_type", type_word);
        for (uint32_t i = 0; i < n; i++)
                out_set(s->out, params[i].field, param_json(&params[i]));
        if (type == VIR_DOMAIN_JOB_NONE)
                return;
        operation = WORD_OF(operations, (int)param_u64(params, n, VIR_DOMAIN_JOB_OPERATION));
        out_print(s->out, "%-17s %-12s\n", "Operation:", operation);
        out_set_text(s->out, VIR_DOMAIN_JOB_OPERATION, operation);
        for (size_t i = 0; i < ARRAY_LEN(job_lines); i++) {
                print_job_line(s, &job_lines[i], params, n);
                if (i == 0 && type == VIR_DOMAIN_JOB_BOUNDED)
                        out_print(s->out, "%-17s %-12llu ms\n", "Time remaining:",
                                  (unsigned long long)param_u64(params, n, VIR_DOMAIN_JOB_TIME_REMAINING));
        }
        if (param_find(params, n, VIR_DOMAIN_JOB_ERRMSG)) {
                AUTOFREE char *text = param_text(param_find(params, n, VIR_DOMAIN_JOB_ERRMSG));

                out_print(s->out, "%-17s %s\n", "Error message:", text);
        }
}

static int domjobinfo(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = {
                { "completed", VIR_DOMAIN_JOB_STATS_COMPLETED },
                { "keep-completed", VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED },
                { 0 },
        };
        WireDomainGetJobStatsArgs call = { .flags = switch_flags(args, switches) };
        WireDomainGetJobStatsRet ret;

        if (need_other(args, "keep-completed", "completed", err) < 0 || find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_JOB_STATS, &call, &ret, err) < 0)
                return -1;
        if (!arg_has(args, "rawstats")) {
                print_job(s, ret.type, ret.params, ret.n_params);
                return 0;
        }
        out_print(s->out, "Job type: %d\n\n", ret.type);
        out_set_text(s->out, "job_type", WORD_OF(job_types, ret.type));
        for (uint32_t i = 0; i < ret.n_params; i++) {
                AUTOFREE char *text = param_text(&ret.params[i]);

                out_print(s->out, "%s: %s\n", ret.params[i].field, text);
                out_set(s->out, ret.params[i].field, param_json(&ret.params[i]));
        }
        return 0;
}

static int domjobabort(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (arg_has(args, "postcopy"))
                return session_call(s, WIRE_PROC_DOMAIN_ABORT_JOB_FLAGS,
                                    &(WireDomainAbortJobFlagsArgs){ dom, VIR_DOMAIN_ABORT_JOB_POSTCOPY }, NULL, err);
        return session_call(s, WIRE_PROC_DOMAIN_ABORT_JOB, &(WireDomainAbortJobArgs){ dom }, NULL, err);
}

static int set_max_downtime(Session *s, const Args *args, Error *err)
{
        WireDomainMigrateSetMaxDowntimeArgs call = { 0 };

        if (arg_u64(args, "downtime", &call.downtime, err) < 0)
                return -1;
        if (call.downtime < 1)
                return err_set(err, ERR_INVALID_ARG, "migrate: Invalid downtime");
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME, &call, NULL, err);
}

static int get_max_downtime(Session *s, const Args *args, Error *err)
{
        WireDomainMigrateGetMaxDowntimeArgs call = { 0 };
        WireDomainMigrateGetMaxDowntimeRet ret;

        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_MIGRATE_GET_MAX_DOWNTIME, &call, &ret, err) < 0)
                return -1;
        out_print(s->out, "%llu\n", (unsigned long long)ret.downtime);
        out_set_u64(s->out, "max_downtime_ms", ret.downtime);
        return 0;
}

static int compression_cache(Session *s, const Args *args, Error *err)
{
        WireDomainMigrateSetCompressionCacheArgs set = { 0 };
        WireDomainMigrateGetCompressionCacheRet now;
        const char *unit;
        double size;
        int given = arg_size(args, "size", 1, &set.cacheSize, err);

        if (given < 0 || find_domain(s, args, &set.dom, err) < 0)
                return -1;
        if (given && session_call(s, WIRE_PROC_DOMAIN_MIGRATE_SET_COMPRESSION_CACHE, &set, NULL, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_MIGRATE_GET_COMPRESSION_CACHE,
                         &(WireDomainMigrateGetCompressionCacheArgs){ set.dom, 0 }, &now, err) < 0)
                return -1;
        size = pretty_size(now.cacheSize, &unit);
        out_print(s->out, "Compression cache: %.3lf %s", size, unit);
        if (s->quiet)
                out_print(s->out, "\n");
        out_set_u64(s->out, "compression_cache_bytes", now.cacheSize);
        return 0;
}

static int set_speed(Session *s, const Args *args, Error *err)
{
        WireDomainMigrateSetMaxSpeedArgs call = { 0 };

        if (arg_u64(args, "bandwidth", &call.bandwidth, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        call.flags = arg_has(args, "postcopy") ? VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY : 0;
        return session_call(s, WIRE_PROC_DOMAIN_MIGRATE_SET_MAX_SPEED, &call, NULL, err);
}

static int get_speed(Session *s, const Args *args, Error *err)
{
        WireDomainMigrateGetMaxSpeedArgs call = { .flags = arg_has(args, "postcopy")
                                                                   ? VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY
                                                                   : 0 };
        WireDomainMigrateGetMaxSpeedRet ret;

        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_MIGRATE_GET_MAX_SPEED, &call, &ret, err) < 0)
                return -1;
        out_print(s->out, "%llu\n", (unsigned long long)ret.bandwidth);
        out_set_u64(s->out, "max_speed_mib_per_s", ret.bandwidth);
        return 0;
}

static int start_postcopy(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_MIGRATE_START_POST_COPY,
                            &(WireDomainMigrateStartPostCopyArgs){ dom, 0 }, NULL, err);
}

const Command job_commands[] = {
        { .name = "domjobinfo",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--completed]       the last job that ended\n"
                             "[--keep-completed]  and let it be asked for again\n"
                             "[--anystats]        of any kind of job\n"
                             "[--rawstats]        everything it counts, as it came",
          .summary = "show how far a guest's job is",
          .run = domjobinfo },
        { .name = "domjobabort",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--postcopy]  break a post-copy migration off, to take it up again",
          .summary = "abort a guest's job",
          .run = domjobabort },
        { .name = "migrate-setmaxdowntime",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "DOWNTIME:NUMBER  milliseconds",
          .summary = "choose how long a guest may stand still at the end of its migration",
          .run = set_max_downtime },
        { .name = "migrate-getmaxdowntime",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "print how long a guest may stand still at the end of its migration",
          .run = get_max_downtime },
        { .name = "migrate-compcache",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--size SIZE]  bytes",
          .summary = "show or set the cache for compressed migration",
          .run = compression_cache },
        { .name = "migrate-setspeed",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "BANDWIDTH:NUMBER  MiB a second\n"
                             "[--postcopy]      of the post-copy phase",
          .summary = "choose how fast a migration may be",
          .run = set_speed },
        { .name = "migrate-getspeed",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--postcopy]  of the post-copy phase",
          .summary = "print how fast a migration may be",
          .run = get_speed },
        { .name = "migrate-postcopy",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "let a running migration go on as post-copy",
          .run = start_postcopy },
        { 0 },
};
