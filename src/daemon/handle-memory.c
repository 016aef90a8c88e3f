/*
 * daemon/handle-memory.c - how much memory a guest has (DOM-02, DOM-06)
 */
#include "daemon/change.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "wire/constants.h"

#include <inttypes.h>

static int set_most(DomainDef *def, bool live, uint64_t kib, Error *err)
{
        if (live)
                return err_set(err, ERR_OPERATION_INVALID,
                               "the most memory of a running guest cannot be changed; use --config");
        if (def->cpu && def->cpu->n_cells)
                return err_set(err, ERR_OPERATION_INVALID,
                               "the memory of '%s' is the sum of its NUMA cells; change them in its definition",
                               def->name);
        if (def->max_memory && kib > def->max_memory->size_kib)
                return err_set(err, ERR_INVALID_ARG, "%" PRIu64 " KiB is more than maxMemory, %" PRIu64 " KiB", kib,
                               def->max_memory->size_kib);
        def->memory_kib = kib;
        if (def->current_memory_kib > kib)
                def->current_memory_kib = kib;
        return 0;
}

/* Without a balloon a running guest keeps what it has. */
static bool has_balloon(const DomainDef *def)
{
        return !def->n_memballoons || !def->memballoons[0]->model || strcmp(def->memballoons[0]->model, "none") != 0;
}

static int edit(DomainDef *def, bool live, uint64_t kib, uint32_t flags, LiveChange *ret, Error *err)
{
        ret->kind = LIVE_BALLOON;
        if (!kib)
                return err_set(err, ERR_INVALID_ARG, "a guest needs some memory");
        if (flags & VIR_DOMAIN_MEM_MAXIMUM)
                return set_most(def, live, kib, err);
        if (kib > def->memory_kib)
                return err_set(err, ERR_INVALID_ARG,
                               "cannot set memory higher than max memory: %" PRIu64 " KiB is above %" PRIu64 " KiB",
                               kib, def->memory_kib);
        if (live && !has_balloon(def))
                return err_set(err, ERR_OPERATION_INVALID,
                               "'%s' has no memory balloon, so its memory cannot change while it runs", def->name);
        def->current_memory_kib = kib;
        return 0;
}

static int edit_flags(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainSetMemoryFlagsArgs *args = call_args(call);

        return edit(def, live, args->memory, args->flags, ret, err);
}

static int edit_current(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        return edit(def, live, ((const WireDomainSetMemoryArgs *)call_args(call))->memory, 0, ret, err);
}

static int edit_most(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        return edit(def, live, ((const WireDomainSetMaxMemoryArgs *)call_args(call))->memory, VIR_DOMAIN_MEM_MAXIMUM,
                    ret, err);
}

static const ChangeKind change_flags = { .edit = edit_flags };
static const ChangeKind change_current = { .edit = edit_current };
static const ChangeKind change_most = { .edit = edit_most };

int handle_domain_set_memory_flags(Call *call, const WireDomainSetMemoryFlagsArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, VIR_DOMAIN_MEM_MAXIMUM, &change_flags, err);
}

int handle_domain_set_memory(Call *call, const WireDomainSetMemoryArgs *args, Error *err)
{
        return change_start(call, &args->dom, VIR_DOMAIN_AFFECT_LIVE, 0, &change_current, err);
}

int handle_domain_set_max_memory(Call *call, const WireDomainSetMaxMemoryArgs *args, Error *err)
{
        return change_start(call, &args->dom, VIR_DOMAIN_AFFECT_CURRENT, 0, &change_most, err);
}

/* --- how often the balloon reports --- */

static int edit_period(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainSetMemoryStatsPeriodArgs *args = call_args(call);
        MemballoonDef *balloon;

        ret->kind = LIVE_STATS_PERIOD;
        if (args->period < 0)
                return err_set(err, ERR_INVALID_ARG, "a period of %d seconds makes no sense", args->period);
        if (!def->n_memballoons || !has_balloon(def))
                return err_set(err, ERR_OPERATION_INVALID, "'%s' has no memory balloon to report statistics",
                               def->name);
        balloon = def->memballoons[0];
        balloon->stats_period_s = (uint32_t)args->period;
        balloon->has_stats_period_s = args->period > 0;
        return 0;
}

static const ChangeKind change_period = { .edit = edit_period };

int handle_domain_set_memory_stats_period(Call *call, const WireDomainSetMemoryStatsPeriodArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_period, err);
}
