/*
 * daemon/qemu-start.c - one run of a guest: from its definition to a running QEMU, and its end
 *
 * A child looks at the images, and those in use elsewhere are refused. The status
 * file says that a start is going on before anything is done. What is allocated
 * before QEMU exists - taps, display ports - happens at once on the loop; then QEMU
 * starts. A start that fails ends
 * the run like any other end, so there is one way back.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/advice.h"
#include "daemon/disk-sizes.h"
#include "daemon/migrate-give.h"
#include "daemon/nwfilter.h"
#include "daemon/qemu-act.h"
#include "daemon/qemu-agent.h"
#include "daemon/qemu-clock.h"
#include "daemon/qemu-hook.h"
#include "daemon/qemu-keys.h"
#include "daemon/qemu-nic.h"
#include "daemon/qemu-tune.h"
#include "daemon/qemu-unplug.h"
#include "model/complete.h"
#include "model/cpu.h"
#include "wire/constants.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { N_PORTS = 65536 };

QemuRun *qemu_run_new(Domain *dom, int id)
{
        QemuRun *run = mem_new(QemuRun);

        *run = (QemuRun){ .dom = dom, .qemu = qemu_driver(dom->driver), .stop_reason = -1 };
        run->agent_timeout_s = VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT;
        run->pause_reason = VIR_DOMAIN_PAUSED_USER;
        run->pause_detail = VIR_DOMAIN_EVENT_SUSPENDED_PAUSED;
        run->resume_reason = VIR_DOMAIN_RUNNING_UNPAUSED;
        run->resume_detail = VIR_DOMAIN_EVENT_RESUMED_UNPAUSED;
        run->guest = guest_new(&run->qemu->env, dom->name, &dom->uuid, &qemu_guest_hooks, run);
        dom->guest = run;
        domain_ref(dom);
        if (id > 0)
                domain_list_activate_as(dom->driver->domains, dom, id);
        else
                domain_list_activate(dom->driver->domains, dom);
        return run;
}

static void close_nics(QemuRun *run);

void qemu_run_let_go(QemuRun *run)
{
        Domain *dom = run->dom;

        dom->guest = NULL;
        nw_bind_free(run->filtering);
        close_nics(run);
        qemu_consoles_let_go(run);
        qemu_agent_stop(run);
        qemu_unplug_let_go(run);
        job_claim_free(run->adopting);
        status_note_free(run->noting);
        image_look_free(run->looking);
        hook_free(run->hook);
        err_done(&run->rejected);
        image_uses_done(&run->images);
        interrupted_free(run->interrupted);
        guest_free(run->guest);
        disk_sizes_free(run->sizes);
        free(run->image);
        free(run->nonce);
        free(run->moving_nonce);
        free(run->moving_peer);
        free(run);
        domain_unref(dom);
}

void qemu_run_end(QemuRun *run, int shutoff_reason, int event, int event_detail)
{
        Domain *dom = domain_ref(run->dom);
        DriverDone *start_done = run->start_done;
        void *start_arg = run->start_arg;
        AUTO(Error) err = { 0 };

        job_slot_hold(dom->jobs); /* who waits for it finds the guest shut off, not without a run */
        if (run->nonce && !run->unrun && run->stop_reason != VIR_DOMAIN_SHUTOFF_FAILED)
                migrate_note_left(run->qemu, run->nonce);
        qemu_status_remove(run->qemu, dom->name);
        hook_tell_end(run->qemu, dom->live, true);
        qemu_run_let_go(run);
        qemu_nic_remove_all(dom);
        domain_stopped(dom, shutoff_reason, event, event_detail);
        job_slot_let_go(dom->jobs);
        if (start_done) {
                err_set(&err, ERR_OPERATION_FAILED, "guest '%s' ended while it was started", dom->name);
                start_done(start_arg, &err);
        }
        domain_unref(dom);
}

/* A start that came to nothing: the guest is as it was, and nobody else hears of it. */
static void abandon(QemuRun *run, const Error *failure)
{
        Domain *dom = domain_ref(run->dom);
        DriverDone *done = run->start_done;
        void *arg = run->start_arg;

        log_info("guest '%s' did not start: %s", dom->name, failure->text);
        job_slot_hold(dom->jobs);
        qemu_status_remove(run->qemu, dom->name);
        hook_tell_end(run->qemu, dom->live, false);
        qemu_run_let_go(run);
        qemu_nic_remove_all(dom);
        domain_list_deactivate(dom->driver->domains, dom);
        if (dom->persistent)
                domain_set_live(dom, NULL);
        dom->owner = NULL;
        job_slot_let_go(dom->jobs);
        done(arg, failure);
        domain_unref(dom);
}

