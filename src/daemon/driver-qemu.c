/*
 * daemon/driver-qemu.c - the QEMU driver: its environment, and the acts on a guest
 */
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/advice.h"
#include "daemon/def-load.h"
#include "daemon/helper.h"
#include "daemon/migrate-give.h"
#include "daemon/network-host.h"
#include "daemon/nwfilter.h"
#include "daemon/pool.h"
#include "daemon/qemu-agent.h"
#include "daemon/qemu-clock.h"
#include "daemon/qemu-driver.h"
#include "daemon/qemu-hook.h"
#include "daemon/qemu-save.h"
#include "daemon/secret.h"
#include "host/process.h"
#include "model/complete.h"
#include "wire/constants.h"
#include "wire/error.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#define CGROUP_PARENT "drover.slice"

enum { PROBE_PATIENCE_MS = 80000 }; /* as qemu-probe.c has it */

/* --- load --- */

/* The user QEMU runs as: configured, or the first of the usual ones that this host has. */
static int find_user(const Config *config, RootUser *ret, gid_t groups[1], Error *err)
{
        static const char *const usual[] = { "libvirt-qemu", "qemu", "nobody", NULL };
        const char *const asked[] = { config->qemu_user, NULL };
        struct passwd *user = NULL;
        struct group *group;

        for (const char *const *name = config->qemu_user ? asked : usual; *name && !user; name++)
                user = getpwnam(*name);
        if (!user)
                return err_set(err, ERR_CONF_SYNTAX, "qemu_user: there is no user '%s'",
                               config->qemu_user ?: "nobody");
        ret->uid = user->pw_uid;
        ret->gid = user->pw_gid;
        if (config->qemu_group) {
                group = getgrnam(config->qemu_group);
                if (!group)
                        return err_set(err, ERR_CONF_SYNTAX, "qemu_group: there is no group '%s'",
                                       config->qemu_group);
                ret->gid = group->gr_gid;
        }
        /* /dev/kvm belongs to this group on hosts that guard it */
        group = getgrnam("kvm");
        if (group) {
                groups[0] = group->gr_gid;
                ret->groups = groups;
                ret->n_groups = 1;
        }
        return 0;
}

typedef struct Probing {
        Loop *loop;
        QemuCaps *caps;
        Error failure;
        bool done, late;
} Probing;

static void on_probed(void *arg, QemuCaps *caps, const Error *failure)
{
        Probing *p = arg;

        p->caps = caps;
        if (failure)
                err_copy(&p->failure, failure);
        p->done = true;
}

static void on_late(void *arg)
{
        ((Probing *)arg)->late = true;
}

/* From the cache this takes no time; a new binary is asked once, before clients are served. */
static void probe(QemuDriver *qemu)
{
        const Daemon *daemon = qemu->driver->daemon;
        Probing p = { .loop = daemon->loop };
        AUTO(QemuProbe) *asking = qemu_probe_new(daemon->loop, daemon->config->qemu_emulator, daemon->dirs.state,
                                                 &qemu->env.user, on_probed, &p);
        AUTO(Timer) *patience = timer_new(daemon->loop, PROBE_PATIENCE_MS, on_late, &p);

        while (!p.done && !p.late && loop_turn(daemon->loop, -1, NULL) >= 0)
                ;
        qemu->caps = p.caps;
        if (!p.caps) {
                qemu->no_caps = str_dup(p.failure.text ?: "QEMU does not answer");
                log_error("guests cannot be started: %s", qemu->no_caps);
        }
        err_done(&p.failure);
}

static void make_paths(QemuDriver *qemu)
{
        const DaemonDirs *dirs = &qemu->driver->daemon->dirs;

        qemu->status_dir = str_format("%s/qemu", dirs->run);
        qemu->guests_run_dir = str_format("%s/guests", dirs->run);
        qemu->save_dir = str_format("%s/qemu/save", dirs->state);
        qemu->log_dir = str_format("%s/qemu", dirs->log);
        qemu->nvram_dir = str_format("%s/nvram", dirs->state);
        qemu->logger = helper_program("drover-log");
        qemu->saver = helper_program("drover-save");
        qemu->describer = helper_program("drover-img");
}

/*
 * Guests' groups are named by UUID. A daemon that is not the host's own may have guests of the same UUIDs, whose groups it
 * must not change or kill: "-" and a number that its run directory gives.
 */
