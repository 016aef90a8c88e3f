#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "daemon/quota.h"

static char trace[64];
static char names[] = "abcdef";

static void granted(void *arg)
{
        strncat(trace, arg, 1);
}

static void enter(Quota *quota, QuotaPlace *place, size_t i, bool high)
{
        quota_enter(quota, place, high, granted, &names[i]);
}

/* CFG-09: a call over the limit is queued, not failed; the order of arrival stays. */
TEST(one_over_the_limit_waits_its_turn)
{
        AUTO(Quota) *quota = quota_new(2, 1);
        QuotaPlace p[4];

        trace[0] = '\0';
        for (size_t i = 0; i < 4; i++)
                enter(quota, &p[i], i, false);
        CHECK_STR(trace, "ab");
        CHECK_INT(quota_waiting(quota), 2);
        quota_leave(quota, &p[0]);
        CHECK_STR(trace, "abc");
        quota_leave(quota, &p[3]); /* leaves the queue */
        quota_leave(quota, &p[1]);
        quota_leave(quota, &p[2]);
        CHECK_STR(trace, "abc");
        CHECK_INT(quota_in_flight(quota), 0);
        quota_leave(quota, &p[2]); /* twice is fine */
}

/* CFG-08: with all ordinary places taken, a call of high priority still gets one. */
TEST(high_priority_has_places_of_its_own)
{
        AUTO(Quota) *quota = quota_new(1, 1);
        QuotaPlace p[4];

        trace[0] = '\0';
        enter(quota, &p[0], 0, false);
        enter(quota, &p[1], 1, false);
        enter(quota, &p[2], 2, true);
        enter(quota, &p[3], 3, true);
        CHECK_STR(trace, "ac");
        quota_leave(quota, &p[2]);
        CHECK_STR(trace, "acd");
        quota_leave(quota, &p[3]);
        quota_leave(quota, &p[0]);
        CHECK_STR(trace, "acdb");
        quota_leave(quota, &p[1]);
        CHECK_INT(quota_in_flight(quota), 0);
}

typedef struct Hasty {
        Quota *quota;
        QuotaPlace place;
        unsigned *served;
} Hasty;

static void leave_at_once(void *arg)
{
        Hasty *h = arg;

        ++*h->served;
        quota_leave(h->quota, &h->place);
}

/* All clients together may have tens of thousands of calls in the queue, and each may fail as soon as its turn comes. */
TEST(a_long_queue_of_places_given_back_at_once_needs_no_stack)
{
        enum { MANY = 500000 };
        AUTO(Quota) *quota = quota_new(1, 0);
        AUTOFREE Hasty *all = mem_new_array(Hasty, MANY);
        QuotaPlace first;
        unsigned served = 0;

        trace[0] = '\0';
        enter(quota, &first, 0, false);
        for (size_t i = 0; i < MANY; i++) {
                all[i] = (Hasty){ .quota = quota, .served = &served };
                quota_enter(quota, &all[i].place, false, leave_at_once, &all[i]);
        }
        CHECK_INT(quota_waiting(quota), MANY);
        quota_leave(quota, &first);
        CHECK_INT(served, MANY);
        CHECK_INT(quota_waiting(quota), 0);
        CHECK_INT(quota_in_flight(quota), 0);
}
