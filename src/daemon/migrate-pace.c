/*
 * daemon/migrate-pace.c - what each pass over the memory means for when the guest stops
 *
 * The figures go in, QEMU's bound and a line in the log come out; migrate-converge.c decides.
 */
#include "daemon/migrate-pace.h"

#include "base/log.h"
#include "base/str.h"

enum {
        LOOK_MS = 100,        /* between two looks at the figures */
        SOON_MS = 10,         /* when QEMU is about to tell what the guest wrote */
        SAMPLED_PAGES = 8192, /* of which it looks whether they were written */
        LEAST_SAMPLED = 128,  /* in a GiB, what QEMU takes */
        MOST_SAMPLED = 4096,
        STOP_AT_ONCE_MS = 200, /* above what is left, so that QEMU's next look decides */
        MUCH_THROTTLE = 60,    /* percent, from which another way is better */
};

/* Where another way to the end was asked for, the guest is not stopped. */
static bool stops_guest(const Migration *m)
{
        return str_eq(m->dom->driver->daemon->config->migration_converge, "auto") &&
               !(m->flags & (VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_POSTCOPY));
}

void pace_init(Pace *p, const Migration *m)
{
        *p = (Pace){ .told_ms = migrate_qemu_bound_ms(m, migrate_bound_ms(m)) };
        converge_init(&p->converge, migrate_bound_ms(m), stops_guest(m));
        p->converge.slows = m->flags & VIR_MIGRATE_AUTO_CONVERGE;
}

static void on_throttle_set(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_warning("how much the guest is slowed was not changed: %s", failure->text);
}

static void on_downtime_set(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_warning("the downtime limit was not changed: %s", failure->text);
}

static void set_downtime(Pace *p, QmpClient *qmp, uint64_t ms)
{
        p->told_ms = ms;
        qmp_migrate_set_parameters(qmp,
                                   &(QmpMigrateSetParameters){ .has_downtime_limit = true, .downtime_limit = ms },
                                   on_downtime_set, NULL);
}

uint64_t pace_bound_ms(const Pace *p, const Migration *m, uint64_t ms)
{
        return migrate_qemu_bound_ms(m, m->downtime_is_fixed ? line_rate_bound_ms(&p->rate, ms) : ms);
}

/* The bound in force and QEMU's figures may have changed; what QEMU is told follows, unless it was told to stop. */
static void keep_bound(Pace *p, const Migration *m, QmpClient *qmp)
{
        uint64_t ms = pace_bound_ms(p, m, m->downtime_is_fixed ? m->downtime_ms : p->converge.limit_ms);
        uint64_t differs = ms > p->told_ms ? ms - p->told_ms : p->told_ms - ms;

        if (!p->stopping && differs * 10 > p->told_ms)
                set_downtime(p, qmp, ms);
}

/* Before a rate has shown itself, the better of two guesses: QEMU's own is of the last 100 ms, the other has idle times in it. */
static uint64_t guessed_rate(const MigrateStats *stats, uint64_t elapsed_ms)
{
        double now = stats->ram.mbps * 1000 * 1000 / 8;
        double average = (double)stats->ram.transferred * 1000 / (double)MAX(elapsed_ms, (uint64_t)1);

        return (uint64_t)MAX(MAX(now, average), 0.0);
}

static uint64_t line_rate(Pace *p, const MigrateStats *stats, uint64_t now_ms)
{
        const QmpMigrationRam *ram = &stats->ram;

        line_rate_take(&p->rate, &(RateSample){ .at_ms = now_ms,
                                                .sent = (uint64_t)MAX(ram->transferred, (int64_t)0),
                                                .zero = (uint64_t)MAX(ram->duplicate * ram->page_size, (int64_t)0),
                                                .left = (uint64_t)MAX(ram->remaining, (int64_t)0),
                                                .now_per_s = (uint64_t)MAX(ram->mbps * 1000 * 1000 / 8, 0.0) });
        return line_rate_lasting(&p->rate) ?: guessed_rate(stats, now_ms - p->began_ms);
}

/* --- the guest's writes in the first pass --- */

