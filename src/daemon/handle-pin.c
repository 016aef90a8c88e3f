/*
 * daemon/handle-pin.c - on which CPUs of the host a guest's threads run (CPU-09 to CPU-12)
 */
#include "base/bitmap.h"
#include "base/str.h"
#include "daemon/change.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/params.h"
#include "daemon/tune.h"
#include "daemon/vcpu.h"
#include "host/node.h"
#include "wire/constants.h"

#include <string.h>

enum {
        AFFECT = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG,
        MOST_MAPS = 8 * 1024 * 1024, /* bytes of an answer */
        MOST_MAP = 2048,             /* bytes of one map that clients can read */
};

/* --- maps of CPUs on the wire: one bit for each, the lowest first --- */

static int host_cpus(Bitmap *ret, Error *err)
{
        Bitmap present;

        return node_cpu_map("", &present, ret, err);
}

static void put_map(const Bitmap *map, uint8_t *bytes, size_t n)
{
        for (int cpu = bitmap_next(map, -1); cpu >= 0 && (size_t)cpu < n * 8; cpu = bitmap_next(map, cpu))
                bytes[cpu / 8] |= (uint8_t)(1U << cpu % 8);
}

/* What a client asks for: some CPUs of this host. CPUs that are offline cannot run anything (CPU-10). */
static int get_map(const uint8_t *bytes, uint32_t n, Bitmap *ret, bool *ret_all, Error *err)
{
        Bitmap host, map = { 0 }, missing = { 0 };

        if (host_cpus(&host, err) < 0)
                return -1;
        for (unsigned cpu = 0; cpu < n * 8; cpu++) {
                if (!(bytes[cpu / 8] & 1U << cpu % 8))
                        continue;
                bitmap_set(bitmap_has(&host, cpu) ? &map : &missing, cpu);
        }
        if (bitmap_is_empty(&map) && bitmap_is_empty(&missing))
                return err_set(err, ERR_INVALID_ARG, "at least one CPU of the host must be given");
        if (!bitmap_is_empty(&missing)) {
                AUTOFREE char *text = bitmap_format(&missing), *all = bitmap_format(&host);

                return err_set(err, ERR_INVALID_ARG, "CPU %s of the host is not online; there are %s", text, all);
        }
        *ret_all = bitmap_is_subset(&host, &map);
        *ret = map;
        return 0;
}

static int check_maplen(int maplen, size_t n, Error *err)
{
        if (maplen <= 0 || maplen > MOST_MAP || (uint64_t)maplen * n > MOST_MAPS)
                return err_set(err, ERR_INVALID_ARG, "CPU maps of %d bytes do not fit an answer", maplen);
        return 0;
}

/* --- changing --- */

/* The text for the definition: NULL where any CPU will do, so that the pin is taken away. */
static int pin_text(const DomainDef *def, const uint8_t *bytes, uint32_t n, const char **ret, Error *err)
{
        AUTOFREE char *text = NULL;
        Bitmap map;
        bool all;

        if (get_map(bytes, n, &map, &all, err) < 0)
                return -1;
        text = bitmap_format(&map);
        *ret = all ? NULL : arena_dup(domain_def_arena(def), text);
        return 0;
}

static CputuneDef *cputune_of(DomainDef *def)
{
        if (!def->cputune)
                def->cputune = fields_new(domain_def_arena(def), &cputune_def_info);
        return def->cputune;
}

static int edit_vcpu_pin(DomainDef *def, bool live, unsigned id, const uint8_t *bytes, uint32_t n, LiveChange *ret,
                         Error *err)
{
        CputuneDef *tune = cputune_of(def);
        const char *cpuset;
        VcpupinDef **pins;
        uint32_t kept = 0;

        *ret = (LiveChange){ .kind = LIVE_PIN_VCPU, .number = id };
        if (id >= def->vcpus_max || (live && !vcpu_is_plugged(def, id)))
                return err_set(err, ERR_INVALID_ARG, "'%s' has no virtual CPU %u", def->name, id);
        if (pin_text(def, bytes, n, &cpuset, err) < 0)
                return -1;
        pins = arena_new_array(domain_def_arena(def), VcpupinDef *, (size_t)tune->n_vcpupins + 1);
        for (uint32_t i = 0; i < tune->n_vcpupins; i++) {
                if (tune->vcpupins[i]->vcpu != id)
                        pins[kept++] = tune->vcpupins[i];
        }
        if (cpuset) {
                pins[kept] = fields_new(domain_def_arena(def), &vcpupin_def_info);
                *pins[kept++] = (VcpupinDef){ .vcpu = id, .cpuset = cpuset };
        }
        tune->vcpupins = pins;
        tune->n_vcpupins = kept;
        return 0;
}

