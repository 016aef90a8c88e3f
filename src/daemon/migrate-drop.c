/*
 * daemon/migrate-drop.c - a guest that came, or was to come, and never runs here
 *
 * Its QEMU goes. Who waits for that hears of it when QEMU is gone, not before: whoever got the error finds nothing left.
 */
#include "base/log.h"
#include "base/mem.h"
#include "daemon/migrate-finish.h"

struct Drop {
        QemuDriver *qemu;
        Domain *dom;  /* referenced */
        Call *asking; /* a client that gives the move up meanwhile; NULL: none */
        void (*gone)(void *arg, const Error *failure);
        void *arg;
};

static void settle(Drop *d, const Error *failure)
{
        vec_remove_item(&d->qemu->drops, d);
        d->gone(d->arg, failure);
        if (d->asking)
                migrate_say_absent(d->asking, d->dom->name, failure);
        domain_unref(d->dom);
        free(d);
}

static void on_gone(void *arg, const Error *failure)
{
        const Drop *d = arg;

        if (failure)
                log_error("guest '%s' is not to run here: %s", d->dom->name, failure->text);
        settle(arg, failure);
}

void migrate_drop(Migration *m, void (*gone)(void *arg, const Error *failure), void *arg)
{
        QemuRun *run = qemu_run(m->dom);
        Drop *d = mem_new(Drop);

        *d = (Drop){ .qemu = qemu_driver(m->dom->driver), .dom = domain_ref(m->dom), .gone = gone, .arg = arg };
        vec_push(&d->qemu->drops, d);
        migration_free(m);
        if (!run) {
                settle(d, NULL);
                return;
        }
        run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
        run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
        guest_stop(run->guest, GUEST_STOP_HARD, on_gone, d);
}

void migrate_drop_retire(Drop *d, const Error *why)
{
        settle(d, why);
}

bool migrate_drop_is_asked(const Domain *dom, Call *call)
{
        const QemuDriver *qemu = qemu_driver(dom->driver);

        for (size_t i = 0; i < qemu->drops.len; i++) {
                Drop *d = qemu->drops.items[i];

                if (d->dom == dom && !d->asking) {
                        d->asking = call;
                        return true;
                }
        }
        return false;
}

/* --- with a call that waits --- */

typedef struct Refusal {
        Call *call;
        Error why;
} Refusal;

static void refuse(void *arg, const Error *failure)
{
        Refusal *r = arg;
        AUTO(Error) err = { 0 };

        if (failure)
                err_set(&err, r->why.code, "%s; and what was begun here is still to be ended: %s", r->why.text,
                        failure->text);
        else
                err_copy(&err, &r->why);
        call_fail(r->call, &err);
        err_done(&r->why);
        free(r);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

void migrate_drop_failing(Migration *m, Call *call, const Error *why)
{
        Refusal *r;

        if (!call) {
                migrate_drop(m, ignore, NULL);
                return;
        }
        r = mem_new(Refusal);
        r->call = call;
        err_copy(&r->why, why);
        migrate_drop(m, refuse, r);
}
