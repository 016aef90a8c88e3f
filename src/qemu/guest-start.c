/*
 * qemu/guest-start.c - start QEMU or find it again, until it answers what must be known
 *
 * All questions leave in one go, behind the negotiation; QEMU answers them in order as soon as it is up. What its CPU lacks
 * is asked behind them, of a CPU that one of the answers names.
 * Between the last answer and `cont` the processors stand still, which is when they are pinned.
 */
#include "base/log.h"
#include "base/str.h"
#include "qemu/disk-limits.h"
#include "qemu/guest-private.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>

enum { READY_MS = 60 * 1000, START_MS = 120 * 1000, ADOPT_MS = 20 * 1000, END_MS = 5 * 1000 };

/* The last act of a function: done() may free the guest. */
static void finish(Guest *guest, const Error *failure)
{
        GuestWaiter waiter = guest->starting;

        guest->starting = (GuestWaiter){ 0 };
        guest->start_deadline = timer_free(guest->start_deadline);
        waiter.done(waiter.arg, failure);
}

/* Found, or at least there. The last act of a function. */
static void finish_adoption(Guest *guest)
{
        if (guest->starting.done)
                finish(guest, NULL);
}

/* Take everything down and say why. Who asked for the end of what was only starting has it, too. */
static void fail(Guest *guest)
{
        GuestWaiters stoppers = guest_take_stoppers(guest);
        AUTO(Error) why = { 0 };

        err_move(&why, &guest->failure);
        guest->kill_timer = timer_free(guest->kill_timer);
        guest->qmp = qmp_client_free(guest->qmp);
        guest->process = guest_process_free(guest->process);
        guest->adopting = false;
        guest->retry = timer_free(guest->retry);
        guest_set_state(guest, GUEST_OFF, GUEST_CAUSE_FAILED);
        finish(guest, &why);
        guest_tell(&stoppers, NULL);
}

/*
 * Remember why, and end the process; fail() follows when it is gone. A process that we adopted is left alone: it
 * runs the guest, whether it answers or not.
 */
static void give_up(Guest *guest, const Error *why)
{
        if (guest->adopting) {
                guest->adopting = false;
                guest_lose(guest, why);
                guest_retry(guest);
                finish_adoption(guest);
                return;
        }
        if (!err_is_set(&guest->failure))
                err_copy(&guest->failure, why);
        guest_process_signal(guest->process, SIGKILL);
}

static void on_deadline(void *arg)
{
        Guest *guest = arg;
        AUTO(Error) late = { 0 };

        if (!guest->adopting && !guest->executed)
                err_set(&late, ERR_OPERATION_TIMEOUT,
                        "the files of the guest '%s' were not ready for QEMU within %d s: their storage does not answer",
                        guest->name, READY_MS / 1000);
        else
                err_set(&late, ERR_OPERATION_TIMEOUT, "QEMU of the guest '%s' does not answer on its monitor",
                        guest->name);
        if (!guest->adopting) {
                give_up(guest, &late);
                return;
        }
        /* the questions stay asked: it may answer yet */
        guest_lose(guest, &late);
        finish_adoption(guest);
}

static GuestState state_of_status(const char *status, GuestCause *cause)
{
        static const struct {
                const char *status;
                GuestState state;
                GuestCause cause;
        } rows[] = {
                { "running", GUEST_RUNNING, GUEST_CAUSE_UNKNOWN },
                { "prelaunch", GUEST_PAUSED, GUEST_CAUSE_BOOTED },
                { "inmigrate", GUEST_INCOMING, GUEST_CAUSE_MIGRATION },
                { "postmigrate", GUEST_PAUSED, GUEST_CAUSE_MIGRATION },
                { "finish-migrate", GUEST_PAUSED, GUEST_CAUSE_MIGRATION },
                { "io-error", GUEST_PAUSED, GUEST_CAUSE_IO_ERROR },
                { "watchdog", GUEST_PAUSED, GUEST_CAUSE_WATCHDOG },
                { "internal-error", GUEST_PAUSED, GUEST_CAUSE_FAILED },
                { "shutdown", GUEST_SHUTDOWN, GUEST_CAUSE_GUEST },
                { "guest-panicked", GUEST_CRASHED, GUEST_CAUSE_PANICKED },
                { "suspended", GUEST_PMSUSPENDED, GUEST_CAUSE_GUEST },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (str_eq(rows[i].status, status)) {
                        *cause = rows[i].cause;
                        return rows[i].state;
                }
        }
        *cause = GUEST_CAUSE_UNKNOWN;
        return GUEST_PAUSED;
}