static void emit_pin(Call *call, Domain *dom, const char *field, const uint8_t *bytes, uint32_t n)
{
        static const ParamGroup pins = { .name = "pin", .event = "cputune." };
        WireTypedParam param = { .field = field, .value = { .type = PARAM_STRING } };
        AUTOFREE char *text = NULL;
        Bitmap map;
        bool all;

        if (get_map(bytes, n, &map, &all, NULL) < 0)
                return;
        text = bitmap_format(&map);
        param.value.s = arena_dup(call_arena(call), text);
        tune_emit(&pins, dom, NULL, &param, 1);
}

static int edit_pin_vcpu(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        /* the call without flags begins alike */
        const WireDomainPinVcpuArgs *args = call_args(call);

        return edit_vcpu_pin(def, live, args->vcpu, args->cpumap, args->n_cpumap, ret, err);
}

static void pin_vcpu_done(Call *call, Domain *dom, const LiveChange *live)
{
        const WireDomainPinVcpuArgs *args = call_args(call);

        if (live)
                emit_pin(call, dom, arena_format(call_arena(call), "vcpupin%u", args->vcpu), args->cpumap,
                         args->n_cpumap);
}

static const ChangeKind change_pin_vcpu = { .edit = edit_pin_vcpu, .done = pin_vcpu_done };

int handle_domain_pin_vcpu(Call *call, const WireDomainPinVcpuArgs *args, Error *err)
{
        return change_start(call, &args->dom, VIR_DOMAIN_AFFECT_LIVE, 0, &change_pin_vcpu, err);
}

int handle_domain_pin_vcpu_flags(Call *call, const WireDomainPinVcpuFlagsArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_pin_vcpu, err);
}

static int edit_pin_emulator(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainPinEmulatorArgs *args = call_args(call);

        ret->kind = LIVE_PIN_EMULATOR;
        return pin_text(def, args->cpumap, args->n_cpumap, &cputune_of(def)->emulatorpin, err);
}

static void pin_emulator_done(Call *call, Domain *dom, const LiveChange *live)
{
        const WireDomainPinEmulatorArgs *args = call_args(call);

        if (live)
                emit_pin(call, dom, "emulatorpin", args->cpumap, args->n_cpumap);
}

static const ChangeKind change_pin_emulator = { .edit = edit_pin_emulator, .done = pin_emulator_done };

int handle_domain_pin_emulator(Call *call, const WireDomainPinEmulatorArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_pin_emulator, err);
}

static int edit_pin_iothread(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainPinIothreadArgs *args = call_args(call);
        CputuneDef *tune = cputune_of(def);
        IothreadpinDef **pins;
        const char *cpuset;
        uint32_t kept = 0;

        *ret = (LiveChange){ .kind = LIVE_PIN_IOTHREAD, .number = args->iothreads_id };
        if (!iothread_exists(def, args->iothreads_id))
                return err_set(err, ERR_INVALID_ARG, "'%s' has no I/O thread %u", def->name, args->iothreads_id);
        if (pin_text(def, args->cpumap, args->n_cpumap, &cpuset, err) < 0)
                return -1;
        pins = arena_new_array(domain_def_arena(def), IothreadpinDef *, (size_t)tune->n_iothreadpins + 1);
        for (uint32_t i = 0; i < tune->n_iothreadpins; i++) {
                if (tune->iothreadpins[i]->iothread != args->iothreads_id)
                        pins[kept++] = tune->iothreadpins[i];
        }
        if (cpuset) {
                pins[kept] = fields_new(domain_def_arena(def), &iothreadpin_def_info);
                *pins[kept++] = (IothreadpinDef){ .iothread = args->iothreads_id, .cpuset = cpuset };
        }
        tune->iothreadpins = pins;
        tune->n_iothreadpins = kept;
        return 0;
}

