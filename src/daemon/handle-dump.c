/*
 * daemon/handle-dump.c - dumping a guest's memory for a debugger
 */
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/qemu-act.h"
#include "daemon/qemu-dump.h"
#include "wire/constants.h"

enum {
        FLAGS = VIR_DUMP_CRASH | VIR_DUMP_LIVE | VIR_DUMP_BYPASS_CACHE | VIR_DUMP_RESET | VIR_DUMP_MEMORY_ONLY,
};

/* What the guest can only do one of afterwards. */
static int check_flags(const Call *call, uint32_t flags, Error *err)
{
        static const struct {
                uint32_t flag;
                const char *name;
        } fates[] = { { VIR_DUMP_CRASH, "crash" }, { VIR_DUMP_LIVE, "live" }, { VIR_DUMP_RESET, "reset" } };

        if (call_check_flags(call, flags, FLAGS, err) < 0)
                return -1;
        for (size_t i = 0; i < ARRAY_LEN(fates); i++) {
                for (size_t j = i + 1; j < ARRAY_LEN(fates); j++) {
                        if (flags & fates[i].flag && flags & fates[j].flag)
                                return err_set(err, ERR_INVALID_ARG, "'%s' and '%s' exclude each other",
                                               fates[i].name, fates[j].name);
                }
        }
        return 0;
}

static int dump(Call *call, Domain *dom, const char *to, uint32_t format, uint32_t flags, Error *err)
{
        DumpOptions options = { .path = to,
                                .format = (int)format,
                                .memory_only = flags & VIR_DUMP_MEMORY_ONLY,
                                .live = flags & VIR_DUMP_LIVE,
                                .bypass_cache = flags & VIR_DUMP_BYPASS_CACHE,
                                .crash = flags & VIR_DUMP_CRASH,
                                .reset = flags & VIR_DUMP_RESET };

        if (!qemu_act_monitor(call, dom, err))
                return -1;
        if (format > VIR_DOMAIN_CORE_DUMP_FORMAT_WIN_DMP)
                return err_set(err, ERR_INVALID_ARG, "unknown dumpformat '%u'", format);
        if (format != VIR_DOMAIN_CORE_DUMP_FORMAT_RAW && !options.memory_only)
                return err_set(err, ERR_INVALID_ARG,
                               "kdump-compressed format is only supported with memory-only dump");
        if (format != VIR_DOMAIN_CORE_DUMP_FORMAT_RAW && options.bypass_cache)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "QEMU writes compressed dumps piece by piece, which cannot bypass the cache");
        return qemu_dump(dom, &options, call_done, call, err);
}

static int dump_plain(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainCoreDumpArgs *args = arguments;

        return dump(call, dom, args->to, VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, args->flags, err);
}

int handle_domain_core_dump(Call *call, const WireDomainCoreDumpArgs *args, Error *err)
{
        Domain *dom;

        if (check_flags(call, args->flags, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_DUMP, dump_plain);
}

static int dump_with_format(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainCoreDumpWithFormatArgs *args = arguments;

        return dump(call, dom, args->to, args->dumpformat, args->flags, err);
}

int handle_domain_core_dump_with_format(Call *call, const WireDomainCoreDumpWithFormatArgs *args, Error *err)
{
        Domain *dom;

        if (check_flags(call, args->flags, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_DUMP, dump_with_format);
}
