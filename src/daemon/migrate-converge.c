/*
 * daemon/migrate-converge.c - when may a live migration stop its guest?
 *
 * QEMU stops it when what is left fits into the bound. A guest that writes as fast as the link carries never gets there.
 * The bound then grows in steps, and after the last one that is reported. Where the guest may be stopped, it is when
 * another pass would not pay: it would leave no less, or the whole would take more than one and a half times what the
 * memory takes once. A guest that writes to all of its memory while that is sent once would be stopped at the end of the
 * first pass for as long as another takes, twice the time in all; stopped in the middle of it, it pauses as long and is there
 * sooner. So its writes are watched for a part of that pass, in two windows: what it writes in t is a concave function of t
 * (straight for a sweep over everything, flat for a small set that is written again and again), which they extend to the end.
 */
#include "daemon/migrate-converge.h"

#include "base/auto.h"

enum {
        STALLED_PASSES = 3,
        SETTLED_MS = 400,     /* from then on the rate says something about the link */
        WATCHED_PERCENT = 40, /* of what the memory takes once */
        LONGEST_WATCH_S = 60, /* that QEMU knows */
};

void converge_init(Converge *c, uint64_t limit_ms, bool stops)
{
        *c = (Converge){ .limit_ms = limit_ms, .stops = stops, .pass = 1, .least = UINT64_MAX, .before = UINT64_MAX };
}

uint64_t converge_pause_ms(const ConvergeFigures *f)
{
        return f->bytes_per_s ? (uint64_t)((double)f->left * 1000 / (double)f->bytes_per_s) : 0;
}

/* One more pass takes as long as its end would stop the guest now; what that leaves is half of it, with luck. */
static bool another_pass_pays(const Converge *c, const ConvergeFigures *f)
{
        uint64_t pass_ms = converge_pause_ms(f);

        return (double)f->left < (double)c->before * 0.8 &&
               (f->elapsed_ms + pass_ms + pass_ms / 2) * 2 <= c->first_ms * 3;
}

static bool has_stalled(Converge *c, const ConvergeFigures *f)
{
        if ((double)f->left < (double)c->least * 0.9) {
                c->least = f->left;
                c->stalled = 0;
                return false;
        }
        if (++c->stalled < STALLED_PASSES)
                return false;
        c->stalled = 0;
        return true;
}

ConvergeVerdict converge_look(Converge *c, const ConvergeFigures *f, bool fixed)
{
        bool stalled, pays;

        if (f->pass <= c->pass)
                return CONVERGE_GOES_ON;
        c->pass = f->pass;
        if (!c->first_ms)
                c->first_ms = f->elapsed_ms;
        stalled = has_stalled(c, f);
        pays = another_pass_pays(c, f);
        c->before = f->left;
        if (c->told || (f->bytes_per_s && converge_pause_ms(f) <= c->limit_ms))
                return CONVERGE_GOES_ON;
        if (c->stops && !fixed && f->bytes_per_s) {
                c->told = !pays;
                return pays ? CONVERGE_GOES_ON : CONVERGE_STOP;
        }
        if (!stalled)
                return CONVERGE_GOES_ON;
        if (fixed || c->limit_ms >= CONVERGE_LAST_STEP_MS) {
                c->told = true;
                return CONVERGE_REPORT;
        }
        c->limit_ms = MIN(c->limit_ms * 2, (uint64_t)CONVERGE_LAST_STEP_MS);
        return CONVERGE_RAISE;
}

/* What the memory takes once. */
static uint64_t whole_ms(const ConvergeFigures *f)
{
        return f->bytes_per_s ? (uint64_t)((double)(f->left + f->sent) * 1000 / (double)f->bytes_per_s) : 0;
}

unsigned converge_watch_s(Converge *c, const ConvergeFigures *f, bool fixed)
{
        unsigned all_s;

        if (!c->stops || fixed || f->pass != 1 || f->elapsed_ms < SETTLED_MS)
                return 0;
        if (c->n_wanted)
                return c->n_windows < c->n_wanted ? c->windows[0].seconds * 2 : 0;
        all_s = (unsigned)MIN(whole_ms(f) * WATCHED_PERCENT / 100 / 1000, (uint64_t)LONGEST_WATCH_S * 3 / 2);
        c->n_wanted = all_s >= 3 ? CONVERGE_WINDOWS : 1;
        return all_s >= 3 ? all_s / 3 : all_s;
}

void converge_watched(Converge *c, ConvergeWindow window)
{
        if (c->n_windows < CONVERGE_WINDOWS)
                c->windows[c->n_windows++] = window;
}

/* What is written in this time, if it goes on as it was seen: each doubling of the time adds the same part. */
static double written_in(const Converge *c, uint64_t ms)
{
        const ConvergeWindow *shorter = &c->windows[0], *longer = &c->windows[1];
        double growth = shorter->written ? (double)longer->written / (double)shorter->written : 2;
        double bytes = (double)longer->written, part;
        uint64_t window_ms = (uint64_t)longer->seconds * 1000;

        growth = MIN(MAX(growth, 1.0), 2.0);
        for (; ms >= window_ms * 2; window_ms *= 2)
                bytes *= growth;
        part = (double)ms / (double)window_ms;
        return bytes * (part < 1 ? part : 1 + (growth - 1) * (part - 1));
}

bool converge_is_in_vain(Converge *c, ConvergeFigures *f)
{
        const ConvergeWindow *last = &c->windows[MAX(c->n_windows, 1U) - 1];
        uint64_t all = f->left + f->sent, straight;
        double at_end;

        if (f->pass != 1 || c->told || !c->n_wanted || c->n_windows < c->n_wanted || !last->seconds)
                return false;
        /* one window alone says nothing about what comes after it */
        at_end = c->n_windows == CONVERGE_WINDOWS ? written_in(c, whole_ms(f)) : (double)last->written;
        if (at_end < (double)all / 2)
                return false;
        c->told = true;
        straight = last->written / last->seconds * f->elapsed_ms / 1000;
        f->left += MIN(MAX(straight, last->written), f->sent);
        return true;
}