static void pin_iothread_done(Call *call, Domain *dom, const LiveChange *live)
{
        const WireDomainPinIothreadArgs *args = call_args(call);

        if (live)
                emit_pin(call, dom, arena_format(call_arena(call), "iothreadpin%u", args->iothreads_id), args->cpumap,
                         args->n_cpumap);
}

static const ChangeKind change_pin_iothread = { .edit = edit_pin_iothread, .done = pin_iothread_done };

int handle_domain_pin_iothread(Call *call, const WireDomainPinIothreadArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_pin_iothread, err);
}

/* --- looking --- */

int handle_domain_get_vcpu_pin_info(Call *call, const WireDomainGetVcpuPinInfoArgs *args, Error *err)
{
        WireDomainGetVcpuPinInfoRet ret = { 0 };
        const DomainDef *def;
        Bitmap host, pin;
        uint8_t *maps;
        Domain *dom;

        if (call_check_flags(call, args->flags, AFFECT, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)) ||
            host_cpus(&host, err) < 0)
                return -1;
        if (args->ncpumaps < 0 || check_maplen(args->maplen, (size_t)args->ncpumaps, err) < 0)
                return err_is_set(err) ? -1 : err_set(err, ERR_INVALID_ARG, "%d maps make no sense", args->ncpumaps);
        ret.num = MIN(args->ncpumaps, (int)def->vcpus_max);
        ret.n_cpumaps = (uint32_t)(ret.num * args->maplen);
        ret.cpumaps = maps = arena_new_array(call_arena(call), uint8_t, ret.n_cpumaps);
        for (int i = 0; i < ret.num; i++) {
                vcpu_pin(def, (unsigned)i, &host, &pin);
                put_map(&pin, maps + (size_t)i * (size_t)args->maplen, (size_t)args->maplen);
        }
        call_reply(call, &ret);
        return 0;
}

int handle_domain_get_emulator_pin_info(Call *call, const WireDomainGetEmulatorPinInfoArgs *args, Error *err)
{
        WireDomainGetEmulatorPinInfoRet ret = { .ret = 1 };
        const DomainDef *def;
        Bitmap host, pin;
        uint8_t *map;
        Domain *dom;

        if (call_check_flags(call, args->flags, AFFECT, err) < 0 || check_maplen(args->maplen, 1, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)) ||
            host_cpus(&host, err) < 0)
                return -1;
        ret.n_cpumaps = (uint32_t)args->maplen;
        ret.cpumaps = map = arena_new_array(call_arena(call), uint8_t, ret.n_cpumaps);
        emulator_pin(def, &host, &pin);
        put_map(&pin, map, ret.n_cpumaps);
        call_reply(call, &ret);
        return 0;
}

int handle_domain_get_iothread_info(Call *call, const WireDomainGetIothreadInfoArgs *args, Error *err)
{
        WireDomainGetIothreadInfoRet ret = { 0 };
        const DomainDef *def;
        Bitmap host, pin;
        unsigned *ids, n;
        uint32_t len = 1;
        Domain *dom;

        if (call_check_flags(call, args->flags, AFFECT, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)) ||
            host_cpus(&host, err) < 0)
                return -1;
        for (int cpu = bitmap_next(&host, -1); cpu >= 0; cpu = bitmap_next(&host, cpu))
                len = (uint32_t)cpu / 8 + 1;
        ids = iothread_ids(def, call_arena(call), &n);
        ret.info = arena_new_array(call_arena(call), WireDomainIothreadInfo, n);
        ret.n_info = ret.ret = n;
        for (unsigned i = 0; i < n; i++) {
                uint8_t *map = arena_new_array(call_arena(call), uint8_t, len);

                iothread_pin(def, ids[i], &host, &pin);
                put_map(&pin, map, len);
                ret.info[i] = (WireDomainIothreadInfo){ .iothread_id = ids[i], .n_cpumap = len, .cpumap = map };
        }
        call_reply(call, &ret);
        return 0;
}
