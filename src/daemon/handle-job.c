/*
 * daemon/handle-job.c - looking at a guest's long job, changing its limits, aborting it
 *
 * Reads answer from the figures that the job keeps up to date; they never wait.
 */
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/migrate-postcopy.h"
#include "daemon/migrate-transfer.h"
#include "daemon/qemu-act.h"
#include "daemon/qemu-dump.h"
#include "daemon/qemu-save.h"

enum { STATS_FLAGS = VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED };

static Migration *migration_of(const Domain *dom)
{
        QemuRun *run = dom->driver->ops == &driver_qemu_ops ? qemu_run(dom) : NULL;

        return run ? run->migration : NULL;
}

static Save *save_of(const Domain *dom)
{
        QemuRun *run = dom->driver->ops == &driver_qemu_ops ? qemu_run(dom) : NULL;

        return run ? run->save : NULL;
}

static Dump *dump_of(const Domain *dom)
{
        QemuRun *run = dom->driver->ops == &driver_qemu_ops ? qemu_run(dom) : NULL;

        return run ? run->dump : NULL;
}

static const MigrateStats *stats_of(const Domain *dom)
{
        if (migration_of(dom))
                return &migration_of(dom)->stats;
        if (dump_of(dom))
                return qemu_dump_stats(dump_of(dom));
        return save_of(dom) ? qemu_save_stats(save_of(dom)) : NULL;
}

static uint64_t now_ms(const Domain *dom)
{
        return loop_now_ms(dom->driver->daemon->loop);
}

int handle_domain_get_job_info(Call *call, const WireDomainGetJobInfoArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);
        WireDomainGetJobInfoRet ret = { .type = VIR_DOMAIN_JOB_NONE };
        const MigrateStats *s;

        if (!dom)
                return -1;
        s = stats_of(dom);
        if (s) {
                ret.type = s->type;
                ret.timeElapsed = (s->ended_ms ? s->ended_ms : now_ms(dom)) - s->began_ms;
                ret.memTotal = (uint64_t)MAX(s->ram.total, (int64_t)0);
                ret.memProcessed = (uint64_t)MAX(s->ram.transferred, (int64_t)0);
                ret.memRemaining = (uint64_t)MAX(s->ram.remaining, (int64_t)0);
                ret.fileTotal = s->disk_total;
                ret.fileProcessed = s->disk_done;
                ret.fileRemaining = s->disk_total - s->disk_done;
                ret.dataTotal = ret.memTotal + ret.fileTotal;
                ret.dataProcessed = ret.memProcessed + ret.fileProcessed;
                ret.dataRemaining = ret.memRemaining + ret.fileRemaining;
        }
        call_reply(call, &ret);
        return 0;
}

