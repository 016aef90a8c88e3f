/*
 * qemu/guest.c - a guest that runs: what is known about it and what can be done with it
 *
 * Invariant: guest->process is there exactly while the state is not GUEST_OFF, but for the moment of its end. The
 * state follows what QEMU says in events, never what was asked for, so it is right also when a reply was lost.
 */
#include "base/mem.h"
#include "base/str.h"
#include "qemu/guest-private.h"

#include <signal.h>

enum {
        GRACEFUL_MS = 15 * 1000, /* SIGTERM: QEMU flushes its disks */
        NORMAL_MS = 5 * 1000,
        HARD_MS = 15 * 1000, /* SIGKILL: the kernel may wait for a disk */
        MOST_CHANNELS = 1024,
};

Guest *guest_new(const GuestEnv *env, const char *name, const Uuid *uuid, const GuestHooks *hooks, void *arg)
{
        Guest *guest = mem_new(Guest);

        *guest = (Guest){
                .env = env, .name = str_dup(name), .uuid = *uuid, .hooks = *hooks, .arg = arg, .vnc_port = -1
        };
        return guest;
}

static void forget_ttys(Guest *guest)
{
        for (size_t i = 0; i < guest->ttys.len; i++) {
                free(guest->ttys.items[i].alias);
                free(guest->ttys.items[i].path);
        }
        guest->ttys.len = 0;
}

void guest_forget_facts(Guest *guest)
{
        for (size_t i = 0; i < guest->vcpus.len; i++)
                free(guest->vcpus.items[i].qom_path);
        forget_ttys(guest);
        for (size_t i = 0; i < guest->open_channels.len; i++)
                free(guest->open_channels.items[i]);
        for (size_t i = 0; i < guest->withheld.len; i++)
                free(guest->withheld.items[i]);
        vec_done(&guest->vcpus);
        vec_done(&guest->iothreads);
        vec_done(&guest->ttys);
        vec_done(&guest->open_channels);
        vec_done(&guest->withheld);
        guest->balloon_bytes = 0;
        guest->vnc_port = -1;
        guest->stop_cause = GUEST_CAUSE_ASKED;
        guest->end_of_run = guest->end_is_reboot = guest->reboot_wanted = guest->stop_asked = false;
        str_replace(&guest->last_end, NULL);
}

Guest *guest_free(Guest *guest)
{
        if (!guest)
                return NULL;
        qmp_client_free(guest->qmp);
        guest_process_free(guest->process);
        timer_free(guest->start_deadline);
        timer_free(guest->retry);
        timer_free(guest->kill_timer);
        guest_forget_facts(guest);
        vec_done(&guest->stopping);
        err_done(&guest->failure);
        free(guest->last_end);
        free(guest->last_words);
        free(guest->name);
        free(guest);
        return NULL;
}

void guest_set_state(Guest *guest, GuestState state, GuestCause cause)
{
        GuestState from = guest->state;

        guest->cause = cause;
        if (from == state)
                return;
        guest->state = state;
        if (guest->hooks.changed)
                guest->hooks.changed(guest->arg, from, state, cause);
}

/* Facts. */

GuestState guest_state(const Guest *guest)
{
        return guest->state;
}

GuestCause guest_cause(const Guest *guest)
{
        return guest->cause;
}

bool guest_is_active(const Guest *guest)
{
        return guest->state != GUEST_OFF;
}

pid_t guest_pid(const Guest *guest)
{
        return guest->process ? guest_process_pid(guest->process) : 0;
}

const char *guest_last_words(const Guest *guest)
{
        return guest->last_words;
}

uint64_t guest_start_ticks(const Guest *guest)
{
        return guest->process ? guest_process_start_ticks(guest->process) : 0;
}

QmpClient *guest_qmp(Guest *guest)
{
        return guest->qmp;
}

Cgroup *guest_cgroup(Guest *guest)
{
        return guest->process ? guest_process_cgroup(guest->process) : NULL;
}

const GuestVcpu *guest_vcpus(const Guest *guest, size_t *n)
{
        *n = guest->vcpus.len;
        return guest->vcpus.items;
}

const GuestIothread *guest_iothreads(const Guest *guest, size_t *n)
{
        *n = guest->iothreads.len;
        return guest->iothreads.items;
}

char *const *guest_withheld_features(const Guest *guest, size_t *n)
{
        *n = guest->withheld.len;
        return guest->withheld.items;
}

uint64_t guest_balloon_bytes(const Guest *guest)
{
        return guest->balloon_bytes;
}