/* --- interfaces --- */

static int open_nics(QemuRun *run, DomainDef *def, Error *err)
{
        run->nics = mem_new_array(NicFds, def->n_interfaces);
        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                if (qemu_nic_open(run->dom, def->interfaces[i], run->options.incoming, domain_def_arena(def),
                                  &run->nics[i], err) < 0)
                        return -1;
        }
        return 0;
}

/* QEMU has its own copies by now; a tap lives as long as a descriptor of it. */
static void close_nics(QemuRun *run)
{
        for (uint32_t i = 0; run->nics && i < run->dom->live->n_interfaces; i++)
                qemu_nic_close(&run->nics[i]);
        free(run->nics);
        run->nics = NULL;
}

/* --- displays --- */

static bool port_is_free(const char *address, int port)
{
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        AUTO(Fd) fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int on = 1;

        if (fd < 0 || inet_pton(AF_INET, address, &in.sin_addr) != 1)
                return true; /* not an IPv4 address: QEMU will tell */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        return bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
}

/*
 * Which ports guests have, also those that are starting and have not bound theirs yet. One walk for all ports: each
 * guest that starts among ten thousand would else look at all of them for each port that they have.
 */
static bool *given_ports(const DomainList *all)
{
        bool *given = mem_new_array(bool, N_PORTS);

        for (size_t i = 0; i < domain_list_len(all); i++) {
                const Domain *dom = domain_list_at(all, i);

                for (uint32_t g = 0; dom->live && dom->guest && g < dom->live->n_graphics; g++) {
                        int port = dom->live->graphics[g]->port;

                        if (port > 0 && port < N_PORTS)
                                given[port] = true;
                }
        }
        return given;
}

static const char *listen_address(const GraphicsDef *graphics, const Config *config)
{
        if (graphics->listen)
                return graphics->listen;
        if (graphics->n_listens && graphics->listens[0]->address)
                return graphics->listens[0]->address;
        return config->vnc_listen;
}

int qemu_give_ports(const Driver *driver, DomainDef *def, Error *err)
{
        const Config *config = driver->daemon->config;
        AUTOFREE bool *given = def->n_graphics ? given_ports(driver->domains) : NULL;

        for (uint32_t i = 0; i < def->n_graphics; i++) {
                GraphicsDef *graphics = def->graphics[i];
                const char *address = listen_address(graphics, config);
                int port = config->remote_display_port_min;

                if (graphics->type != GRAPHICS_TYPE_VNC || graphics->socket || graphics->port > 0)
                        continue;
                graphics->port = -1;
                while (port <= config->remote_display_port_max && (given[port] || !port_is_free(address, port)))
                        port++;
                if (port > config->remote_display_port_max)
                        return err_set(err, ERR_OPERATION_FAILED, "no display port between %d and %d is free",
                                       config->remote_display_port_min, config->remote_display_port_max);
                given[port] = true;
                graphics->port = port;
                graphics->autoport = SWITCH_ON;
                if (!graphics->listen)
                        graphics->listen = arena_dup(domain_def_arena(def), address);
        }
        return 0;
}

/* --- the start --- */

void qemu_show_tty(DomainDef *def, ChardevDef *chardev, const char *path)
{
        chardev->tty = path = arena_dup(domain_def_arena(def), path);
        if (!chardev->source.n_endpoints) {
                chardev->source.endpoints = arena_new_array(domain_def_arena(def), EndpointDef *, 1);
                chardev->source.endpoints[0] = arena_new_one(domain_def_arena(def), EndpointDef);
                chardev->source.n_endpoints = 1;
        }
        chardev->source.endpoints[0]->path = path;
}

/* What QEMU found out that the live definition shows: pseudo terminals. */
static void note_ttys(QemuRun *run, DomainDef *def)
{
        ChardevDef **lists[] = { def->serials, def->parallels, def->consoles, def->channels };
        uint32_t lens[] = { def->n_serials, def->n_parallels, def->n_consoles, def->n_channels };

        for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
                for (uint32_t i = 0; i < lens[l]; i++) {
                        ChardevDef *chardev = lists[l][i];
                        const char *tty = chardev->info.alias ? guest_tty(run->guest, chardev->info.alias) : NULL;

                        /* the first console is the first serial port, seen from the other side */
                        if (!tty && lists[l] == def->consoles && i == 0 && def->n_serials &&
                            def->serials[0]->info.alias)
                                tty = guest_tty(run->guest, def->serials[0]->info.alias);
                        if (tty && chardev->type == CHARDEV_TYPE_PTY)
                                qemu_show_tty(def, chardev, tty);
                }
        }
}

