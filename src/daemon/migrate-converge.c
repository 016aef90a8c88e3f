/*
 * daemon/migrate-converge.c - when may a live migration stop its guest?
 *
 * QEMU stops it when what is left fits into the bound. A guest that writes as fast as the link carries never gets there.
 * The bound then grows in steps, and after the last one that is reported. Where the guest may be stopped, it is when
 * another pass would not pay: it would leave no less, or the whole would take more than one and a half times what the
 * memory takes once. A guest that writes to all of its memory while that is sent once would be stopped at the end of the
 * first pass for as long as another takes, twice the time in all; stopped in the middle of it, it pauses as long and is there
 * sooner. So its writes are watched for a part of that pass.
 */
#include "daemon/migrate-converge.h"

#include "base/auto.h"

enum {
        STALLED_PASSES = 3,
        SETTLED_MS = 400,     /* from then on the rate says something about the link */
        WATCHED_PERCENT = 30, /* of what the memory takes once */
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

unsigned converge_watch_s(const Converge *c, const ConvergeFigures *f, bool fixed)
{
        if (!c->stops || fixed || c->watched || f->pass != 1 || f->elapsed_ms < SETTLED_MS)
                return 0;
        return (unsigned)MIN(whole_ms(f) * WATCHED_PERCENT / 100 / 1000, (uint64_t)60);
}

bool converge_is_in_vain(Converge *c, ConvergeFigures *f, uint64_t written)
{
        if (f->pass != 1 || c->told || written < (f->left + f->sent) / 2)
                return false;
        c->told = true;
        f->left += MIN(written, f->sent);
        return true;
}