static char *cgroup_owner(const char *run_dir)
{
        AUTOFREE char *path = realpath(run_dir, NULL);

        if (!path || str_eq(path, "/run/drover"))
                return str_dup("");
        return str_format("-%016llx", (unsigned long long)hash_fnv1a(HASH_FNV1A_EMPTY, path, strlen(path)));
}

static int make_environment(QemuDriver *qemu, Error *err)
{
        const Daemon *daemon = qemu->driver->daemon;
        AUTO(Error) no_cgroups = { 0 };
        AUTOFREE char *owner = NULL;

        make_paths(qemu);
        /* QEMU's user goes through the run directory to its own; it sees no other guest's */
        if (dir_make(qemu->guests_run_dir, 0711, err) < 0 || dir_make(qemu->log_dir, 0700, err) < 0 ||
            dir_make(qemu->save_dir, 0700, err) < 0 || dir_make(qemu->nvram_dir, 0711, err) < 0 ||
            find_user(daemon->config, &qemu->env.user, qemu->groups, err) < 0)
                return -1;
        owner = cgroup_owner(daemon->dirs.run);
        qemu->cgroups = cgroup_host_new("", CGROUP_PARENT, owner, &no_cgroups);
        if (!qemu->cgroups)
                log_warning("guests run without control groups: %s", no_cgroups.text);
        qemu->env.loop = daemon->loop;
        qemu->env.cgroups = qemu->cgroups;
        qemu->env.run_dir = qemu->guests_run_dir;
        qemu->env.host_uuid = qemu->driver->daemon->host_uuid;
        qemu->env.log_dir = qemu->log_dir;
        qemu->env.logger = qemu->logger;
        qemu->env.log_bytes = (uint64_t)daemon->config->guest_log_max_bytes;
        qemu->env.log_backups = 2;
        qemu->env.returns = file_returns_new();
        qemu->env.leave_files = !daemon->config->dynamic_ownership;
        qemu->env.core_dumps = daemon->config->dump_guest_core;
        return 0;
}

static void autostart_unless_over(void *arg)
{
        const QemuDriver *qemu = arg;

        if (!qemu->driver->daemon->ending)
                qemu_autostart(arg);
}

/* The networks are there; the definitions may not be. */
static void on_networks(void *arg)
{
        QemuDriver *qemu = arg;

        if (qemu->driver->loading && !def_load_is_complete(qemu->driver->loading))
                def_load_wait(qemu->driver->loading, false, autostart_unless_over, qemu);
        else
                qemu_autostart(qemu);
}

static int driver_load(Driver *driver, Error *err)
{
        AUTOFREE char *config_dir = str_format("%s/qemu", driver->daemon->dirs.config);
        QemuDriver *qemu = mem_new(QemuDriver);

        driver->shape = advice_shape("");
        driver->state = qemu;
        qemu->driver = driver;
        qemu->files = file_queue_new(driver->daemon->workers);
        qemu->store = def_store_new(qemu->files, config_dir);
        if (make_environment(qemu, err) < 0)
                return -1;
        probe(qemu);
        qemu->hook = hook_find(driver->daemon);
        /* guests are autostarted when the networks and pools are there that they may be on */
        if (secrets_load(driver, qemu->files, err) < 0 || qemu_store_load(qemu, err) < 0 ||
            storage_load(driver, qemu->files, err) < 0 || qemu_status_load(qemu, err) < 0 ||
            migrate_give_load(qemu, err) < 0 || nw_filters_load(driver, qemu->files, err) < 0 ||
            network_host_load(driver, qemu->files, on_networks, qemu, err) < 0)
                return -1;
        ask_server_restore(qemu);
        return 0;
}

static void driver_go_on(Driver *driver)
{
        qemu_store_go_on(driver->state);
}

/* The daemon ends; the guests do not. */
static void driver_retire(Driver *driver)
{
        qemu_store_stop(driver->state);
        migrate_retire(driver->state);
}