static void announce(QemuRun *run)
{
        Domain *dom = run->dom;
        DriverDone *done = run->start_done;
        void *done_arg = run->start_arg;

        run->start_done = NULL;
        run->found = true;
        dom->owner = run->options.owner;
        note_ttys(run, dom->live);
        qemu_agent_start(run);
        if (run->options.incoming) {
                domain_set_state(dom, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION);
        } else {
                domain_started(dom, run->options.paused ? VIR_DOMAIN_PAUSED : VIR_DOMAIN_RUNNING,
                               run->options.paused ? (int)VIR_DOMAIN_PAUSED_USER : (int)VIR_DOMAIN_RUNNING_BOOTED,
                               VIR_DOMAIN_EVENT_STARTED_BOOTED);
                if (!run->options.paused)
                        event_domain_lifecycle(dom, VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
        }
        done(done_arg, NULL);
}

static void on_rejected(void *arg UNUSED, const Error *failure UNUSED)
{
        /* its end is told to qemu_start_ended() */
}

static void on_started_asked(void *arg, const char *said UNUSED, const Error *failure)
{
        QemuRun *run = arg;

        run->hook = hook_free(run->hook);
        if (!failure) {
                announce(run);
                return;
        }
        err_copy(&run->rejected, failure);
        guest_stop(run->guest, GUEST_STOP_HARD, on_rejected, NULL);
}

void qemu_start_ended(QemuRun *run)
{
        AUTO(Error) why = { 0 };

        if (!run->is_up)
                return; /* the start reports its failure itself */
        if (err_is_set(&run->rejected))
                err_move(&why, &run->rejected);
        else
                err_set(&why, ERR_OPERATION_FAILED, "guest '%s' ended while it was started", run->dom->name);
        abandon(run, &why);
}

static void on_started(void *arg, const Error *failure)
{
        QemuRun *run = arg;
        AUTO(Error) err = { 0 };

        if (failure) {
                abandon(run, failure);
                return;
        }
        run->is_up = true;
        qemu_keys_forget(run);
        if (run->qemu->hook)
                run->hook = hook_new_def(run->qemu, run->dom->live, "started", on_started_asked, run, &err);
        if (run->hook)
                return;
        if (err_is_set(&err))
                on_started_asked(run, NULL, &err);
        else
                announce(run);
}

static int start_qemu(QemuRun *run, DomainDef *def, Error *err)
{
        AUTOFREE char *dir = guest_dir(&run->qemu->env, &run->dom->uuid), *balloon = qemu_balloon_path(def);
        AUTO(CommandLine) line = { 0 };
        AUTO(DiskKeys) keys = { 0 };
        CommandLineSpec spec = { .def = def,
                                 .caps = run->qemu->caps,
                                 .guest_dir = dir,
                                 .nics = run->nics,
                                 .dump_guest_core = run->qemu->env.core_dumps,
                                 .reset_nvram = run->options.reset_nvram,
                                 .incoming = run->options.incoming ? "defer" : NULL,
                                 .runs_when_arrived = run->options.runs_when_arrived };
        GuestStartOptions options = {
                .def = def,
                .paused = run->options.paused,
                .check_cpu = cpu_check_of(def->cpu, def->type == DOMAIN_TYPE_KVM) != CPU_CHECK_NONE,
                .incoming = run->options.incoming,
                .balloon_path = balloon,
                .balloon_period_s = balloon ? def->memballoons[0]->stats_period_s : 0,
                .balloon_bytes = def->current_memory_kib < def->memory_kib ? def->current_memory_kib * 1024 : 0
        };

        for (uint32_t i = 0; i < def->n_graphics; i++) {
                if (def->graphics[i]->type == GRAPHICS_TYPE_VNC && def->graphics[i]->passwd)
                        options.vnc_password = def->graphics[i]->passwd;
        }
        if (qemu_keys_open(run->qemu->driver->secrets, def, &keys, err) < 0)
                return -1;
        spec.keys = keys.list.items;
        spec.n_keys = keys.list.len;
        if (command_line_build(&spec, &line, err) < 0)
                return -1;
        if (qemu_tune_group(run, def, err) < 0)
                return -1;
        for (size_t i = 0; i < run->images.items.len; i++)
                command_line_need_file(&line, run->images.items.items[i].path, run->images.items.items[i].write);
        if (run->options.postcopy)
                guest_expect_postcopy(run->guest);
        return guest_start(run->guest, &line, &options, on_started, run, err);
}

/* Nothing of the guest's is sent or heard before its filters are in force (NET-36). */
static void on_filtered(void *arg, const Error *failure)
{
        QemuRun *run = arg;
        AUTO(Error) err = { 0 };

        run->filtering = NULL;
        if (failure)
                err_copy(&err, failure);
        else
                start_qemu(run, run->dom->live, &err);
        close_nics(run);
        if (err_is_set(&err))
                abandon(run, &err);
        else
                qemu_status_save(run->dom);
}

static int prepare(QemuRun *run, DomainDef *def, Error *err)
{
        if (qemu_give_ports(run->dom->driver, def, err) < 0)
                return -1;
        domain_def_assign_aliases(def);
        qemu_number_sources(def);
        if (open_nics(run, def, err) < 0)
                return -1;
        run->filtering = nw_bind_new(run->dom, def->interfaces, def->n_interfaces, on_filtered, run, err);
        return err_is_set(err) ? -1 : 0;
}

static void on_start_asked(void *arg, const char *said UNUSED, const Error *failure)
{
        QemuRun *run = arg;
        AUTO(Error) err = { 0 };

        run->hook = hook_free(run->hook);
        if (failure)
                err_copy(&err, failure);
        else
                prepare(run, run->dom->live, &err);
        if (err_is_set(&err))
                abandon(run, &err);
        else if (!run->filtering)
                on_filtered(run, NULL);
}

/* From here a daemon that comes back knows that there may be a QEMU. */
static void on_noted(void *arg, const Error *failure)
{
        QemuRun *run = arg;
        AUTO(Error) err = { 0 };

        run->noting = NULL;
        if (!failure && run->qemu->hook)
                run->hook = hook_new_def(run->qemu, run->dom->live, "start", on_start_asked, run, &err);
        if (!run->hook)
                on_start_asked(run, NULL, failure ?: err_is_set(&err) ? &err : NULL);
}

/* What the images are is known: nobody else may write to them. */
static void on_looked(void *arg, ImageUses *uses, const Error *failure)
{
        QemuRun *run = arg;
        AUTO(Error) err = { 0 };

        run->looking = image_look_free(run->looking);
        if (failure) {
                err_copy(&err, failure);
        } else {
                image_uses_drop_missing(uses, run->dom);
                image_uses_check(run->dom, uses, &err);
        }
        if (err_is_set(&err)) {
                abandon(run, &err);
                return;
        }
        image_uses_put_chains(uses, run->dom->live, NULL);
        image_uses_add(&run->images, uses, NULL);
        run->noting = qemu_status_note(run->dom, on_noted, run);
}

static void on_prepare_asked(void *arg, const char *said UNUSED, const Error *failure)
{
        QemuRun *run = arg;
        AUTO(Error) err = { 0 };

        run->hook = hook_free(run->hook);
        if (failure) {
                abandon(run, failure);
                return;
        }
        run->looking = image_look_new(run->qemu, run->dom->live, NULL, on_looked, run, &err);
        if (run->looking)
                image_look_forgive(run->looking, run->options.incoming);
        else
                abandon(run, &err);
}

void qemu_start(Domain *dom, DomainDef *def, const StartOptions *options, DriverDone *done, void *arg)
{
        QemuRun *run = qemu_run_new(dom, 0);
        AUTO(Error) err = { 0 };

        run->options = *options;
        run->image = str_dup(options->image);
        run->nonce = str_dup(options->nonce);
        run->unrun = options->nonce && !options->runs_when_arrived;
        run->coming_flags = options->coming_flags;
        run->start_done = done;
        run->start_arg = arg;
        def->id = dom->id;
        domain_set_live(dom, def);
        qemu_clock_started(run, def);
        if (!run->qemu->caps) {
                err_set(&err, ERR_CONFIG_UNSUPPORTED,
                        "guests cannot be started: %s; restart droverd when that is put right", run->qemu->no_caps);
                abandon(run, &err);
                return;
        }
        if ((!options->nonce && migrate_give_check_start(dom, &err) < 0) ||
            (!options->incoming && advise_on_start(dom, def, "", &err) < 0)) {
                abandon(run, &err);
                return;
        }
        if (run->qemu->hook)
                run->hook = hook_new_def(run->qemu, def, "prepare", on_prepare_asked, run, &err);
        if (!run->hook)
                on_prepare_asked(run, NULL, err_is_set(&err) ? &err : NULL);
}

void qemu_start_give_up(QemuRun *run)
{
        AUTO(Error) why = { 0 };

        err_set(&why, ERR_OPERATION_ABORTED, "guest '%s' was destroyed while it was started", run->dom->name);
        abandon(run, &why);
}
