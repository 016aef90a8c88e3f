#include "test.h"

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