int handle_domain_get_job_stats(Call *call, const WireDomainGetJobStatsArgs *args, Error *err)
{
        Domain *dom;
        const MigrateStats *stats;
        AUTO(Params) params = { 0 };
        AUTO(Domain) *guest = NULL;
        bool forget;

        if (call_check_flags(call, args->flags, STATS_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        if (args->flags & VIR_DOMAIN_JOB_STATS_COMPLETED)
                stats = dom->last_job;
        else
                stats = stats_of(dom);
        if (stats)
                migrate_stats_params(stats, now_ms(dom), &params);
        /* the reply ends the call, and what it holds */
        forget = args->flags == VIR_DOMAIN_JOB_STATS_COMPLETED;
        guest = domain_ref(dom);
        call_reply(call, &(WireDomainGetJobStatsRet){ .type = stats ? stats->type : VIR_DOMAIN_JOB_NONE,
                                                      .n_params = (uint32_t)params.list.len,
                                                      .params = params.list.items });
        if (forget)
                domain_forget_stats(guest);
        return 0;
}

static int abort_migration(Call *call, Migration *m, Error *err)
{
        const Domain *dom = call_domain(call);
        AUTO(Error) why = { 0 };

        if (!m || (m->side == MIGRATE_OUT && !m->transfer))
                return err_set(err, ERR_OPERATION_INVALID, "no job is active on the domain");
        if (m->side == MIGRATE_IN)
                return err_set(err, ERR_OPERATION_INVALID,
                               "guest '%s' is moving in; abort it on the host it comes from", dom->name);
        if (transfer_is_handing_over(m->transfer))
                return err_set(err, ERR_OPERATION_INVALID,
                               "guest '%s' is being handed to the other host at this moment; it is too late to abort",
                               dom->name);
        err_set(&why, ERR_OPERATION_ABORTED, "migration out: canceled by client");
        m->stats.type = VIR_DOMAIN_JOB_CANCELLED;
        if (transfer_cancel(m->transfer, &why, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

int handle_domain_abort_job(Call *call, const WireDomainAbortJobArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        if (!save_of(dom) && !dump_of(dom))
                return abort_migration(call, migration_of(dom), err);
        if (save_of(dom) ? qemu_save_abort(save_of(dom), err) < 0 : qemu_dump_abort(dump_of(dom), err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}

/* In post-copy nothing can be given up; the connection can, so that it may be made again. */
static int pause_postcopy(Call *call, Domain *dom, Error *err)
{
        const Migration *m = migration_of(dom);

        if (!m || !migrate_is_torn(m) || m->broken)
                return err_set(err, ERR_OPERATION_INVALID, "guest '%s' is not moving in post-copy", dom->name);
        qmp_migrate_pause(guest_qmp(qemu_run(dom)->guest), call_done, call);
        return 0;
}

int handle_domain_abort_job_flags(Call *call, const WireDomainAbortJobFlagsArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_ABORT_JOB_POSTCOPY, err) < 0)
                return -1;
        if (!(args->flags & VIR_DOMAIN_ABORT_JOB_POSTCOPY))
                return handle_domain_abort_job(call, &(WireDomainAbortJobArgs){ .dom = args->dom }, err);
        dom = call_find_domain(call, &args->dom, err);
        return dom ? pause_postcopy(call, dom, err) : -1;
}

/* --- limits of a migration --- */

static Migration *outgoing(const Domain *dom, Error *err)
{
        Migration *m = migration_of(dom);

        if (!m || m->side != MIGRATE_OUT) {
                err_set(err, ERR_OPERATION_INVALID, "guest '%s' is not being migrated", dom->name);
                return NULL;
        }
        return m;
}

static int set_downtime(Call *call, Domain *dom, const void *args, Error *err)
{
        uint64_t ms = ((const WireDomainMigrateSetMaxDowntimeArgs *)args)->downtime;
        Migration *m = outgoing(dom, err);
        QmpClient *qmp = m ? qemu_act_monitor(call, dom, err) : NULL;

        if (!qmp)
                return -1;
        m->downtime_ms = ms;
        m->downtime_is_fixed = true;
        if (!m->transfer) {
                call_reply(call, NULL);
                return 0;
        }
        qmp_migrate_set_parameters(qmp,
                                   &(QmpMigrateSetParameters){ .has_downtime_limit = true,
                                                               .downtime_limit = transfer_bound_ms(m->transfer, ms) },
                                   call_done, call);
        return 0;
}

int handle_domain_migrate_set_max_downtime(Call *call, const WireDomainMigrateSetMaxDowntimeArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            domain_must_be_active(dom, err) < 0)
                return -1;
        if (!args->downtime || args->downtime > 2000000)
                return err_set(err, ERR_INVALID_ARG, "the downtime must be between 1 and 2000000 ms");
        return call_run_job(call, dom, JOB_TUNE, set_downtime);
}

int handle_domain_migrate_get_max_downtime(Call *call, const WireDomainMigrateGetMaxDowntimeArgs *args, Error *err)
{
        Domain *dom;
        const Migration *m;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            domain_must_be_active(dom, err) < 0)
                return -1;
        m = migration_of(dom);
        call_reply(call, &(WireDomainMigrateGetMaxDowntimeRet){
                                 .downtime = m ? migrate_bound_ms(m)
                                               : (uint64_t)dom->driver->daemon->config->migration_max_downtime });
        return 0;
}

static int set_postcopy_speed(Call *call, QmpClient *qmp, uint64_t mib)
{
        qmp_migrate_set_parameters(qmp,
                                   &(QmpMigrateSetParameters){ .has_max_postcopy_bandwidth = true,
                                                               .max_postcopy_bandwidth = mib * 1024 * 1024 },
                                   call_done, call);
        return 0;
}

static int set_speed(Call *call, Domain *dom, const void *args, Error *err)
{
        const WireDomainMigrateSetMaxSpeedArgs *speed = args;
        uint64_t mib = speed->bandwidth;
        Migration *m = migration_of(dom);
        QmpClient *qmp = qemu_act_monitor(call, dom, err);

        if (!qmp)
                return -1;
        if (speed->flags & VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY)
                return set_postcopy_speed(call, qmp, mib);
        qemu_run(dom)->migrate_speed_mib = mib;
        if (!m || m->side != MIGRATE_OUT || !m->transfer) {
                call_reply(call, NULL);
                return 0;
        }
        m->params.bandwidth_mib = mib;
        qmp_migrate_set_parameters(
                qmp,
                &(QmpMigrateSetParameters){ .has_max_bandwidth = true,
                                            .max_bandwidth = mib ? mib * 1024 * 1024 : (uint64_t)INT64_MAX },
                call_done, call);
        return 0;
}

int handle_domain_migrate_set_max_speed(Call *call, const WireDomainMigrateSetMaxSpeedArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || domain_must_be_active(dom, err) < 0)
                return -1;
        if (args->bandwidth > (uint64_t)INT64_MAX / 1024 / 1024)
                return err_set(err, ERR_OVERFLOW, "bandwidth must be less than %lld MiB/s",
                               (long long)(INT64_MAX / 1024 / 1024));
        return call_run_job(call, dom, JOB_TUNE, set_speed);
}

static void on_postcopy_speed(void *arg, const QmpMigrateParameters *ret, const Error *failure)
{
        Call *call = arg;

        if (failure)
                call_fail(call, failure);
        else
                call_reply(call, &(WireDomainMigrateGetMaxSpeedRet){ .bandwidth = ret->max_postcopy_bandwidth / 1024 /
                                                                                  1024 });
}

int handle_domain_migrate_get_max_speed(Call *call, const WireDomainMigrateGetMaxSpeedArgs *args, Error *err)
{
        Domain *dom;
        QmpClient *qmp;
        uint64_t mib;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(qmp = qemu_act_monitor(call, dom, err)))
                return -1;
        if (args->flags & VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY) {
                qmp_query_migrate_parameters(qmp, on_postcopy_speed, call);
                return 0;
        }
        mib = qemu_run(dom)->migrate_speed_mib;
        call_reply(call,
                   &(WireDomainMigrateGetMaxSpeedRet){ .bandwidth = mib ? mib : (uint64_t)INT64_MAX / 1024 / 1024 });
        return 0;
}

static int start_postcopy(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        Migration *m = outgoing(dom, err);

        if (!m)
                return -1;
        if (!(m->flags & VIR_MIGRATE_POSTCOPY))
                return err_set(err, ERR_OPERATION_INVALID, "this migration was not started with --postcopy");
        if (!m->transfer ||
            !transfer_is_sending(m->transfer)) { /* QEMU would refuse it, and who asks by a clock asks once */
                m->wants_postcopy = true;
                call_reply(call, NULL);
                return 0;
        }
        transfer_start_postcopy(m->transfer, call_done, call);
        return 0;
}

int handle_domain_migrate_start_post_copy(Call *call, const WireDomainMigrateStartPostCopyArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            domain_must_be_active(dom, err) < 0)
                return -1;
        return call_run_job(call, dom, JOB_TUNE, start_postcopy);
}

