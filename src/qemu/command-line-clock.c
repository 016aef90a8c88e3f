/*
 * qemu/command-line-clock.c - the real-time clock and the timers (CLK-01 to CLK-14)
 */
#include "base/str.h"
#include "qemu/command-line-private.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

/* What completion lets through, since it is well-formed, but no option of QEMU can give. */
static const char *timer_problem(const TimerDef *t)
{
        if (t->name == TIMER_NAME_PIT && t->tickpolicy == TIMER_TICKPOLICY_CATCHUP)
                return "the timer 'pit' has only the tick policies 'delay' and 'discard'";
        if (t->mode == TIMER_MODE_EMULATE || t->mode == TIMER_MODE_SMPSAFE)
                return "QEMU cannot emulate the timer 'tsc': its mode must be 'auto' or 'native'";
        return NULL;
}

static const TimerDef *find_timer(const ClockDef *clock, TimerName name)
{
        for (uint32_t i = 0; i < clock->n_timers; i++) {
                if (clock->timers[i]->name == name)
                        return clock->timers[i];
        }
        return NULL;
}

void clock_cpu_flags(const ClockDef *clock, Buf *ret)
{
        const TimerDef *tsc = find_timer(clock, TIMER_NAME_TSC), *kvm = find_timer(clock, TIMER_NAME_KVMCLOCK),
                       *hyperv = find_timer(clock, TIMER_NAME_HYPERVCLOCK);

        if (kvm && kvm->present != SWITCH_DEFAULT)
                buf_format(ret, ",kvmclock=%s", kvm->present == SWITCH_ON ? "on" : "off");
        if (hyperv && hyperv->present == SWITCH_ON)
                buf_put_text(ret, ",hv-time=on");
        if (tsc && tsc->frequency)
                buf_format(ret, ",tsc-frequency=%" PRIu64, tsc->frequency);
}

static int check_zone(const char *zone, Error *err)
{
        AUTOFREE char *path = str_format("/usr/share/zoneinfo/%s", zone);

        if (access(path, R_OK) < 0)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "this host knows no time zone '%s'", zone);
        return 0;
}

/* base=utc and base=localtime with seconds added are a variable clock by another name. */
static bool is_variable(const ClockDef *clock, int64_t *adjustment)
{
        *adjustment = 0;
        if (clock->adjustment)
                str_to_i64(clock->adjustment, adjustment);
        return clock->offset == CLOCK_OFFSET_VARIABLE || *adjustment != 0;
}

/* QEMU takes years of four digits. */
static int put_time(time_t when, bool local, Buf *value, Error *err)
{
        enum { FIRST_YEAR = 0 - 1900, LAST_YEAR = 9999 - 1900 };
        struct tm tm;

        if (!(local ? localtime_r(&when, &tm) : gmtime_r(&when, &tm)) || tm.tm_year < FIRST_YEAR ||
            tm.tm_year > LAST_YEAR)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "<clock>: the guest's time would not lie in the years 0 to 9999");
        buf_format(value, "base=%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                   tm.tm_hour, tm.tm_min, tm.tm_sec);
        return 0;
}

static int put_base(const ClockDef *clock, int64_t now, Buf *value, Error *err)
{
        bool local = clock->offset == CLOCK_OFFSET_LOCALTIME || clock->basis == CLOCK_BASIS_LOCALTIME;
        int64_t adjustment, when = now ?: (int64_t)time(NULL);

        if (clock->offset == CLOCK_OFFSET_TIMEZONE) {
                buf_put_text(value, "base=localtime"); /* with TZ in QEMU's environment */
                return check_zone(clock->timezone, err);
        }
        if (clock->offset == CLOCK_OFFSET_ABSOLUTE)
                return put_time((time_t)MIN(clock->start, (uint64_t)INT64_MAX), false, value, err);
        if (is_variable(clock, &adjustment)) {
                if (__builtin_add_overflow(when, adjustment, &when))
                        when = adjustment < 0 ? INT64_MIN : INT64_MAX;
                return put_time((time_t)when, local, value, err);
        }
        buf_put_text(value, local ? "base=localtime" : "base=utc");
        return 0;
}

int command_line_clock(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const ClockDef *clock = &spec->def->clock;
        const TimerDef *rtc = find_timer(clock, TIMER_NAME_RTC), *pit = find_timer(clock, TIMER_NAME_PIT);
        AUTO(Buf) value = { 0 };

        for (uint32_t i = 0; i < clock->n_timers; i++) {
                const char *problem = timer_problem(clock->timers[i]);

                if (problem)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED, "<clock>: %s", problem);
        }
        if (put_base(clock, spec->now, &value, err) < 0)
                return -1;
        if (rtc && rtc->track == TIMER_TRACK_GUEST)
                buf_put_text(&value, ",clock=vm");
        else if (rtc && rtc->track == TIMER_TRACK_WALL)
                buf_put_text(&value, ",clock=host");
        if (rtc && rtc->tickpolicy == TIMER_TICKPOLICY_CATCHUP)
                buf_put_text(&value, ",driftfix=slew");
        line_put_pair(line, "-rtc", "%s", buf_text(&value));
        if (pit && pit->tickpolicy != TIMER_TICKPOLICY_UNSET)
                line_put_pair(line, "-global", "kvm-pit.lost_tick_policy=%s", timer_tickpolicy_text(pit->tickpolicy));
        return 0;
}
