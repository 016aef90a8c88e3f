/*
 * daemon/handle-tune-device.c - limits by device: disks, the host's block devices
 */
#include "base/str.h"
#include "daemon/change.h"
#include "daemon/handlers.h"
#include "daemon/tune-reply.h"
#include "daemon/tune.h"
#include "wire/constants.h"

#include <inttypes.h>

enum {
        STRING_OK = VIR_TYPED_PARAM_STRING_OKAY,
        GET_FLAGS = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG | STRING_OK,
        MOST_DEVICES = 256, /* of the host in one definition */
};

/* --- share of I/O, and limits by device of the host: "PATH,VALUE,PATH,VALUE" --- */

static BlkioDeviceDef *find_device(DomainDef *def, BlkiotuneDef *tune, const char *path)
{
        Arena *arena = domain_def_arena(def);
        BlkioDeviceDef **more;

        for (uint32_t i = 0; i < tune->n_devices; i++) {
                if (str_eq(tune->devices[i]->path, path))
                        return tune->devices[i];
        }
        more = arena_new_array(arena, BlkioDeviceDef *, (size_t)tune->n_devices + 1);
        for (uint32_t i = 0; i < tune->n_devices; i++)
                more[i] = tune->devices[i];
        more[tune->n_devices] = fields_new(arena, &blkio_device_def_info);
        more[tune->n_devices]->path = arena_dup(arena, path);
        tune->devices = more;
        return tune->devices[tune->n_devices++];
}

static int set_by_device(DomainDef *def, BlkiotuneDef *tune, const ParamRow *row, const WireTypedParam *p, Error *err)
{
        AUTO_STRLIST words = NULL;
        size_t n;

        if (p->value.type != PARAM_STRING)
                return err_set(err, ERR_INVALID_ARG, "parameter '%s' must be of type string, not %s", p->field,
                               param_type_text(p->value.type));
        words = str_split(p->value.s, ",");
        n = str_list_len(words);
        if (n % 2)
                return err_set(err, ERR_INVALID_ARG, "%s: '%s' is not a list PATH,VALUE,PATH,VALUE", p->field,
                               p->value.s);
        for (size_t i = 0; i < n; i += 2) {
                uint64_t value;

                if (*words[i] != '/' || str_to_u64(words[i + 1], &value) < 0)
                        return err_set(err, ERR_INVALID_ARG, "%s: '%s,%s' is not an absolute path and a number",
                                       p->field, words[i], words[i + 1]);
                if (tune_set_number(&param_group_blkio_device, row, find_device(def, tune, words[i]), value, err) < 0)
                        return -1;
                if (tune->n_devices > MOST_DEVICES)
                        return err_set(err, ERR_INVALID_ARG, "%s: there can be limits for at most %d devices",
                                       p->field, MOST_DEVICES);
        }
        return 0;
}

static bool is_empty(const BlkioDeviceDef *device)
{
        return !device->weight && !device->read_iops_sec && !device->write_iops_sec && !device->read_bytes_sec &&
               !device->write_bytes_sec;
}

static int edit_blkio(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainSetBlkioParametersArgs *args = call_args(call);
        BlkiotuneDef *tune;
        uint32_t kept = 0;

        ret->kind = LIVE_IO_LIMITS;
        if (!def->blkiotune)
                def->blkiotune = fields_new(domain_def_arena(def), &blkiotune_def_info);
        tune = def->blkiotune;
        for (uint32_t i = 0; i < args->n_params; i++) {
                const ParamRow *row = tune_find(&param_group_blkio_device, args->params[i].field);

                if (row ? set_by_device(def, tune, row, &args->params[i], err) < 0
                        : tune_set(&param_group_blkio, tune, domain_def_arena(def), &args->params[i], 1, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < tune->n_devices; i++) {
                if (!is_empty(tune->devices[i]))
                        tune->devices[kept++] = tune->devices[i];
        }
        tune->n_devices = kept;
        return 0;
}

static const ChangeKind change_blkio = { .edit = edit_blkio };

int handle_domain_set_blkio_parameters(Call *call, const WireDomainSetBlkioParametersArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, STRING_OK, &change_blkio, err);
}

static void get_by_device(Call *call, const BlkiotuneDef *tune, Params *ret)
{
        for (size_t r = 0; r < param_group_blkio_device.n_rows; r++) {
                const ParamRow *row = &param_group_blkio_device.rows[r];
                AUTO(Buf) text = { 0 };

                for (uint32_t i = 0; tune && i < tune->n_devices; i++) {
                        uint64_t value = tune_number(&param_group_blkio_device, row, tune->devices[i]);

                        if (value)
                                buf_format(&text, "%s%s,%" PRIu64, text.len ? "," : "", tune->devices[i]->path,
                                           value);
                }
                params_put_string(ret, row->name, arena_dup(call_arena(call), buf_text(&text)));
        }
}

int handle_domain_get_blkio_parameters(Call *call, const WireDomainGetBlkioParametersArgs *args, Error *err)
{
        AUTO(Params) params = { 0 };
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, args->flags, GET_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)))
                return -1;
        tune_get(&param_group_blkio, def->blkiotune, def == dom->live, &params);
        if (args->flags & STRING_OK)
                get_by_device(call, def->blkiotune, &params);
        return tune_reply(call, &params, args->nparams, err);
}

