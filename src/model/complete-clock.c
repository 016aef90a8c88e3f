/*
 * model/complete-clock.c - rules of the clock and its timers (CLK-01 to CLK-13)
 */
#include "model/complete-internal.h"

#include "base/str.h"

static int check_offset(ClockDef *clock, Error *err)
{
        int64_t seconds;

        switch (clock->offset) {
        case CLOCK_OFFSET_TIMEZONE:
                if (!clock->timezone)
                        return err_set(err, ERR_XML,
                                       "<clock offset='timezone'> needs a 'timezone', like Europe/Paris");
                if (strstr(clock->timezone, "..") || clock->timezone[0] == '/')
                        return err_set(err, ERR_XML, "'%s' is not a time zone", clock->timezone);
                return 0;
        case CLOCK_OFFSET_VARIABLE:
                if (!clock->adjustment)
                        clock->adjustment = "0";
                if (str_to_i64(clock->adjustment, &seconds) < 0)
                        return err_set(err, ERR_XML, "<clock>: 'adjustment' cannot be '%s' (it is seconds)",
                                       clock->adjustment);
                if (!clock->basis)
                        clock->basis = CLOCK_BASIS_UTC;
                return 0;
        case CLOCK_OFFSET_UTC:
        case CLOCK_OFFSET_LOCALTIME:
                if (clock->adjustment && !str_eq(clock->adjustment, "reset") &&
                    str_to_i64(clock->adjustment, &seconds) < 0)
                        return err_set(err, ERR_XML,
                                       "<clock>: 'adjustment' cannot be '%s' (it is seconds or 'reset')",
                                       clock->adjustment);
                return 0;
        default:
                return 0;
        }
}

/* What QEMU can do about missed ticks (CLK-10). */
static bool can_tick(TimerName name, TimerTickpolicy policy)
{
        switch (name) {
        case TIMER_NAME_RTC:
                return policy == TIMER_TICKPOLICY_CATCHUP || policy == TIMER_TICKPOLICY_DELAY;
        case TIMER_NAME_PIT:
                return policy == TIMER_TICKPOLICY_DELAY || policy == TIMER_TICKPOLICY_DISCARD ||
                       policy == TIMER_TICKPOLICY_CATCHUP;
        case TIMER_NAME_HPET:
                return policy == TIMER_TICKPOLICY_DELAY;
        default:
                return false;
        }
}

static int check_timer(const TimerDef *timer, Error *err)
{
        const char *name = timer_name_text(timer->name);

        if (timer->name == TIMER_NAME_PLATFORM || timer->name == TIMER_NAME_ARMVTIMER)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "QEMU has no timer '%s' here; remove it",
                               name); /* CLK-08 */
        if (timer->track && timer->name != TIMER_NAME_RTC)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "timer '%s': 'track' is for the timer 'rtc' only", name);
        if (timer->track == TIMER_TRACK_BOOT)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "timer 'rtc': track='boot' is not supported; use 'guest' or 'wall'"); /* CLK-09 */
        if (timer->tickpolicy && !can_tick(timer->name, timer->tickpolicy))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "timer '%s': tickpolicy='%s' is not supported by QEMU",
                               name, timer_tickpolicy_text(timer->tickpolicy));
        return 0;
}

int complete_clock(DomainDef *def, Error *err)
{
        ClockDef *clock = &def->clock;

        if (check_offset(clock, err) < 0)
                return -1;
        for (uint32_t i = 0; i < clock->n_timers; i++) {
                for (uint32_t j = 0; j < i; j++) {
                        if (clock->timers[i]->name == clock->timers[j]->name)
                                return err_set(err, ERR_XML, "the timer '%s' is there twice",
                                               timer_name_text(clock->timers[i]->name)); /* CLK-07 */
                }
                if (def->type != DOMAIN_TYPE_XEN && check_timer(clock->timers[i], err) < 0)
                        return -1;
        }
        return 0;
}
