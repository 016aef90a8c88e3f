/*
 * daemon/migrate-pace.c - what each pass over the memory means for when the guest stops
 *
 * The figures go in, QEMU's bound and a line in the log come out; migrate-converge.c decides.
 */
#include "daemon/migrate-pace.h"

#include "base/log.h"
#include "base/str.h"

enum {
        STOP_AT_ONCE_MS = 200,             /* above what is left, so that QEMU's next look decides */
        LONGEST_DOWNTIME_MS = 2000 * 1000, /* that QEMU takes */
};

/* Where another way to the end was asked for, the guest is not stopped. */
static bool stops_guest(const Migration *m)
{
        return str_eq(m->dom->driver->daemon->config->migration_converge, "auto") &&
               !(m->flags & (VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_POSTCOPY));
}

void pace_init(Pace *p, const Migration *m, uint64_t limit_ms)
{
        *p = (Pace){ 0 };
        converge_init(&p->converge, limit_ms, stops_guest(m));
}

static void on_downtime_set(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_warning("the downtime limit was not changed: %s", failure->text);
}

static void set_downtime(QmpClient *qmp, uint64_t ms)
{
        qmp_migrate_set_parameters(
                qmp,
                &(QmpMigrateSetParameters){ .has_downtime_limit = true,
                                            .downtime_limit = MIN(ms, (uint64_t)LONGEST_DOWNTIME_MS) },
                on_downtime_set, NULL);
}

/* QEMU's own rate is of the last 100 ms; on an idle guest that says little about the link. */
static uint64_t line_rate(const MigrateStats *stats, uint64_t elapsed_ms)
{
        double now = stats->ram.mbps * 1000 * 1000 / 8;
        double average = (double)stats->ram.transferred * 1000 / (double)MAX(elapsed_ms, (uint64_t)1);

        return (uint64_t)MAX(MAX(now, average), 0.0);
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

/* Samples of pages, the one way to measure that neither an accelerator nor a running migration minds. */
static void watch(Pace *p, const ConvergeFigures *f, const Migration *m, QmpClient *qmp)
{
        if (p->watching || p->blind)
                return;
        if (p->watch_s) {
                p->watching = qmp_query_dirty_rate(qmp, on_watched, p);
                return;
        }
        p->watch_s = converge_watch_s(&p->converge, f, m->downtime_is_fixed);
        if (p->watch_s)
                p->watching = qmp_calc_dirty_rate(qmp, &(QmpCalcDirtyRate){ .calc_time = p->watch_s }, on_watch_begun,
                                                  p);
}

static void stop_now(const Migration *m, const ConvergeFigures *f, QmpClient *qmp)
{
        uint64_t pause_ms = converge_pause_ms(f);

        log_warning(
                "guest '%s' writes its memory faster than it can be sent: it stops now for at most about %llu ms, in "
                "which the last %llu MiB go at %llu MiB/s",
                m->dom->name, (unsigned long long)pause_ms, (unsigned long long)f->left >> 20,
                (unsigned long long)f->bytes_per_s >> 20);
        set_downtime(qmp, pause_ms * 2 + STOP_AT_ONCE_MS);
}

void pace_look(Pace *p, const Migration *m, QmpClient *qmp)
{
        const MigrateStats *stats = &m->stats;
        uint64_t elapsed_ms = loop_now_ms(m->dom->driver->daemon->loop) - p->began_ms;
        ConvergeFigures f = { .pass = (uint64_t)stats->ram.dirty_sync_count,
                              .left = (uint64_t)MAX(stats->ram.remaining, (int64_t)0),
                              .bytes_per_s = line_rate(stats, elapsed_ms),
                              .elapsed_ms = elapsed_ms,
                              .sent = (uint64_t)MAX(stats->ram.normal_bytes, (int64_t)0) };
        const char *name = m->dom->name;
        uint64_t pause_ms = converge_pause_ms(&f);

        watch(p, &f, m, qmp);
        if (converge_is_in_vain(&p->converge, &f)) {
                stop_now(m, &f, qmp);
                return;
        }
        switch (converge_look(&p->converge, &f, m->downtime_is_fixed)) {
        case CONVERGE_GOES_ON:
                return;
        case CONVERGE_RAISE:
                log_info("guest '%s': the migration does not converge; it may pause for %llu ms now", name,
                         (unsigned long long)p->converge.limit_ms);
                set_downtime(qmp, p->converge.limit_ms);
                return;
        case CONVERGE_STOP:
                stop_now(m, &f, qmp);
                return;
        case CONVERGE_REPORT:
                log_warning(
                        "guest '%s' writes its memory faster than it can be sent: pass %llu leaves %llu MiB, which "
                        "take %llu ms, and the next will leave no less. Stop it (virsh suspend), slow it "
                        "(--auto-converge), allow a longer pause (virsh migrate-setmaxdowntime), or abort",
                        name, (unsigned long long)f.pass, (unsigned long long)f.left >> 20,
                        (unsigned long long)pause_ms);
        }
}
