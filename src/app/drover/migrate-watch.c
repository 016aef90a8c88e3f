/*
 * app/drover/migrate-watch.c - look after a migration while its call waits
 */
#include "app/drover/migrate-watch.h"

#include "base/mem.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { POLL_MS = 250, FIRST_POLL_MS = 100, NARROWEST_BAR = 5, PASSES_UNTIL_STUCK = 3 };

struct MigrateWatch {
        Session *session;
        WireDomain dom;
        WatchOptions options;
        Timer *poll_timer, *timeout;
        SignalWatch *interrupt;
        ClientCall *poll;
        ClientCall *acting; /* suspend, post-copy, abort or a new limit, one at a time */
        bool draws_bar, drew;
        bool acted; /* suspended, or in post-copy: nothing more to decide */
        bool limit_is_set;
        uint64_t pass;  /* the one that `least` is of */
        uint64_t least; /* fewest bytes left at the begin of a pass */
        unsigned stuck; /* passes in a row that did not get below it */
};

static unsigned terminal_columns(void)
{
        struct winsize size;

        return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

static void put_size(Buf *to, const char *before, uint64_t bytes, int decimals, const char *after)
{
        const char *unit;
        double size = pretty_size(bytes, &unit);

        buf_format(to, "%s%.*f %s%s", before, decimals, size, unit, after);
}

static void put_figures(const MigrateFigures *f, unsigned percent, int decimals, Buf *to)
{
        buf_format(to, " %2u %%", percent);
        put_size(to, "  ", f->bytes_per_s, decimals, "/s");
        put_size(to, "  left ", f->remaining, decimals, "");
        put_size(to, "  dirty ", f->dirty_bytes_per_s, decimals, "/s");
        buf_format(to, "  pause %llu ms", (unsigned long long)f->pause_ms);
        if (f->bytes_per_s > f->dirty_bytes_per_s) {
                uint64_t seconds = f->remaining / (f->bytes_per_s - f->dirty_bytes_per_s);

                buf_format(to, "  ETA %llu:%02llu", (unsigned long long)(seconds / 60),
                           (unsigned long long)(seconds % 60));
        } else {
                buf_put_text(to, "  ETA -:--");
        }
}

void migrate_bar_format(const MigrateFigures *f, unsigned columns, Buf *to)
{
        unsigned percent = f->total ? (unsigned)MIN(100 - f->remaining * 100 / MAX(f->total, f->remaining), 99) : 0;
        AUTO(Buf) rest = { 0 };
        AUTO(Buf) brief = { 0 };
        unsigned width, filled;

        put_figures(f, percent, 1, &rest);
        if (columns < rest.len + NARROWEST_BAR + 3) {
                /* the figures say more than the bar: an ordinary terminal has room for all of them, but not for both */
                put_figures(f, percent, 0, &brief);
                buf_format(to, "%.*s", (int)columns - 1, buf_text(rest.len < columns ? &rest : &brief));
                return;
        }
        width = MIN(columns - (unsigned)rest.len - 3, 40U);
        filled = width * percent / 100;
        buf_put_char(to, '[');
        for (unsigned i = 0; i < width; i++)
                buf_put_char(to, i < filled ? '=' : i == filled ? '>' : ' ');
        buf_format(to, "]%s", buf_text(&rest));
}

static void draw(MigrateWatch *watch, const MigrateFigures *figures)
{
        AUTO(Buf) line = { 0 };

        if (watch->draws_bar) {
                migrate_bar_format(figures, terminal_columns(), &line);
                fprintf(stderr, "\r%s\033[K", buf_text(&line));
        } else if (watch->options.verbose && figures->total) {
                fprintf(stderr, "\rMigration: [%3llu %%]",
                        (unsigned long long)MIN(
                                100 - figures->remaining * 100 / MAX(figures->total, figures->remaining), 99));
        } else {
                return;
        }
        watch->drew = true;
        fflush(stderr);
}

static void acted(void *arg, ClientReply *reply)
{
        MigrateWatch *watch = arg;

        watch->acting = NULL;
        if (!reply->failure)
                return;
        watch->acted = false;
        if (watch->drew)
                fputc('\n', stderr);
        session_tell_error(reply->failure);
}

/* False: something else is under way, and this is to be tried again. */
static bool act(MigrateWatch *watch, uint32_t number, const void *args)
{
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, (int32_t)number);

        if (watch->acting)
                return false;
        watch->acting = client_call(watch->session->client, proc, args, acted, watch);
        return true;
}

static void suspend_guest(MigrateWatch *watch)
{
        watch->acted = act(watch, WIRE_PROC_DOMAIN_SUSPEND, &(WireDomainSuspendArgs){ watch->dom });
}

static void start_postcopy(MigrateWatch *watch)
{
        watch->acted = act(watch, WIRE_PROC_DOMAIN_MIGRATE_START_POST_COPY,
                           &(WireDomainMigrateStartPostCopyArgs){ watch->dom, 0 });
}

static void took_too_long(void *arg)
{
        MigrateWatch *watch = arg;

        if (watch->acted)
                return;
        if (watch->options.at_timeout == WATCH_POSTCOPY)
                start_postcopy(watch);
        else
                suspend_guest(watch);
        if (!watch->acted)
                timer_set(watch->timeout, POLL_MS);
}

