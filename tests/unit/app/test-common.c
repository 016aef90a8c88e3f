/*
 * tests/unit/app/test-common.c - words for what a daemon says in numbers
 */
#include "app/drover/common.h"

#include "test.h"

#include "wire/constants.h"

/* LIFE-11, CON-57: as stock virsh has them. */
TEST(every_state_has_its_word)
{
        static const struct {
                int state;
                const char *word;
        } cases[] = {
                { VIR_DOMAIN_NOSTATE, "no state" },
                { VIR_DOMAIN_RUNNING, "running" },
                { VIR_DOMAIN_BLOCKED, "idle" },
                { VIR_DOMAIN_PAUSED, "paused" },
                { VIR_DOMAIN_SHUTDOWN, "in shutdown" },
                { VIR_DOMAIN_SHUTOFF, "shut off" },
                { VIR_DOMAIN_CRASHED, "crashed" },
                { VIR_DOMAIN_PMSUSPENDED, "pmsuspended" },
                { VIR_DOMAIN_PMSUSPENDED + 1, "no state" },
                { -1, "no state" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                CHECK_STR(domain_state_text(cases[i].state), cases[i].word);
}

TEST(a_reason_that_is_not_known_is_said_to_be)
{
        CHECK_STR(domain_state_reason_text(VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED), "panicked");
        CHECK_STR(domain_state_reason_text(VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_USER), "user");
        CHECK_STR(domain_state_reason_text(VIR_DOMAIN_RUNNING, 1000), "unknown");
        CHECK_STR(domain_state_reason_text(VIR_DOMAIN_BLOCKED, 1), "unknown");
}