static void resumed(void *arg, const Error *failure)
{
        Guest *guest = arg;

        if (!guest->starting.done)
                return;
        if (failure && failure->code != ERR_OPERATION_ABORTED)
                give_up(guest, failure);
        else if (!failure)
                finish(guest, NULL);
}

static void all_answered(Guest *guest)
{
        AUTO(Error) err = { 0 };

        if (guest->adopting) {
                GuestState state = guest->state;
                GuestCause cause = guest->cause;

                guest->adopting = false;
                guest->retry_ms = 0;
                finish_adoption(guest);
                /* it ended its run while no daemon looked */
                if ((state == GUEST_SHUTDOWN || state == GUEST_CRASHED) && guest->hooks.end_of_run)
                        guest->hooks.end_of_run(guest->arg, cause, false);
                return;
        }
        if (guest->hooks.ready && guest->hooks.ready(guest->arg, &err) < 0) {
                give_up(guest, &err);
                return;
        }
        if (guest->options.incoming) {
                guest_set_state(guest, GUEST_INCOMING, GUEST_CAUSE_MIGRATION);
                finish(guest, NULL);
        } else if (guest->options.paused) {
                guest_set_state(guest, GUEST_PAUSED, GUEST_CAUSE_BOOTED);
                finish(guest, NULL);
        } else {
                qmp_cont(guest->qmp, resumed, guest);
        }
}

/* One answer came. False: the caller has nothing to note. */
static bool answered(Guest *guest, const Error *failure)
{
        guest->unanswered--;
        if (err_is_set(&guest->failure) || (!guest->starting.done && !guest->adopting))
                return false;
        /* a connection that ended is explained by the end of the process, which comes */
        if (failure && failure->code != ERR_OPERATION_ABORTED)
                give_up(guest, failure);
        else if (failure && guest->adopting)
                give_up(guest, failure);
        return !failure;
}

static void answered_last(Guest *guest)
{
        if (guest->unanswered == 0)
                all_answered(guest);
}

static void ask(Guest *guest, QmpCall *call);

/* A QEMU without that property keeps nothing from anybody that we could know of. */
static void got_withheld(void *arg, json_object *names, const Error *failure)
{
        Guest *guest = arg;
        bool absent = failure && !qmp_failure_is_unknown(failure);

        if (!answered(guest, absent ? NULL : failure))
                return;
        for (size_t i = 0;
             !failure && json_object_is_type(names, json_type_array) && i < json_object_array_length(names); i++) {
                json_object *name = json_object_array_get_idx(names, i);

                if (json_object_is_type(name, json_type_string))
                        vec_push(&guest->withheld, str_dup(json_object_get_string(name)));
        }
        answered_last(guest);
}

static void got_vcpus(void *arg, const QmpCpu *cpus, size_t n, const Error *failure)
{
        Guest *guest = arg;

        if (!answered(guest, failure))
                return;
        guest_take_vcpus(guest, cpus, n);
        if (n && guest->options.check_cpu && !guest->adopting)
                ask(guest, qmp_qom_get(guest->qmp,
                                       &(QmpQomGet){ .path = cpus[0].qom_path, .property = "unavailable-features" },
                                       got_withheld, guest));
        answered_last(guest);
}

static void got_iothreads(void *arg, const QmpIoThread *threads, size_t n, const Error *failure)
{
        Guest *guest = arg;

        if (!answered(guest, failure))
                return;
        for (size_t i = 0; i < n; i++) {
                GuestIothread thread = { .tid = (pid_t)threads[i].thread_id };

                if (sscanf(threads[i].id, "iothread%u", &thread.number) == 1)
                        vec_push(&guest->iothreads, thread);
        }
        answered_last(guest);
}

static void got_chardevs(void *arg, const QmpChardev *chardevs, size_t n, const Error *failure)
{
        if (answered(arg, failure)) {
                guest_take_chardevs(arg, chardevs, n);
                answered_last(arg);
        }
}

static void got_vnc(void *arg, const QmpVnc *vnc, const Error *failure)
{
        Guest *guest = arg;
        uint32_t port;

        if (answered(guest, failure)) {
                if (vnc->enabled && vnc->service && str_to_u32(vnc->service, &port) == 0)
                        guest->vnc_port = (int)port;
                answered_last(guest);
        }
}