static void interrupted(void *arg)
{
        MigrateWatch *watch = arg;

        watch->acted = true;
        if (watch->acting)
                watch->acting = client_call_free(watch->acting);
        act(watch, WIRE_PROC_DOMAIN_ABORT_JOB, &(WireDomainAbortJobArgs){ watch->dom });
}

/*
 * With a longest pause: QEMU gets it as its limit, and ends by itself when what is left fits into it. When pass after
 * pass leaves no less, it never will; then post-copy moves the guest with a short pause, or, where that is not allowed,
 * the guest is stopped as soon as what is left fits.
 */
static void keep_pause(MigrateWatch *watch, const MigrateFigures *f)
{
        /* the rate of a moment; what the daemon expects knows more */
        uint64_t would_take = MAX(f->bytes_per_s ? f->remaining * 1000 / f->bytes_per_s : UINT64_MAX, f->pause_ms);

        if (!watch->limit_is_set) {
                WireDomainMigrateSetMaxDowntimeArgs limit = { watch->dom, watch->options.max_pause_ms, 0 };

                watch->limit_is_set = act(watch, WIRE_PROC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME, &limit);
                return;
        }
        if (f->iteration <= watch->pass)
                return;
        watch->pass = f->iteration;
        if (watch->least == 0 || f->remaining < watch->least - watch->least / 10) {
                watch->least = f->remaining;
                watch->stuck = 0;
        } else {
                watch->stuck++;
        }
        if (watch->options.may_postcopy &&
            (watch->stuck > 0 || (f->iteration > 1 && f->dirty_bytes_per_s >= f->bytes_per_s)))
                start_postcopy(watch);
        else if (watch->stuck >= PASSES_UNTIL_STUCK && would_take <= watch->options.max_pause_ms)
                suspend_guest(watch);
}

static MigrateFigures figures_from(const WireDomainGetJobStatsRet *stats)
{
        const WireTypedParam *p = stats->params;
        uint32_t n = stats->n_params;
        uint64_t page = param_u64(p, n, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE) ?: 4096;
        MigrateFigures f = {
                .total = param_u64(p, n, VIR_DOMAIN_JOB_DATA_TOTAL),
                .processed = param_u64(p, n, VIR_DOMAIN_JOB_DATA_PROCESSED),
                .remaining = param_u64(p, n, VIR_DOMAIN_JOB_DATA_REMAINING),
                .bytes_per_s = param_u64(p, n, VIR_DOMAIN_JOB_MEMORY_BPS) + param_u64(p, n, VIR_DOMAIN_JOB_DISK_BPS),
                .dirty_bytes_per_s = param_u64(p, n, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE) * page,
                .pause_ms = param_u64(p, n, VIR_DOMAIN_JOB_DOWNTIME),
                .iteration = param_u64(p, n, VIR_DOMAIN_JOB_MEMORY_ITERATION),
        };

        return f;
}

static void polled(void *arg, ClientReply *reply)
{
        MigrateWatch *watch = arg;
        const WireDomainGetJobStatsRet *stats = reply->ret;
        MigrateFigures f;

        watch->poll = NULL;
        timer_set(watch->poll_timer, POLL_MS);
        /* Once the guest is gone from here there is nothing to ask any more; the migration's own call ends soon. */
        if (reply->failure || stats->type == VIR_DOMAIN_JOB_NONE)
                return;
        f = figures_from(stats);
        draw(watch, &f);
        if (watch->acted)
                return;
        if (watch->options.postcopy_after_first && f.iteration > 1)
                start_postcopy(watch);
        else if (watch->options.max_pause_ms)
                keep_pause(watch, &f);
}

static void poll_job(void *arg)
{
        MigrateWatch *watch = arg;
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_DOMAIN_GET_JOB_STATS);

        watch->poll = client_call(watch->session->client, proc, &(WireDomainGetJobStatsArgs){ watch->dom, 0 }, polled,
                                  watch);
}

MigrateWatch *migrate_watch_new(Session *s, const WireDomain *dom, const WatchOptions *options, Error *err)
{
        MigrateWatch *watch = mem_new(MigrateWatch);

        *watch = (MigrateWatch){ .session = s, .dom = *dom, .options = *options };
        watch->interrupt = signal_watch_new(s->loop, SIGINT, interrupted, watch, err);
        if (!watch->interrupt)
                return migrate_watch_free(watch, false);
        watch->draws_bar = isatty(STDERR_FILENO) && !s->quiet && !options->verbose;
        if (watch->draws_bar || options->verbose || options->postcopy_after_first || options->max_pause_ms)
                watch->poll_timer = timer_new(s->loop, FIRST_POLL_MS, poll_job, watch);
        if (options->timeout_ms)
                watch->timeout = timer_new(s->loop, options->timeout_ms, took_too_long, watch);
        return watch;
}

MigrateWatch *migrate_watch_free(MigrateWatch *watch, bool success)
{
        if (!watch)
                return NULL;
        if (success && watch->options.verbose)
                fprintf(stderr, "\rMigration: [100 %%]");
        if (watch->draws_bar && watch->drew)
                fprintf(stderr, "\r\033[K");
        else if (watch->drew || (success && watch->options.verbose))
                fprintf(stderr, "\n");
        timer_free(watch->poll_timer);
        timer_free(watch->timeout);
        signal_watch_free(watch->interrupt);
        if (watch->poll)
                client_call_free(watch->poll);
        if (watch->acting)
                client_call_free(watch->acting);
        free(watch);
        return NULL;
}
