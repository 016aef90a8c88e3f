/*
 * qemu/command-line-clock.c - the real-time clock and the timers (CLK-01 to CLK-14)
 */
#include "base/str.h"
#include "qemu/command-line-private.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

const char *timer_problem(const TimerDef *t)
{
        switch (t->name) {
        case TIMER_NAME_PLATFORM:
                return "QEMU has no timer 'platform'";
        case TIMER_NAME_RTC:
                if (t->track == TIMER_TRACK_BOOT)
                        return "the timer 'rtc' cannot track 'boot'";
                if (t->tickpolicy == TIMER_TICKPOLICY_MERGE || t->tickpolicy == TIMER_TICKPOLICY_DISCARD)
                        return "the timer 'rtc' has only the tick policies 'delay' and 'catchup'";
                return NULL;
        case TIMER_NAME_PIT:
                if (t->tickpolicy == TIMER_TICKPOLICY_MERGE || t->tickpolicy == TIMER_TICKPOLICY_CATCHUP)
                        return "the timer 'pit' has only the tick policies 'delay' and 'discard'";
                return NULL;
        case TIMER_NAME_HPET:
                return t->tickpolicy != TIMER_TICKPOLICY_UNSET && t->tickpolicy != TIMER_TICKPOLICY_DELAY
                               ? "the timer 'hpet' has only the tick policy 'delay'"
                               : NULL;
        case TIMER_NAME_TSC:
                if (t->mode == TIMER_MODE_EMULATE || t->mode == TIMER_MODE_SMPSAFE)
                        return "QEMU cannot emulate the timer 'tsc': its mode must be 'auto' or 'native'";
                break;
        case TIMER_NAME_ARMVTIMER:
                return "only ARM guests have the timer 'armvtimer'";
        default:
                break;
        }
        return t->tickpolicy != TIMER_TICKPOLICY_UNSET ? "this timer has no tick policy" : NULL;
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
        AUTOFREE char *path = NULL;

        if (!zone)
                return err_set(err, ERR_XML, "<clock offset='timezone'> needs the attribute 'timezone'");
        path = str_format("/usr/share/zoneinfo/%s", zone);
        if (zone[0] == '/' || strstr(zone, "..") || access(path, R_OK) < 0)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "this host knows no time zone '%s'", zone);
        return 0;
}

static int put_base(const ClockDef *clock, Buf *value, Error *err)
{
        time_t start = time(NULL);
        int64_t adjustment = 0;
        struct tm tm;

        switch (clock->offset) {
        case CLOCK_OFFSET_LOCALTIME:
                buf_put_text(value, "base=localtime");
                return 0;
        case CLOCK_OFFSET_TIMEZONE:
                buf_put_text(value, "base=localtime"); /* with TZ in QEMU's environment */
                return check_zone(clock->timezone, err);
        case CLOCK_OFFSET_VARIABLE:
                if (clock->adjustment && str_to_i64(clock->adjustment, &adjustment) < 0)
                        return err_set(err, ERR_XML, "<clock>: the adjustment '%s' is not a number of seconds",
                                       clock->adjustment);
                start += adjustment;
                if (clock->basis == CLOCK_BASIS_LOCALTIME)
                        localtime_r(&start, &tm);
                else
                        gmtime_r(&start, &tm);
                break;
        case CLOCK_OFFSET_ABSOLUTE:
                start = (time_t)clock->start;
                gmtime_r(&start, &tm);
                break;
        default:
                buf_put_text(value, "base=utc");
                return 0;
        }
        buf_format(value, "base=%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                   tm.tm_hour, tm.tm_min, tm.tm_sec);
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
        if (put_base(clock, &value, err) < 0)
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