/* --- the cache of compressed migration --- */

static void on_cache_read(void *arg, const QmpMigrateParameters *ret, const Error *failure)
{
        Call *call = arg;

        if (failure)
                call_fail(call, failure);
        else
                call_reply(call, &(WireDomainMigrateGetCompressionCacheRet){ .cacheSize = ret->xbzrle_cache_size });
}

int handle_domain_migrate_get_compression_cache(Call *call, const WireDomainMigrateGetCompressionCacheArgs *args,
                                                Error *err)
{
        Domain *dom;
        QmpClient *qmp;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            !(qmp = qemu_act_monitor(call, dom, err)))
                return -1;
        qmp_query_migrate_parameters(qmp, on_cache_read, call);
        return 0;
}

static int set_cache(Call *call, Domain *dom, const void *args, Error *err)
{
        uint64_t bytes = ((const WireDomainMigrateSetCompressionCacheArgs *)args)->cacheSize;
        QmpClient *qmp = qemu_act_monitor(call, dom, err);

        if (!qmp)
                return -1;
        qmp_migrate_set_parameters(
                qmp, &(QmpMigrateSetParameters){ .has_xbzrle_cache_size = true, .xbzrle_cache_size = bytes },
                call_done, call);
        return 0;
}

int handle_domain_migrate_set_compression_cache(Call *call, const WireDomainMigrateSetCompressionCacheArgs *args,
                                                Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            domain_must_be_active(dom, err) < 0)
                return -1;
        return call_run_job(call, dom, JOB_TUNE, set_cache);
}
