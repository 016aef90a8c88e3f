/*
 * daemon/migrate-qemu.c - what QEMU is told about a migration, and what it says
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate.h"

enum {
        DEFAULT_CHANNELS = 2,
        DEFAULT_INCREMENT = 10,
        DEFAULT_LEVEL = 1,
        LONGEST_BOUND_MS = 2000 * 1000, /* that QEMU takes */
};

static bool uses_method(const Migration *m, const char *method)
{
        for (uint32_t i = 0; i < m->params.compression.n; i++) {
                if (str_eq(m->params.compression.items[i], method))
                        return true;
        }
        return false;
}

static bool uses_xbzrle(const Migration *m)
{
        return m->flags & VIR_MIGRATE_COMPRESSED && (!m->params.compression.n || uses_method(m, "xbzrle"));
}

size_t migrate_capabilities(const Migration *m, QmpMigrationCapability caps[MIGRATE_N_CAPABILITIES])
{
        const struct {
                const char *name;
                bool on, on_both;
        } all[] = {
                { "events", true, true },
                { "pause-before-switchover", true, false },
                { "xbzrle", uses_xbzrle(m), true },
                { "auto-converge", m->flags & VIR_MIGRATE_AUTO_CONVERGE, false },
                { "postcopy-ram", m->flags & VIR_MIGRATE_POSTCOPY, true },
                { "multifd", m->flags & VIR_MIGRATE_PARALLEL, true },
                { "zero-copy-send", m->flags & VIR_MIGRATE_ZEROCOPY, false },
                /* the destination activates its disks when it runs, not when the memory is there */
                { "late-block-activate", m->flags & VIR_MIGRATE_PAUSED, true },
                { "release-ram", false, false },
        };
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                bool on = all[i].on && (m->side == MIGRATE_OUT || all[i].on_both);

                caps[n++] = (QmpMigrationCapability){ .capability = all[i].name, .state = on };
        }
        return n;
}

static void compression_parameters(const Migration *m, QmpMigrateSetParameters *ret)
{
        if (uses_method(m, "zlib") || uses_method(m, "zstd"))
                ret->multifd_compression = uses_method(m, "zlib") ? "zlib" : "zstd";
        else
                ret->multifd_compression = "none";
        ret->has_multifd_zlib_level = ret->has_multifd_zstd_level = true;
        ret->multifd_zlib_level = m->params.has_zlib_level ? (uint64_t)m->params.zlib_level : DEFAULT_LEVEL;
        ret->multifd_zstd_level = m->params.has_zstd_level ? (uint64_t)m->params.zstd_level : DEFAULT_LEVEL;
}

uint64_t migrate_bound_ms(const Migration *m)
{
        return m->downtime_ms ? m->downtime_ms : (uint64_t)m->dom->driver->daemon->config->migration_max_downtime;
}

uint64_t migrate_qemu_bound_ms(const Migration *m, uint64_t ms)
{
        uint64_t capped = m->params.bandwidth_mib, line = m->params.switchover_mib;

        if (capped && line > capped)
                ms = (uint64_t)MIN((double)ms * (double)line / (double)capped, (double)LONGEST_BOUND_MS);
        return MIN(ms, (uint64_t)LONGEST_BOUND_MS);
}

/* QEMU keeps what it was told for a move that failed: whatever this one does not name is set to the default again. */
void migrate_parameters(const Migration *m, QmpMigrateSetParameters *ret)
{
        *ret = (QmpMigrateSetParameters){ 0 };
        if (m->flags & VIR_MIGRATE_PARALLEL) {
                ret->has_multifd_channels = true;
                ret->multifd_channels = m->params.channels ? (uint64_t)m->params.channels
                                                           : (uint64_t)DEFAULT_CHANNELS;
                compression_parameters(m, ret);
        } else if (uses_xbzrle(m)) {
                ret->has_xbzrle_cache_size = m->params.xbzrle_cache != 0;
                ret->xbzrle_cache_size = m->params.xbzrle_cache;
        }
        if (m->side == MIGRATE_IN)
                return;
        /* QEMU's own default would hold a fast link back; 0 is no limit */
        ret->has_max_bandwidth = true;
        ret->max_bandwidth = m->params.bandwidth_mib ? m->params.bandwidth_mib * 1024 * 1024 : INT64_MAX;
        ret->has_downtime_limit = true;
        ret->downtime_limit = migrate_qemu_bound_ms(m, migrate_bound_ms(m));
        if (m->flags & VIR_MIGRATE_AUTO_CONVERGE) {
                ret->has_cpu_throttle_initial = true;
                ret->cpu_throttle_initial = m->params.throttle_initial ? (uint64_t)m->params.throttle_initial
                                                                       : (uint64_t)MIGRATE_DEFAULT_THROTTLE;
                ret->has_cpu_throttle_increment = true;
                ret->cpu_throttle_increment = m->params.throttle_increment ? (uint64_t)m->params.throttle_increment
                                                                           : (uint64_t)DEFAULT_INCREMENT;
        }
        if (m->flags & VIR_MIGRATE_POSTCOPY && m->params.bandwidth_postcopy_mib) {
                ret->has_max_postcopy_bandwidth = true;
                ret->max_postcopy_bandwidth = m->params.bandwidth_postcopy_mib * 1024 * 1024;
        }
}

void migrate_stats_done(MigrateStats *stats)
{
        free(stats->error);
        stats->error = NULL;
}