/* --- limits of a disk --- */

typedef struct IotuneRule {
        const char *what;
        uint64_t total, read, write;
        uint64_t total_max, read_max, write_max;
        uint64_t total_length, read_length, write_length;
} IotuneRule;

static int check_burst(const char *kind, const char *what, uint64_t base, uint64_t most, uint64_t length, Error *err)
{
        if (most && !base)
                return err_set(err, ERR_INVALID_ARG, "%s_%s_max needs %s_%s to be set too", kind, what, kind, what);
        if (most && most < base)
                return err_set(err, ERR_INVALID_ARG, "%s_%s_max (%" PRIu64 ") cannot be below %s_%s (%" PRIu64 ")",
                               kind, what, most, kind, what, base);
        if (length && !most)
                return err_set(err, ERR_INVALID_ARG, "%s_%s_max_length needs %s_%s_max to be set too", kind, what,
                               kind, what);
        return 0;
}

static int check_rule(const IotuneRule *r, Error *err)
{
        if ((r->total && (r->read || r->write)) || (r->total_max && (r->read_max || r->write_max)))
                return err_set(err, ERR_INVALID_ARG,
                               "total and read or write limits of %s cannot be set at the same time", r->what);
        if (check_burst("total", r->what, r->total, r->total_max, r->total_length, err) < 0 ||
            check_burst("read", r->what, r->read, r->read_max, r->read_length, err) < 0 ||
            check_burst("write", r->what, r->write, r->write_max, r->write_length, err) < 0)
                return -1;
        return 0;
}

static int check_iotune(const IotuneDef *t, Error *err)
{
        const IotuneRule bytes = { "bytes_sec",
                                   t->total_bytes_sec,
                                   t->read_bytes_sec,
                                   t->write_bytes_sec,
                                   t->total_bytes_sec_max,
                                   t->read_bytes_sec_max,
                                   t->write_bytes_sec_max,
                                   t->total_bytes_sec_max_length,
                                   t->read_bytes_sec_max_length,
                                   t->write_bytes_sec_max_length };
        const IotuneRule iops = { "iops_sec",
                                  t->total_iops_sec,
                                  t->read_iops_sec,
                                  t->write_iops_sec,
                                  t->total_iops_sec_max,
                                  t->read_iops_sec_max,
                                  t->write_iops_sec_max,
                                  t->total_iops_sec_max_length,
                                  t->read_iops_sec_max_length,
                                  t->write_iops_sec_max_length };

        return check_rule(&bytes, err) < 0 || check_rule(&iops, err) < 0 ? -1 : 0;
}

static DiskDef *find_disk(const DomainDef *def, const char *name, Error *err)
{
        DiskDef *disk = domain_def_find_disk(def, name);

        if (!disk)
                err_set(err, ERR_INVALID_ARG, "domain '%s' has no disk '%s'", def->name, name);
        return disk;
}

static int edit_iotune(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainSetBlockIoTuneArgs *args = call_args(call);
        DiskDef *disk = find_disk(def, args->disk, err);

        if (!disk)
                return -1;
        if (!disk->iotune)
                disk->iotune = fields_new(domain_def_arena(def), &iotune_def_info);
        ret->kind = LIVE_DISK_LIMITS;
        for (ret->index = 0; def->disks[ret->index] != disk;)
                ret->index++;
        if (tune_set(&param_group_block_iotune, disk->iotune, domain_def_arena(def), args->params, args->n_params,
                     err) < 0)
                return -1;
        return check_iotune(disk->iotune, err);
}

static void iotune_done(Call *call, Domain *dom, const LiveChange *live)
{
        const WireDomainSetBlockIoTuneArgs *args = call_args(call);
        const DiskDef *disk = live ? domain_def_find_disk(dom->live, args->disk) : NULL;

        if (disk) {
                WireTypedParam subject = { .field = VIR_DOMAIN_TUNABLE_BLKDEV_DISK,
                                           .value = { .type = PARAM_STRING, .s = disk->target_dev } };

                tune_emit(&param_group_block_iotune, dom, &subject, args->params, args->n_params);
        }
}

static const ChangeKind change_iotune = { .edit = edit_iotune, .done = iotune_done };

int handle_domain_set_block_io_tune(Call *call, const WireDomainSetBlockIoTuneArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, STRING_OK, &change_iotune, err);
}

int handle_domain_get_block_io_tune(Call *call, const WireDomainGetBlockIoTuneArgs *args, Error *err)
{
        AUTO(Params) params = { 0 };
        const DiskDef *disk = NULL;
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, args->flags, GET_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)))
                return -1;
        /* who only asks how many there are need not name a disk */
        if ((args->disk || args->nparams) && !(disk = find_disk(def, args->disk ?: "", err)))
                return -1;
        tune_get(&param_group_block_iotune, disk ? disk->iotune : NULL, def == dom->live, &params);
        return tune_reply(call, &params, args->nparams, err);
}