static void driver_unload(Driver *driver)
{
        QemuDriver *qemu = driver->state;

        if (!qemu)
                return;
        file_queue_end(qemu->files);
        qemu_store_forget_load(qemu);
        qemu_clock_forget(qemu);
        qemu_autostart_forget(qemu);
        for (size_t i = 0; i < domain_list_len(driver->domains); i++) {
                if (domain_list_at(driver->domains, i)->guest)
                        qemu_run_let_go(qemu_run(domain_list_at(driver->domains, i)));
        }
        hook_forget(qemu);
        driver->storage = storage_free(driver->storage);
        driver->secrets = secrets_free(driver->secrets);
        ask_server_free(qemu->ask);
        migrate_give_forget(qemu);
        driver->network_host = network_host_free(driver->network_host);
        driver->nwfilters = nw_filters_free(driver->nwfilters);
        def_store_free(qemu->store);
        file_queue_free(qemu->files);
        qemu_caps_free(qemu->caps);
        cgroup_host_free(qemu->cgroups);
        file_returns_free(qemu->env.returns);
        free(qemu->status_dir);
        free(qemu->save_dir);
        free(qemu->guests_run_dir);
        free(qemu->log_dir);
        free(qemu->nvram_dir);
        vec_done(&qemu->listening);
        free(qemu->hook);
        free(qemu->logger);
        free(qemu->saver);
        free(qemu->describer);
        free(qemu->no_caps);
        free(qemu);
}

/* --- facts --- */

static uint64_t driver_version(Driver *driver)
{
        const QemuCaps *caps = qemu_driver(driver)->caps;

        return caps ? qemu_caps_version(caps) : 0;
}

static int driver_complete(Driver *driver, DomainDef *def, Error *err)
{
        const QemuDriver *qemu = qemu_driver(driver);
        const QemuMachine *machine = NULL;
        CompletionFacts facts = { .emulator = driver->daemon->config->qemu_emulator };

        if (def->type != DOMAIN_TYPE_KVM && def->type != DOMAIN_TYPE_QEMU)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "the QEMU driver runs guests of type 'kvm' and 'qemu' only");
        if (qemu->caps) {
                machine = qemu_caps_find_machine(qemu->caps, def->os.machine);
                if (!machine && def->os.machine)
                        log_warning("guest '%s': QEMU on this host has no machine '%s'", def->name, def->os.machine);
        }
        if (machine)
                facts.machine = machine->name;
        config_mac_prefix(driver->daemon->config, facts.mac_prefix);
        if (domain_def_complete(def, &facts, err) < 0)
                return -1;
        qemu_complete_firmware(def, qemu->nvram_dir);
        return 0;
}

static uint64_t driver_balloon_kib(const Domain *dom)
{
        uint64_t bytes = qemu_run(dom) ? guest_balloon_bytes(qemu_run(dom)->guest) : 0;

        return bytes ? bytes / 1024 : dom->live->current_memory_kib;
}

static uint64_t driver_cpu_time_ns(const Domain *dom)
{
        ProcessStat stat;

        if (!qemu_run(dom) || process_stat(guest_pid(qemu_run(dom)->guest), 0, &stat, NULL) < 0)
                return 0;
        return stat.user_ns + stat.system_ns;
}

/* --- acts --- */

/* Its QEMU, as far as there is one: a call may get its turn in the very moment in which the last one fails with it. */
static Guest *guest_to_act_on(const Domain *dom, DriverDone *done, void *arg)
{
        const QemuRun *run = qemu_run(dom);
        AUTO(Error) err = { 0 };

        if (run && guest_is_active(run->guest))
                return run->guest;
        err_set(&err, ERR_OPERATION_INVALID, "domain '%s' is being started or stopped", dom->name);
        done(arg, &err);
        return NULL;
}

static void driver_destroy(Domain *dom, bool graceful, DriverDone *done, void *arg)
{
        QemuRun *run = qemu_run(dom);

        if (!run || !guest_is_active(run->guest)) {
                if (run && run->start_done && !run->is_up)
                        qemu_start_give_up(run);
                done(arg, NULL); /* else it ends at this moment */
                return;
        }
        run->stop_reason = VIR_DOMAIN_SHUTOFF_DESTROYED;
        run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_DESTROYED;
        guest_stop(run->guest, graceful ? GUEST_STOP_GRACEFUL : GUEST_STOP_NORMAL, done, arg);
}

/* --- shutdown and reboot: by the agent, or by the power button --- */

typedef struct Leave {
        Domain *dom;
        bool reboot, button_too;
        DriverDone *done;
        void *arg;
} Leave;

