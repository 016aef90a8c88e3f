/*
 * daemon/qemu-clock.c - a guest that sets its clock
 *
 * With <clock offset='variable'> what the guest sets counts at its next start, too (CLK-06): the adjustment of both
 * definitions follows. QEMU tells how far the clock is from the one it was started with. The configured definition is
 * changed in the guest's turn, like by any other change, so that neither of two that come at once is lost.
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

/* The configured definition on its way to another adjustment; it outlives the run. */
struct ClockSave {
        QemuDriver *qemu;
        Domain *dom; /* referenced */
        JobClaim *claim;
        int64_t seconds;
        DomainDef *def; /* being written; NULL: none is */
        bool again;     /* the clock was set meanwhile */
};

static void save_end(ClockSave *s)
{
        vec_remove_item(&s->qemu->clock_saves, s);
        domain_def_unref(s->def);
        job_claim_free(s->claim);
        domain_unref(s->dom);
        free(s);
}

static void complain(const ClockSave *s, const Error *failure)
{
        log_error("the time that guest '%s' set is lost at its next start: %s", s->dom->name, failure->text);
}

static void save_write(ClockSave *s);

static void on_saved(void *arg, const Error *failure)
{
        ClockSave *s = arg;

        if (failure)
                complain(s, failure);
        else if (s->dom->persistent)
                domain_set_config(s->dom, domain_def_ref(s->def));
        domain_def_unref(TAKE(s->def));
        if (s->again)
                save_write(s);
        else
                save_end(s);
}

static bool is_kept(const Domain *dom)
{
        return dom->persistent && dom->config && dom->config->clock.offset == CLOCK_OFFSET_VARIABLE;
}

static void save_write(ClockSave *s)
{
        s->again = false;
        if (!is_kept(s->dom)) {
                save_end(s);
                return;
        }
        s->def = domain_def_copy(s->dom->config);
        set_adjustment(s->def, s->seconds);
        qemu_store_save(s->dom, s->def, on_saved, s);
}

/* During a long job nobody changes the definition: then no turn is needed. */
static void on_turn(void *arg, const Error *refused)
{
        ClockSave *s = arg;

        if (refused && refused->code != ERR_OPERATION_INVALID) {
                complain(s, refused);
                save_end(s);
                return;
        }
        save_write(s);
}

static ClockSave *find_save(const QemuDriver *qemu, const Domain *dom)
{
        for (size_t i = 0; i < qemu->clock_saves.len; i++) {
                if (qemu->clock_saves.items[i]->dom == dom)
                        return qemu->clock_saves.items[i];
        }
        return NULL;
}

/* A guest sets its clock in several steps, and each is told: one write is enough for those that come while it waits. */
static void save_config(QemuDriver *qemu, Domain *dom, int64_t seconds)
{
        ClockSave *s = find_save(qemu, dom);

        if (s) {
                s->seconds = seconds;
                s->again = true;
                return;
        }
        s = mem_new(ClockSave);
        *s = (ClockSave){ .qemu = qemu, .dom = domain_ref(dom), .seconds = seconds };
        vec_push(&qemu->clock_saves, s);
        job_claim(dom->jobs, JOB_MODIFY, dom->name, &s->claim, on_turn, s);
}

static void on_written_last(void *arg UNUSED, const Error *failure UNUSED)
{
}

void qemu_clock_forget(QemuDriver *qemu)
{
        while (qemu->clock_saves.len) {
                ClockSave *s = qemu->clock_saves.items[0];

                if ((!s->def || s->again) && is_kept(s->dom)) {
                        AUTO(DomainDef) *def = domain_def_copy(s->dom->config);

                        set_adjustment(def, s->seconds);
                        qemu_store_save(s->dom, def, on_written_last, NULL);
                }
                save_end(s);
        }
        vec_done(&qemu->clock_saves);
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
        if (is_kept(dom))
                save_config(run->qemu, dom, offset_s);
        return offset_s;
}
