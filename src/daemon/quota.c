/*
 * daemon/quota.c - places for calls that wait
 *
 * Two queues, in order of arrival. An ordinary place that becomes free goes to
 * the ordinary queue first: calls of high priority have places of their own.
 * Whoever is granted one may give it back at once. The stack does not grow by
 * that: whoever grants sees that there is room again.
 */
#include "daemon/quota.h"

#include "base/mem.h"

typedef struct Line {
        QuotaPlace *first, **last;
        unsigned len;
} Line;

struct Quota {
        unsigned ordinary_limit, high_limit;
        unsigned ordinary, high;
        Line ordinary_line, high_line;
        bool granting; /* further out on the stack */
};

Quota *quota_new(unsigned ordinary, unsigned high)
{
        Quota *quota = mem_new(Quota);

        quota->ordinary_limit = ordinary;
        quota->high_limit = high;
        quota->ordinary_line.last = &quota->ordinary_line.first;
        quota->high_line.last = &quota->high_line.first;
        return quota;
}

Quota *quota_free(Quota *quota)
{
        free(quota);
        return NULL;
}

static void line_put(Line *line, QuotaPlace *place)
{
        place->next = NULL;
        *line->last = place;
        line->last = &place->next;
        line->len++;
}

static bool line_remove(Line *line, const QuotaPlace *place)
{
        for (QuotaPlace **p = &line->first; *p; p = &(*p)->next) {
                if (*p != place)
                        continue;
                *p = place->next;
                if (!*p)
                        line->last = p;
                line->len--;
                return true;
        }
        return false;
}

static bool hold(Quota *quota, QuotaPlace *place)
{
        if (quota->ordinary < quota->ordinary_limit) {
                quota->ordinary++;
                place->high = false;
        } else if (place->high_priority && quota->high < quota->high_limit) {
                quota->high++;
                place->high = true;
        } else {
                return false;
        }
        place->held = true;
        return true;
}

void quota_enter(Quota *quota, QuotaPlace *place, bool high_priority, void (*granted)(void *arg), void *arg)
{
        *place = (QuotaPlace){ .high_priority = high_priority, .granted = granted, .arg = arg };
        if (hold(quota, place))
                granted(arg);
        else
                line_put(high_priority ? &quota->high_line : &quota->ordinary_line, place);
}

static bool grant_first(Quota *quota, Line *line)
{
        QuotaPlace *place = line->first;

        if (!place || !hold(quota, place))
                return false;
        line_remove(line, place);
        place->granted(place->arg);
        return true;
}

void quota_leave(Quota *quota, QuotaPlace *place)
{
        if (!place->granted)
                return;
        if (!place->held) {
                line_remove(place->high_priority ? &quota->high_line : &quota->ordinary_line, place);
        } else if (place->high) {
                quota->high--;
        } else {
                quota->ordinary--;
        }
        *place = (QuotaPlace){ 0 };
        if (quota->granting)
                return;
        quota->granting = true;
        while (grant_first(quota, &quota->ordinary_line) || grant_first(quota, &quota->high_line))
                ;
        quota->granting = false;
}

unsigned quota_in_flight(const Quota *quota)
{
        return quota->ordinary + quota->high;
}

unsigned quota_waiting(const Quota *quota)
{
        return quota->ordinary_line.len + quota->high_line.len;
}