static void got_ack(void *arg, const Error *failure)
{
        if (answered(arg, failure))
                answered_last(arg);
}

/* A guest without a balloon says no; that is fine. */
static void got_balloon(void *arg, const QmpBalloonSize *balloon, const Error *failure)
{
        Guest *guest = arg;
        bool absent = failure && !qmp_failure_is_unknown(failure);

        if (answered(guest, absent ? NULL : failure)) {
                if (!failure)
                        guest->balloon_bytes = balloon->actual;
                answered_last(guest);
        }
}

static void got_status(void *arg, const QmpStatus *status, const Error *failure)
{
        Guest *guest = arg;
        GuestCause cause;

        if (answered(guest, failure)) {
                GuestState state = state_of_status(status->status, &cause);

                guest_set_state(guest, state, cause);
                answered_last(guest);
        }
}

static void got_uuid(void *arg, const QmpIdentity *identity, const Error *failure)
{
        Guest *guest = arg;
        AUTO(Error) err = { 0 };
        Uuid uuid;

        if (!failure && (uuid_parse(identity->uuid, &uuid) < 0 || !uuid_eq(&uuid, &guest->uuid))) {
                err_set(&err, ERR_OPERATION_INVALID, "process %d runs another guest than '%s'", guest_pid(guest),
                        guest->name);
                if (guest->starting.done) {
                        err_move(&guest->failure, &err);
                        fail(guest);
                        return;
                }
                failure = &err;
        }
        if (answered(guest, failure))
                answered_last(guest);
}

static void ask(Guest *guest, QmpCall *call)
{
        guest->unanswered++;
        qmp_call_set_deadline(call, 0); /* the start as a whole has one */
}

static void ask_definition(Guest *guest, const DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (def->disks[i]->iotune)
                        ask(guest, disk_limits_set(guest->qmp, def->disks[i], got_ack, guest));
        }
        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                if (def->interfaces[i]->link_state == LINK_STATE_DOWN)
                        ask(guest, qmp_set_link(guest->qmp,
                                                &(QmpSetLink){ .name = def->interfaces[i]->info.alias, .up = false },
                                                got_ack, guest));
        }
}

static void ask_about_start(Guest *guest)
{
        const GuestStartOptions *o = &guest->options;
        QmpClient *qmp = guest->qmp;

        ask(guest, qmp_query_cpus_fast(qmp, got_vcpus, guest));
        if (o->def && o->def->n_iothreads)
                ask(guest, qmp_query_iothreads(qmp, got_iothreads, guest));
        ask(guest, qmp_query_chardev(qmp, got_chardevs, guest));
        ask(guest, qmp_query_vnc(qmp, got_vnc, guest));
        if (o->vnc_password)
                ask(guest, qmp_set_password(qmp,
                                            &(QmpSetPassword){ .protocol = "vnc",
                                                               .password = o->vnc_password,
                                                               .connected = o->vnc_connected },
                                            got_ack, guest));
        if (o->vnc_password && o->vnc_valid_to)
                ask(guest,
                    qmp_expire_password(qmp, &(QmpExpirePassword){ .protocol = "vnc", .time = o->vnc_valid_to },
                                        got_ack, guest));
        if (o->balloon_path && o->balloon_period_s) {
                AUTOFREE char *period = str_format("%u", o->balloon_period_s);

                ask(guest, qmp_qom_set(qmp,
                                       &(QmpQomSet){ .path = o->balloon_path,
                                                     .property = "guest-stats-polling-interval",
                                                     .value = period },
                                       got_ack, guest));
        }
        if (o->def)
                ask_definition(guest, o->def);
        if (o->balloon_bytes && !o->incoming)
                ask(guest, qmp_balloon(qmp, &(QmpBalloon){ .value = o->balloon_bytes }, got_ack, guest));
}

void guest_ask_all(Guest *guest)
{
        QmpClient *qmp = guest->qmp;

        guest->adopting = true;
        guest->unanswered = 0;
        ask(guest, qmp_query_uuid(qmp, got_uuid, guest));
        ask(guest, qmp_query_status(qmp, got_status, guest));
        ask(guest, qmp_query_cpus_fast(qmp, got_vcpus, guest));
        ask(guest, qmp_query_chardev(qmp, got_chardevs, guest));
        ask(guest, qmp_query_vnc(qmp, got_vnc, guest));
        ask(guest, qmp_query_balloon(qmp, got_balloon, guest));
}