void pace_done(Pace *p)
{
        if (p->watching)
                p->watching = qmp_call_free(p->watching);
}

static void on_watched(void *arg, const QmpDirtyRate *rate, const Error *failure)
{
        Pace *p = arg;

        p->watching = NULL;
        if (failure || !str_eq(rate->status, "measured") || !rate->has_dirty_rate)
                return; /* it is asked again while the pass lasts */
        converge_watched(&p->converge, (ConvergeWindow){ .seconds = p->watch_s,
                                                         .written = (uint64_t)MAX(rate->dirty_rate, (int64_t)0) *
                                                                    p->watch_s * 1024 * 1024 });
        p->watch_s = 0;
}

static void on_watch_begun(void *arg, const Error *failure)
{
        Pace *p = arg;

        p->watching = NULL;
        p->blind = failure != NULL; /* somebody else measures it, or QEMU cannot: then the end of the pass decides */
}

/* As many of a large guest as of a small one: it is how many are looked at that makes the figure good. */
static uint64_t sampled_pages(const Migration *m)
{
        uint64_t gib = ((uint64_t)MAX(m->stats.ram.total, (int64_t)0) >> 30) + 1;

        return MIN(MAX(SAMPLED_PAGES / gib, (uint64_t)LEAST_SAMPLED), (uint64_t)MOST_SAMPLED);
}

/* Samples of pages, the one way to measure that neither an accelerator nor a running migration minds. */
static void watch(Pace *p, const ConvergeFigures *f, const Migration *m, QmpClient *qmp)
{
        uint64_t now_ms = loop_now_ms(m->dom->driver->daemon->loop);

        if (p->watching || p->blind)
                return;
        if (p->watch_s) {
                if (now_ms >= p->watched_at_ms)
                        p->watching = qmp_query_dirty_rate(qmp, on_watched, p);
                return;
        }
        p->watch_s = converge_watch_s(&p->converge, f, m->downtime_is_fixed);
        if (!p->watch_s)
                return;
        p->watched_at_ms = now_ms + (uint64_t)p->watch_s * 1000 + SOON_MS;
        p->watching = qmp_calc_dirty_rate(qmp,
                                          &(QmpCalcDirtyRate){ .calc_time = p->watch_s,
                                                               .has_sample_pages = true,
                                                               .sample_pages = (int64_t)sampled_pages(m) },
                                          on_watch_begun, p);
}

uint64_t pace_next_look_ms(const Pace *p, const Migration *m)
{
        uint64_t now_ms = loop_now_ms(m->dom->driver->daemon->loop);

        if (p->watching)
                return SOON_MS;
        if (!p->watch_s || p->blind)
                return LOOK_MS;
        return p->watched_at_ms > now_ms ? MIN(p->watched_at_ms - now_ms, (uint64_t)LOOK_MS) : SOON_MS;
}

static void stop_now(Pace *p, Migration *m, const ConvergeFigures *f, QmpClient *qmp)
{
        uint64_t pause_ms = converge_announced_ms(f), rate = f->rest_per_s ?: f->bytes_per_s;

        log_warning(
                "guest '%s' writes its memory faster than it can be sent: it stops now for at most about %llu ms, in "
                "which the last %llu MiB go at %llu MiB/s",
                m->dom->name, (unsigned long long)pause_ms, (unsigned long long)f->left >> 20,
                (unsigned long long)rate >> 20);
        m->promise = (Promise){ .pause_ms = pause_ms, .left = f->left, .bytes_per_s = rate };
        m->stats.announced_ms = pause_ms;
        p->stopping = true;
        set_downtime(p, qmp, migrate_qemu_bound_ms(m, pause_ms * 2 + STOP_AT_ONCE_MS));
}

/* --- a guest that is slowed (--auto-converge) --- */

static void warn_of_throttle(Pace *p, const Migration *m, unsigned percent, uint64_t pause_ms)
{
        AUTOFREE char *pause = pause_ms ? str_format(", or a pause of %llu ms", (unsigned long long)pause_ms)
                                        : str_dup(", or a longer pause");

        p->warned = true;
        log_warning(
                "guest '%s' has to be slowed by %u percent to be sent: allow post-copy (--postcopy), more connections "
                "(--parallel), compression (--parallel --comp-methods zstd), wait until it has less to do%s (virsh "
                "migrate-setmaxdowntime)",
                m->dom->name, percent, pause);
}

