/*
 * app/drover/cmd-tuning.c - limits and weights of a guest: memory, CPU time, disks, network, NUMA
 *
 * Most of these commands are the same: without values they show what is set,
 * with values they set it. A table says which option is which parameter.
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"
#include "base/units.h"

static int set_memory(Session *s, const Args *args, uint32_t flags, Error *err)
{
        WireDomainSetMemoryFlagsArgs call = { .flags = flags };
        uint64_t bytes = 0;

        if (affect_flags(args, &call.flags, err) < 0 || arg_size(args, "size", 1024, &bytes, err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0)
                return -1;
        call.memory = units_bytes_to_kib(bytes);
        if (!(flags & VIR_DOMAIN_MEM_MAXIMUM) && call.memory < 65536)
                fprintf(stderr, "warning: hardly any guest runs with less than 65536 KiB of memory\n");
        if (session_call(s, WIRE_PROC_DOMAIN_SET_MEMORY_FLAGS, &call, NULL, err) == 0)
                return 0;
        return flags & VIR_DOMAIN_MEM_MAXIMUM ? fail(err, "Unable to change MaxMemorySize") : -1;
}

static int setmem(Session *s, const Args *args, Error *err)
{
        return set_memory(s, args, 0, err);
}

static int setmaxmem(Session *s, const Args *args, Error *err)
{
        return set_memory(s, args, VIR_DOMAIN_MEM_MAXIMUM, err);
}

/* One option that is one typed parameter. */
typedef struct Tunable {
        const char *option;
        const char *field;
        int type;        /* VIR_TYPED_PARAM_UINT, _ULLONG or _STRING */
        uint64_t factor; /* not 0: a size that counts in so many bytes and is sent in KiB; -1 means no limit */
} Tunable;

static int add_tunable(const Args *args, const Tunable *tunable, ParamList *params, Error *err)
{
        const char *text = arg_text(args, tunable->option);
        uint64_t value;

        if (!text)
                return 0;
        if (tunable->type == VIR_TYPED_PARAM_STRING) {
                params_add_text(params, tunable->field, text);
                return 0;
        }
        if (tunable->factor && str_eq(text, "-1")) {
                params_add_u64(params, tunable->field, VIR_DOMAIN_MEMORY_PARAM_UNLIMITED);
                return 0;
        }
        if ((tunable->factor ? arg_size(args, tunable->option, tunable->factor, &value, err)
                             : arg_u64(args, tunable->option, &value, err)) < 0)
                return -1;
        if (tunable->type == VIR_TYPED_PARAM_UINT && value > UINT32_MAX)
                return err_set(err, ERR_INVALID_ARG,
                               "Numeric value '%s' for <%s> option is malformed or out of range", text,
                               tunable->option);
        if (tunable->type == VIR_TYPED_PARAM_UINT)
                params_add_u32(params, tunable->field, (uint32_t)value);
        else
                params_add_u64(params, tunable->field, tunable->factor == 1024 ? units_bytes_to_kib(value) : value);
        return 0;
}

static int add_tunables(const Args *args, const Tunable *tunables, size_t n, ParamList *params, Error *err)
{
        for (size_t i = 0; i < n; i++)
                if (add_tunable(args, &tunables[i], params, err) < 0)
                        return -1;
        return 0;
}

static void print_limits(Session *s, const WireTypedParam *params, uint32_t n)
{
        for (uint32_t i = 0; i < n; i++) {
                const WireTypedParam *param = &params[i];

                if (param->value.type != VIR_TYPED_PARAM_ULLONG ||
                    param->value.ul != VIR_DOMAIN_MEMORY_PARAM_UNLIMITED) {
                        print_params(s, param, 1);
                        continue;
                }
                out_print(s->out, "%-15s: unlimited\n", param->field);
                out_set_text(s->out, param->field, "unlimited");
        }
}

