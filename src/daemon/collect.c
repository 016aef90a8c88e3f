/*
 * daemon/collect.c - figures of many guests at once
 */
#include "daemon/collect.h"

#include "base/mem.h"
#include "base/vec.h"
#include "daemon/driver.h"

enum { DEADLINE_MS = 3000 };

typedef struct Sample {
        Collection *collection;
        Domain *dom;
        Figures figures;
        bool asked, answered;
} Sample;

/* Lives until its owner freed it and the last driver has answered. */
struct Collection {
        Loop *loop;
        unsigned what;
        Arena *arena;
        VEC(Sample *) samples;
        size_t waiting;
        Timer *deadline;
        void (*done)(void *arg);
        void *arg;
        bool starting, freed;
};

Collection *collection_new(Loop *loop, unsigned what)
{
        Collection *c = mem_new(Collection);

        c->loop = loop;
        c->what = what;
        c->arena = arena_new();
        return c;
}

static void release(Collection *c)
{
        if (!c->freed || c->waiting)
                return;
        for (size_t i = 0; i < c->samples.len; i++) {
                domain_unref(c->samples.items[i]->dom);
                free(c->samples.items[i]);
        }
        vec_done(&c->samples);
        arena_free(c->arena);
        free(c);
}

Collection *collection_free(Collection *c)
{
        if (!c)
                return NULL;
        c->deadline = timer_free(c->deadline);
        c->done = NULL;
        c->freed = true;
        release(c);
        return NULL;
}

void collection_add(Collection *c, Domain *dom, bool nowait)
{
        Sample *s = mem_new(Sample);
        bool busy = job_slot_running(dom->jobs, true) != JOB_NONE || job_slot_running(dom->jobs, false) != JOB_NONE;

        *s = (Sample){ .collection = c, .dom = domain_ref(dom), .figures = { .arena = c->arena } };
        s->asked = c->what && domain_is_active(dom) && dom->driver->ops->collect && !(nowait && busy);
        vec_push(&c->samples, s);
}

static void finish(Collection *c)
{
        void (*done)(void *arg) = c->done;

        c->done = NULL;
        c->deadline = timer_free(c->deadline);
        if (done)
                done(c->arg);
}

static void on_deadline(void *arg)
{
        finish(arg);
}

static void on_answer(void *arg, const Error *failure)
{
        Sample *s = arg;
        Collection *c = s->collection;

        s->answered = true;
        if (failure)
                s->figures.has = 0;
        c->waiting--;
        if (c->freed)
                release(c);
        else if (!c->waiting && !c->starting)
                finish(c);
}

void collection_start(Collection *c, void (*done)(void *arg), void *arg)
{
        c->done = done;
        c->arg = arg;
        c->starting = true;
        for (size_t i = 0; i < c->samples.len; i++) {
                Sample *s = c->samples.items[i];

                if (!s->asked)
                        continue;
                c->waiting++;
                s->dom->driver->ops->collect(s->dom, c->what, &s->figures, on_answer, s);
        }
        c->starting = false;
        if (c->waiting)
                c->deadline = timer_new(c->loop, DEADLINE_MS, on_deadline, c);
        else
                finish(c);
}

size_t collection_len(const Collection *c)
{
        return c->samples.len;
}

Domain *collection_domain(const Collection *c, size_t i)
{
        return c->samples.items[i]->dom;
}

const Figures *collection_figures(const Collection *c, size_t i)
{
        static const Figures nothing;
        const Sample *s = c->samples.items[i];

        return s->answered ? &s->figures : &nothing;
}
