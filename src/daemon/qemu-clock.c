/*
 * daemon/qemu-clock.c - a guest that sets its clock
 *
 * With <clock offset='variable'> what the guest sets counts at its next start, too (CLK-06): the adjustment of both
 * definitions follows. QEMU tells how far the clock is from the one it was started with.
 */
#include "daemon/qemu-clock.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

void qemu_clock_started(QemuRun *run, const DomainDef *def)
{
        run->clock_base_s = 0;
        if (def->clock.adjustment)
                str_to_i64(def->clock.adjustment, &run->clock_base_s);
}

static void set_adjustment(DomainDef *def, int64_t seconds)
{
        char text[24];

        snprintf(text, sizeof(text), "%" PRId64, seconds);
        def->clock.adjustment = arena_dup(domain_def_arena(def), text);
}

typedef struct Saving {
        Domain *dom;
        DomainDef *def;
} Saving;

static void on_saved(void *arg, const Error *failure)
{
        Saving *s = arg;

        if (failure)
                log_error("the time that guest '%s' set is lost at its next start: %s", s->dom->name, failure->text);
        else if (s->dom->persistent)
                domain_set_config(s->dom, TAKE(s->def));
        domain_def_unref(s->def);
        domain_unref(s->dom);
        free(s);
}

static void save_config(Domain *dom, int64_t seconds)
{
        Saving *s = mem_new(Saving);

        *s = (Saving){ .dom = domain_ref(dom), .def = domain_def_copy(dom->config) };
        set_adjustment(s->def, seconds);
        qemu_store_save(dom, s->def, on_saved, s);
}

int64_t qemu_clock_changed(QemuRun *run, int64_t offset_s)
{
        Domain *dom = run->dom;
        DomainDef *live;

        if (dom->live->clock.offset != CLOCK_OFFSET_VARIABLE)
                return offset_s;
        offset_s += run->clock_base_s;
        live = domain_def_copy(dom->live);
        set_adjustment(live, offset_s);
        domain_set_live(dom, live);
        if (dom->live_next) /* a change that is under way has a copy of its own */
                set_adjustment(dom->live_next, offset_s);
        qemu_status_save(dom);
        if (dom->persistent && dom->config && dom->config->clock.offset == CLOCK_OFFSET_VARIABLE)
                save_config(dom, offset_s);
        return offset_s;
}
