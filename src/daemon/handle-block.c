/*
 * daemon/handle-block.c - the disks of a running guest: counters, sizes, errors, growing (LIFE-32)
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/collect-call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/qemu-act.h"
#include "daemon/tune-reply.h"
#include "model/device.h"
#include "qemu/command-line.h"
#include "wire/constants.h"

enum { MOST_ERRORS = 256 };

static DiskDef *find_in(const Domain *dom, const DomainDef *def, const char *name, Error *err)
{
        DiskDef *disk = domain_def_find_disk(def, name);

        if (!disk)
                err_set(err, ERR_INVALID_ARG, "invalid path '%s': domain '%s' has no such disk", name, dom->name);
        return disk;
}

static DiskDef *find_disk(const Domain *dom, const char *name, Error *err)
{
        return find_in(dom, dom->live, name, err);
}

/* --- counters --- */

/* Of one disk, or with an empty name of all of them together. */
static int add_up(const Call *call, const char *name, BlockFigures *ret, Error *err)
{
        const Domain *dom = call_domain(call);
        const Figures *f = collection_figures(call_kept(call), 0);
        const DiskDef *disk = NULL;

        *ret = (BlockFigures){ 0 };
        if (domain_must_be_active(dom, err) < 0 || (name[0] && !(disk = find_disk(dom, name, err))))
                return -1;
        if (!(f->has & FIGURES_BLOCKS))
                return err_set(err, ERR_OPERATION_FAILED, "the disks of domain '%s' did not answer", dom->name);
        for (size_t i = 0; i < f->n_blocks; i++) {
                const BlockFigures *b = &f->blocks[i];

                if (b->backing_index || (disk && !str_eq(b->target, disk->target_dev)))
                        continue;
                ret->rd_reqs += b->rd_reqs;
                ret->rd_bytes += b->rd_bytes;
                ret->rd_ns += b->rd_ns;
                ret->wr_reqs += b->wr_reqs;
                ret->wr_bytes += b->wr_bytes;
                ret->wr_ns += b->wr_ns;
                ret->fl_reqs += b->fl_reqs;
                ret->fl_ns += b->fl_ns;
                ret->highest = b->highest;
                ret->has_sizes = b->has_sizes;
                ret->is_file = b->is_file;
                ret->capacity = b->capacity;
                ret->physical = b->physical;
                ret->length = b->length;
        }
        return 0;
}

static void on_counters(void *arg)
{
        Call *call = arg;
        AUTO(Error) err = { 0 };
        BlockFigures b;

        if (add_up(call, ((const WireDomainBlockStatsArgs *)call_args(call))->path, &b, &err) < 0)
                call_fail(call, &err);
        else
                call_reply(call, &(WireDomainBlockStatsRet){ .rd_req = (int64_t)b.rd_reqs,
                                                             .rd_bytes = (int64_t)b.rd_bytes,
                                                             .wr_req = (int64_t)b.wr_reqs,
                                                             .wr_bytes = (int64_t)b.wr_bytes,
                                                             .errs = -1 });
}

int handle_domain_block_stats(Call *call, const WireDomainBlockStatsArgs *args, Error *err)
{
        return collect_for_call(call, &args->dom, FIGURES_BLOCKS, on_counters, err);
}

static void put_counters(const BlockFigures *b, Params *params)
{
        const struct {
                const char *name;
                uint64_t value;
        } rows[] = { { VIR_DOMAIN_BLOCK_STATS_WRITE_BYTES, b->wr_bytes },
                     { VIR_DOMAIN_BLOCK_STATS_WRITE_REQ, b->wr_reqs },
                     { VIR_DOMAIN_BLOCK_STATS_READ_BYTES, b->rd_bytes },
                     { VIR_DOMAIN_BLOCK_STATS_READ_REQ, b->rd_reqs },
                     { VIR_DOMAIN_BLOCK_STATS_FLUSH_REQ, b->fl_reqs },
                     { VIR_DOMAIN_BLOCK_STATS_WRITE_TOTAL_TIMES, b->wr_ns },
                     { VIR_DOMAIN_BLOCK_STATS_READ_TOTAL_TIMES, b->rd_ns },
                     { VIR_DOMAIN_BLOCK_STATS_FLUSH_TOTAL_TIMES, b->fl_ns } };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                params_put_llong(params, rows[i].name, (int64_t)rows[i].value);
}

