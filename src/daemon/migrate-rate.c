/*
 * daemon/migrate-rate.c - how much of a guest's memory does the way to the other host take?
 */
#include "daemon/migrate-rate.h"

#include "base/auto.h"

enum {
        SETTLED_MS = 500, /* of sending that were seen, before that says anything */
        PEAK_FADES_MS = 4000,
        ZERO_PER_MS = 200 * 1000, /* bytes; where there are more, looking for zeros takes the time, not the line */
};

static const double span_ms[RATE_SPANS] = { 1000, 4000 };

/* All of the time between the two went into sending, and it would have gone on. */
static bool was_busy(const RateSample *from, const RateSample *to)
{
        uint64_t sent = to->sent - from->sent;

        return sent && to->left >= sent && to->zero - from->zero <= (to->at_ms - from->at_ms) * ZERO_PER_MS;
}

static double faded(double value, double ms, double span)
{
        return ms < span ? value * (1 - ms / span) : 0;
}

void line_rate_take(LineRate *r, const RateSample *s)
{
        RateSample from = r->last;
        bool begun = r->begun;
        double ms;

        r->last = *s;
        r->begun = true;
        if (!begun || s->at_ms <= from.at_ms || s->sent < from.sent || s->zero < from.zero)
                return;
        ms = (double)(s->at_ms - from.at_ms);
        r->peak = MAX(faded(r->peak, ms, PEAK_FADES_MS), (double)s->now_per_s);
        for (int i = 0; i < RATE_SPANS && was_busy(&from, s); i++) {
                r->bytes[i] = faded(r->bytes[i], ms, span_ms[i]) + (double)(s->sent - from.sent);
                r->ms[i] = faded(r->ms[i], ms, span_ms[i]) + ms;
        }
}

uint64_t line_rate_lasting(const LineRate *r)
{
        double least = 0;

        for (int i = 0; i < RATE_SPANS; i++) {
                double rate = r->ms[i] > 0 ? r->bytes[i] * 1000 / r->ms[i] : 0;

                least = i ? MIN(least, rate) : rate;
        }
        return r->ms[RATE_SPANS - 1] >= SETTLED_MS ? (uint64_t)(least + 0.5) : 0;
}

uint64_t line_rate_bound_ms(const LineRate *r, uint64_t ms)
{
        double lasting = (double)line_rate_lasting(r);

        if (lasting <= 0 || r->peak <= lasting)
                return MAX(ms, (uint64_t)1);
        return MAX((uint64_t)((double)ms * lasting / r->peak + 0.5), (uint64_t)1);
}