static void press_button(Domain *dom, bool reboot, DriverDone *done, void *arg)
{
        Guest *guest = guest_to_act_on(dom, done, arg);

        if (guest && reboot)
                guest_reboot(guest, done, arg);
        else if (guest)
                guest_powerdown(guest, done, arg);
}

/* A reboot that the agent may have begun is not asked for twice: the guest would power off. */
static bool button_helps(const Leave *leave, const Error *failure)
{
        const QemuRun *run = qemu_run(leave->dom);

        return leave->button_too && run && guest_qmp(run->guest) &&
               !(leave->reboot && failure->code == ERR_AGENT_COMMAND_TIMEOUT);
}

static void on_agent_asked(void *arg, const Error *failure)
{
        Leave leave = *(Leave *)arg;
        AUTO(Domain) *dom = leave.dom;

        free(arg);
        if (failure && button_helps(&leave, failure))
                press_button(dom, leave.reboot, leave.done, leave.arg);
        else
                leave.done(leave.arg, failure);
}

/* With no mode given, or both, whatever is there: the agent knows better than a button, when it answers. */
static void leave(Domain *dom, bool reboot, bool by_agent, bool by_button, DriverDone *done, void *arg)
{
        bool any = by_agent == by_button;
        AUTO(Error) err = { 0 };
        AgentClient *agent;
        Leave *l;

        if (!guest_to_act_on(dom, done, arg))
                return;
        agent = by_agent || any ? qemu_agent(qemu_run(dom), &err) : NULL;
        if (agent) {
                l = mem_new(Leave);
                *l = (Leave){ domain_ref(dom), reboot, any, done, arg };
                agent_shutdown(agent, &(AgentGuestShutdown){ .mode = reboot ? "reboot" : "powerdown" },
                               on_agent_asked, l);
        } else if (by_agent && !any) {
                done(arg, &err);
        } else {
                press_button(dom, reboot, done, arg);
        }
}

static void driver_shutdown(Domain *dom, unsigned modes, DriverDone *done, void *arg)
{
        leave(dom, false, modes & VIR_DOMAIN_SHUTDOWN_GUEST_AGENT, modes & VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, done,
              arg);
}

static void driver_reboot(Domain *dom, unsigned modes, DriverDone *done, void *arg)
{
        leave(dom, true, modes & VIR_DOMAIN_REBOOT_GUEST_AGENT, modes & VIR_DOMAIN_REBOOT_ACPI_POWER_BTN, done, arg);
}

static void driver_reset(Domain *dom, DriverDone *done, void *arg)
{
        Guest *guest = guest_to_act_on(dom, done, arg);

        if (guest)
                guest_reset(guest, done, arg);
}

static void driver_suspend(Domain *dom, DriverDone *done, void *arg)
{
        Guest *guest = guest_to_act_on(dom, done, arg);

        if (guest)
                guest_suspend(guest, done, arg);
}

static void driver_resume(Domain *dom, DriverDone *done, void *arg)
{
        Guest *guest = guest_to_act_on(dom, done, arg);

        if (guest)
                guest_resume(guest, done, arg);
}

const DriverOps driver_qemu_ops = {
        .type = "QEMU",
        .uri = "qemu:///system",
        .networks = &network_host_ops,
        .error_domain = ERROR_FROM_QEMU,
        .load = driver_load,
        .go_on = driver_go_on,
        .retire = driver_retire,
        .unload = driver_unload,
        .version = driver_version,
        .max_vcpus = qemu_max_vcpus,
        .describe_host = qemu_describe_host,
        .put_guest_capabilities = qemu_put_guest_capabilities,
        .put_domain_capabilities = qemu_put_domain_capabilities,
        .cpu_models = qemu_cpu_models,
        .cpu_features = qemu_cpu_features,
        .change = qemu_change,
        .collect = qemu_collect,
        .interface_stats = qemu_interface_stats,
        .complete = driver_complete,
        .save_config = qemu_store_save,
        .remove_config = qemu_store_remove,
        .rename_config = qemu_store_rename,
        .save_autostart = qemu_store_autostart,
        .state_changed = qemu_status_save,
        .balloon_kib = driver_balloon_kib,
        .cpu_time_ns = driver_cpu_time_ns,
        .start = qemu_start_or_restore,
        .destroy = driver_destroy,
        .shutdown = driver_shutdown,
        .reboot = driver_reboot,
        .reset = driver_reset,
        .suspend = driver_suspend,
        .resume = driver_resume,
};