const char *guest_tty(const Guest *guest, const char *chardev_alias)
{
        for (size_t i = 0; i < guest->ttys.len; i++) {
                if (str_eq(guest->ttys.items[i].alias, chardev_alias))
                        return guest->ttys.items[i].path;
        }
        return NULL;
}

int guest_vnc_port(const Guest *guest)
{
        return guest->vnc_port;
}

bool guest_channel_is_open(const Guest *guest, const char *alias)
{
        for (size_t i = 0; i < guest->open_channels.len; i++) {
                if (str_eq(guest->open_channels.items[i], alias))
                        return true;
        }
        return false;
}

const char *guest_last_end(const Guest *guest)
{
        return guest->last_end;
}

void guest_set_channel(Guest *guest, const char *alias, bool open)
{
        for (size_t i = 0; i < guest->open_channels.len; i++) {
                if (str_eq(guest->open_channels.items[i], alias)) {
                        free(guest->open_channels.items[i]);
                        vec_remove(&guest->open_channels, i);
                        break;
                }
        }
        if (open && guest->open_channels.len < MOST_CHANNELS)
                vec_push(&guest->open_channels, str_dup(alias));
}

void guest_take_vcpus(Guest *guest, const QmpCpu *cpus, size_t n)
{
        for (size_t i = 0; i < guest->vcpus.len; i++)
                free(guest->vcpus.items[i].qom_path);
        guest->vcpus.len = 0;
        for (size_t i = 0; i < n; i++) {
                GuestVcpu vcpu = { (unsigned)cpus[i].cpu_index, (pid_t)cpus[i].thread_id, str_dup(cpus[i].qom_path) };

                vec_push(&guest->vcpus, vcpu);
        }
}

/* A chardev is called char<alias>; the file name of a pty is pty:PATH. */
void guest_take_chardevs(Guest *guest, const QmpChardev *chardevs, size_t n)
{
        forget_ttys(guest);
        for (size_t i = 0; i < n; i++) {
                const QmpChardev *c = &chardevs[i];

                if (str_starts(c->label, "char") && str_starts(c->filename, "pty:")) {
                        GuestTty tty = { str_dup(c->label + strlen("char")), str_dup(c->filename + strlen("pty:")) };

                        vec_push(&guest->ttys, tty);
                }
        }
}

typedef struct Refresh {
        Guest *guest;
        GuestDone *done;
        void *arg;
} Refresh;

static void vcpus_refreshed(void *arg, const QmpCpu *cpus, size_t n, const Error *failure)
{
        Refresh *refresh = arg;

        if (!failure)
                guest_take_vcpus(refresh->guest, cpus, n);
        refresh->done(refresh->arg, failure);
        free(refresh);
}

void guest_refresh_vcpus(Guest *guest, GuestDone *done, void *arg)
{
        Refresh *refresh = mem_new(Refresh);

        *refresh = (Refresh){ guest, done, arg };
        qmp_query_cpus_fast(guest->qmp, vcpus_refreshed, refresh);
}

/* Acts. */

void guest_suspend(Guest *guest, GuestDone *done, void *arg)
{
        guest->stop_cause = GUEST_CAUSE_ASKED;
        qmp_stop(guest->qmp, done, arg);
}

void guest_arrived(Guest *guest)
{
        if (guest->state == GUEST_INCOMING)
                guest_set_state(guest, GUEST_PAUSED, GUEST_CAUSE_ASKED);
}

void guest_resume(Guest *guest, GuestDone *done, void *arg)
{
        qmp_cont(guest->qmp, done, arg);
}

void guest_reset(Guest *guest, GuestDone *done, void *arg)
{
        qmp_system_reset(guest->qmp, done, arg);
}

void guest_powerdown(Guest *guest, GuestDone *done, void *arg)
{
        guest->reboot_wanted = false;
        qmp_system_powerdown(guest->qmp, done, arg);
}

void guest_reboot(Guest *guest, GuestDone *done, void *arg)
{
        guest->reboot_wanted = true;
        qmp_system_powerdown(guest->qmp, done, arg);
}

void guest_wakeup(Guest *guest, GuestDone *done, void *arg)
{
        qmp_system_wakeup(guest->qmp, done, arg);
}