static void on_counters_listed(void *arg)
{
        Call *call = arg;
        const WireDomainBlockStatsFlagsArgs *args = call_args(call);
        AUTO(Params) params = { 0 };
        AUTO(Error) err = { 0 };
        BlockFigures b;

        if (add_up(call, args->path, &b, &err) < 0) {
                call_fail(call, &err);
                return;
        }
        put_counters(&b, &params);
        if (tune_reply(call, &params, args->nparams, &err) < 0)
                call_fail(call, &err);
}

int handle_domain_block_stats_flags(Call *call, const WireDomainBlockStatsFlagsArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_TYPED_PARAM_STRING_OKAY, err) < 0)
                return -1;
        return collect_for_call(call, &args->dom, FIGURES_BLOCKS, on_counters_listed, err);
}

/* --- sizes --- */

/* What a disk of a guest that is shut off is in; the definition is a copy, because a look may fill in paths of volumes. */
typedef struct SizeLook {
        Call *call;
        DomainDef *def;
        ImageLook *look;
} SizeLook;

static void drop_size_look(void *state)
{
        SizeLook *s = state;

        image_look_free(s->look);
        domain_def_unref(s->def);
        free(s);
}

static void on_looked(void *arg, ImageUses *uses, const Error *failure)
{
        SizeLook *s = arg;
        const ImageUse *top = uses && uses->items.len ? uses->items.items : NULL;
        AUTO(Error) err = { 0 };

        if (!failure && !top)
                err_set(&err, ERR_OPERATION_UNSUPPORTED,
                        "the size of a disk on a server is known while it is in use");
        if (failure || !top)
                call_fail(s->call, failure ?: &err);
        else
                call_reply(s->call, &(WireDomainGetBlockInfoRet){ .allocation = top->allocated_bytes,
                                                                  .capacity = top->virtual_bytes,
                                                                  .physical = top->length_bytes });
}

static int check_not_empty(const DiskDef *disk, Error *err)
{
        return qemu_disk_has_medium(disk)
                       ? 0
                       : err_set(err, ERR_INVALID_ARG, "disk '%s' does not currently have a source assigned",
                                 disk->target_dev);
}

/* 0 when somebody looks. */
static int look_at_sizes(Call *call, const Domain *dom, const char *name, Error *err)
{
        SizeLook *s;
        const DiskDef *disk;

        if (call_driver(call)->ops != &driver_qemu_ops || !dom->config)
                return err_set(err, ERR_OPERATION_INVALID, "domain '%s' is not running", dom->name);
        s = mem_new(SizeLook);
        *s = (SizeLook){ .call = call, .def = domain_def_copy(dom->config) };
        call_keep(call, s, drop_size_look);
        disk = find_in(dom, s->def, name, err);
        if (!disk || check_not_empty(disk, err) < 0)
                return -1;
        s->look = image_look_new(qemu_driver(call_driver(call)), s->def, disk, on_looked, s, err);
        return s->look ? 0 : -1;
}

static void on_sizes(void *arg)
{
        Call *call = arg;
        const WireDomainGetBlockInfoArgs *args = call_args(call);
        const DiskDef *disk;
        AUTO(Error) err = { 0 };
        BlockFigures b;

        if (add_up(call, args->path, &b, &err) < 0 || !(disk = find_disk(call_domain(call), args->path, &err)) ||
            check_not_empty(disk, &err) < 0)
                call_fail(call, &err);
        else
                call_reply(call, &(WireDomainGetBlockInfoRet){ .allocation = b.is_file ? b.physical : b.highest,
                                                               .capacity = b.capacity,
                                                               .physical = b.length });
}