/* QEMU begins low and grows slowly; what it will come to can be told after two looks at the guest's writes. */
static void slow_down(Pace *p, const Migration *m, const ConvergeFigures *f, QmpClient *qmp)
{
        uint64_t pause_ms = 0;
        unsigned percent = p->slowed ? 0 : converge_throttle(&p->converge, f, &pause_ms);

        if (percent) {
                p->slowed = true;
                if (percent > MUCH_THROTTLE)
                        warn_of_throttle(p, m, percent, pause_ms);
                if (!m->params.throttle_initial && percent > MIGRATE_DEFAULT_THROTTLE) {
                        log_info("guest '%s' is slowed by %u percent from the next pass on", m->dom->name, percent);
                        qmp_migrate_set_parameters(qmp,
                                                   &(QmpMigrateSetParameters){ .has_cpu_throttle_initial = true,
                                                                               .cpu_throttle_initial = percent },
                                                   on_throttle_set, NULL);
                }
        }
        if (!p->warned && m->stats.throttle_percent > MUCH_THROTTLE)
                warn_of_throttle(p, m, (unsigned)m->stats.throttle_percent, converge_announced_ms(f));
}

/* --- each look --- */

static void report(const Migration *m, const ConvergeFigures *f)
{
        log_warning("guest '%s' writes its memory faster than it can be sent: pass %llu leaves %llu MiB, which "
                    "take %llu ms, and the next will leave no less. Stop it (virsh suspend), slow it "
                    "(--auto-converge), allow a longer pause (virsh migrate-setmaxdowntime), or abort",
                    m->dom->name, (unsigned long long)f->pass, (unsigned long long)f->left >> 20,
                    (unsigned long long)converge_pause_ms(f));
}

static void decide(Pace *p, Migration *m, ConvergeFigures *f, QmpClient *qmp)
{
        if (!m->downtime_is_fixed && converge_is_in_vain(&p->converge, f)) {
                stop_now(p, m, f, qmp);
                return;
        }
        switch (converge_look(&p->converge, f, m->downtime_is_fixed)) {
        case CONVERGE_GOES_ON:
                return;
        case CONVERGE_RAISE:
                log_info("guest '%s': the migration does not converge; it may pause for %llu ms now", m->dom->name,
                         (unsigned long long)p->converge.limit_ms);
                return;
        case CONVERGE_STOP:
                stop_now(p, m, f, qmp);
                return;
        case CONVERGE_REPORT:
                report(m, f);
        }
}

void pace_look(Pace *p, Migration *m, QmpClient *qmp)
{
        const MigrateStats *stats = &m->stats;
        uint64_t now_ms = loop_now_ms(m->dom->driver->daemon->loop), capped = m->params.bandwidth_mib;
        ConvergeFigures f = { .pass = (uint64_t)stats->ram.dirty_sync_count,
                              .left = (uint64_t)MAX(stats->ram.remaining, (int64_t)0),
                              .bytes_per_s = line_rate(p, stats, now_ms),
                              .elapsed_ms = now_ms - p->began_ms,
                              .sent = (uint64_t)MAX(stats->ram.normal_bytes, (int64_t)0) };

        if (capped && m->params.switchover_mib > capped)
                f.rest_per_s = m->params.switchover_mib << 20;
        if (m->downtime_is_fixed) {
                uint64_t rate = f.rest_per_s ?: f.bytes_per_s;

                m->promise = (Promise){ .pause_ms = m->downtime_ms,
                                        .left = (uint64_t)((double)rate * (double)m->downtime_ms / 1000),
                                        .bytes_per_s = rate,
                                        .allowed = true };
                p->stopping = false; /* it was said after that */
        }
        watch(p, &f, m, qmp);
        if (p->converge.slows)
                slow_down(p, m, &f, qmp);
        decide(p, m, &f, qmp);
        keep_bound(p, m, qmp);
}