static void on_closed(void *arg, const Error *why)
{
        Guest *guest = arg;

        log_debug("guest '%s': %s", guest->name, why->text);
        if (!guest->starting.done && !guest->adopting) {
                guest_retry(guest);
                return;
        }
        /* at its end QEMU closes the monitor, and its last words say why; anything else is said here */
        if (why->code == ERR_OPERATION_FAILED && !guest->adopting)
                timer_set(guest->start_deadline, END_MS);
        else
                give_up(guest, why);
}

static void on_started(void *arg, const Error *why)
{
        Guest *guest = arg;

        if (why) {
                err_copy(&guest->failure, why);
                fail(guest);
        } else if (guest->starting.done && !err_is_set(&guest->failure)) {
                guest->executed = true;
                timer_set(guest->start_deadline, START_MS);
        }
}

/* What a refusal by locks means. They keep a second QEMU out; who may run a guest that moves does not rest on them (MIG-31). */
static const char *advice(const char *words)
{
        if (strstr(words, "Is another process using the image"))
                return ". It is in use on this host or on one that shares it: end what uses it first";
        if (strstr(words, "Failed to lock byte"))
                return ". Its file system gives no locks, as NFS does where its lock service does not run (rpc.statd)";
        return "";
}

static void on_ended(void *arg)
{
        Guest *guest = arg;
        AUTOFREE char *words = NULL;

        if (!guest->starting.done) {
                guest_end(guest);
                return;
        }
        words = guest_process_last_words(guest->process);
        if (!err_is_set(&guest->failure))
                err_set(&guest->failure, ERR_OPERATION_FAILED, "QEMU of the guest '%s' ended while it started: %s%s",
                        guest->name, words ?: "it gave no reason", words ? advice(words) : "");
        else if (words)
                err_set(&guest->failure, guest->failure.code, "%s; QEMU said: %s", guest->failure.text, words);
        fail(guest);
}

static const GuestProcessHooks process_hooks = { .started = on_started, .ended = on_ended };

void guest_expect_postcopy(Guest *guest)
{
        guest->urgent = true;
}

static void begin(Guest *guest, Fd monitor, GuestDone *done, void *arg, bool adopting)
{
        const QmpHooks qmp_hooks = { .event = guest_on_event, .closed = on_closed, .urgent = guest->urgent };

        guest_forget_facts(guest);
        err_done(&guest->failure);
        guest->starting = (GuestWaiter){ done, arg };
        guest->adopting = adopting;
        guest->unanswered = 0;
        guest->qmp = qmp_client_new(guest->env->loop, monitor, &qmp_hooks, guest);
        guest->start_deadline = timer_new(guest->env->loop, adopting ? ADOPT_MS : READY_MS, on_deadline, guest);
        guest->executed = false;
        guest->retry_ms = 0;
        guest_set_state(guest, GUEST_STARTING, GUEST_CAUSE_ASKED);
}

int guest_start(Guest *guest, const CommandLine *line, const GuestStartOptions *options, GuestDone *done, void *arg,
                Error *err)
{
        AUTO(Fd) monitor = -1;

        if (guest->process)
                return err_set(err, ERR_OPERATION_INVALID, "the guest '%s' is running already", guest->name);
        guest->process = guest_process_start(guest->env, guest->name, &guest->uuid, line, &process_hooks, guest,
                                             &monitor, err);
        if (!guest->process)
                return -1;
        begin(guest, fd_take(&monitor), done, arg, false);
        guest->options = *options;
        ask_about_start(guest);
        guest->options.vnc_password = guest->options.vnc_valid_to = guest->options.vnc_connected = NULL;
        guest->options.balloon_path = NULL;
        guest->options.def = NULL;
        return 0;
}

int guest_adopt(Guest *guest, pid_t pid, uint64_t start_ticks, GuestDone *done, void *arg, Error *err)
{
        AUTO(Fd) monitor = -1;

        if (guest->process)
                return err_set(err, ERR_OPERATION_INVALID, "the guest '%s' is running already", guest->name);
        guest->process = guest_process_adopt(guest->env, guest->name, &guest->uuid, pid, start_ticks, &process_hooks,
                                             guest, &monitor, err);
        if (!guest->process)
                return -1;
        begin(guest, fd_take(&monitor), done, arg, true);
        guest_ask_all(guest);
        return 0;
}