void guest_set_action(Guest *guest, const char *reboot, const char *panic, GuestDone *done, void *arg)
{
        qmp_set_action(guest->qmp, &(QmpSetAction){ .reboot = reboot, .panic = panic }, done, arg);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

static bool restart(Guest *guest)
{
        qmp_system_reset(guest->qmp, ignore, NULL);
        qmp_cont(guest->qmp, ignore, NULL);
        return true;
}

static bool finish(Guest *guest)
{
        guest_stop(guest, GUEST_STOP_NORMAL, ignore, NULL);
        return false;
}

bool guest_act_on_end(Guest *guest, const DomainDef *def, GuestCause cause, bool reboot)
{
        LifecycleAction action = reboot ? def->on_reboot : def->on_poweroff;

        if (cause == GUEST_CAUSE_PANICKED) {
                switch (def->on_crash) {
                case CRASH_ACTION_RESTART:
                case CRASH_ACTION_RENAME_RESTART:
                case CRASH_ACTION_COREDUMP_RESTART:
                        return restart(guest);
                case CRASH_ACTION_PRESERVE:
                        return true;
                default:
                        return finish(guest);
                }
        }
        if (action == LIFECYCLE_ACTION_RESTART || action == LIFECYCLE_ACTION_RENAME_RESTART)
                return restart(guest);
        return action == LIFECYCLE_ACTION_PRESERVE ? true : finish(guest);
}

/* The end. */

GuestWaiters guest_take_stoppers(Guest *guest)
{
        GuestWaiters waiters = guest->stopping;

        guest->stopping = (GuestWaiters){ 0 };
        return waiters;
}

void guest_tell(GuestWaiters *waiters, const Error *why)
{
        for (size_t i = 0; i < waiters->len; i++)
                waiters->items[i].done(waiters->items[i].arg, why);
        vec_done(waiters);
}

static void on_kill_timer(void *arg)
{
        Guest *guest = arg;
        GuestWaiters waiters;
        AUTO(Error) err = { 0 };

        if (guest->kill_at_deadline) {
                guest->kill_at_deadline = false;
                guest_process_signal(guest->process, SIGKILL);
                timer_set(guest->kill_timer, HARD_MS);
                return;
        }
        err_set(&err, ERR_OPERATION_TIMEOUT, "QEMU of the guest '%s' (process %d) has not ended yet", guest->name,
                guest_pid(guest));
        waiters = guest_take_stoppers(guest);
        guest_tell(&waiters, &err);
}

void guest_stop(Guest *guest, GuestStop how, GuestDone *done, void *arg)
{
        GuestWaiter waiter = { done, arg };
        uint64_t ms = how == GUEST_STOP_GRACEFUL ? GRACEFUL_MS : how == GUEST_STOP_NORMAL ? NORMAL_MS : HARD_MS;

        guest->stop_asked = true;
        guest->kill_at_deadline = how == GUEST_STOP_NORMAL;
        guest_process_signal(guest->process, how == GUEST_STOP_HARD ? SIGKILL : SIGTERM);
        vec_push(&guest->stopping, waiter);
        if (guest->kill_timer)
                timer_set(guest->kill_timer, ms);
        else
                guest->kill_timer = timer_new(guest->env->loop, ms, on_kill_timer, guest);
}

static GuestCause cause_of_end(const Guest *guest)
{
        if (guest->state == GUEST_CRASHED)
                return GUEST_CAUSE_PANICKED;
        if (guest->stop_asked || str_eq(guest->last_end, "host-signal") || str_eq(guest->last_end, "host-qmp-quit"))
                return guest->state == GUEST_SHUTDOWN ? GUEST_CAUSE_GUEST : GUEST_CAUSE_ASKED;
        return guest->last_end ? GUEST_CAUSE_GUEST : GUEST_CAUSE_FAILED;
}

void guest_end(Guest *guest)
{
        GuestCause cause = cause_of_end(guest);
        bool starting = guest->state == GUEST_STARTING;
        GuestWaiters waiters;

        /* before anybody hears of it: whoever gets a turn by that must not ask a QEMU that is gone */
        guest_set_state(guest, GUEST_OFF, cause);
        /* whoever waits for an answer hears that none comes; a start has its own way to fail */
        if (!starting)
                qmp_client_fail_calls(guest->qmp);
        guest->qmp = qmp_client_free(guest->qmp);
        if (guest->options.incoming) {
                free(guest->last_words);
                guest->last_words = guest_process_last_words(guest->process);
        }
        guest->process = guest_process_free(guest->process);
        guest->start_deadline = timer_free(guest->start_deadline);
        guest->retry = timer_free(guest->retry);
        guest->adopting = false;
        guest->kill_timer = timer_free(guest->kill_timer);
        /* who asked for the end is told when it is one for everybody: the owner puts things right first, and frees us */
        waiters = guest_take_stoppers(guest);
        guest->hooks.ended(guest->arg, cause);
        guest_tell(&waiters, NULL);
}
