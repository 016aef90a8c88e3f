/*
 * daemon/migrate-converge.c - when may a live migration stop its guest?
 *
 * QEMU stops it when what is left fits into the bound. A guest that writes as fast as the link carries never gets there.
 * The bound then grows in steps, and after the last one that is reported. Where the guest may be stopped, it is when
 * another pass would not pay: it would leave no less, or the whole would take more than WHOLE_PERCENT of what the memory
 * takes once.
 *
 * For many guests that is known in the first pass. One that writes to all of its memory while that is sent once would be
 * stopped at the end of the pass for as long as another takes, twice the time in all; stopped in the middle of it, it pauses
 * as long and is there sooner. So its writes are watched for a part of that pass, in windows that double: what it writes in
 * t is a concave function of t (straight for a sweep over everything, flat for a small set that is written again and again),
 * which the last two extend to the end. A pass is in vain when its end will find half of the memory written again, or when
 * STALE_PERCENT of the memory were sent and have been written since.
 */
#include "daemon/migrate-converge.h"

#include "base/auto.h"

enum {
        STALLED_PASSES = 3,
        WATCHED_PERCENT = 40, /* of what the memory takes once */
        WHOLE_PERCENT = 140,  /* of the same: what a move may take with the pause at its end, and some room */
        STALE_PERCENT = 30,   /* of the memory: what may have to be sent twice */
        LONGEST_WATCH_S = 60, /* that QEMU knows */
        HAND_OVER_MS = 200,   /* until QEMU stops the guest, and from its last page to its running there */
        SURPLUS_PERCENT = 5,
        CARRIED_PERCENT = 80, /* of the rate: what a guest may write so that passes grow shorter */
        MOST_THROTTLE = 99,
};

void converge_init(Converge *c, uint64_t limit_ms, bool stops)
{
        *c = (Converge){ .limit_ms = limit_ms, .stops = stops, .pass = 1, .least = UINT64_MAX, .before = UINT64_MAX };
}

static uint64_t time_ms(uint64_t bytes, uint64_t bytes_per_s)
{
        return bytes_per_s ? (uint64_t)((double)bytes * 1000 / (double)bytes_per_s) : 0;
}

uint64_t converge_pause_ms(const ConvergeFigures *f)
{
        return time_ms(f->left, f->rest_per_s ? f->rest_per_s : f->bytes_per_s);
}

uint64_t converge_announced_ms(const ConvergeFigures *f)
{
        uint64_t ms = converge_pause_ms(f);

        return ms + ms * SURPLUS_PERCENT / 100 + HAND_OVER_MS;
}

/* What one more pass leaves is half of what it sends, with luck. */
static bool another_pass_pays(const Converge *c, const ConvergeFigures *f)
{
        uint64_t pass_ms = time_ms(f->left, f->bytes_per_s);

        return (double)f->left < (double)c->before * 0.8 &&
               (f->elapsed_ms + pass_ms + pass_ms / 2) * 100 <= c->first_ms * WHOLE_PERCENT;
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
        return time_ms(f->left + f->sent, f->bytes_per_s);
}

/* How long the next window is; 0: no other fits into the part of the pass that may be watched. */
static unsigned next_window_s(const Converge *c, const ConvergeFigures *f)
{
        unsigned next_s = c->n_windows ? c->windows[1].seconds * 2 : 1;

        return next_s <= LONGEST_WATCH_S && c->watched_s + next_s <= whole_ms(f) * WATCHED_PERCENT / 100 / 1000
                       ? next_s
                       : 0;
}

unsigned converge_watch_s(const Converge *c, const ConvergeFigures *f, bool fixed)
{
        if ((!(c->stops && !fixed) && !c->slows) || f->pass != 1)
                return 0;
        return next_window_s(c, f);
}

void converge_watched(Converge *c, ConvergeWindow window)
{
        c->windows[0] = c->windows[1];
        c->windows[1] = window;
        c->n_windows++;
        c->watched_s += window.seconds;
        c->fastest = MAX(c->fastest, window.written / MAX(window.seconds, 1U));
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

/* What is written while the memory is sent once; one window alone says nothing about what comes after it. */
static double written_in_a_pass(const Converge *c, const ConvergeFigures *f)
{
        return c->n_windows > 1 ? written_in(c, whole_ms(f)) : (double)c->windows[1].written;
}

/* Of what was sent, what was written meanwhile, if that is spread over all of the memory. */
static double stale(const Converge *c, const ConvergeFigures *f)
{
        double all = (double)(f->left + f->sent);

        return MIN(written_in(c, f->elapsed_ms), all) * (double)f->sent / all;
}

static bool was_watched(const Converge *c, const ConvergeFigures *f)
{
        return c->n_windows && !next_window_s(c, f);
}

unsigned converge_throttle(const Converge *c, const ConvergeFigures *f, uint64_t *ret_pause_ms)
{
        double rate = (double)c->fastest, carried = (double)f->bytes_per_s * CARRIED_PERCENT / 100;
        ConvergeFigures stopped = *f;

        *ret_pause_ms = 0;
        if (!f->bytes_per_s || !was_watched(c, f))
                return 0;
        stopped.left = (uint64_t)MIN(written_in_a_pass(c, f), (double)(f->left + f->sent));
        if (converge_pause_ms(&stopped) <= c->limit_ms)
                return 0;
        if (rate <= carried)
                return 0;
        *ret_pause_ms = converge_announced_ms(&stopped);
        return (unsigned)MIN(MAX((1 - carried / rate) * 100, 1.0), (double)MOST_THROTTLE);
}

static bool is_time_to_stop(const Converge *c, const ConvergeFigures *f)
{
        double all = (double)(f->left + f->sent);

        return written_in_a_pass(c, f) >= all / 2 || (c->n_windows > 1 && stale(c, f) >= all * STALE_PERCENT / 100);
}

bool converge_is_in_vain(Converge *c, ConvergeFigures *f)
{
        const ConvergeWindow *last = &c->windows[1];
        uint64_t straight;

        if (!c->stops || f->pass != 1 || c->told || !f->bytes_per_s || !was_watched(c, f) || !is_time_to_stop(c, f))
                return false;
        c->told = true;
        straight = last->written / last->seconds * f->elapsed_ms / 1000;
        f->left += MIN(MAX(straight, last->written), f->sent);
        return true;
}