static int memtune(Session *s, const Args *args, Error *err)
{
        static const Tunable tunables[] = {
                { "hard-limit", VIR_DOMAIN_MEMORY_HARD_LIMIT, VIR_TYPED_PARAM_ULLONG, 1024 },
                { "soft-limit", VIR_DOMAIN_MEMORY_SOFT_LIMIT, VIR_TYPED_PARAM_ULLONG, 1024 },
                { "swap-hard-limit", VIR_DOMAIN_MEMORY_SWAP_HARD_LIMIT, VIR_TYPED_PARAM_ULLONG, 1024 },
                { "min-guarantee", VIR_DOMAIN_MEMORY_MIN_GUARANTEE, VIR_TYPED_PARAM_ULLONG, 1024 },
        };
        WireDomainGetMemoryParametersArgs get = { 0 };
        WireDomainGetMemoryParametersRet now;
        ParamList params = { .arena = session_arena(s) };

        if (affect_flags(args, &get.flags, err) < 0 || find_domain(s, args, &get.dom, err) < 0 ||
            add_tunables(args, tunables, ARRAY_LEN(tunables), &params, err) < 0)
                return -1;
        if (params.len) {
                WireDomainSetMemoryParametersArgs set = { get.dom, params.len, params.items, get.flags };

                if (session_call(s, WIRE_PROC_DOMAIN_SET_MEMORY_PARAMETERS, &set, NULL, err) < 0)
                        return fail(err, "Unable to change memory parameters");
                return 0;
        }
        get.flags |= VIR_TYPED_PARAM_STRING_OKAY;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_MEMORY_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get number of memory parameters");
        get.nparams = now.nparams;
        if (get.nparams && session_call(s, WIRE_PROC_DOMAIN_GET_MEMORY_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get memory parameters");
        print_limits(s, now.params, now.n_params);
        return 0;
}

static int numa_mode(const char *text, int32_t *ret, Error *err)
{
        static const char *const modes[] = { "strict", "preferred", "interleave", "restrictive" };

        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
                if (str_eq(modes[i], text)) {
                        *ret = (int32_t)i;
                        return 0;
                }
        }
        if (str_to_i32(text, ret) == 0)
                return 0;
        return err_set(err, ERR_INVALID_ARG, "Invalid mode: %s", text);
}

static void print_numa(Session *s, const WireTypedParam *params, uint32_t n)
{
        static const char *const modes[] = { "strict", "preferred", "interleave", "restrictive" };

        for (uint32_t i = 0; i < n; i++) {
                if (!str_eq(params[i].field, VIR_DOMAIN_NUMA_MODE) || params[i].value.type != VIR_TYPED_PARAM_INT) {
                        print_params(s, &params[i], 1);
                        continue;
                }
                out_print(s->out, "%-15s: %s\n", params[i].field, WORD_OF(modes, params[i].value.i));
                out_set_text(s->out, params[i].field, WORD_OF(modes, params[i].value.i));
        }
}

static int numatune(Session *s, const Args *args, Error *err)
{
        WireDomainGetNumaParametersArgs get = { 0 };
        WireDomainGetNumaParametersRet now;
        ParamList params = { .arena = session_arena(s) };
        int32_t mode;

        if (affect_flags(args, &get.flags, err) < 0 || find_domain(s, args, &get.dom, err) < 0)
                return -1;
        if (arg_has(args, "nodeset"))
                params_add_text(&params, VIR_DOMAIN_NUMA_NODESET, arg_text(args, "nodeset"));
        if (arg_has(args, "mode")) {
                if (numa_mode(arg_text(args, "mode"), &mode, err) < 0)
                        return -1;
                params_add_i32(&params, VIR_DOMAIN_NUMA_MODE, mode);
        }
        if (params.len) {
                WireDomainSetNumaParametersArgs set = { get.dom, params.len, params.items, get.flags };

                if (session_call(s, WIRE_PROC_DOMAIN_SET_NUMA_PARAMETERS, &set, NULL, err) < 0)
                        return fail(err, "Unable to change numa parameters");
                return 0;
        }
        get.flags |= VIR_TYPED_PARAM_STRING_OKAY;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_NUMA_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get number of memory parameters");
        get.nparams = now.nparams;
        if (get.nparams && session_call(s, WIRE_PROC_DOMAIN_GET_NUMA_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get numa parameters");
        print_numa(s, now.params, now.n_params);
        return 0;
}

static int blkiotune(Session *s, const Args *args, Error *err)
{
        static const Tunable tunables[] = {
                { "weight", VIR_DOMAIN_BLKIO_WEIGHT, VIR_TYPED_PARAM_UINT, 0 },
                { "device-weights", VIR_DOMAIN_BLKIO_DEVICE_WEIGHT, VIR_TYPED_PARAM_STRING, 0 },
                { "device-read-iops-sec", VIR_DOMAIN_BLKIO_DEVICE_READ_IOPS, VIR_TYPED_PARAM_STRING, 0 },
                { "device-write-iops-sec", VIR_DOMAIN_BLKIO_DEVICE_WRITE_IOPS, VIR_TYPED_PARAM_STRING, 0 },
                { "device-read-bytes-sec", VIR_DOMAIN_BLKIO_DEVICE_READ_BPS, VIR_TYPED_PARAM_STRING, 0 },
                { "device-write-bytes-sec", VIR_DOMAIN_BLKIO_DEVICE_WRITE_BPS, VIR_TYPED_PARAM_STRING, 0 },
        };
        WireDomainGetBlkioParametersArgs get = { 0 };
        WireDomainGetBlkioParametersRet now;
        ParamList params = { .arena = session_arena(s) };

        if (affect_flags(args, &get.flags, err) < 0 || find_domain(s, args, &get.dom, err) < 0 ||
            add_tunables(args, tunables, ARRAY_LEN(tunables), &params, err) < 0)
                return -1;
        if (params.len) {
                WireDomainSetBlkioParametersArgs set = { get.dom, params.len, params.items, get.flags };

                if (session_call(s, WIRE_PROC_DOMAIN_SET_BLKIO_PARAMETERS, &set, NULL, err) < 0)
                        return fail(err, "Unable to change blkio parameters");
                return 0;
        }
        get.flags |= VIR_TYPED_PARAM_STRING_OKAY;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_BLKIO_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get number of blkio parameters");
        get.nparams = now.nparams;
        if (get.nparams && session_call(s, WIRE_PROC_DOMAIN_GET_BLKIO_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get blkio parameters");
        print_params(s, now.params, now.n_params);
        return 0;
}

#define IO(option, field)                                                                                            \
        {                                                                                                            \
                option, field, VIR_TYPED_PARAM_ULLONG, 0                                                             \
        }
static const Tunable io_tunables[] = {
        { "total-bytes-sec", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC, VIR_TYPED_PARAM_ULLONG, 1 },
        { "read-bytes-sec", VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC, VIR_TYPED_PARAM_ULLONG, 1 },
        { "write-bytes-sec", VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC, VIR_TYPED_PARAM_ULLONG, 1 },
        { "total-bytes-sec-max", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC_MAX, VIR_TYPED_PARAM_ULLONG, 1 },
        { "read-bytes-sec-max", VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC_MAX, VIR_TYPED_PARAM_ULLONG, 1 },
        { "write-bytes-sec-max", VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC_MAX, VIR_TYPED_PARAM_ULLONG, 1 },
        IO("total-iops-sec", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC),
        IO("read-iops-sec", VIR_DOMAIN_BLOCK_IOTUNE_READ_IOPS_SEC),
        IO("write-iops-sec", VIR_DOMAIN_BLOCK_IOTUNE_WRITE_IOPS_SEC),
        IO("total-iops-sec-max", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC_MAX),
        IO("read-iops-sec-max", VIR_DOMAIN_BLOCK_IOTUNE_READ_IOPS_SEC_MAX),
        IO("write-iops-sec-max", VIR_DOMAIN_BLOCK_IOTUNE_WRITE_IOPS_SEC_MAX),
        IO("size-iops-sec", VIR_DOMAIN_BLOCK_IOTUNE_SIZE_IOPS_SEC),
        { "group-name", VIR_DOMAIN_BLOCK_IOTUNE_GROUP_NAME, VIR_TYPED_PARAM_STRING, 0 },
        IO("total-bytes-sec-max-length", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC_MAX_LENGTH),
        IO("read-bytes-sec-max-length", VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC_MAX_LENGTH),
        IO("write-bytes-sec-max-length", VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC_MAX_LENGTH),
        IO("total-iops-sec-max-length", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC_MAX_LENGTH),
        IO("read-iops-sec-max-length", VIR_DOMAIN_BLOCK_IOTUNE_READ_IOPS_SEC_MAX_LENGTH),
        IO("write-iops-sec-max-length", VIR_DOMAIN_BLOCK_IOTUNE_WRITE_IOPS_SEC_MAX_LENGTH),
};

static int blkdeviotune(Session *s, const Args *args, Error *err)
{
        WireDomainGetBlockIoTuneArgs get = { .disk = arg_text(args, "device") };
        WireDomainGetBlockIoTuneRet now;
        ParamList params = { .arena = session_arena(s) };

        if (affect_flags(args, &get.flags, err) < 0 || find_domain(s, args, &get.dom, err) < 0 ||
            add_tunables(args, io_tunables, ARRAY_LEN(io_tunables), &params, err) < 0)
                return -1;
        if (params.len) {
                WireDomainSetBlockIoTuneArgs set = { get.dom, get.disk, params.len, params.items, get.flags };

                if (session_call(s, WIRE_PROC_DOMAIN_SET_BLOCK_IO_TUNE, &set, NULL, err) < 0)
                        return fail(err, "Unable to change block I/O throttle");
                return 0;
        }
        get.flags |= VIR_TYPED_PARAM_STRING_OKAY;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_BLOCK_IO_TUNE, &get, &now, err) < 0)
                return fail(err, "Unable to get number of block I/O throttle parameters");
        get.nparams = now.nparams;
        if (get.nparams && session_call(s, WIRE_PROC_DOMAIN_GET_BLOCK_IO_TUNE, &get, &now, err) < 0)
                return fail(err, "Unable to get block I/O throttle parameters");
        print_params(s, now.params, now.n_params);
        return 0;
}

/* "average,peak,burst[,floor]", each but the first may be left out. */
static int add_rate(const char *option, const char *text, const char *const *fields, ParamList *params, Error *err)
{
        const char *at = text;

        for (size_t i = 0; i < 4; i++) {
                size_t n = strcspn(at, ",");
                AUTOFREE char *word = str_dup_n(at, n);
                uint32_t value = 0;

                if ((*word && str_to_u32(word, &value) < 0) || (i == 0 && !*word) || !fields[i])
                        return err_set(err, ERR_INVALID_ARG, "%s format is incorrect", option);
                if (*word || i == 0)
                        params_add_u32(params, fields[i], value);
                at += n;
                if (!*at)
                        return 0;
                at++;
        }
        return err_set(err, ERR_INVALID_ARG, "%s format is incorrect", option);
}

static int domiftune(Session *s, const Args *args, Error *err)
{
        static const char *const in[] = { VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, VIR_DOMAIN_BANDWIDTH_IN_PEAK,
                                          VIR_DOMAIN_BANDWIDTH_IN_BURST, VIR_DOMAIN_BANDWIDTH_IN_FLOOR };
        static const char *const out[] = { VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, VIR_DOMAIN_BANDWIDTH_OUT_PEAK,
                                           VIR_DOMAIN_BANDWIDTH_OUT_BURST, NULL };
        WireDomainGetInterfaceParametersArgs get = { .device = arg_text(args, "interface") };
        WireDomainGetInterfaceParametersRet now;
        ParamList params = { .arena = session_arena(s) };
        const char *inbound = arg_text(args, "inbound"), *outbound = arg_text(args, "outbound");

        if (affect_flags(args, &get.flags, err) < 0 || find_domain(s, args, &get.dom, err) < 0 ||
            (inbound && add_rate("inbound", inbound, in, &params, err) < 0) ||
            (outbound && add_rate("outbound", outbound, out, &params, err) < 0))
                return -1;
        if (params.len) {
                WireDomainSetInterfaceParametersArgs set = { get.dom, get.device, params.len, params.items,
                                                             get.flags };

                if (session_call(s, WIRE_PROC_DOMAIN_SET_INTERFACE_PARAMETERS, &set, NULL, err) < 0)
                        return fail(err, "Unable to set interface parameters");
                return 0;
        }
        get.flags |= VIR_TYPED_PARAM_STRING_OKAY;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_INTERFACE_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get number of interface parameters");
        get.nparams = now.nparams;
        if (get.nparams && session_call(s, WIRE_PROC_DOMAIN_GET_INTERFACE_PARAMETERS, &get, &now, err) < 0)
                return fail(err, "Unable to get interface parameters");
        print_params(s, now.params, now.n_params);
        return 0;
}

/* schedinfo: the parameters in force say which names and types there are. */

static int set_from_text(WireTypedParam *param, const char *text, Error *err)
{
        WireTypedParamValue *value = &param->value;
        uint32_t u32;
        int result;

        switch (value->type) {
        case VIR_TYPED_PARAM_INT:
                result = str_to_i32(text, &value->i);
                break;
        case VIR_TYPED_PARAM_UINT:
                result = str_to_u32(text, &value->ui);
                break;
        case VIR_TYPED_PARAM_LLONG:
                result = str_to_i64(text, &value->l);
                break;
        case VIR_TYPED_PARAM_ULLONG:
                result = str_to_u64(text, &value->ul);
                break;
        case VIR_TYPED_PARAM_DOUBLE:
                result = str_to_double(text, &value->d);
                break;
        case VIR_TYPED_PARAM_BOOLEAN:
                result = str_to_u32(text, &u32);
                value->b = result == 0 && u32 != 0;
                break;
        default:
                value->s = text;
                result = 0;
        }
        if (result < 0)
                return err_set(err, ERR_INVALID_ARG, "invalid value for parameter '%s': %s", param->field, text);
        return 0;
}

/* Take the parameters that are named out of those in force, with their new values. */
static int collect_scheduler(Session *s, const Args *args, WireDomainGetSchedulerParametersFlagsRet *now,
                             ParamList *params, Error *err)
{
        params->items = arena_new_array(session_arena(s), WireTypedParam, now->n_params + 1);
        for (size_t i = 0; i < arg_count(args, "set") + 2; i++) {
                const char *word = i == 0   ? arg_text(args, "weight")
                                   : i == 1 ? arg_text(args, "cap")
                                            : arg_nth(args, "set", i - 2);
                const char *equals = word && i >= 2 ? strchr(word, '=') : NULL;
                AUTOFREE char *field = i == 0   ? str_dup("weight")
                                       : i == 1 ? str_dup("cap")
                                       : equals ? str_dup_n(word, (size_t)(equals - word))
                                                : NULL;
                const WireTypedParam *found = field ? param_find(now->params, now->n_params, field) : NULL;

                if (!word)
                        continue;
                if (i >= 2 && !equals)
                        return err_set(err, ERR_INVALID_ARG, "Invalid syntax for --set, expecting name=value");
                if (!found || params->len == now->n_params)
                        return err_set(err, ERR_INVALID_ARG, "invalid scheduler option: %s", field);
                params->items[params->len] = *found;
                if (set_from_text(&params->items[params->len++], equals ? equals + 1 : word, err) < 0)
                        return -1;
        }
        return 0;
}

static int schedinfo(Session *s, const Args *args, Error *err)
{
        WireDomainGetSchedulerTypeRet type;
        WireDomainGetSchedulerParametersFlagsArgs get = { 0 };
        WireDomainGetSchedulerParametersFlagsRet now = { 0 };
        ParamList params = { .arena = session_arena(s) };

        if (affect_flags(args, &get.flags, err) < 0 || find_domain(s, args, &get.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_SCHEDULER_TYPE, &(WireDomainGetSchedulerTypeArgs){ get.dom }, &type,
                         err) < 0)
                return -1;
        out_print(s->out, "%-15s: %s\n", "Scheduler", type.type);
        out_set_text(s->out, "scheduler", type.type);
        if (!type.nparams)
                return 0;
        get.nparams = type.nparams;
        get.flags |= VIR_TYPED_PARAM_STRING_OKAY;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS, &get, &now, err) < 0 ||
            collect_scheduler(s, args, &now, &params, err) < 0)
                return -1;
        if (params.len) {
                WireDomainSetSchedulerParametersFlagsArgs set = {
                        get.dom, params.len, params.items, get.flags & ~(uint32_t)VIR_TYPED_PARAM_STRING_OKAY
                };

                if (session_call(s, WIRE_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS, &set, NULL, err) < 0 ||
                    session_call(s, WIRE_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS, &get, &now, err) < 0)
                        return -1;
        }
        print_params(s, now.params, now.n_params);
        return 0;
}

const Command tuning_commands[] = {
        { .name = "setmem",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "SIZE  KiB, or a number with a unit\n" ARGS_AFFECT,
          .summary = "change how much memory a guest uses",
          .text = "The balloon in the guest gives or takes it; never more than its maximum.",
          .run = setmem },
        { .name = "setmaxmem",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "SIZE  KiB, or a number with a unit\n" ARGS_AFFECT,
          .summary = "change how much memory a guest can have",
          .run = setmaxmem },
        { .name = "memtune",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--hard-limit SIZE]       KiB that QEMU and guest cannot exceed; -1: no limit\n"
                             "[--soft-limit SIZE]       the same, in force when the host is short of memory\n"
                             "[--swap-hard-limit SIZE]  memory and swap together\n"
                             "[--min-guarantee SIZE]    what it always gets\n" ARGS_AFFECT,
          .summary = "show or set limits of a guest's memory",
          .run = memtune },
        { .name = "numatune",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--mode MODE{strict,preferred,interleave,restrictive}]  how memory is placed\n"
                             "[--nodeset NODES]  on which nodes of the host\n" ARGS_AFFECT,
          .summary = "show or set where a guest's memory lies",
          .run = numatune },
        { .name = "blkiotune",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN
          "[--weight NUMBER]               share of disk time, 10 to 1000\n"
          "[--device-weights LIST~]         shares by device: PATH,WEIGHT and so on\n"
          "[--device-read-iops-sec LIST~]   read requests a second: PATH,N and so on\n"
          "[--device-write-iops-sec LIST~]  write requests a second: PATH,N and so on\n"
          "[--device-read-bytes-sec LIST~]  bytes read a second: PATH,N and so on\n"
          "[--device-write-bytes-sec LIST~]  bytes written a second: PATH,N and so on\n" ARGS_AFFECT,
          .summary = "show or set a guest's share of the host's disks",
          .run = blkiotune },
        { .name = "blkdeviotune",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "DEVICE  target or path of the disk\n"
                             "[--total-bytes-sec SIZE]        bytes a second\n"
                             "[--read-bytes-sec SIZE]         bytes read a second\n"
                             "[--write-bytes-sec SIZE]        bytes written a second\n"
                             "[--total-iops-sec NUMBER]       requests a second\n"
                             "[--read-iops-sec NUMBER]        reads a second\n"
                             "[--write-iops-sec NUMBER]       writes a second\n"
                             "[--total-bytes-sec-max SIZE]    bytes a second in a burst\n"
                             "[--read-bytes-sec-max SIZE]     bytes read a second in a burst\n"
                             "[--write-bytes-sec-max SIZE]    bytes written a second in a burst\n"
                             "[--total-iops-sec-max NUMBER]   requests a second in a burst\n"
                             "[--read-iops-sec-max NUMBER]    reads a second in a burst\n"
                             "[--write-iops-sec-max NUMBER]   writes a second in a burst\n"
                             "[--size-iops-sec NUMBER]        size that counts as one request\n"
                             "[--group-name NAME]             disks that share these limits\n"
                             "[--total-bytes-sec-max-length NUMBER]  seconds that burst may last\n"
                             "[--read-bytes-sec-max-length NUMBER]   seconds that burst may last\n"
                             "[--write-bytes-sec-max-length NUMBER]  seconds that burst may last\n"
                             "[--total-iops-sec-max-length NUMBER]   seconds that burst may last\n"
                             "[--read-iops-sec-max-length NUMBER]    seconds that burst may last\n"
                             "[--write-iops-sec-max-length NUMBER]   seconds that burst may last\n" ARGS_AFFECT,
          .summary = "show or set how fast a disk may be",
          .run = blkdeviotune },
        { .name = "domiftune",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "INTERFACE          target name or MAC address\n"
                             "[--inbound RATE]   average,peak,burst,floor: KiB/s and KiB, to the guest\n"
                             "[--outbound RATE]  average,peak,burst: KiB/s and KiB, from the guest\n" ARGS_AFFECT,
          .summary = "show or set how fast an interface may be",
          .run = domiftune },
        { .name = "schedinfo",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--weight=NUMBER]  share of CPU time\n"
                             "[--cap=NUMBER]     most CPU time\n" ARGS_AFFECT "[SET]...           name=value",
          .summary = "show or set a guest's share of the host's CPUs",
          .run = schedinfo },
        { 0 },
};