int handle_domain_get_block_info(Call *call, const WireDomainGetBlockInfoArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (!args->path[0])
                return err_set(err, ERR_INVALID_ARG, "a disk has to be named");
        if (!(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        if (!domain_is_active(dom))
                return look_at_sizes(call, dom, args->path, err);
        return collect_for_call(call, &args->dom, FIGURES_BLOCKS, on_sizes, err);
}

/* --- errors --- */

static int error_of(const QmpBlock *block)
{
        if (str_eq(block->io_status, "nospace"))
                return VIR_DOMAIN_DISK_ERROR_NO_SPACE;
        return str_eq(block->io_status, "failed") ? VIR_DOMAIN_DISK_ERROR_UNSPEC : VIR_DOMAIN_DISK_ERROR_NONE;
}

static void on_blocks(void *arg, const QmpBlock *blocks, size_t n, const Error *failure)
{
        Call *call = arg;
        const WireDomainGetDiskErrorsArgs *args = call_args(call);
        const DomainDef *def = call_domain(call)->live;
        WireDomainGetDiskErrorsRet ret = { 0 };
        WireDomainDiskError errors[MOST_ERRORS];

        if (failure) {
                call_fail(call, failure);
                return;
        }
        ret.errors = errors;
        for (uint32_t d = 0; def && d < def->n_disks && ret.n_errors < MIN(args->maxerrors, MOST_ERRORS); d++) {
                AUTOFREE char *qdev = qemu_disk_qdev(def->disks[d]);

                for (size_t i = 0; i < n && ret.n_errors < MOST_ERRORS; i++) {
                        if (str_eq(blocks[i].qdev, qdev) && error_of(&blocks[i]))
                                errors[ret.n_errors++] = (WireDomainDiskError){ def->disks[d]->target_dev,
                                                                                error_of(&blocks[i]) };
                }
        }
        /* who has no room asks how much is needed at most */
        ret.nerrors = args->maxerrors ? (int32_t)ret.n_errors : def ? (int32_t)def->n_disks : 0;
        call_reply(call, &ret);
}

int handle_domain_get_disk_errors(Call *call, const WireDomainGetDiskErrorsArgs *args, Error *err)
{
        Domain *dom;
        QmpClient *qmp;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            !(qmp = qemu_act_monitor(call, dom, err)))
                return -1;
        qmp_query_block(qmp, on_blocks, call);
        return 0;
}

/* --- acts on the image --- */

/* The name of the disk's node in QEMU; NULL with err when it has none. Owned. */
static char *node_of(const Domain *dom, const char *name, Error *err)
{
        const DiskDef *disk = find_disk(dom, name, err);
        char *node = disk ? qemu_disk_node(dom->live, disk) : NULL;

        if (disk && !node)
                err_set(err, ERR_OPERATION_INVALID, "disk '%s' of domain '%s' is empty", name, dom->name);
        return node;
}

static int resize(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainBlockResizeArgs *args = arguments;
        QmpClient *qmp = qemu_act_monitor(call, dom, err);
        AUTOFREE char *node = qmp ? node_of(dom, args->disk, err) : NULL;
        uint64_t size = args->size;

        if (!node)
                return -1;
        if (!(args->flags & VIR_DOMAIN_BLOCK_RESIZE_BYTES)) {
                if (size > (uint64_t)INT64_MAX / 1024)
                        return err_set(err, ERR_OVERFLOW, "size must be less than %lld",
                                       (long long)(INT64_MAX / 1024));
                size *= 1024;
        }
        if (!size)
                return err_set(err, ERR_INVALID_ARG, "a disk of no size is of no use");
        qmp_block_resize(qmp, &(QmpBlockResize){ .node_name = node, .size = size }, call_done, call);
        return 0;
}

int handle_domain_block_resize(Call *call, const WireDomainBlockResizeArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_BLOCK_RESIZE_BYTES, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, resize);
}

static int set_threshold(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSetBlockThresholdArgs *args = arguments;
        QmpClient *qmp = qemu_act_monitor(call, dom, err);
        AUTOFREE char *node = qmp ? node_of(dom, args->dev, err) : NULL;

        if (!node)
                return -1;
        qmp_block_set_write_threshold(
                qmp, &(QmpBlockSetWriteThreshold){ .node_name = node, .write_threshold = args->threshold }, call_done,
                call);
        return 0;
}

int handle_domain_set_block_threshold(Call *call, const WireDomainSetBlockThresholdArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, set_threshold);
}