void domain_forget_stats(Domain *dom)
{
        if (dom->last_job)
                migrate_stats_done(dom->last_job);
        free(dom->last_job);
        dom->last_job = NULL;
}

void domain_keep_stats(Domain *dom, const MigrateStats *stats)
{
        domain_forget_stats(dom);
        dom->last_job = mem_dup(stats, sizeof(*stats));
        dom->last_job->error = str_dup(stats->error);
}

void migrate_stats_take(MigrateStats *stats, const QmpMigrationInfo *info)
{
        if (info->ram) {
                stats->ram = *info->ram;
                stats->has_ram = true;
        }
        if (info->xbzrle_cache) {
                stats->xbzrle = *info->xbzrle_cache;
                stats->has_xbzrle = true;
        }
        if (info->has_setup_time)
                stats->setup_ms = (uint64_t)MAX(info->setup_time, (int64_t)0);
        if (info->has_expected_downtime)
                stats->expected_downtime_ms = (uint64_t)MAX(info->expected_downtime, (int64_t)0);
        if (info->has_cpu_throttle_percentage)
                stats->throttle_percent = (uint64_t)MAX(info->cpu_throttle_percentage, (int64_t)0);
}

static void put_ram(const MigrateStats *stats, Params *ret)
{
        const QmpMigrationRam *ram = &stats->ram;
        uint64_t total = (uint64_t)MAX(ram->total, (int64_t)0), done = (uint64_t)MAX(ram->transferred, (int64_t)0);
        uint64_t left = (uint64_t)MAX(ram->remaining, (int64_t)0), page = (uint64_t)MAX(ram->page_size, (int64_t)0);

        params_put_ullong(ret, VIR_DOMAIN_JOB_DATA_TOTAL, total + stats->disk_total);
        params_put_ullong(ret, VIR_DOMAIN_JOB_DATA_PROCESSED, done + stats->disk_done);
        params_put_ullong(ret, VIR_DOMAIN_JOB_DATA_REMAINING, left + stats->disk_total - stats->disk_done);
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_TOTAL, total);
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_PROCESSED, done);
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_REMAINING, left);
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_BPS, (uint64_t)(ram->mbps * 1000 * 1000 / 8));
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_CONSTANT, (uint64_t)MAX(ram->duplicate, (int64_t)0));
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_NORMAL, (uint64_t)MAX(ram->normal, (int64_t)0));
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES, (uint64_t)MAX(ram->normal_bytes, (int64_t)0));
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, (uint64_t)MAX(ram->dirty_pages_rate, (int64_t)0));
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_ITERATION, (uint64_t)MAX(ram->dirty_sync_count, (int64_t)0));
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS,
                          (uint64_t)MAX(ram->postcopy_requests, (int64_t)0));
        params_put_ullong(ret, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, page);
}

void migrate_stats_params(const MigrateStats *stats, uint64_t now_ms, Params *ret)
{
        uint64_t end_ms = stats->ended_ms ? stats->ended_ms : now_ms;

        params_put_int(ret, VIR_DOMAIN_JOB_OPERATION, stats->operation);
        params_put_ullong(ret, VIR_DOMAIN_JOB_TIME_ELAPSED, end_ms - stats->began_ms);
        if (stats->has_downtime)
                params_put_ullong(ret, VIR_DOMAIN_JOB_DOWNTIME, stats->downtime_ms);
        else if (stats->announced_ms || stats->expected_downtime_ms)
                params_put_ullong(ret, VIR_DOMAIN_JOB_DOWNTIME,
                                  stats->announced_ms ? stats->announced_ms : stats->expected_downtime_ms);
        if (stats->setup_ms)
                params_put_ullong(ret, VIR_DOMAIN_JOB_SETUP_TIME, stats->setup_ms);
        if (stats->has_ram)
                put_ram(stats, ret);
        if (stats->disk_total) {
                params_put_ullong(ret, VIR_DOMAIN_JOB_DISK_TOTAL, stats->disk_total);
                params_put_ullong(ret, VIR_DOMAIN_JOB_DISK_PROCESSED, stats->disk_done);
                params_put_ullong(ret, VIR_DOMAIN_JOB_DISK_REMAINING, stats->disk_total - stats->disk_done);
                params_put_ullong(ret, VIR_DOMAIN_JOB_DISK_BPS, stats->disk_bps);
        }
        if (stats->has_xbzrle) {
                params_put_ullong(ret, VIR_DOMAIN_JOB_COMPRESSION_CACHE, stats->xbzrle.cache_size);
                params_put_ullong(ret, VIR_DOMAIN_JOB_COMPRESSION_BYTES,
                                  (uint64_t)MAX(stats->xbzrle.bytes, (int64_t)0));
                params_put_ullong(ret, VIR_DOMAIN_JOB_COMPRESSION_PAGES,
                                  (uint64_t)MAX(stats->xbzrle.pages, (int64_t)0));
                params_put_ullong(ret, VIR_DOMAIN_JOB_COMPRESSION_CACHE_MISSES,
                                  (uint64_t)MAX(stats->xbzrle.cache_miss, (int64_t)0));
                params_put_ullong(ret, VIR_DOMAIN_JOB_COMPRESSION_OVERFLOW,
                                  (uint64_t)MAX(stats->xbzrle.overflow, (int64_t)0));
        }
        if (stats->throttle_percent)
                params_put_int(ret, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, (int32_t)stats->throttle_percent);
        if (stats->error)
                params_put_string(ret, VIR_DOMAIN_JOB_ERRMSG, stats->error);
}
